"""What both sides of the benchmark do: the same questions, the same replies, the same clock."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Settings = Mapping[str, int | bool | str]
"""What a cell is run with; it is part of the cell's identity."""

Sample = dict[str, float]
"""What one side gave in one fresh process, by figure."""

Workload = Callable[[Settings], Sample]

INSTRUCTION = "Answer the question in a few words."
ANSWER = "Paris"
WARM_UP = 300
"""Calls before the clock starts: imports, templates, statements."""
DEMOS = 8


@dataclass(slots=True)
class Clock:
    """Seconds of wall time and of this process's CPU time."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def each(self, count: int) -> Sample:
        """Return microseconds for one of `count`."""
        return {"us": self.wall_s / count * 1e6, "cpu_us": self.cpu_s / count * 1e6}


@contextmanager
def clocked() -> Generator[Clock]:
    """Time the block."""
    clock = Clock()
    wall, cpu = time.perf_counter(), time.process_time()
    yield clock
    clock.wall_s, clock.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def server(latency_ms: int) -> Generator[str]:
    """Run the server in a process of its own and give its base URL."""
    command = [sys.executable, str(Path(__file__).parent / "speed_server.py"), str(latency_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()


def question(number: int) -> str:
    """Return a question of its own for each number."""
    return f"What is the capital of country number {number}?"


def efficiency(clock: Clock, rows: int, latency_s: float, in_flight: int) -> Sample:
    """Return ideal time / actual time for `rows` calls, in percent."""
    ideal_s = rows * latency_s / in_flight
    return {"percent": 100 * ideal_s / clock.wall_s, "cpu_us": clock.cpu_s / rows * 1e6}


def compiled(clock: Clock, calls: int, latency_s: float, in_flight: int) -> Sample:
    """Return ideal time / actual time in percent, and what it is made of."""
    return efficiency(clock, calls, latency_s, in_flight) | {"calls": calls, "seconds": clock.wall_s}


def value_of(field: str, prompt: str) -> str:
    """Return what the LM of a compile writes into a field: an answer that is right for half of all prompts."""
    digest = hashlib.sha256(f"{field}\n{prompt}".encode()).hexdigest()
    if field == "answer":
        return ANSWER if int(digest, 16) % 2 else "Oslo"
    return f"Write with care, as in case {digest[:6]}."
