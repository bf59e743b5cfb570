"""A run is found again only by the same code and values: else a stale certificate would be taken for a new one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmprog.identity import identity_of

THRESHOLD_IN_A_GLOBAL = """
THRESHOLD = {value}
def metric(row, prediction): return prediction > THRESHOLD
thing = metric
"""
STEP_IN_ANOTHER_FUNCTION = """
def right(x, y): return x == y + {value}
def metric(row, prediction): return right(row, prediction)
thing = metric
"""
STATE_OF_AN_OBJECT = """
class Metric:
    def __init__(self, least): self.least = least
    def __call__(self, row, prediction): return prediction > self.least
thing = Metric({value})
"""
CLOSURE = """
def make(least):
    def metric(row, prediction): return prediction > least
    return metric
thing = make({value})
"""
DEFAULT = """
def metric(row, prediction, least={value}): return prediction > least
thing = metric
"""
BASE_CLASS = """
class Base:
    def step(self): return {value}
class Program(Base):
    def forward(self): return self.step()
thing = Program()
"""
PART_OF_AN_OBJECT = """
class Tool:
    def __init__(self, value): self.value = value
class Program:
    def __init__(self): self.tools = [Tool({value})]
thing = Program()
"""
SOURCES = [
    THRESHOLD_IN_A_GLOBAL, STEP_IN_ANOTHER_FUNCTION, STATE_OF_AN_OBJECT, CLOSURE, DEFAULT, BASE_CLASS, PART_OF_AN_OBJECT,
]  # fmt: skip


def made(source: str, value: int) -> Any:
    """What a source makes, as typed at a prompt: there is no file to read it from."""
    names: dict[str, Any] = {"__name__": "typed"}
    exec(source.replace("{value}", str(value)), names)
    return names["thing"]


@pytest.mark.parametrize("source", SOURCES)
def test_another_value_anywhere_in_reach_is_another_identity(source: str) -> None:
    assert identity_of(made(source, 1)) == identity_of(made(source, 1))
    assert identity_of(made(source, 1)) != identity_of(made(source, 2))


def test_a_comment_changes_nothing() -> None:
    assert identity_of(made("def thing(x): return x", 0)) == identity_of(made("def thing(x): return x  # why", 0))


def test_things_that_hold_each_other_end() -> None:
    class Node:
        def __init__(self) -> None:
            self.other: object = self

    assert identity_of(Node()) == identity_of(Node())


def test_the_identity_is_the_same_in_every_process(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(
        "from lmprog.identity import identity_of\n"
        "KNOWN = {'a', 'b', 'c', 'd'}\n"
        "class Metric:\n"
        "    def __init__(self): self.words = {'x', 'y', 'z'}\n"
        "    def __call__(self, row, prediction): return prediction in KNOWN or prediction in {'e', 'f', 'g'}\n"
        "print(identity_of(Metric()), identity_of(Metric.__call__))\n"
    )
    found = {subprocess.run([sys.executable, str(file)], capture_output=True, text=True).stdout for _ in range(3)}

    assert len(found) == 1
    assert found != {""}


def test_lambdas_and_methods_have_one() -> None:
    first: Callable[[bool], bool] = lambda row: row  # noqa: E731
    second: Callable[[bool], bool] = lambda row: not row  # noqa: E731
    things: list[Callable[..., Any]] = [first, second, "".join, str.upper]

    assert len({identity_of(thing) for thing in things[:2]}) == 2
    assert all(len(identity_of(thing)) == 16 for thing in things)
