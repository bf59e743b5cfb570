"""Recursive: simple inputs are answered at once, complex ones taken apart."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.strategies.recursive import Recursive
from lmprog.testing import Asked, ScriptedLM


class Add(lp.Signature):
    """Work out the sum."""

    task: str = lp.InputField()
    total: int = lp.OutputField()


def row(*numbers: int) -> dict[str, Any]:
    return {"task": " + ".join(map(str, numbers)), "total": sum(numbers)}


EASY = [row(1, 2), row(3, 4), row(5, 6), row(7, 8)]
HARD = [row(*range(first, first + 8)) for first in (1, 3, 5)]
METRIC = lp.metrics.exact_match("total")
THOUGHT = (
    "The task is to work out a sum. First I look at the left number and then at the right one. "
    "Then I put both of them together, and mind the carry. So this is the answer."
)


def player(asked: Asked) -> dict[str, Any]:
    """An LM that adds two numbers at a time and knows it: to it, n of them are of complexity n. More it adds from results."""
    given = asked.inputs
    task = [int(number) for number in re.findall(r"\d+", (given.get("task") or given["problem"]).splitlines()[-1])]
    size = -(-len(task) // int(given.get("at_most", "1")))
    parts = [" + ".join(map(str, task[start : start + size])) for start in range(0, len(task), size)]
    results = [int(line.rpartition(": ")[2]) for line in json.loads(given.get("found", "[]"))]
    total = sum(task) if len(task) < 3 else sum(results[-(len(task) // 2) :]) if len(results) > 1 else 0
    replied = {
        "complexity": len(task),
        "reasoning": THOUGHT,
        "parts": [{"expert": f"You add {part}.", "problem": part} for part in parts],
        "result": str(total),
        "total": total,
    }
    return {name: replied[name] for name in asked.outputs}


def test_easy_rows_take_fewer_tokens_than_a_chain_of_thought_at_equal_accuracy() -> None:
    programs: list[Any] = [lp.ChainOfThought(Add), Recursive(Add)]

    chain, recursive = (lp.evaluate(program, EASY, METRIC, lm=ScriptedLM(player)) for program in programs)

    assert chain.score == recursive.score == 1.0
    assert chain.spent and recursive.spent
    before, after = chain.spent.total_requested, recursive.spent.total_requested
    assert after.calls == before.calls == 4
    assert after.tokens < before.tokens and after.completion_tokens < before.completion_tokens / 3


def test_hard_rows_are_taken_apart_and_right_where_a_chain_of_thought_is_wrong() -> None:
    programs: list[Any] = [lp.ChainOfThought(Add), Recursive(Add, max_depth=1)]

    chain, recursive = (lp.evaluate(program, HARD, METRIC, lm=ScriptedLM(player)) for program in programs)

    assert (chain.score, recursive.score) == (0.0, 1.0)
    assert {type(run.prediction) for run in recursive.runs} == {Add}
    for run in recursive.runs:  # eight numbers: four parts of two
        assert [step.predictor for step in run.trace] == ["answer", "take_apart", *["work"] * 4, "merge"]
        assert [step.kept for step in run.trace] == [False, *[True] * 6]  # the answer at once was put aside
    works = recursive.runs[0].trace[2:6]
    assert [work.inputs["expert"] for work in works] == [f"You add {n} + {n + 1}." for n in (1, 3, 5, 7)]
    assert works[1].inputs["found"] == ["1 + 2: 3"]
    assert recursive.runs[0].trace[-1].inputs["found"] == ["1 + 2: 3", "3 + 4: 7", "5 + 6: 11", "7 + 8: 15"]


def test_a_part_that_is_complex_itself_is_taken_apart_in_turn_down_to_the_depth_allowed() -> None:
    program = Recursive(Add, threshold=2, breadth=2)

    with lp.using(lm=ScriptedLM(player)):
        assert program(task="1 + 2 + 3 + 4 + 5 + 6 + 7 + 8").total == 36
    [run] = lp.evaluate(program, HARD[:1], METRIC, lm=ScriptedLM(player)).runs
    below = ["work", "take_apart", "work", "work", "work"]  # tried, taken apart, two parts, put together
    assert [step.predictor for step in run.trace] == ["answer", "take_apart", *below, *below, "merge"]


@pytest.mark.parametrize(
    ("depth", "breadth", "calls"), [(0, 4, 1), (1, 1, 3 + 1), (1, 3, 3 + 3), (2, 2, 3 + 2 * (3 + 2)), (2, 3, 3 + 3 * (3 + 3))]
)  # fmt: skip
def test_depth_and_breadth_bound_the_calls_whatever_the_lm_says(depth: int, breadth: int, calls: int) -> None:
    part = {"expert": "You.", "problem": "all of it"}
    hopeless: dict[str, Any] = {"complexity": 10, "parts": [part] * 9, "result": "?", "total": 0}
    lm = ScriptedLM(lambda asked: {name: hopeless[name] for name in asked.outputs})

    with lp.using(lm=lm):
        Recursive(Add, max_depth=depth, breadth=breadth)(task="1 + 2")

    assert lm.sent == calls


def test_up_to_the_threshold_rows_are_answered_at_once() -> None:
    for threshold, steps in [(8, ["answer"]), (7, ["answer", "take_apart", *["work"] * 4, "merge"])]:
        program = Recursive(Add, threshold=threshold, max_depth=1)
        [run] = lp.evaluate(program, HARD[:1], METRIC, lm=ScriptedLM(player)).runs

        assert [step.predictor for step in run.trace] == steps


def test_half_as_many_parts_as_the_complexity_are_asked_for() -> None:
    [run] = lp.evaluate(
        Recursive(Add, threshold=2, max_depth=1, breadth=9), [row(1, 2, 3, 4, 5)], METRIC, lm=ScriptedLM(player)
    ).runs

    assert run.trace[1].inputs["at_most"] == 3  # of five, rounded up


def test_a_complexity_beyond_the_scale_is_asked_for_again() -> None:
    complexities = iter([11, 1])

    with lp.using(lm=ScriptedLM(lambda asked: {"complexity": next(complexities), "total": 3})):
        found = Recursive(Add)(task="1 + 2")

    assert type(found) is Add and found.total == 3 and not list(complexities)


def test_what_all_strategies_promise(tmp_path: Path) -> None:
    wrong = {"parts": [{"expert": "You.", "problem": "1 + 2 + 3"}]}
    check_strategy(Recursive(Add), HARD, METRIC, player, path="take_apart", bad=wrong, folder=tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 11}, {"threshold": -1}, {"max_depth": -1}, {"breadth": 0}, {"breadth": 1.5}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(lp.InputError, match=f"{name}={value}.*complexity goes from 1 to 10"):
        Recursive(Add, **wrong)
    with pytest.raises(lp.SignatureError, match="has a field called `complexity`"):
        Recursive("complexity -> answer")


WRONG: dict[str, dict[str, Any]] = {
    "answer": {"complexity": 1, "total": 0},
    "work": {"complexity": 1, "result": "0"},
    "merge": {"total": 0},
}


@pytest.mark.parametrize("path", WRONG)
def test_what_rates_works_and_merges_is_compiled_too(path: str, tmp_path: Path) -> None:
    check_strategy(Recursive(Add), HARD, METRIC, player, path=path, bad=WRONG[path], folder=tmp_path)


def test_a_part_that_was_taken_apart_has_its_first_result_set_aside_and_its_own_expert_put_it_together() -> None:
    [run] = lp.evaluate(Recursive(Add, threshold=2, breadth=2), HARD[:1], METRIC, lm=ScriptedLM(player)).runs

    works = [(step.inputs["expert"], step.kept) for step in run.trace if step.predictor == "work"]
    halves = [[1, 2, 3, 4], [5, 6, 7, 8]]
    for place, half in enumerate(halves):
        whole, left, right = (" + ".join(map(str, some)) for some in (half, half[:2], half[2:]))
        experts = [f"You add {part}." for part in (whole, left, right, whole)]
        assert works[4 * place : 4 * place + 4] == [*zip(experts, (False, True, True, True), strict=True)]


def test_rows_that_differ_cost_what_each_of_them_needs() -> None:
    rows = [*EASY, *HARD]

    chain, recursive = (
        lp.evaluate(program, rows, METRIC, lm=ScriptedLM(player)) for program in (lp.ChainOfThought(Add), Recursive(Add))
    )  # fmt: skip

    assert chain.score == pytest.approx(4 / 7) and recursive.score == 1.0
    assert [len(run.trace) for run in recursive.runs] == [1, 1, 1, 1, 7, 7, 7]
