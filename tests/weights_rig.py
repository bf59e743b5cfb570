"""For tests of optimizers that tune weights: an LM whose script sees whether it was tuned, and what all of them promise."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.lm.adapters import Encoded
from lmprog.lm.tiny.client import WEIGHTS
from lmprog.optimizer import Optimizer, Outcome, Problem, named
from lmprog.testing import Handler, ScriptedLM, problem_for

METRIC = lp.metrics.exact_match("answer")


class Planted(ScriptedLM):
    """An LM that can be tuned, for rehearsals, where nothing is trained: `asked.request.weights` tells its script that it was.

    `learned` keeps what a training would have read, in order.
    """

    def __init__(self, handler: Handler) -> None:
        super().__init__(
            handler, name="planted", capabilities=frozenset({"generate", "sample", "score", "lora", "finetune"})
        )
        self.folder = WEIGHTS
        self.learned: list[tuple[lp.Request, str]] = []

    def encode(self, request: lp.Request, reply: str) -> Encoded:
        """Return a token for each word."""
        self.learned.append((request, reply))
        words = " ".join(message.text for message in request.messages).split()
        return Encoded(tuple(range(len(words))), tuple(range(len(reply.split()))))

    def add_adapter(self, path: Path | str) -> str:
        """Nothing is trained, so there is none."""
        raise AssertionError(f"an adapter at {path} in a rehearsal")

    def release(self) -> None:
        """There is nothing to give back."""


def rehearsal(
    program: Any, train: Sequence[Mapping[str, Any]], val: Sequence[Mapping[str, Any]], lm: lp.LM, **settings: Any
) -> Problem:
    """Return a problem in which nothing is trained."""
    return replace(problem_for(program, train, val, METRIC, lm, **settings), rehearsed=True)


def found(optimizer: str | Optimizer, problem: Problem) -> Outcome:
    """Search from the program as it is."""
    return loop.run(named(optimizer).search(problem, lp.params_of(problem.program)), instead="await")


def check_promises(optimizer: str | Optimizer, program: Any, rows: Sequence[Mapping[str, Any]], lm: Planted) -> None:
    """Assert that an LM without weights is refused before any call, that a plan trains nothing, and that equal seeds and
    replies give equal outcomes within the budget.
    """
    given: dict[str, Any] = {"train": rows[:40], "val": rows[40:60], "holdout": rows[60:], "metric": METRIC}
    poor = ScriptedLM(lambda asked: {})
    with pytest.raises(lp.CapabilityError, match="needs the capability 'finetune'"):
        lp.compile(program, optimizer=optimizer, lm=poor, **given)
    assert poor.sent == 0

    with TemporaryDirectory() as folder:
        plan = lp.plan(program, optimizer=optimizer, lm=lm, budget=lp.Budget(calls=2000), run_dir=folder, **given)
    assert plan.requested["training"].tokens > 0

    problems = [rehearsal(program, rows[:40], rows[40:60], lm, calls=1000, seed=3) for _ in range(2)]
    outcomes = [found(optimizer, problem) for problem in problems]
    assert outcomes[0] == outcomes[1]
    assert all(value.weights for value in outcomes[0].params.values())
    assert outcomes[0].score > outcomes[0].baseline_score
    assert problems[0].allowance.ledger.requested <= 1000
