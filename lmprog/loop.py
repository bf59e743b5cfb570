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
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent import futures
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from lmprog.errors import LmprogError, ScopeError
from lmprog.polling import Polling

T = TypeVar("T")

_signal: Any = import_module("_signal")
"""Past the enums in which `signal` wraps these functions: they take longer than all else that a sync call adds."""

DEFAULT_CONCURRENCY = 16
CLEANUP_S = 30.0
"""How long an interrupted sync call waits for its coroutine to save what it has."""

DEBUG = "LMPROG_DEBUG"
"""The environment variable that, when set, leaves tracebacks as they are."""
_INTERNAL = tuple(
    file.removesuffix("__init__.py")
    for file in (f"{Path(__file__).parent}{os.sep}", asyncio.__file__, futures.__file__, contextlib.__file__)
)
"""Frames of these files say nothing about the mistake that an LmprogError tells of."""
_LIBRARIES = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, contextlib.__file__))
"""The folders of lmprog and of Python's own library."""
_INSTALLED = ("site-packages", "dist-packages")
"""Folders of packages that were installed."""


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


class _Mail:
    """What other threads want done on a loop, in order. Of any that come before the loop looks, the first alone wakes it:
    to wake it is a system call, at which the threads change places.
    """

    def __init__(self, home: asyncio.AbstractEventLoop) -> None:
        self.home = home
        self._waiting: deque[Callable[[], None]] = deque()
        self._told = False

    def post(self, do: Callable[[], None]) -> None:
        """Have something done on the loop. RuntimeError where it is closed."""
        self._waiting.append(do)
        if not self._told:
            self._told = True
            self.home.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._told = False  # first: what comes from here on either is seen below, or wakes the loop again
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            if self._waiting:  # something failed, and what came after it is still to be done
                self.home.call_soon(self._empty)


_Reply = asyncio.Future[Any]
_Job = tuple[_Mail, contextvars.Context, Callable[[], Any], _Reply]


class _Level:
    """Threads, begun as work needs them. To and from them takes half as long as with a ThreadPoolExecutor."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads = self._unfinished = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._mail: _Mail | None = None

    async def run(self, work: Callable[[], T]) -> T:
        home = asyncio.get_running_loop()
        reply: asyncio.Future[T] = home.create_future()
        self._unfinished += 1
        if self._unfinished > self._threads < self._most:
            self._threads += 1
            _thread.start_new_thread(self._do_jobs, ())  # `Thread.start` waits for the thread, and the loop with it
        if self._mail is None or self._mail.home is not home:
            self._mail = _Mail(home)
        self._jobs.put((self._mail, contextvars.copy_context(), work, reply))
        return await reply

    def close(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    def _do_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            mail, context, work, reply = job
            result = error = None
            if not reply.cancelled():
                try:
                    result = context.run(work)
                except BaseException as raised:  # noqa: BLE001  who waits for the reply raises it
                    error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                mail.post(partial(self._end, reply, result, error))
            del job, mail, context, work, reply, result, error  # what an idle thread held would not be freed

    def _end(self, reply: _Reply, result: object, error: BaseException | None) -> None:
        self._unfinished -= 1
        if reply.cancelled():
            return
        if error is None:
            reply.set_result(result)
        elif isinstance(error, asyncio.CancelledError | futures.CancelledError):
            reply.cancel()
        elif isinstance(error, StopIteration | KeyboardInterrupt):  # one no future takes, one would end the loop
            reply.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            reply.set_exception(error)


class _Shared:
    """The one event loop, which one thread at a time runs: its own as long as anybody elsewhere has a call under way,
    or that of a caller who finds the loop idle. The latter spares a short call two changes of threads.
    """

    def __init__(self) -> None:
        self.loop = _new_loop()
        self._mail = _Mail(self.loop)
        self.workers = Workers(DEFAULT_CONCURRENCY)
        self.runner: int | None = None
        """The thread that runs the loop, by `ident`."""
        self._calls = 0
        """Those under way whose callers do not run the loop themselves."""
        self._lock = threading.Lock()
        self._wanted = threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    def submit(self, call: "_Call[Any]") -> None:
        """Begin a call for somebody who waits elsewhere."""
        with self._lock:
            self._calls += 1
            if self.runner is None:
                self._hand_over()
        self._mail.post(partial(call.start, self.loop, contextvars.copy_context()))

    def ended(self) -> None:
        """Called on the loop at the end of each call submitted."""
        with self._lock:
            self._calls -= 1
            if not self._calls and self._thread is not None and self.runner == self._thread.ident:
                self.loop.call_soon(self.loop.stop)

    def run_until_over(self, call: "_Call[Any]") -> bool:
        """Run the loop in this thread until a call is over, unless the loop runs already, or this thread runs another.
        Tell whether it did.
        """
        if asyncio._get_running_loop() is not None:  # pyright: ignore[reportPrivateUsage]
            return False
        with _Interrupts(self.loop) as interrupts:
            if not self._borrowed():
                return False
            try:
                call.start(self.loop)
                while not (call.over or interrupts.raised):
                    self.loop.run_forever()
            finally:
                self._give_back()
        return True

    def _borrowed(self) -> bool:
        with self._lock:
            if self.runner is not None:
                return False
            self.runner = threading.get_ident()
            return True

    def _give_back(self) -> None:
        with self._lock:
            self.runner = None
            if self._calls:
                self._hand_over()

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lmprog-loop", daemon=True)
            self._thread.start()
        self.runner = self._thread.ident
        self._wanted.release()

    def _run(self) -> None:
        while self._wanted.acquire():
            while not self._idle():
                self.loop.run_forever()

    def _idle(self) -> bool:
        with self._lock:
            if self._calls:
                return False
            self.runner = None
            return True


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(Polling())


class _Interrupts:
    """While the main thread runs the loop, what Ctrl-C raises stops the loop and is raised then, not amid some task."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before: Any = None
        self.raised: BaseException | None = None

    def __enter__(self) -> Self:
        if threading.get_ident() == threading.main_thread().ident:
            self._before = _signal.getsignal(_signal.SIGINT)
            if callable(self._before):
                _signal.signal(_signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if callable(self._before) and _signal.getsignal(_signal.SIGINT) == self._note:
            _signal.signal(_signal.SIGINT, self._before)
        if self.raised is not None:
            raise self.raised

    def _note(self, number: int, frame: FrameType | None) -> None:
        try:
            self._before(number, frame)
        except BaseException as raised:  # noqa: BLE001  it is raised when the loop has stopped
            self.raised = raised
            self._loop.call_soon_threadsafe(self._loop.stop)


class _Call(Generic[T]):
    """A coroutine that runs on the shared loop for somebody whom `tell` tells that it has ended."""

    __slots__ = ("_coroutine", "_error", "_result", "_task", "_tell", "over")

    def __init__(self, coroutine: Coroutine[Any, Any, T], tell: Callable[[], None]) -> None:
        self._coroutine, self._tell = coroutine, tell
        self._task: asyncio.Task[None] | None = None
        self._result: T | None = None
        self._error: BaseException | None = None
        self.over = False

    def start(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context | None = None) -> None:
        """Called by the thread that runs the loop, in the caller's context where none is given."""
        self._task = asyncio.Task(self._run(), loop=loop, context=context)  # `create_task` takes as long again

    async def _run(self) -> None:
        try:
            self._result = await self._coroutine
        except BaseException as error:  # noqa: BLE001  the caller raises it; SystemExit would end the loop
            self._error = error
        self.over = True
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
_shared: _Shared | None = None


def _forget() -> None:
    global _shared, _lock
    _shared, _lock = None, threading.Lock()  # another thread may have held the lock when the process was forked


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)  # a forked child has no thread of ours, and makes a loop of its own


