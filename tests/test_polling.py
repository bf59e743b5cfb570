"""What the event loop asks the operating system, and when."""

import asyncio
import socket
import time
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeVar

import pytest

from lmprog import polling
from lmprog.polling import Polling

T = TypeVar("T")

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has a loop of its own")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    with closing(asyncio.SelectorEventLoop(Polling())) as loop:
        return loop.run_until_complete(coroutine)


def test_what_comes_is_seen_while_the_loop_is_busy() -> None:
    """A loop with work at hand at every moment still reads what others send."""
    here, there = socket.socketpair()

    async def busy() -> bytes:
        loop = asyncio.get_running_loop()
        here.setblocking(False)
        reading = loop.create_task(loop.sock_recv(here, 10))
        await asyncio.sleep(0)
        there.send(b"now")
        until = time.monotonic() + 5
        while not reading.done() and time.monotonic() < until:
            await asyncio.sleep(0)
        return reading.result()

    with here, there:
        assert run(busy()) == b"now"


def test_with_work_at_hand_the_system_is_not_asked_at_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "LOOK_EVERY_S", 3600.0)
    selector = Polling()
    here, there = socket.socketpair()
    with here, there, closing(selector):
        selector.register(here, 1)
        assert selector.select(0.001) == []
        there.send(b"x")

        assert selector.select(0) == []  # looked a moment ago
        assert [key.fileobj for key, _ in selector.select(None)] == [here]


@pytest.mark.parametrize("timeout", [0.5, 3.0, None])
def test_a_wait_ends_with_what_comes(timeout: float | None) -> None:
    here, there = socket.socketpair()
    with here, there, closing(Polling()) as selector:
        selector.register(here, 1)
        there.send(b"x")

        started = time.monotonic()
        assert [key.fileobj for key, _ in selector.select(timeout)] == [here]
        assert time.monotonic() - started < 0.4


def test_a_wait_takes_no_less_than_it_was_to() -> None:
    async def waits() -> list[float]:
        took: list[float] = []
        for wait in (0.0003, 0.0021, 0.0105):
            started = time.monotonic()
            await asyncio.sleep(wait)
            took.append(time.monotonic() - started - wait)
        return took

    assert min(run(waits())) >= 0


def test_a_process_with_many_open_files_waits_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_SELECT_AT_MOST", 0)  # as if epoll's own descriptor were above it

    assert run(asyncio.sleep(0.002, "over")) == "over"
