"""The ready agent: search and calculator over the encyclopedia of invented names."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from agent_rig import tuned

import lmprog as lp
from lmprog.programs.agent import TASK, Researcher, calculate, make_task
from lmprog.programs.multihop import Question, encyclopedia, make_retriever
from lmprog.task import find_task
from lmprog.testing import Answer, Asked, ScriptedLM

SPLITS = TASK.load()
PARTS: dict[str, list[dict[str, str]]] = {
    "train": cast("list[dict[str, str]]", list(SPLITS.train)),
    "val": cast("list[dict[str, str]]", list(SPLITS.val)),
    "holdout": cast("list[dict[str, str]]", list(SPLITS.holdout)),
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1950 - 1903", "47"),
        ("2 * (3 + 4)", "14"),
        ("-7 // 2", "-4"),
        ("7 % 4 / 2", "1.5"),
        ("1 / 3", "0.333333"),
        (" 5 ", "5"),
    ],
)
def test_it_calculates(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression", ["", "x + 1", "__import__('os')", "True + 1", "'a' * 3", "2 ** 9", "1 +", "1; 2", "(" * 300]
)
def test_it_calculates_with_numbers_alone(expression: str) -> None:
    with pytest.raises(ValueError, match="is no expression of numbers"):
        calculate(expression)


def test_rows_are_the_same_at_every_call_and_no_question_is_in_two_parts() -> None:
    again = make_task().load()
    questions = {row["question"] for rows in PARTS.values() for row in rows}

    assert again == SPLITS
    assert [len(rows) for rows in PARTS.values()] == [80, 100, 160]
    assert len(questions) == 340
    assert make_task(seed=1).load() != SPLITS


def test_a_part_of_the_questions_asks_for_an_age_that_takes_a_search_and_a_sum() -> None:
    ages = [row for row in PARTS["holdout"] if row["question"].startswith("How old was ")]

    assert 0.2 < len(ages) / 160 < 0.5
    assert all(2 <= int(row["answer"]) <= 90 for row in ages)


CHAINS: Mapping[str, Question] = {
    row["question"]: question
    for use, rows in PARTS.items()
    for row, question in zip(rows, encyclopedia(0).questions[use], strict=True)
}


def expert(asked: Asked) -> Answer:
    """Searches for the first entity, then for the second that it reads of, calculates where it must, and answers."""
    question = asked.inputs["question"]
    chain = CHAINS[question].chain
    turns: list[dict[str, Any]] = json.loads(asked.inputs["trajectory"])
    if len(turns) < 2:
        assert len(turns) == 0 or chain[1].name in turns[0]["observation"]
        return call("search", query=chain[len(turns)].name)
    if not question.startswith("How old"):
        return call("finish", answer=CHAINS[question].answer)
    if len(turns) == 2:
        (year,) = re.findall(r"in (\d{4}) \?$", question)
        passage = next(
            line for line in turns[1]["observation"].split("\n") if chain[1].name in line and line != turns[0]
        )
        began = chain[1].facts.get("born") or chain[1].facts["founded"]
        assert began in turns[1]["observation"] and passage
        return call("calculate", expression=f"{year} - {began}")
    return call("finish", answer=turns[2]["observation"])


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"next_thought": "So.", "next_tool_name": tool, "next_tool_args": arguments}


def test_every_question_can_be_answered_with_the_tools() -> None:
    rows = [row for rows in PARTS.values() for row in rows]

    found = lp.evaluate(TASK.program(), rows, TASK.metric, lm=ScriptedLM(expert))

    assert found.score == 1.0


def test_it_is_listed_with_the_reason_why_the_embedded_lm_cannot_run_it() -> None:
    task = find_task("agent")

    assert (task.name, task.lms) == ("agent", ())
    assert "by prompts alone" in task.not_tiny


def test_a_compiled_agent_is_rebuilt_from_its_artifact_alone(tmp_path: Path) -> None:
    program = Researcher(make_retriever(0))
    params = lp.params_of(program).replace("agent.step", field_descriptions={"calculate": "Subtracts years."})
    path = lp.save(lp.with_params(program, params), tmp_path / "agent.lmprog")

    loaded = lp.load(path)

    assert lp.params_of(loaded) == params
    with lp.using(lm=ScriptedLM(expert)):
        assert loaded(question=PARTS["val"][0]["question"]).answer == PARTS["val"][0]["answer"]


def test_tuned_on_a_teachers_runs_the_embedded_lm_is_an_agent_that_answers_held_out_questions(tmp_path: Path) -> None:
    """By prompts alone it answers next to none, with demos or without. `make prove-agent` asks more."""
    pytest.importorskip("peft")

    result = tuned(60, 10, 32, tmp_path / "run")

    certificate = result.certificate
    assert result.shipped == "compiled" and certificate.baseline < 0.1
    assert certificate.interval.low > 0
