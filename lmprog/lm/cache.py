"""The call log, and the layer that answers from it: no recorded call is sent again."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from lmprog.errors import LMError, RunDirError
from lmprog.lm.ledger import Ledger, Role
from lmprog.request import (
    LM,
    Message,
    Request,
    Response,
    TokenLogprob,
    ToolCall,
    ToolSpec,
    check_response,
    read_json,
    request_key,
)

_APPLICATION = int.from_bytes(b"lmpc", "big")
"""Says in the file's header that the file is a call log."""
_VERSION = 1
_BUSY_S = 30.0
"""How long a write waits for one of another process that shares the file."""

_PAGES_BETWEEN_CHECKPOINTS = 10_000
"""Of 4 KiB. While SQLite moves its journal into the file and waits for the disk, no call goes on."""
_HELD_AT_MOST = 10_000
"""Replies in memory beside the file; some 20 MB."""

_log = logging.getLogger("lmprog.lm")

_CREATE = (
    "CREATE TABLE IF NOT EXISTS calls (key TEXT NOT NULL, role TEXT NOT NULL, lm TEXT NOT NULL, "
    "request TEXT NOT NULL, response TEXT NOT NULL) STRICT",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_INDEX = "CREATE UNIQUE INDEX IF NOT EXISTS calls_by_key ON calls (key)"
"""For a file that several processes write to. With one, the keys are in memory: an index would take half of each write."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A call under way, and those who wait for it."""

    task: "asyncio.Task[None] | None" = None
    waiting: "set[asyncio.Future[Response]]" = field(default_factory=lambda: set())  # a generic alias makes one slowly


class CallLog:
    """Replies by request key, in an SQLite file that others may use meanwhile; in memory when `path` is None.

    Values are JSON text; the latest are held in memory too. A file that is damaged, or no call log, raises RunDirError.
    All calls that share a log run on one event loop. `alone`: the file is locked for other processes until it is closed, so
    that what is not there need not be looked up, and a reply is written in half the time.
    """

    def __init__(self, path: Path | str | None = None, *, alone: bool = False) -> None:
        self._path = path
        self.flights: dict[str, _Flight] = {}
        """The calls under way, by key, for all layers that share the log."""
        self._held: dict[str, Response] = {}
        self._known: dict[str, int] | None = None
        """The row of each key in the file, where no other process adds to them."""
        self._when_kept: list[Callable[[], None]] | None = None
        """What waits for the end of the loop's pass, where replies of this pass are to be written."""
        self._failed: sqlite3.Error | None = None
        self._closed = False
        if path is None:
            return
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._writing = self._db.cursor()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            if alone:
                self._execute("PRAGMA locking_mode = EXCLUSIVE")
            self._prepare()
            if alone:
                self._known = dict(cast("Iterable[tuple[str, int]]", self._execute("SELECT key, rowid FROM calls")))
            else:
                self._execute(_INDEX)
        except BaseException:
            self._db.close()
            raise

    def get(self, key: str) -> Response | None:
        """Return the reply recorded under a key, if there is one."""
        held = self._held.get(key)
        if held is not None:
            return held if held.recorded else self._hold(key, replace(held, recorded=True))
        if self._path is None:
            return None
        if self._known is None:
            row = self._execute("SELECT response FROM calls WHERE key = ?", key).fetchone()
        elif key in self._known:
            row = self._execute("SELECT response FROM calls WHERE rowid = ?", self._known[key]).fetchone()
        else:
            return None
        try:
            return None if row is None else self._hold(key, _response(row[0]))
        except (ValueError, TypeError, LMError) as error:
            raise self._unusable(error) from error

    def put(self, key: str, role: Role, lm_name: str, request: Request, response: Response) -> Response:
        """Record a reply and return the one recorded: another process may have been first.

        On an event loop, the replies of one pass of the loop are committed together at its end: a commit each would cost
        more than all the rest of a call. `when_kept` says when.
        """
        self.check()
        if key in self._held:
            return self._held[key]
        if self._when_kept is None and len(self.flights) != 1:  # with one call there is nothing to commit it with
            self._begin()
        if self._path is None:
            return self._hold(key, response)
        if self._known is not None and key in self._known:
            return self.get(key) or response
        row = (key, role, lm_name, _request_text(request), _response_text(response))
        try:
            written = self._writing.execute("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._failed = error
            raise self._unusable(error) from error
        if not written.rowcount:
            return self.get(key) or response
        if self._known is not None:
            self._known[key] = cast("int", written.lastrowid)
        return self._hold(key, response)

    def check(self) -> None:
        """Raise RunDirError where a reply could not be written: a further one would be paid for and lost."""
        if self._failed is not None:
            raise self._unusable(self._failed)

    def when_kept(self, do: Callable[[], None]) -> None:
        """Do something once what was put is committed. Calls that got a slot meanwhile are then on their way."""
        if self._when_kept is None:
            do()
        else:
            self._when_kept.append(do)

    def __len__(self) -> int:
        """Return how many replies are recorded."""
        return len(self._held) if self._path is None else self._number("SELECT count(*) FROM calls")

    def __bool__(self) -> bool:
        """Return True: an empty log is a log, and `log or ...` must not pass it over."""
        return True

    def settle(self) -> None:
        """Write what is not written yet. RunDirError where the last replies could not be."""
        if self._path is not None:
            self._commit()
        if self._failed is not None:
            raise self._unusable(f"{self._failed}; the last replies are not recorded") from self._failed

    def close(self) -> None:
        """Close the file; closing twice does no harm. RunDirError as of `settle`."""
        if self._closed:
            return
        self._closed = True
        try:
            self.settle()
        finally:
            if self._path is not None:
                self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except RunDirError as unwritten:
            if error is None:
                raise
            if not isinstance(error, RunDirError):  # which has said so
                _log.error("%s", unwritten)

    def _prepare(self) -> None:
        if self._number("PRAGMA application_id") == 0 == self._number("SELECT count(*) FROM sqlite_master"):
            self._execute("PRAGMA journal_mode = WAL")
            for statement in ("BEGIN IMMEDIATE", *_CREATE, "COMMIT"):
                self._execute(statement)
        if self._number("PRAGMA application_id") != _APPLICATION:  # asked anew: another process may have made the file
            raise self._unusable("it is an SQLite file of another program")
        version = self._number("PRAGMA user_version")
        if version != _VERSION:
            raise self._unusable(f"it has format {version}, and this lmprog knows format {_VERSION}")
        self._execute("PRAGMA synchronous = NORMAL")
        self._execute(f"PRAGMA wal_autocheckpoint = {_PAGES_BETWEEN_CHECKPOINTS}")

    def _hold(self, key: str, response: Response) -> Response:
        if len(self._held) >= _HELD_AT_MOST and self._path is not None:
            self._held.clear()
        self._held[key] = response
        return response

    def _begin(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # off the loop, SQLite commits each statement by itself
        if self._path is not None:
            self._execute("BEGIN")
        self._when_kept = []
        loop.call_soon(self._commit)

    def _commit(self) -> None:
        """Commit. No call waits for this one, so that a full disk is told by the next `put`."""
        try:
            if self._path is not None:
                self._db.commit()
        except sqlite3.Error as error:
            self._failed = error
        waiting, self._when_kept = self._when_kept or (), None
        for do in waiting:
            do()

    def _number(self, sql: str) -> int:
        return cast("int", self._execute(sql).fetchone()[0])

    def _execute(self, sql: str, *values: str | int) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, why: object) -> RunDirError:
        mend = (
            "Free or repair the file, name another run directory, or move the file away: its calls are then sent again."
        )
        if isinstance(why, sqlite3.OperationalError) and why.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            why, mend = "another program has it open", "Close it there, and run the same again."
        return RunDirError(f"the call log {self._path or 'in memory'} cannot be used: {why}. {mend}")


class Cached:
    """The layer that answers from the log, joins an identical call under way, or sends and records.

    Requests are equal when the LM's name and all of the request are, so roles with one LM share replies. What is not in
    the run's log is looked up in `shared`, the cache across runs, and recorded there too.
    """

    def __init__(
        self, lm: LM, log: CallLog, ledger: Ledger | None = None, role: Role = "task", *, shared: CallLog | None = None
    ) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._log, self._ledger, self._shared = lm, log, ledger, shared
        self._role: Role = role

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request; it is sent only if it never was."""
        key = request_key(self.name, request)
        if self._ledger is not None:
            self._ledger.ask(self._role, key)
        response = self._recorded(key, request)
        recorded = response is not None
        if response is None:
            response = await self._join(key, request)
        if self._ledger is not None:
            self._ledger.answer(key, self.name, request, response, recorded=recorded)
        return response

    def _recorded(self, key: str, request: Request) -> Response | None:
        """Return the reply in the log; one that another run left in the shared log is taken over."""
        response = self._log.get(key)
        if response is None and self._shared is not None:
            response = self._shared.get(key)
            if response is not None:
                self._log.put(key, self._role, self.name, request, response)
        return response

    async def _join(self, key: str, request: Request) -> Response:
        """Wait for the one call under a key. It is a task of its own, so that one who leaves takes it from nobody."""
        here, flight = asyncio.get_running_loop(), self._log.flights.get(key)
        if flight is None:
            flight = self._log.flights[key] = _Flight()
            flight.task = asyncio.Task(self._send(key, request, flight), loop=here)  # `create_task` takes as long again
        reply: asyncio.Future[Response] = here.create_future()
        flight.waiting.add(reply)
        try:
            return await reply
        finally:
            flight.waiting.discard(reply)
            if not flight.waiting and self._log.flights.get(key) is flight:
                await self._land(key, flight)

    async def _land(self, key: str, flight: _Flight) -> None:
        """Forget a call that nobody waits for any more, ending it first if it still runs."""
        del self._log.flights[key]
        if flight.task is not None:
            flight.task.cancel()
            await asyncio.wait({flight.task})

    async def _send(self, key: str, request: Request, flight: _Flight) -> None:
        """Send a request and hand the reply, or what went wrong, to those who wait. They go on once it is committed."""
        try:
            self._log.check()
            response = await self._lm(request)
            if self._shared is not None:
                response = self._shared.put(key, self._role, self.name, request, response)
            response = self._log.put(key, self._role, self.name, request, response)
        except (Exception, SystemExit) as error:  # noqa: BLE001  those who wait raise it
            for reply in self._landed(key, flight):
                reply.set_exception(error)
        except BaseException:
            for reply in self._landed(key, flight):
                reply.cancel()
            raise
        else:
            self._log.when_kept(partial(self._hand_over, key, flight, response))

    def _hand_over(self, key: str, flight: _Flight, response: Response) -> None:
        for reply in self._landed(key, flight):
            reply.set_result(response)

    def _landed(self, key: str, flight: _Flight) -> "list[asyncio.Future[Response]]":
        if self._log.flights.get(key) is flight:
            del self._log.flights[key]
        return [reply for reply in flight.waiting if not reply.done()]


_NAMES = {
    kind: tuple(part.name for part in fields(kind) if part.name not in ("recorded", "messages"))
    for kind in (Request, Response, Message, ToolSpec, ToolCall)
}


def _fields(value: Request | Response | Message | ToolSpec | ToolCall) -> dict[str, object]:
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


_settings: Callable[[Request], tuple[object, ...]] = attrgetter(*_NAMES[Request])


def _request_text(request: Request) -> str:
    texts = [_message_text(message, _text_of_many) for message in request.messages[:-1]]  # the same for all rows
    texts += [_message_text(message, _text) for message in request.messages[-1:]]
    return f'{{"messages":[{",".join(texts)}],{_settings_text(*_settings(request))}}}'


def _message_text(message: Message, text: Callable[[str], str]) -> str:
    """Return a message as JSON text. What nearly all are like is written by hand, in a quarter of the time."""
    if message.tool_calls or message.tool_call_id is not None:
        return _json(_fields(message))
    return f'{{"role":"{message.role}","text":{text(message.text)},"tool_calls":[],"tool_call_id":null}}'


@lru_cache(typed=True)
def _settings_text(*settings: object) -> str:
    """Return all but the messages: the same for all rows."""
    return _json(dict(zip(_NAMES[Request], settings, strict=True)))[1:-1]


def _response_text(response: Response) -> str:
    if response.tool_calls or response.logprobs is not None or response.reply_logprobs is not None:
        return _json(_fields(response))
    return (
        f'{{"text":{_text(response.text)},"prompt_tokens":{response.prompt_tokens},'
        f'"completion_tokens":{response.completion_tokens},"finish_reason":"{response.finish_reason}",'
        f'"usd":{_number(response.usd)},"tool_calls":[]}}'
    )


def _response(text: str) -> Response:
    said: dict[str, Any] = dict(read_json(text))
    said["tool_calls"] = tuple(ToolCall(**call) for call in said.get("tool_calls", ()))
    if said.get("logprobs") is not None:
        said["logprobs"] = tuple(TokenLogprob(*each) for each in said["logprobs"])
    if said.get("reply_logprobs") is not None:
        said["reply_logprobs"] = tuple(said["reply_logprobs"])
    response = Response(**said, recorded=True)
    check_response("it holds", response)
    return response


_text = json.JSONEncoder().encode
_text_of_many = lru_cache(_text)
_number = lru_cache(typed=True)(_text)
_json = json.JSONEncoder(default=_fields, separators=(",", ":")).encode
"""JSON text; ASCII, so that a broken surrogate in a reply does no harm."""
