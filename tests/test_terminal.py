"""What the command line prints of changes."""

from io import StringIO

import lmprog as lp
from lmprog.terminal import console_on, tell_changes


def told(**changes: object) -> list[str]:
    before = lp.Params({"answer": lp.PredictorParams(instruction="Answer.")})
    file = StringIO()
    tell_changes(console_on(file), before, before.replace("answer", **changes), show_rows=True)
    return file.getvalue().splitlines()


def test_each_kind_of_change_is_printed() -> None:
    assert told(instruction="Answer briefly.") == ["answer", "  - Answer.", "  + Answer briefly."]
    assert told(format="json") == ["answer", "  instruction as it was", "  format: chat -> json"]
    assert told(config={"lm": "tiny", "temperature": 0.5}) == [
        "answer",
        "  instruction as it was",
        "  lm: unset -> tiny",
        "  temperature: unset -> 0.5",
    ]
    assert told(field_descriptions={"question": "asked by a user"}) == [
        "answer",
        "  instruction as it was",
        "  description of question: unset -> asked by a user",
    ]


def test_what_did_not_change_is_said_on_one_line() -> None:
    assert told() == ["answer is as it was"]
