"""The bridge between sync and async code, and the crowd that runs on it."""

import asyncio
import contextvars
import gc
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing

import pytest

from lmprog import loop

TAG = contextvars.ContextVar("tag", default="none")


async def twice(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_a_sync_call_gives_what_its_coroutine_returns_or_raises() -> None:
    async def fail() -> None:
        raise KeyError("mine")

    assert loop.run(twice(21), instead="") == 42
    with pytest.raises(KeyError, match="mine"):
        loop.run(fail(), instead="")


def test_a_coroutine_runs_in_its_callers_context_and_leaves_it_alone() -> None:
    async def read_and_set() -> str:
        before = TAG.get()
        TAG.set("inside")
        return before

    token = TAG.set("outside")

    seen = loop.run(read_and_set(), instead="")

    assert (seen, TAG.get()) == ("outside", "outside")
    TAG.reset(token)


def test_that_the_coroutine_was_cancelled_is_an_ordinary_exception_to_the_thread_that_waits() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(CancelledError):
        loop.run(cancelled(), instead="")


def test_a_call_from_another_loop_gives_what_its_coroutine_returns_or_raises() -> None:
    async def fail() -> None:
        raise SystemExit("mine")

    assert asyncio.run(loop.hop(twice(21))) == 42
    with pytest.raises(SystemExit, match="mine"):
        asyncio.run(loop.hop(fail()))
    assert asyncio.run(loop.hop(twice(21))) == 42


def test_whoever_leaves_a_call_from_another_loop_ends_it() -> None:
    ended = threading.Event()

    async def stay() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def leave() -> None:
        staying = asyncio.create_task(loop.hop(stay()))
        await asyncio.sleep(0.01)
        staying.cancel()
        await asyncio.wait([staying])

    asyncio.run(leave())

    assert ended.wait(10)


def test_calls_from_many_threads_run_side_by_side() -> None:
    entered, all_in = [0], asyncio.Event()

    async def meet() -> int:
        entered[0] += 1
        if entered[0] == 20:
            all_in.set()
        await all_in.wait()
        return entered[0]

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(loop.run(meet(), instead=""))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert found == [20] * 20


async def run_in(workers: loop.Workers, depth: int = 0) -> list[int]:
    """Run eight pieces of work that all wait for each other, and return their threads."""
    barrier = threading.Barrier(8, timeout=10)

    def work() -> int:
        barrier.wait()
        return threading.get_ident()

    return await asyncio.gather(*(workers.run(work, depth) for _ in range(8)))


def test_workers_begin_a_thread_for_each_piece_of_work_that_waits_and_use_it_again() -> None:
    with closing(loop.Workers(8)) as workers:
        rounds = [loop.run(run_in(workers), instead="") for _ in range(3)]

    assert len(set(rounds[0])) == 8
    assert set(rounds[0]) == set(rounds[1]) == set(rounds[2])


def test_workers_never_begin_more_threads_than_they_may() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.001)
        with lock:
            running[0] -= 1

    async def all_at_once(workers: loop.Workers) -> None:
        await asyncio.gather(*(workers.run(work, 0) for _ in range(50)))

    with closing(loop.Workers(3)) as workers:
        loop.run(all_at_once(workers), instead="")

    assert most[0] == 3


def test_a_level_of_nesting_has_threads_of_its_own() -> None:
    with closing(loop.Workers(8)) as workers:
        outer, inner = (set(loop.run(run_in(workers, depth), instead="")) for depth in (0, 1))

    assert not outer & inner


@pytest.mark.parametrize("error", [ValueError("mine"), StopIteration("mine")])
def test_what_work_in_a_thread_raises_reaches_who_waits_for_it(error: Exception) -> None:
    def work() -> None:
        raise error

    with closing(loop.Workers(1)) as workers, pytest.raises((ValueError, RuntimeError), match="mine"):
        loop.run(workers.run(work, 0), instead="")


def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    begun: list[int] = []

    async def leave(workers: loop.Workers) -> None:
        busy = threading.Event()
        first = asyncio.create_task(workers.run(lambda: busy.wait(10), 0))
        second = asyncio.create_task(workers.run(lambda: begun.append(2), 0))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        busy.set()
        await first
        await workers.run(lambda: begun.append(3), 0)

    with closing(loop.Workers(1)) as workers:
        loop.run(leave(workers), instead="")

    assert begun == [3]


def test_a_crowd_returns_in_the_order_given() -> None:
    assert loop.run(loop.gather(twice(number) for number in range(100)), instead="") == list(range(0, 200, 2))
    assert loop.run(loop.gather((twice(number) for number in range(0)), at_once=4), instead="") == []


def test_of_a_crowd_only_so_many_run_at_once() -> None:
    running, most = [0], [0]

    async def one() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.001)
        running[0] -= 1

    loop.run(loop.gather((one() for _ in range(50)), at_once=7), instead="")

    assert (running[0], most[0]) == (0, 7)


def test_the_first_failure_ends_a_crowd_and_what_has_not_begun_never_does() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def one(number: int) -> None:
        begun.append(number)
        try:
            if number >= 4:
                raise ValueError(f"number {number}")
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    with pytest.raises(ValueError, match="number 4"):
        loop.run(loop.gather([one(number) for number in range(50)], at_once=6), instead="")

    assert begun == [0, 1, 2, 3, 4, 5]
    assert sorted(ended) == begun


