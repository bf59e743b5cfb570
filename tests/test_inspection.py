"""The last LM calls can be looked at as they were sent, and standard logging hears of every event and call."""

import contextlib
import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import lmprog as lp
from lmprog import inspection
from lmprog.events import Event
from lmprog.rundir import JOURNAL, read_journal
from lmprog.secrets import HIDDEN
from lmprog.testing import Asked, ScriptedLM, reply

KEY = "sk-plantedplantedplanted"


class Add(lp.Signature):
    """Add one."""

    number: int = lp.InputField()
    answer: str = lp.OutputField()


def knowing(asked: Asked) -> dict[str, str]:
    """Right where a demo shows how, and at every fourth number."""
    number = int(asked.inputs.get("number", 0))
    if "answer" not in asked.outputs:
        return dict.fromkeys(asked.outputs, f"Add one to the number, please: {asked.request.sample}.")
    return {"answer": str(number + 1) if asked.demos or number % 4 == 0 else "?"}


@pytest.fixture(autouse=True)
def nothing_was_called() -> Iterator[None]:
    inspection._calls.clear()  # pyright: ignore[reportPrivateUsage]
    yield


def shown(n: int = 1) -> str:
    file = io.StringIO()
    lp.inspect(n, file=file)
    return file.getvalue()


def test_a_call_is_shown_as_it_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    demo = lp.Demo(inputs={"number": 3}, outputs={"answer": "4"})
    with lp.using(lm=ScriptedLM(knowing)):
        lp.Predict(Add, demos=[demo])(number=41)

    lp.inspect()

    out = capsys.readouterr().out
    head, *lines = out.splitlines()
    assert head == "--- predict: scripted, temperature 0, at most 512 tokens"
    *messages, last = [line for line in lines if line.startswith("[")]
    assert messages == ["[system]", "[user]", "[assistant]", "[user]"]
    assert last.startswith("[reply, ")
    assert "    Add one." in lines
    assert lines.index("    3") < lines.index("    4") < lines.index("    41") < lines.index("    42")


def test_a_question_asked_again_is_a_call_of_its_own() -> None:
    replies = iter(["nonsense", reply({"answer": "8"})])
    with lp.using(lm=ScriptedLM(lambda _: next(replies))):
        lp.Predict(Add)(number=7)

    text = shown(2)

    assert text.count("--- predict") == 2
    assert text.index("    nonsense") < text.index("That reply cannot be used") < text.index("    8")


def test_a_call_that_failed_is_shown_with_its_error() -> None:
    def refusing(_: Asked) -> str:
        raise lp.AuthError("the key was refused")

    with lp.using(lm=ScriptedLM(refusing)), pytest.raises(lp.AuthError):
        lp.Predict(Add)(number=7)

    assert "[no reply]\n    AuthError: the key was refused" in shown()


def test_it_says_what_was_served_from_a_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LMPROG_CACHE", str(tmp_path))
    lm = ScriptedLM(knowing)
    for _ in range(2):
        with lp.using(lm=lm):
            lp.Predict(Add)(number=8)

    first, second = shown(2).split("--- ")[1:]

    assert lm.sent == 1
    assert "recorded before" not in first
    assert "recorded before" in second


def test_fewer_calls_than_asked_for_are_shown_with_a_word_about_it() -> None:
    assert shown(3) == "No LM was called yet in this process.\n"
    with lp.using(lm=ScriptedLM(knowing)):
        lp.Predict(Add)(number=8)

    assert shown(3).endswith("1 of the 3 calls asked for: there were no more.\n")


@pytest.mark.parametrize("n", [0, -1, True, "3"])
def test_a_count_that_is_none_is_refused(n: int) -> None:
    with pytest.raises(lp.InputError, match="from 1 to 100"):
        lp.inspect(n)


def test_memory_is_bounded_and_threads_do_not_disturb_each_other() -> None:
    predictor, lm = lp.Predict(Add), ScriptedLM(knowing)

    def work(start: int) -> None:
        with lp.using(lm=lm):
            for number in range(start, start + 50):
                predictor(number=number)
                shown(100)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert shown(200).count("--- predict") == 100
    assert shown(200).endswith("100 of the 200 calls asked for: no more than 100 are kept.\n")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_a_file_cannot_hold_is_shown_escaped(tmp_path: Path, encoding: str) -> None:
    with lp.using(lm=ScriptedLM(lambda asked: {"answer": "ü\ud800"})), contextlib.suppress(lp.OutputError):
        lp.Predict(Add)(number=1)

    with (tmp_path / "shown").open("w", encoding=encoding) as file:
        lp.inspect(file=file)

    shown = (tmp_path / "shown").read_text(encoding)
    assert ("ü" if encoding == "utf-8" else "\\xfc") + "\\ud800" in shown


def test_what_a_reply_holds_moves_no_cursor() -> None:
    with lp.using(lm=ScriptedLM(lambda asked: {"answer": "\x1b[2Ja\x9b\u202e"})):
        lp.Predict(Add)(number=1)

    assert "\\x1b[2Ja\\x9b\\u202e" in shown()


def test_keys_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with lp.using(lm=ScriptedLM(lambda _: {"answer": f"your key is {KEY}"})):
        lp.Predict("question -> answer")(question=f"is {KEY} good?")

    assert KEY not in shown()
    assert HIDDEN in shown()


def compiled(folder: Path, optimizer: str = "mipro:candidates=3,trials=4") -> lp.CompileResult[lp.Predict]:
    rows = [{"number": n, "answer": str(n + 1)} for n in range(110)]
    return lp.compile(
        lp.Predict(Add),
        train=rows,
        metric=lambda row, prediction: row["answer"] == prediction.answer,
        optimizer=optimizer,
        lm=ScriptedLM(knowing),
        run_dir=folder / "run",
    )


def test_every_event_of_a_compile_is_logged_in_the_command_line_s_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lmprog"):
        compiled(tmp_path)

    lines = [record.getMessage() for record in caplog.records if record.name == "lmprog.compile"]
    assert lines[0].startswith("the program takes 1 call a row; budget ")
    for part in ("scores 0.2", "round 1: ", "new best ", "the search ended: ", "certificate: baseline "):
        assert any(part in line for line in lines), part
    assert not [record for record in caplog.records if record.name == "lmprog.calls"]


def test_every_call_is_a_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "lmprog"), lp.using(lm=ScriptedLM(knowing)):
        lp.Predict(Add)(number=8)

    (line,) = [record.getMessage() for record in caplog.records if record.name == "lmprog.calls"]
    assert line.startswith("predict: scripted: reply, ")


def test_every_kind_of_event_is_emitted_and_can_be_read_back_from_the_journal(tmp_path: Path) -> None:
    result = compiled(tmp_path)

    events = read_journal(result.run_dir / JOURNAL)
    assert {event["event"] for event in events} == {kind.__name__ for kind in get_args(Event)}
    for event in events:
        (kind,) = [kind for kind in get_args(Event) if kind.__name__ == event["event"]]
        assert event.keys() - {"event"} <= set(kind.__dataclass_fields__)
        assert set(kind.__dataclass_fields__) - event.keys() <= {"params", "failures"}  # written once, and where any
    assert json.dumps(events)
