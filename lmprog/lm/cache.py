"""The call log, and the layer that answers from it: no recorded call is sent again."""

import asyncio
import json
import sqlite3
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from lmprog.errors import RunDirError
from lmprog.lm.ledger import Ledger, Role
from lmprog.request import LM, Message, Request, Response, Tool, ToolCall, request_key

_APPLICATION = int.from_bytes(b"lmpc", "big")
"""Says in the file's header that the file is a call log."""
_VERSION = 1
_BUSY_S = 30.0
"""How long a write waits for one of another process that shares the file."""

_CREATE = (
    "CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, role TEXT NOT NULL, lm TEXT NOT NULL, "
    "request TEXT NOT NULL, response TEXT NOT NULL) STRICT",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)


@dataclass(slots=True)
class _Flight:
    """A call under way, and how many wait for it."""

    task: "asyncio.Task[Response]"
    waiting: int = 0


class CallLog:
    """Replies by request key, in an SQLite file that others may read meanwhile; in memory when `path` is None.

    Values are JSON text. A file that is damaged, or no call log, raises RunDirError. All calls that share a log
    run on one event loop.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._path = path
        self.flights: dict[str, _Flight] = {}
        """The calls under way, by key, for all layers that share the log."""
        self._failed: sqlite3.Error | None = None
        try:
            self._db = sqlite3.connect(
                ":memory:" if path is None else path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def get(self, key: str) -> Response | None:
        """Return the reply recorded under a key, if there is one."""
        row = self._execute("SELECT response FROM calls WHERE key = ?", key).fetchone()
        try:
            return None if row is None else _response(row[0])
        except (ValueError, TypeError) as error:
            raise self._unusable(error) from error

    def put(self, key: str, role: Role, lm_name: str, request: Request, response: Response) -> Response:
        """Record a reply and return the one recorded: another process may have been first.

        On an event loop, the replies of one pass of the loop are committed together at its end, before the tasks
        that wait for them go on: a commit each would cost more than all the rest of a call.
        """
        if self._failed is not None:
            raise self._unusable(self._failed)
        if not self._db.in_transaction:
            self._begin()
        row = (key, role, lm_name, _json(request), _json(response))
        new = self._execute("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?)", *row).rowcount
        return response if new else self.get(key) or response

    def __len__(self) -> int:
        """Return how many replies are recorded."""
        count: int = self._execute("SELECT count(*) FROM calls").fetchone()[0]
        return count

    def __bool__(self) -> bool:
        """Return True: an empty log is a log, and `log or ...` must not pass it over."""
        return True

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._commit()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        application = self._execute("PRAGMA application_id").fetchone()[0]
        if application == 0 and self._execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            self._execute("PRAGMA journal_mode = WAL")
            for statement in ("BEGIN IMMEDIATE", *_CREATE, "COMMIT"):
                self._execute(statement)
        elif application != _APPLICATION:
            raise self._unusable("it is an SQLite file of another program")
        version = self._execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise self._unusable(f"it has format {version}, and this lmprog knows format {_VERSION}")
        self._execute("PRAGMA synchronous = NORMAL")

    def _begin(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # off the loop, SQLite commits each statement by itself
        self._execute("BEGIN IMMEDIATE")
        loop.call_soon(self._commit)

    def _commit(self) -> None:
        """Commit. No call waits for this one, so that a full disk is told by the next `put`."""
        try:
            self._db.commit()
        except sqlite3.Error as error:
            self._failed = error

    def _execute(self, sql: str, *values: str) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, why: object) -> RunDirError:
        return RunDirError(
            f"the call log {self._path or 'in memory'} cannot be used: {why}. Free or repair the file, name another run "
            "directory, or move the file away: its calls are then sent again."
        )


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
        flight = self._log.flights.get(key)
        if flight is None or flight.task.done():
            flight = self._log.flights[key] = _Flight(asyncio.create_task(self._send(key, request)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0:
                await self._land(key, flight)

    async def _land(self, key: str, flight: _Flight) -> None:
        """Forget a call that nobody waits for any more, ending it first if it still runs."""
        if self._log.flights.get(key) is flight:
            del self._log.flights[key]
        if not flight.task.done():
            flight.task.cancel()
            await asyncio.wait({flight.task})

    async def _send(self, key: str, request: Request) -> Response:
        response = await self._lm(request)
        if self._shared is not None:
            response = self._shared.put(key, self._role, self.name, request, response)
        return self._log.put(key, self._role, self.name, request, response)


_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in (Request, Response, Message, Tool, ToolCall)}


def _fields(value: Request | Response | Message | Tool | ToolCall) -> dict[str, object]:
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


def _response(text: str) -> Response:
    response = Response(**json.loads(text))
    if response.tool_calls == ():
        return response
    calls = cast("list[dict[str, str]]", response.tool_calls)
    return replace(response, tool_calls=tuple(ToolCall(**call) for call in calls))


_json = json.JSONEncoder(default=_fields, separators=(",", ":")).encode
"""JSON text; ASCII, so that a broken surrogate in a reply does no harm."""