def _made() -> _Shared:
    global _shared
    if _shared is not None:
        return _shared
    with _lock:
        if _shared is None:
            _shared = _Shared()
        return _shared


def default_workers() -> Workers:
    """Return the threads used outside evaluations."""
    return _made().workers


def on_loop() -> bool:
    """Tell whether the caller runs on the shared loop."""
    return _shared is not None and threading.get_ident() == _shared.runner


def run(coroutine: Coroutine[Any, Any, T], *, instead: str) -> T:
    """Run a coroutine on the loop's own thread and wait. On the loop itself: ScopeError naming what to write `instead`."""
    _refuse_on_loop(coroutine, instead)
    shared = _made()
    call, ended = _begun(shared, coroutine)
    try:
        ended.acquire()
    except BaseException:
        _leave(shared, call)
        raise
    return _outcome(call)


def run_here(coroutine: Coroutine[Any, Any, T], *, instead: str) -> T:
    """Run a coroutine as `run` does, in this thread if nobody else runs the loop: for what may take no longer than a
    change of threads does.
    """
    _refuse_on_loop(coroutine, instead)
    shared = _made()
    call = _Call(coroutine, shared.loop.stop)
    try:
        ran = shared.run_until_over(call)
    except BaseException:
        _leave(shared, call)
        raise
    return _outcome(call) if ran else run(coroutine, instead=instead)


def finish(coroutine: Coroutine[Any, Any, object], timeout_s: float) -> None:
    """Run what there is to do at an end, for so long at most if the loop does not come to it; what it raises is lost."""
    shared = _made()
    if not shared.run_until_over(_Call(coroutine, shared.loop.stop)):
        _, ended = _begun(shared, coroutine)
        ended.acquire(timeout=timeout_s)


def _begun(shared: _Shared, coroutine: Coroutine[Any, Any, T]) -> tuple[_Call[T], threading.Lock]:
    """Return a call that runs elsewhere, and a lock to wait for its end: half the time of a future that threads share."""
    ended = threading.Lock()
    ended.acquire()

    def tell() -> None:
        shared.ended()
        ended.release()

    call = _Call(coroutine, tell)
    shared.submit(call)
    return call, ended


def _refuse_on_loop(coroutine: Coroutine[Any, Any, T], instead: str) -> None:
    if on_loop():
        coroutine.close()
        raise ScopeError(
            f"a sync call was made inside async code that lmprog runs, where it would wait for itself. Write `{instead}`."
        )


