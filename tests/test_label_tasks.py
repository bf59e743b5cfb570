"""Banking77 and LIAR: one label of 77, and yes or no."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lmprog as lp
from lmprog.errors import DataError
from lmprog.programs import banking77, liar
from lmprog.source import Dropped
from lmprog.task import find_task
from lmprog.testing import Answer, Asked, ScriptedLM

RECORDED = Path(os.environ.get("LMPROG_DATA", "no such folder")) / "tasks"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="set LMPROG_DATA to the folder of recorded tasks")
KNOWN = {"job_title": "Senator", "state": "Ohio", "party": "", "context": "a speech"}
STATEMENT = {"statement": "It rains.", **KNOWN}
ON_HUB = {
    "id": "1.json", "label": 0, "statement": "It rains.", "subject": "rain", "speaker": "x", "job_title": "Senator ",
    "state_info": "Ohio", "party_affiliation": "", "context": "a speech",
}  # fmt: skip
BY_PROTEGI = {"label": 1, "text": "Statement: It rains.\nJob title: Senator\nState: Ohio\nParty: \nContext: a speech"}


@pytest.mark.parametrize(
    "raw",
    [
        {"text": "Where is my card?", "label": 11},
        {"text": "Where is my card?", "label": "card_arrival"},
        {"text": "Where is my card?", "category": "card_arrival"},
        {"split": "test", "input": "Where is my card?", "gold": "card_arrival"},
        {"message": "Where is my card?", "intent": "card_arrival"},
    ],
)
def test_a_message_comes_with_its_intent_however_it_is_published(raw: Mapping[str, Any]) -> None:
    assert banking77.to_row(raw) == {"message": "Where is my card?", "intent": "card_arrival"}


def test_the_numbers_of_the_intents_are_their_places_in_the_alphabet() -> None:
    assert len({*banking77.INTENTS}) == 77
    assert list(banking77.INTENTS) == sorted(banking77.INTENTS, key=str.casefold)


@pytest.mark.parametrize("label", ["card_lost", 77, -1, True, None])
def test_an_unknown_intent_is_refused(label: object) -> None:
    with pytest.raises(DataError, match="label"):
        banking77.to_row({"text": "Hello", "label": label})


def test_a_message_takes_one_call_whose_prompt_lists_every_intent() -> None:
    prompts: list[str] = []
    row = {"message": "Where is my card?", "intent": "card_arrival"}

    def lm(intent: str) -> ScriptedLM:
        def handler(asked: Asked) -> Answer:
            prompts.append(str(asked.request.messages))
            return {"intent": intent}

        return ScriptedLM(handler)

    right, wrong = lm("card_arrival"), lm("card_linking")
    task = banking77.TASK
    found = [lp.evaluate(task.program(), [row], task.metric, lm=each) for each in (right, wrong)]

    assert [each.score for each in found] == [1.0, 0.0] and right.sent == wrong.sent == 1
    assert all(intent in prompts[0] for intent in banking77.INTENTS)
    assert found[1].runs[0].score.feedback == "the intent is card_arrival, and was taken for card_linking"


def test_an_intent_of_the_lms_own_does_not_validate() -> None:
    task, row = banking77.TASK, {"message": "Where is my card?", "intent": "card_arrival"}

    found = lp.evaluate(task.program(), [row], task.metric, lm=ScriptedLM(lambda asked: {"intent": "card_lost"}))

    assert found.score == 0.0 and "card_lost" in (found.runs[0].failure or "")


@recorded
def test_recorded_messages_are_read_with_all_their_intents() -> None:
    splits = find_task("banking77", {"train": RECORDED / "banking77.jsonl.gz"}).load()

    assert [len(part) for part in (splits.train, splits.val, splits.holdout)] == [500, 500, 1000]
    assert {row["intent"] for row in splits.holdout if isinstance(row, dict)} == {*banking77.INTENTS}


@pytest.mark.parametrize("raw", [ON_HUB, BY_PROTEGI, {**STATEMENT, "lie": "Yes"}])
def test_a_statement_comes_with_what_is_known_of_it_however_it_is_published(raw: Mapping[str, Any]) -> None:
    assert liar.to_row(raw) == {**STATEMENT, "lie": "Yes"}


def test_of_the_six_labels_of_the_hub_false_and_true_are_kept() -> None:
    rows = [liar.to_row({**ON_HUB, "label": label}) for label in range(6)]

    assert [row["lie"] if isinstance(row, Mapping) else None for row in rows] == ["Yes", None, None, "No", None, None]
    assert {row for row in rows if isinstance(row, Dropped)} == {
        Dropped("it is neither true nor false by its label, but something between")
    }


@pytest.mark.parametrize(
    "raw",
    [
        {"text": "Statement: It rains.", "label": 1},
        {**BY_PROTEGI, "label": 2},
        {**STATEMENT, "lie": "maybe"},
        {**ON_HUB, "context": None},
        {"label": 0},
    ],
)
def test_a_statement_that_is_not_whole_is_refused(raw: Mapping[str, Any]) -> None:
    with pytest.raises(DataError):
        liar.to_row(raw)


def test_a_statement_takes_one_call_and_scores_by_its_verdict() -> None:
    task, rows = liar.TASK, [{**STATEMENT, "lie": "Yes"}, {**STATEMENT, "statement": "It snows.", "lie": "No"}]
    lm = ScriptedLM(lambda asked: {"lie": "Yes"})

    found = lp.evaluate(task.program(), rows, task.metric, lm=lm)

    assert found.scores == (1.0, 0.0) and lm.sent == 2
    assert [run.score.feedback for run in found.runs] == ["", "the statement is true"]


@recorded
def test_protegis_statements_are_read_and_all_its_test_rows_prove() -> None:
    splits = find_task("liar", {"train": RECORDED / "liar_protegi.jsonl.gz"}).load()

    assert [len(part) for part in (splits.train, splits.val, splits.holdout)] == [400, 400, 461]
    assert sum(row["lie"] == "Yes" for row in splits.holdout if isinstance(row, dict)) == 250
