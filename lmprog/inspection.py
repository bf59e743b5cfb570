"""The last LM calls of the process, as they were sent: `inspect` prints them, and logging gets a line each at DEBUG."""

import logging
import sys
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO, cast

from lmprog.errors import InputError
from lmprog.escapes import escaped
from lmprog.request import Request, Response, ToolCall
from lmprog.secrets import redact

KEPT = 100
"""Calls that `inspect` can show."""

_log = logging.getLogger("lmprog.calls")
_unseen: ContextVar[bool] = ContextVar("unseen", default=False)
_calls: deque[tuple[str, str, Request, Response | str]] = deque(maxlen=KEPT)


def note(path: str, lm_name: str, request: Request, outcome: Response | str) -> None:
    """Keep a call of the predictor at `path`, with its reply or its error in words. Costs about half a microsecond."""
    if _unseen.get():
        return
    _calls.append((path, lm_name, request, outcome))
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s: %s: %s", path, lm_name, redact(_outcome(outcome)))


@contextmanager
def unseen() -> Generator[None]:
    """Keep no call that is made inside: a rehearsal's are not real."""
    before = _unseen.set(True)
    try:
        yield
    finally:
        _unseen.reset(before)


def inspect(n: int = 1, *, file: TextIO | None = None) -> None:
    """Print the last `n` LM calls of this process, the latest last: who called which LM, each message, and the reply.

    The last 100 are kept, from all programs and threads. Keys are hidden. `file` is standard output unless given.

    >>> lp.inspect()
    """
    asked = cast("object", n)  # a checker knows it for a number; not everybody has one
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise InputError(f"inspect({asked!r}): write how many of the last calls to show, from 1 to {KEPT}.")
    kept = list(_calls)
    lines = [line for call in kept[-n:] for line in _lines(*call)]
    if not kept:
        lines.append("No LM was called yet in this process.")
    elif len(kept) < n:
        more = f"no more than {KEPT} are kept" if len(kept) == KEPT else "there were no more"
        lines.append(f"{len(kept)} of the {n} calls asked for: {more}.")
    to = file or sys.stdout
    encoding = to.encoding or "utf-8"  # a StringIO has none
    print(escaped(redact("\n".join(lines))).encode(encoding, "backslashreplace").decode(encoding), file=to)


def _lines(path: str, lm_name: str, request: Request, outcome: Response | str) -> Iterator[str]:
    settings = [f"temperature {request.temperature:g}", f"at most {request.max_tokens} tokens"]
    settings += [f"sample {request.sample}"] * bool(request.sample)
    settings += [f"adapter {request.weights}"] * bool(request.weights)
    settings += [f"tools {', '.join(tool.name for tool in request.tools)}"] * bool(request.tools)
    yield f"--- {path}: {request.lm or lm_name}, {', '.join(settings)}"
    if request.json_reply:
        yield "[a JSON object is asked for]"
        yield from _indented(request.schema or "")
    for message in request.messages:
        yield f"[{message.role}]"
        yield from _indented(message.text)
        yield from _wishes(message.tool_calls)
    if isinstance(outcome, Response):
        yield f"[{_outcome(outcome)}]"
        yield from _indented(outcome.text)
        yield from _wishes(outcome.tool_calls)
    else:
        yield "[no reply]"
        yield from _indented(outcome)
    yield ""


def _outcome(outcome: Response | str) -> str:
    if isinstance(outcome, str):
        return outcome
    tokens = f"{outcome.prompt_tokens} + {outcome.completion_tokens} tokens"
    cut = ", cut off by its limit" if outcome.finish_reason == "length" else ""
    return f"reply, {tokens}{cut}{', recorded before' if outcome.recorded else ''}"


def _wishes(calls: tuple[ToolCall, ...]) -> Iterator[str]:
    for call in calls:
        yield f"    calls {call.name} with {call.arguments}"


def _indented(text: str) -> Iterator[str]:
    for line in text.splitlines() or [""]:
        yield f"    {line}".rstrip()