@pytest.mark.parametrize("at_once", [None, 1, 2])
@pytest.mark.parametrize("cancelled", [0, 3, 5])
def test_a_crowd_of_which_one_is_cancelled_lets_the_others_end_and_is_cancelled_then(
    cancelled: int, at_once: int | None
) -> None:
    ended: list[int] = []

    async def one(number: int) -> None:
        if number == cancelled:
            raise asyncio.CancelledError
        await asyncio.sleep(0.001 * number)
        ended.append(number)

    with pytest.raises(CancelledError):
        loop.run(loop.gather((one(number) for number in range(6)), at_once=at_once), instead="")

    assert ended == [number for number in range(6) if number != cancelled]


def test_of_a_crowd_those_that_have_ended_are_held_no_longer() -> None:
    begun: weakref.WeakSet[asyncio.Task[object]] = weakref.WeakSet()

    async def one() -> int:
        task = asyncio.current_task()
        assert task is not None
        begun.add(task)
        return 1

    async def last() -> int:
        await asyncio.sleep(0.02)
        gc.collect()
        return len(begun)

    assert loop.run(loop.gather([*(one() for _ in range(20)), last()]), instead="") == [1] * 20 + [0]


# Who runs the loop


async def thread() -> int:
    await asyncio.sleep(0)
    return threading.get_ident()


def wait_for_idle_loop() -> None:
    """Wait until the loop's own thread has left it, which takes a moment after the last call."""
    assert any(loop.run_here(thread(), instead="") == threading.get_ident() for _ in range(1000))


def test_a_short_call_runs_in_its_callers_thread_and_a_long_one_does_not() -> None:
    wait_for_idle_loop()
    assert loop.run(thread(), instead="") != threading.get_ident()
    wait_for_idle_loop()


def test_in_a_thread_that_runs_a_loop_of_its_own_a_sync_call_runs_elsewhere() -> None:
    async def notebook() -> int:
        return loop.run_here(thread(), instead="")

    assert asyncio.run(notebook()) != threading.get_ident()


def test_a_short_call_joins_those_under_way() -> None:
    begun, end = threading.Event(), asyncio.Event()

    async def stay() -> int:
        begun.set()
        await end.wait()
        return threading.get_ident()

    async def free() -> int:
        end.set()
        return threading.get_ident()

    with ThreadPoolExecutor() as pool:
        staying = pool.submit(loop.run, stay(), instead="")
        assert begun.wait(10)

        assert loop.run_here(free(), instead="") == staying.result(10) != threading.get_ident()


def test_who_leaves_the_loop_hands_it_to_those_who_still_wait() -> None:
    begun, end = threading.Event(), asyncio.Event()

    async def lead() -> None:
        begun.set()
        await asyncio.sleep(0.05)

    async def follow() -> str:
        end.set()
        await asyncio.sleep(0.2)
        return "followed"

    with ThreadPoolExecutor() as pool:
        leading = pool.submit(loop.run_here, lead(), instead="")
        assert begun.wait(10)
        following = pool.submit(loop.run, follow(), instead="")

        leading.result(10)
        assert not following.done()
        assert following.result(10) == "followed"


def test_short_and_long_calls_of_many_threads_all_end() -> None:
    def call(way: int, number: int) -> int:
        match way:
            case 0:
                return loop.run_here(twice(number), instead="")
            case 1:
                return loop.run(twice(number), instead="")
            case _:
                return asyncio.run(loop.hop(twice(number)))

    def calls(thread: int) -> int:
        return sum(call((thread + i) % 3, i) for i in range(120))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(calls, range(8), timeout=60)) == [2 * sum(range(120))] * 8


@pytest.mark.parametrize("raised", [KeyboardInterrupt, StopIteration])
def test_what_a_worker_raises_and_no_task_takes_is_an_error_like_others(raised: type[BaseException]) -> None:
    def work() -> None:
        raise raised("from within")

    with pytest.raises(RuntimeError, match=f"{raised.__name__}: from within"):
        loop.run(loop.default_workers().run(work, 0), instead="")

    assert loop.run_here(twice(21), instead="") == 42


@pytest.mark.parametrize("way", [loop.run_here, loop.run])
def test_ctrl_c_ends_a_call_in_order_and_the_next_one_works(way: Callable[..., None]) -> None:
    happened: list[str] = []

    async def interrupted() -> None:
        try:
            main = threading.main_thread().ident
            threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            happened.append("saved")
            raise

    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        way(interrupted(), instead="")

    assert happened == ["saved"]
    assert signal.getsignal(signal.SIGINT) is before
    assert loop.run_here(twice(21), instead="") == 42


def test_ctrl_c_amid_a_task_is_raised_to_the_caller_and_not_in_the_task() -> None:
    happened: list[str] = []

    async def at_work() -> None:
        signal.raise_signal(signal.SIGINT)
        happened.append("went on")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            happened.append("cancelled")
            raise

    wait_for_idle_loop()
    with pytest.raises(KeyboardInterrupt):
        loop.run_here(at_work(), instead="")

    assert happened == ["went on", "cancelled"]