def _outcome(call: _Call[T]) -> T:
    """Return or raise what came of a call, in the form in which it concerns its caller."""
    try:
        return call.outcome()
    except asyncio.CancelledError:
        raise futures.CancelledError from None  # an Exception: it is not this thread that was cancelled
    except LmprogError as error:
        raise without_internals(error)  # noqa: B904  (it is the same error)


def _leave(shared: _Shared, call: _Call[Any]) -> None:
    """End a call whose caller was interrupted, and wait until it has saved what it has.

    The loop then has no task left that is being cancelled, so that open files are closed in order.
    """
    shared.loop.call_soon_threadsafe(call.cancel)

    async def settle() -> None:
        await asyncio.sleep(0)  # `cancel` takes effect a pass later
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and task.cancelling()]
        await asyncio.wait(tasks, timeout=CLEANUP_S) if tasks else None

    finish(settle(), CLEANUP_S + 1)


async def hop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on the shared loop, from whichever loop the caller runs on."""
    if on_loop():
        return await coroutine
    shared, here = _made(), asyncio.get_running_loop()
    ended: asyncio.Future[None] = here.create_future()

    def tell() -> None:
        shared.ended()
        with suppress(RuntimeError):  # the caller's loop is closed: nobody waits any more
            here.call_soon_threadsafe(_wake, ended)

    call = _Call(coroutine, tell)
    shared.submit(call)
    try:
        await ended
    except asyncio.CancelledError:
        shared.loop.call_soon_threadsafe(call.cancel)
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
    try:
        while len(crowd.running) != at_once and crowd.begin():
            pass
        if crowd.running:
            await crowd.over
        return crowd.outcome()
    finally:
        crowd.disperse()
        unfinished = [task for task in crowd.running if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)


class _Crowd(Generic[T]):
    """Coroutines of which each that ends lets the next begin. Of those that have ended, what came of them alone is held."""

    def __init__(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> None:
        self._waiting, self._begun = iter(coroutines), 0
        self.running: dict[asyncio.Task[T], int] = {}
        """Each with its number in the order given."""
        self._results: dict[int, T] = {}
        self._failures: dict[int, BaseException] = {}
        self._cancelled = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the last has ended, or one has failed; one that was cancelled has not."""

    def begin(self) -> bool:
        """Begin the next, if there is one."""
        for coroutine in islice(self._waiting, 1):
            task = asyncio.create_task(coroutine)
            self.running[task] = self._begun
            self._begun += 1
            task.add_done_callback(self._end)
            return True
        return False

    def disperse(self) -> None:
        """Let no other begin."""
        for coroutine in self._waiting:
            coroutine.close()

    def outcome(self) -> list[T]:
        """Return the results, or raise what the first that failed did; CancelledError where one was cancelled and none failed."""
        for task in [task for task in self.running if task.done()]:
            self._note(task)
        if self._failures:
            raise self._failures[min(self._failures)]
        if self._cancelled:
            raise asyncio.CancelledError
        return [self._results[number] for number in range(self._begun)]

    def _note(self, task: "asyncio.Task[T]") -> None:
        number = self.running.pop(task)
        if task.cancelled():
            self._cancelled = True
        elif (error := task.exception()) is not None:
            self._failures[number] = error
        else:
            self._results[number] = task.result()

    def _end(self, task: "asyncio.Task[T]") -> None:
        if task in self.running:  # else `outcome` came first
            self._note(task)
        if not self._failures:
            self.begin()
        if (self._failures or not self.running) and not self.over.done():
            self.over.set_result(None)


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback from the first frame on that is neither lmprog's nor of what calls it; all where there is none such.

    All of it where LMPROG_DEBUG is set.
    """
    first, inside = trace, False
    while first is not None and not os.environ.get(DEBUG):
        internal = first.tb_frame.f_code.co_filename.startswith(_INTERNAL)
        if inside and not internal and not _of_a_library(first):
            return first
        first, inside = first.tb_next, inside or internal
    return trace


def users_place(error: BaseException) -> str:
    """Return where in the user's code an exception came up, as `task.py, line 6, in metric`; empty where none of it was run.

    It is the innermost frame that is neither lmprog's, Python's own nor an installed package's. It holds no folder, and
    so is the same on every machine.
    """
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if _is_users(code.co_filename):
            place = f"{Path(code.co_filename).name}, line {trace.tb_lineno}, in {code.co_name}"
        trace = trace.tb_next
    return place


def raised(error: BaseException) -> str:
    """Return an exception's type and its place in the user's code, such as `ValueError (task.py, line 6, in metric)`."""
    place = users_place(error)
    return f"{type(error).__name__} ({place})" if place else type(error).__name__


def _is_users(file: str) -> bool:
    generated = file.startswith("<") and file != "<stdin>"
    return not (generated or file.startswith(_LIBRARIES) or any(name in Path(file).parts for name in _INSTALLED))


def _of_a_library(trace: TracebackType) -> bool:
    return trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in ("asyncio", "typer", "click", "concurrent")


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
