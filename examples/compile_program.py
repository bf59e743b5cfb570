"""Compile a two-hop question answerer on the embedded LM, ship it as one file, and load it again."""

from pathlib import Path
from tempfile import TemporaryDirectory

import lmprog as lp
from lmprog.programs.multihop import MultiHopQA, make_retriever, make_splits


def main(folder: Path) -> None:
    """Take less than a minute: few rows, and the quickest optimizer that finds demonstrations."""
    retriever, rows = make_retriever(), make_splits()
    # [compile]
    result = lp.compile(
        MultiHopQA(retriever),
        train=rows.train[:24],  # {"question": ..., "answer": ...}
        val=rows.val[:24],
        holdout=rows.holdout[:30],
        metric=lp.metrics.exact_match("answer"),
        optimizer="bootstrap",
        lm="tiny",
        run_dir=folder / "run",
    )
    print(result.certificate)
    print(result.baseline_params.diff(result.params))

    result.save(folder / "multihop.lmprog")
    program = lp.load(folder / "multihop.lmprog", program=MultiHopQA(retriever))
    with lp.using(lm="tiny"):
        print(program(question="In which country is the birthplace of Houvib Lifaipu ?").answer)
    # [end]
    assert result.shipped == "compiled"


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
