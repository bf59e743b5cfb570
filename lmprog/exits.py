"""How a command ends other than well: its exit code, and what it says."""

import codecs
import json
import math
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Literal, NoReturn, TextIO, cast

import typer

from lmprog.errors import CapReached, LMError, LmprogError, MetricError, OutputError
from lmprog.escapes import UNSEEN, escaped
from lmprog.loop import DEBUG, users_part
from lmprog.secrets import redact, redact_code

Exit = Literal[0, 1, 2, 3, 4, 5, 130]
DONE: Exit = 0
BUG: Exit = 1
"""A check failed, or somebody's code is wrong."""
WRONG_USE: Exit = 2
"""Of arguments, data or keys; or the LM could not be reached at the start."""
BASELINE: Exit = 3
"""The program ships as it was."""
LM_LOST: Exit = 4
CAP_HIT: Exit = 5
"""Before there was any certificate."""
INTERRUPTED: Exit = 130

SAVED = "What was done is saved: the same command goes on from there."
"""A note on what ended a run that had begun."""
_SHOW_CURSOR = b"\x1b[?25h"

_OPTIONS = (
    (re.compile(r"(`--budget [^`]*`) or `lp\.Budget\([^`]*\)`"), r"\1"),
    (re.compile(r"(?:\bbudget=)?\blp\.Budget\(([^()\s]*)\)"), r"--budget \1"),
    (re.compile(r'\b(gate|budget|lm)="([\w.-]+)"'), r"--\1 \2"),
    (re.compile(r"\brun_dir='([^']*)'"), r"--run-dir \1"),
    (re.compile(r"\brun_dir\b"), "--run-dir"),
)
"""Arguments as errors name them for Python, and how a command line has them."""


def failed(error: BaseException, *, as_json: bool) -> Exit:
    """Say what ended a command, the first line being all that a log needs, and return its exit code.

    With `as_json` standard output gets one object that says the same.
    """
    code, kind, text = _told(error)
    notes = [str(note) for note in getattr(error, "__notes__", [])]
    if _is_bug(error) or os.environ.get(DEBUG):
        lines = traceback.format_exception(type(error), error, users_part(error.__traceback__))
        print(escaped(redact_code("".join(lines))), end="", file=sys.stderr)
    if not _is_bug(error) and (notes or not isinstance(error, BrokenPipeError)):
        print(
            escaped(" ".join([text, *notes]) if code == INTERRUPTED else "\n".join([f"error: {text}", *notes])),
            file=sys.stderr,
        )
    if as_json:
        said = {"kind": kind, "message": " ".join([text, *notes]), "exit": code}
        print_json({"error": said}, sys.stdout)
    return code


def print_json(data: object, file: TextIO, *, indent: int | None = None) -> None:
    """Write JSON, in the characters that the file can hold."""
    ascii_only = codecs.lookup(file.encoding or "ascii").name != "utf-8"
    text = json.dumps(_in_json(data), ensure_ascii=ascii_only, indent=indent)
    print(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text), file=file, flush=True)


def _in_json(data: object) -> object:
    """Return data with NaN and infinity, for which JSON has no number, in words."""
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, Mapping):
        return {name: _in_json(value) for name, value in cast("Mapping[str, object]", data).items()}
    if isinstance(data, list | tuple):
        return [_in_json(value) for value in cast("Sequence[object]", data)]
    return data


def error_data(error: LmprogError) -> dict[str, str]:
    """Return an error as JSON data."""
    return {"kind": type(error).__name__, "message": redact(str(error))}


@contextmanager
def interruptible() -> Generator[None]:
    """Run the block so that the first Ctrl-C ends it in order, and the next one ends the process at once.

    After the first there is no way back: threads that run the user's code may still hold the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupted:
            signal.signal(signal.SIGINT, before)


def unpipe() -> None:
    """Have what is still to be written to a pipe whose reader has left go nowhere, so that Python's exit is quiet."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _interrupted(_signal: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, _again)
    raise KeyboardInterrupt


def _again(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End at once. Replies are committed and files replaced whole, so that nothing is left half done."""
    if sys.stdout.isatty() or sys.stderr.isatty():
        os.write(1 if sys.stdout.isatty() else 2, _SHOW_CURSOR + b"\r\n")
    os.write(2, f"interrupted at once. {SAVED}\n".encode())
    os._exit(INTERRUPTED)


def _told(error: BaseException) -> tuple[Exit, str, str]:
    """Return the exit code, a name for what happened, and it in words."""
    kind = type(error).__name__
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED, "Interrupted", "interrupted."
        case BrokenPipeError():
            return INTERRUPTED, "Interrupted", "stopped: the reader of the output has left."
        case typer.TyperException():
            command = getattr(getattr(error, "ctx", None), "command_path", "lmprog")
            return WRONG_USE, "UsageError", f"{error.format_message()} See `{command} --help`."
        case LmprogError():
            text = str(error)
            for python, option in _OPTIONS:
                text = python.sub(option, text)
            return _code_of(error), kind, redact(text)
        case _:
            return BUG, kind, redact(f"{kind}: {error}")


def _is_bug(error: BaseException) -> bool:
    return not isinstance(error, KeyboardInterrupt | BrokenPipeError | typer.TyperException | LmprogError)


def _code_of(error: LmprogError) -> Exit:
    match error:
        case CapReached():
            return CAP_HIT
        case MetricError() | OutputError():
            return BUG
        case LMError() if SAVED in getattr(error, "__notes__", []):
            return LM_LOST
        case _:
            return WRONG_USE
