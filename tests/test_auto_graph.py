"""AutoGraph: nodes that prepare an answer and check it, and what each of them is worth."""

import json
from pathlib import Path
from typing import cast

import pytest
from strategy_rig import WISE, check_strategy

import lmprog as lp
from lmprog.strategies.auto_graph import STIMULUS, AutoGraph, ablation
from lmprog.testing import Answer, Asked, ScriptedLM


class Reply(lp.Signature):
    """Answer the trick question."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


ROWS = [
    {"question": f"Which node do I need? {node}", "answer": "yes"}
    for node in ("abstract", "propose", "integrate", "verify", "stimulus", "none")
]
METRIC = lp.metrics.exact_match("answer")


def player(asked: Asked) -> Answer:
    """An LM that needs, for each question, what one of the nodes gives it."""
    need = asked.inputs["question"].split()[-1]
    if "note" in asked.outputs:
        if "count" in asked.inputs:
            return {"note": [f"propose {number}" for number in range(int(asked.inputs["count"]))]}
        return {"note": "integrate" if "propose" in asked.inputs["notes"] else "abstract"}
    if "correct" in asked.outputs:
        right = asked.inputs["answer"] == "yes" or need != "verify"
        return {"objection": "nothing" if right else "verify", "correct": right}
    given = [*json.loads(asked.inputs["notes"]), "stimulus" * (STIMULUS in asked.instruction), "none"]
    return {"answer": "yes" if any(note.startswith(need) for note in given) else "no"}


def test_the_nodes_run_in_order_and_each_reads_the_notes_before_it() -> None:
    program = AutoGraph(Reply, solutions=2)

    [run] = lp.evaluate(program, ROWS[-1:], METRIC, lm=ScriptedLM(player)).runs

    assert type(run.prediction) is Reply
    assert [step.predictor for step in run.trace] == ["abstract", "propose", "integrate", "answer", "verify"]
    ways = ["propose 0", "propose 1"]
    notes = [step.inputs["notes"] for step in run.trace[:4]]
    assert notes == [[], ["abstract"], ["abstract", *ways], ["abstract", *ways, "integrate"]]


def test_an_answer_that_the_check_objects_to_is_given_again_with_the_objection() -> None:
    [run] = lp.evaluate(AutoGraph(Reply), ROWS[3:4], METRIC, lm=ScriptedLM(player)).runs

    *_, first, check, second = run.trace
    assert (first.kept, check.kept, second.kept) == (False, True, True)
    assert (first.outputs["answer"], check.outputs["correct"], second.outputs["answer"]) == ("no", False, "yes")
    assert second.inputs["notes"] == [*cast("list[str]", first.inputs["notes"]), "verify"]


def test_more_solutions_than_were_asked_for_are_not_read() -> None:
    def eager(asked: Asked) -> Answer:
        return {"note": ["one", "two", "three"]} if "count" in asked.inputs else player(asked)

    program = AutoGraph(Reply, solutions=2).without("abstract").without("integrate")
    [run] = lp.evaluate(program, ROWS[-1:], METRIC, lm=ScriptedLM(eager)).runs

    assert run.trace[1].inputs["notes"] == ["one", "two"]


def test_an_ablation_tells_what_each_node_is_worth() -> None:
    table = ablation(AutoGraph(Reply), lambda graph: lp.evaluate(graph, ROWS, METRIC, lm=ScriptedLM(player)).score)

    assert table.whole == 1.0
    assert table.without == pytest.approx(
        {"abstract": 5 / 6, "propose": 4 / 6, "integrate": 5 / 6, "verify": 5 / 6, "stimulus": 5 / 6}
    )  # without ways to propose there are none to integrate
    assert str(table).splitlines()[2] == "without propose    0.667 (-0.333)"


def test_a_node_that_is_left_out_is_not_called_and_the_others_keep_their_params() -> None:
    graph = AutoGraph(Reply)
    better = lp.with_params(graph, lp.params_of(graph).replace("answer", instruction=WISE))

    shorter = better.without("verify").without("abstract")
    [run] = lp.evaluate(shorter, ROWS[-1:], METRIC, lm=ScriptedLM(player)).runs

    assert [step.predictor for step in run.trace] == ["propose", "integrate", "answer"]
    assert lp.params_of(shorter) == lp.params_of(better)
    assert len(lp.evaluate(better, ROWS[-1:], METRIC, lm=ScriptedLM(player)).runs[0].trace) == 5


def test_the_stimulus_ends_every_instruction_and_can_be_another_or_none() -> None:
    def instructions(graph: AutoGraph[..., Reply]) -> list[str]:
        return [value.instruction for value in lp.params_of(graph).values()]

    plain = instructions(AutoGraph(Reply, stimulus=""))

    assert instructions(AutoGraph(Reply)) == [f"{said}\n\n{STIMULUS}" for said in plain]
    assert instructions(AutoGraph(Reply, stimulus="Go!")) == [f"{said}\n\nGo!" for said in plain]
    assert instructions(AutoGraph(Reply).without("stimulus")) == plain
    assert "stimulus" not in ablation(AutoGraph(Reply, stimulus=""), lambda graph: 0.0).without


@pytest.mark.parametrize("node", ["abstract", "integrate"])
def test_what_all_strategies_promise(node: str, tmp_path: Path) -> None:
    check_strategy(AutoGraph(Reply), _needing(node), METRIC, player, path=node, bad={"note": "?"}, folder=tmp_path)


def _needing(node: str) -> list[dict[str, str]]:
    return [{"question": f"{number}. {node}", "answer": "yes"} for number in range(3)]


def test_wrong_use_is_told() -> None:
    with pytest.raises(lp.InputError, match="solutions=0: write how many, 1 or more"):
        AutoGraph(Reply, solutions=0)
    with pytest.raises(lp.InputError, match="there is no node 'answer': there are abstract, propose"):
        AutoGraph(Reply).without("answer")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.SignatureError, match="has a field called `notes`"):
        AutoGraph("notes -> answer")


NODE_BY_NODE: dict[str, tuple[str, Answer]] = {
    "propose": ("propose", {"note": ["?"]}),
    "answer": ("none", {"answer": "no"}),
    "verify": ("verify", {"objection": "nothing", "correct": True}),
}
"""By node: which questions need it, and how it is played badly."""


@pytest.mark.parametrize("node", NODE_BY_NODE)
def test_each_other_node_is_compiled_too(node: str, tmp_path: Path) -> None:
    need, bad = NODE_BY_NODE[node]
    check_strategy(AutoGraph(Reply), _needing(need), METRIC, player, path=node, bad=bad, folder=tmp_path)


def test_what_is_checked_is_the_answer_that_was_given() -> None:
    [run] = lp.evaluate(AutoGraph(Reply), ROWS[3:4], METRIC, lm=ScriptedLM(player)).runs

    *_, first, check, _ = run.trace
    assert check.inputs == {"question": ROWS[3]["question"], "answer": first.outputs["answer"]}
