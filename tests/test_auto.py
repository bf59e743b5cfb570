"""Auto: which method is played next, why, and at what cost."""

from collections.abc import Callable

import lmprog as lp
from lmprog import loop
from lmprog.events import Event, StageEnded
from lmprog.metrics import Metric
from lmprog.optimizer import Outcome, named
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for

ROWS = [{"question": f"What is {number}?", "answer": str(number)} for number in range(60)]


def played(
    script: Callable[[Asked], Answer], *, metric: Metric | None = None, calls: int | None = 1500, spec: str = "auto"
) -> tuple[Outcome, list[StageEnded], int]:
    """Run auto; return the outcome, what it said of its choices, and what it requested."""
    program, told = lp.Predict("question -> answer"), list[Event]()
    problem = problem_for(
        program, ROWS[:30], ROWS[30:], metric or lp.metrics.exact_match("answer"), ScriptedLM(script), calls=calls,
        emit=told.append,
    )  # fmt: skip
    outcome = loop.run(named(spec).search(problem, lp.params_of(program)), instead="await")
    choices = [event for event in told if isinstance(event, StageEnded) and event.stage == "auto"]
    return outcome, choices, problem.allowance.ledger.requested


def solved(asked: Asked) -> Answer:
    return {"answer": asked.inputs["question"].removeprefix("What is ").removesuffix("?")}


def proposer(text: str, asked: Asked) -> Answer | None:
    """Write an instruction where one is asked for."""
    return dict.fromkeys(asked.outputs, text) if "answer" not in asked.outputs else None


def demos_help(asked: Asked) -> Answer:
    wrong = int(asked.inputs.get("question", "0").strip("What is?") or 0) % 3 == 0
    return proposer("Do it.", asked) or (solved(asked) if asked.demos or not wrong else {"answer": "?"})


def wording_helps(asked: Asked) -> Answer:
    number = int(asked.inputs.get("question", "0").strip("What is?") or 0)
    right = "well" in asked.instruction or number % 2
    return proposer("Answer well.", asked) or (solved(asked) if right else {"answer": "?"})


def nothing_helps(asked: Asked) -> Answer:
    number = int(asked.inputs.get("question", "0").strip("What is?") or 0)
    return proposer("Try.", asked) or (solved(asked) if number % 2 else {"answer": "?"})


def test_it_begins_with_bootstrap_random_search_and_ends_when_all_is_right() -> None:
    outcome, choices, _ = played(demos_help)

    assert outcome.score == 1.0
    assert [choice.facts["chosen"] for choice in choices] == ["bootstrap-random-search", "no further part"]
    assert str(choices[-1].facts["why"]) in outcome.stopped == "auto: every validation row is right"


def test_where_demos_gain_nothing_instructions_are_searched() -> None:
    outcome, choices, requested = played(wording_helps)

    assert outcome.score == 1.0 > outcome.baseline_score
    assert "well" in outcome.params["predict"].instruction
    assert [choice.facts["chosen"] for choice in choices][:2] == ["bootstrap-random-search", "mipro"]
    assert "demos alone gained nothing" in str(choices[1].facts["why"])
    assert requested <= 1500


def test_where_the_first_part_could_score_no_demo_set_this_is_said_and_nothing_of_demos() -> None:
    _, choices, _ = played(demos_help, calls=150, spec="auto:parts=7")

    assert str(choices[1].facts["why"]).startswith("its part paid for scoring no demo set")


def test_where_the_metric_says_what_was_wrong_gepa_comes_next() -> None:
    def metric(row: dict[str, str], prediction: lp.Signature) -> lp.Score:
        right = getattr(prediction, "answer", "") == row["answer"]
        return lp.Score(float(right), feedback="" if right else "Answer well.")

    _, choices, _ = played(wording_helps, metric=metric)

    assert choices[1].facts["chosen"] == "gepa"


def test_methods_that_gain_nothing_give_way_and_are_not_played_again() -> None:
    outcome, choices, requested = played(nothing_helps, calls=6000, spec="auto:parts=6")

    assert outcome.score == outcome.baseline_score
    assert [choice.facts["chosen"] for choice in choices] == [
        "bootstrap-random-search",
        "mipro",
        "gepa",
        "opro",
        "no further part",
    ]
    assert requested <= 6000


def test_no_part_takes_what_is_meant_for_the_others() -> None:
    _, choices, _ = played(nothing_helps, calls=1200)

    first = choices[1].requested  # when the second part was chosen
    assert first <= 1200 / 4 + 1
    assert len(choices) >= 3


def test_one_part_is_bootstrap_random_search_alone() -> None:
    outcome, choices, _ = played(wording_helps, spec="auto:parts=1")

    assert [choice.facts["chosen"] for choice in choices] == ["bootstrap-random-search", "no further part"]
    assert outcome.stopped == "auto: the budget was spent"
