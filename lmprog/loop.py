"""The one bridge between sync and async: a background event loop, and threads for sync programs.

Everything that may wait is async and runs on the background loop. A sync call hands its coroutine over
and blocks its own thread, so that sync programs work anywhere, in notebooks too.
"""

import _thread
import asyncio
import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent import futures
from contextlib import suppress
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from lmprog.errors import LmprogError, ScopeError

T = TypeVar("T")

DEFAULT_CONCURRENCY = 16
CLEANUP_S = 30.0
"""How long an interrupted sync call waits for its coroutine to save what it has."""

DEBUG = "LMPROG_DEBUG"
"""The environment variable that, when set, leaves tracebacks as they are."""
_INTERNAL = tuple(
    str(file).removesuffix("__init__.py")
    for file in (Path(__file__).parent, asyncio.__file__, futures.__file__, contextlib.__file__)
)
"""Frames of these files say nothing about the mistake that an LmprogError tells of."""


class Workers:
    """Threads that run sync programs: `threads` of them for each level of nesting.

    A sync program may wait for an async one that runs sync ones in turn. Each level has threads of its
    own, so that the inner ones never wait for a thread that the outer ones hold.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._levels: dict[int, _Level] = {}

    async def run(self, work: Callable[[], T], depth: int) -> T:
        """Run `work` in a thread, in a copy of the caller's context. Called on the background loop only."""
        level = self._levels.get(depth)
        if level is None:
            level = self._levels[depth] = _Level(self._threads)
        return await level.run(work)

    def close(self) -> None:
        """Let running work finish and give the threads back."""
        for level in self._levels.values():
            level.close()


_Reply = asyncio.Future[Any]
_Job = tuple[asyncio.AbstractEventLoop, contextvars.Context, Callable[[], Any], _Reply]


class _Level:
    """Threads, begun as work needs them. To and from them takes half as long as with a ThreadPoolExecutor."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads = self._unfinished = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()

    async def run(self, work: Callable[[], T]) -> T:
        home = asyncio.get_running_loop()
        reply: asyncio.Future[T] = home.create_future()
        self._unfinished += 1
        if self._unfinished > self._threads < self._most:
            self._threads += 1
            _thread.start_new_thread(self._do_jobs, ())  # `Thread.start` waits for the thread, and the loop with it
        self._jobs.put((home, contextvars.copy_context(), work, reply))
        return await reply

    def close(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    def _do_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            home, context, work, reply = job
            result = error = None
            if not reply.cancelled():
                try:
                    result = context.run(work)
                except BaseException as raised:  # noqa: BLE001  who waits for the reply raises it
                    error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                home.call_soon_threadsafe(self._end, reply, result, error)
            del job, home, context, work, reply, result, error  # what an idle thread held would not be freed

    def _end(self, reply: _Reply, result: object, error: BaseException | None) -> None:
        self._unfinished -= 1
        if reply.cancelled():
            return
        if error is None:
            reply.set_result(result)
        elif isinstance(error, asyncio.CancelledError | futures.CancelledError):
            reply.cancel()
        elif isinstance(error, StopIteration):  # which no future takes
            reply.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            reply.set_exception(error)


class _Background:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.workers = Workers(DEFAULT_CONCURRENCY)
        self.thread = threading.Thread(target=self.loop.run_forever, name="lmprog-loop", daemon=True)
        self.thread.start()


class _Call(Generic[T]):
    """A coroutine that runs on the background loop for somebody elsewhere, whom `tell` wakes when it has ended.

    To wait on a bare lock takes half the time of a future that several threads share.
    """

    __slots__ = ("_coroutine", "_error", "_result", "_task", "_tell")

    def __init__(self, coroutine: Coroutine[Any, Any, T], tell: Callable[[], None]) -> None:
        self._coroutine, self._tell = coroutine, tell
        self._task: asyncio.Task[None] | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Called on the background loop, in a copy of the caller's context."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            self._result = await self._coroutine
        except BaseException as error:  # noqa: BLE001  the caller raises it; SystemExit would end the loop
            self._error = error
        self._tell()  # here rather than in a callback, which would come a pass of the loop later

    def cancel(self) -> None:
        """Called on the loop, after `start`; the task begins first, so that its coroutine ends as it would anywhere."""
        asyncio.get_running_loop().call_soon(cast("asyncio.Task[None]", self._task).cancel)

    def outcome(self) -> T:
        """Return or raise what came of it."""
        if self._error is None:
            return cast("T", self._result)
        try:
            raise self._error
        finally:
            self._error = None  # else the error would hold itself, by its traceback


_lock = threading.Lock()
_background: _Background | None = None


def _forget() -> None:
    global _background, _lock
    _background, _lock = None, threading.Lock()  # another thread may have held the lock when the process was forked


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)  # a forked child has no thread: it starts its own at first use


def _started() -> _Background:
    global _background
    if _background is not None:
        return _background
    with _lock:
        if _background is None:
            _background = _Background()
        return _background


def default_workers() -> Workers:
    """Return the threads used outside evaluations."""
    return _started().workers


def on_loop() -> bool:
    """Tell whether the caller runs on the background loop."""
    background = _background
    return background is not None and threading.get_ident() == background.thread.ident


def run(coroutine: Coroutine[Any, Any, T], *, instead: str) -> T:
    """Run a coroutine on the background loop and wait. On that loop itself: ScopeError naming what to write `instead`."""
    if on_loop():
        coroutine.close()
        raise ScopeError(
            f"a sync call was made inside async code that lmprog runs, where it would wait for itself. Write `{instead}`."
        )
    background, ended = _started().loop, threading.Lock()
    ended.acquire()
    call = _Call(coroutine, ended.release)
    background.call_soon_threadsafe(call.start)
    try:
        ended.acquire()
        return call.outcome()
    except asyncio.CancelledError:
        raise futures.CancelledError from None  # an Exception: it is not this thread that was cancelled
    except LmprogError as error:
        raise without_internals(error)  # noqa: B904  (it is the same error)
    except (KeyboardInterrupt, SystemExit):
        background.call_soon_threadsafe(call.cancel)
        _wait_for_cleanup()
        raise


async def hop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on the background loop, from whichever loop the caller runs on."""
    if on_loop():
        return await coroutine
    background, here = _started().loop, asyncio.get_running_loop()
    ended: asyncio.Future[None] = here.create_future()

    def tell() -> None:
        with suppress(RuntimeError):  # the caller's loop is closed: nobody waits any more
            here.call_soon_threadsafe(_wake, ended)

    call = _Call(coroutine, tell)
    background.call_soon_threadsafe(call.start)
    try:
        await ended
    except asyncio.CancelledError:
        background.call_soon_threadsafe(call.cancel)
        raise
    try:
        return call.outcome()
    except LmprogError as error:
        raise without_internals(error)  # noqa: B904  (it is the same error)


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


