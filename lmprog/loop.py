"""The one bridge between sync and async: a background event loop, and threads for sync programs.

Everything that may wait is async and runs on the background loop. A sync call hands its coroutine over
and blocks its own thread, so that sync programs work anywhere, in notebooks too.
"""

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from lmprog.errors import ScopeError

T = TypeVar("T")

DEFAULT_CONCURRENCY = 16
CLEANUP_S = 30.0
"""How long an interrupted sync call waits for its coroutine to save what it has."""


class Workers:
    """Threads that run sync programs: `threads` of them for each level of nesting.

    A sync program may wait for an async one that runs sync ones in turn. Each level has threads of its
    own, so that the inner ones never wait for a thread that the outer ones hold.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pools: dict[int, ThreadPoolExecutor] = {}

    async def run(self, work: Callable[[], T], depth: int) -> T:
        """Run `work` in a thread, in a copy of the caller's context. Called on the background loop only."""
        pool = self._pools.get(depth)
        if pool is None:
            pool = self._pools[depth] = ThreadPoolExecutor(self._threads, thread_name_prefix=f"lmprog-{depth}")
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(work))

    def close(self) -> None:
        """Let running work finish and give the threads back."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


class _Background:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.workers = Workers(DEFAULT_CONCURRENCY)
        self.thread = threading.Thread(target=self.loop.run_forever, name="lmprog-loop", daemon=True)
        self.thread.start()


_lock = threading.Lock()
_background: _Background | None = None


def _forget() -> None:
    global _background, _lock
    _background, _lock = None, threading.Lock()  # another thread may have held the lock when the process was forked


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)  # a forked child has no thread: it starts its own at first use


def _started() -> _Background:
    global _background
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
    return background is not None and threading.current_thread() is background.thread


def run(coroutine: Coroutine[Any, Any, T], *, instead: str) -> T:
    """Run a coroutine on the background loop and wait. On that loop itself: ScopeError naming what to write `instead`."""
    if on_loop():
        coroutine.close()
        raise ScopeError(
            f"a sync call was made inside async code that lmprog runs, where it would wait for itself. Write `{instead}`."
        )
    future = asyncio.run_coroutine_threadsafe(coroutine, _started().loop)
    try:
        return future.result()
    except (KeyboardInterrupt, SystemExit):
        future.cancel()
        _wait_for_cleanup()
        raise


async def hop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on the background loop, from whichever loop the caller runs on."""
    if on_loop():
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, _started().loop))


async def gather(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all at once and return the results in the order given. The first failure cancels the rest and is raised.

    Where several failed at once, the first in the order given is raised, so that no timing decides.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
        if failed:
            raise cast("BaseException", failed[0].exception())
        return [task.result() for task in tasks]
    finally:
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)


def _wait_for_cleanup() -> None:
    """Wait until the loop has no task left that is being cancelled, so that open files are closed in order."""

    async def settle() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and task.cancelling()]
        await asyncio.wait(tasks, timeout=CLEANUP_S) if tasks else None

    asyncio.run_coroutine_threadsafe(settle(), _started().loop).result(timeout=CLEANUP_S + 1)
