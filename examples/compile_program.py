"""Compile a two-hop question answerer on the embedded LM, ship it as one file, and load it again: less than a minute."""

# [compile]
import lmprog as lp
from lmprog.programs.multihop import MultiHopQA, make_retriever, make_splits

retriever, rows = make_retriever(), make_splits()
result = lp.compile(
    MultiHopQA(retriever),
    train=rows.train[:24],  # {"question": ..., "answer": ...}
    val=rows.val[:24],
    holdout=rows.holdout[:30],
    metric=lp.metrics.exact_match("answer"),
    optimizer="bootstrap",
    lm="tiny",
    run_dir="runs/multihop",
)
print(result.certificate)
print(result.baseline_params.diff(result.params))

result.save("runs/multihop.lmprog")
program = lp.load("runs/multihop.lmprog", program=MultiHopQA(retriever))
with lp.using(lm="tiny"):
    print(program(question="In which country is the birthplace of Houvib Lifaipu ?").answer)
    scored = lp.evaluate(program, rows.holdout[:30], lp.metrics.exact_match("answer"))
    print(scored.score, scored.interval, scored.failures[:1])
# [end]

assert result.shipped == "compiled"
