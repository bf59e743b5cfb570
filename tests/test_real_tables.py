"""Real tables as questions to the embedded LM: rows, demos and instructions."""

import importlib
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lmprog as lp
from lmprog.lm.tiny.curriculum import HELD_VAGUE, Example, vague

sys.path.insert(0, str(Path(__file__).parent / "bench"))
bench: Any = importlib.import_module("tiny_tables")  # a script, and no part of a package


@pytest.fixture(params=["Iris", "Heart"])
def name(request: pytest.FixtureRequest) -> str:
    table: str = request.param
    try:
        bench.parts(table)
    except lp.DataError as error:
        pytest.skip(str(error))
    return table


def drawn(name: str, condition: str, count: int = 50) -> list[Example]:
    style, demos = bench.CONDITIONS[condition]
    return [bench.draw(Random(number), name=name, style=style, demos=demos) for number in range(count)]


def test_no_row_that_is_asked_about_is_a_demo(name: str) -> None:
    examples = drawn(name, "precise + 6")

    asked = {tuple(example.turns[-1].inputs.values()) for example in examples}
    shown = {tuple(turn.inputs.values()) for example in examples for turn in example.turns[:-1]}
    assert len(asked) > 30
    assert not asked & shown


def test_six_demos_show_each_class_as_often(name: str) -> None:
    labels = bench.TABLES[name].labels

    for example in drawn(name, "vague + 6"):
        answers = [turn.outputs["answer"] for turn in example.turns[:-1]]
        assert {label: answers.count(label) for label in labels} == dict.fromkeys(labels, 6 // len(labels))


def test_every_class_is_asked_for(name: str) -> None:
    assert {example.turns[-1].outputs["answer"] for example in drawn(name, "vague")} == set(bench.TABLES[name].labels)


def test_a_vague_instruction_tells_the_fields_alone_and_a_precise_one_every_class(name: str) -> None:
    for example in drawn(name, "vague"):
        assert example.instruction in {vague(held, example.turns[-1]) for held in HELD_VAGUE}
    for example in drawn(name, "precise"):
        assert all(label in example.instruction for label in bench.TABLES[name].labels)


@pytest.mark.parametrize(("table", "least"), [("Iris", 0.93), ("Heart", 0.85)])
def test_the_stated_rule_is_right_of_most_rows(table: str, least: float) -> None:
    try:
        assert bench.right_by_rule(table) > least
    except lp.DataError as error:
        pytest.skip(str(error))


def test_a_table_whose_rows_are_not_here_is_left_out_with_a_word_about_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LMPROG_DATA", "no such folder")
    bench.parts.cache_clear()

    assert "Heart" not in bench.here()

    assert (
        "Heart is left out: LMPROG_DATA names no folder with tasks/heart_disease_152.jsonl" in capsys.readouterr().err
    )