def without_internals(error: LmprogError) -> LmprogError:
    """Return the error, its traceback and those of its causes reduced to the frames of the user's code.

    All of it stays where LMPROG_DEBUG is set.
    """
    seen: BaseException | None = None if os.environ.get(DEBUG) else error
    while seen is not None:
        seen.__traceback__ = _users_frames(seen.__traceback__)
        seen = seen.__cause__
    return error


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]], *, at_once: int | None = None) -> list[T]:
    """Run all, `at_once` of them at a time, and return the results in the order given. The first failure is raised and
    cancels the rest; where there are several, the first in the order given, so that no timing decides.
    """
    crowd = _Crowd(coroutines)
    tasks = crowd.tasks
    try:
        while len(tasks) != at_once and crowd.begin():
            pass
        if tasks:
            await crowd.over
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
        if failed:
            raise cast("BaseException", failed[0].exception())
        return [task.result() for task in tasks]
    finally:
        crowd.disperse()
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)


class _Crowd(Generic[T]):
    """Coroutines of which each that ends lets the next begin."""

    def __init__(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> None:
        self._waiting, self._running = iter(coroutines), 0
        self.tasks: list[asyncio.Task[T]] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the last has ended, or one has failed."""

    def begin(self) -> bool:
        """Begin the next, if there is one."""
        for coroutine in islice(self._waiting, 1):
            task = asyncio.create_task(coroutine)
            self.tasks.append(task)
            self._running += 1
            task.add_done_callback(self._end)
            return True
        return False

    def disperse(self) -> None:
        """Let no other begin."""
        for coroutine in self._waiting:
            coroutine.close()

    def _end(self, task: "asyncio.Task[T]") -> None:
        self._running -= 1
        failed = not task.cancelled() and task.exception() is not None
        if not failed:
            self.begin()
        if (failed or not self._running) and not self.over.done():
            self.over.set_result(None)


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_INTERNAL):
            kept.append(trace)
        trace = trace.tb_next
    rest: TracebackType | None = None
    for part in reversed(kept):
        rest = TracebackType(rest, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return rest


def _wait_for_cleanup() -> None:
    """Wait until the loop has no task left that is being cancelled, so that open files are closed in order."""

    async def settle() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and task.cancelling()]
        await asyncio.wait(tasks, timeout=CLEANUP_S) if tasks else None

    asyncio.run_coroutine_threadsafe(settle(), _started().loop).result(timeout=CLEANUP_S + 1)
