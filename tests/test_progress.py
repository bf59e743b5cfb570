"""A terminal shows what happens now and is left as it was; a pipe gets plain lines."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TASK_FILE = """
import lmprog as lp
from lmprog.data import Splits
from lmprog.testing import ScriptedLM


def reply(asked):
    number = int(asked.inputs["number"])
    return {"answer": str(number + 1) if asked.demos or number % 4 == 0 else "?"}


def load():
    rows = [{"number": n, "answer": str(n + 1)} for n in range(120)]
    return Splits(tuple(rows[:40]), tuple(rows[40:80]), tuple(rows[80:]))


def program():
    return lp.Predict("number: int -> answer")


lp.configure(lm=ScriptedLM(reply, latency_s=0.02))
TASK = lp.Task("adding", program, lambda row, prediction: row["answer"] == prediction.answer, load, "adds one")
"""
COMPILE = ("compile", "qa.py:TASK", "--optimizer", "labeled-few-shot", "--run-dir", "run", "--concurrency", "2")
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38;[0-9;]*)m")
LONGEST_S = 60.0


@dataclass(frozen=True)
class Seen:
    """What a terminal got, and how the command ended."""

    code: int
    text: str


def on_terminal(
    folder: Path, argv: Sequence[str], *, env: Mapping[str, str] | None = None, interrupt_at: str | None = None
) -> Seen:
    """Run a command on a terminal of 100 columns, and press Ctrl-C once a text has been shown."""
    (folder / "qa.py").write_text(TASK_FILE)
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "LMPROG_LM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "lmprog", *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "100", **(env or {})},
    )
    os.close(theirs)
    data, end = b"", time.monotonic() + LONGEST_S
    try:
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    data += os.read(ours, 65536)
                except OSError:  # the other side is closed
                    break
            if interrupt_at is not None and interrupt_at.encode() in data:
                process.send_signal(signal.SIGINT)
                interrupt_at = None
        return Seen(process.wait(timeout=LONGEST_S), data.decode())
    finally:
        process.kill()
        os.close(ours)


def test_a_terminal_shows_a_live_line_with_the_calls_made_so_far(tmp_path: Path) -> None:
    seen = on_terminal(tmp_path, COMPILE)

    counts = {int(count) for count in re.findall(r"(\d+) of \d+ calls", seen.text)}
    assert seen.code == 0
    assert "round 1: 1 candidate" in seen.text
    assert "best 0.25, baseline 0.25" in seen.text
    assert len(counts) > 5, "the count moves between events"
    assert seen.text.rindex(SHOWN) > seen.text.rindex(HIDDEN)
    assert "new best 1.00" in seen.text
    assert COLOUR.search(seen.text)


def test_the_terminal_is_left_as_it_was_after_ctrl_c(tmp_path: Path) -> None:
    seen = on_terminal(tmp_path, COMPILE, interrupt_at="the program takes")

    after = seen.text[seen.text.rindex(SHOWN) :]
    assert seen.code == 130
    assert HIDDEN in seen.text
    assert "interrupted. What was done is saved" in after
    assert "Traceback" not in seen.text


def test_no_color_is_respected(tmp_path: Path) -> None:
    seen = on_terminal(tmp_path, COMPILE, env={"NO_COLOR": "1"})

    assert seen.code == 0
    assert not COLOUR.search(seen.text)


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    seen = on_terminal(tmp_path, COMPILE, env={"TERM": "dumb"})

    assert seen.code == 0
    assert "\x1b" not in seen.text
    assert "new best 1.00" in seen.text


def test_colour_that_is_forced_on_a_pipe_brings_no_live_line(tmp_path: Path) -> None:
    (tmp_path / "qa.py").write_text(TASK_FILE)
    command = [sys.executable, "-m", "lmprog", *COMPILE]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "FORCE_COLOR": "1"}, check=True
    )

    assert COLOUR.search(done.stdout)
    assert HIDDEN not in done.stdout


def test_a_pipe_gets_plain_lines_each_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "qa.py").write_text(TASK_FILE)
    process = subprocess.Popen(
        [sys.executable, "-m", "lmprog", *COMPILE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )  # fmt: skip
    with process:
        assert process.stdout and process.stderr
        first = next(line for line in process.stdout if "the program takes" in line)
        unfinished = process.poll() is None
        rest, err = process.stdout.read(), process.stderr.read()

    assert process.returncode == 0
    assert unfinished, "the line was there before the end"
    assert first.strip().startswith("0:0")
    assert "\x1b" not in first + rest + err
    assert "\r" not in first + rest
