"""A rig for certificates: compiles of candidates whose true gains are known, before an LM that makes them so."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmprog as lp
from lmprog.metrics import exact_match
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.full import Full
from lmprog.request import Request, Response
from lmprog.rundir import JOURNAL, read_journal
from lmprog.search import Ask, search
from lmprog.testing import reply

RIGHT = 0.5
"""The share of rows that the uncompiled program gets right."""
PLANTED, HOLDOUT = 0.10, 150


@dataclass(frozen=True, slots=True)
class Cell:
    """Compiles that differ in nothing but the seed: what their candidates truly gain, and on how many rows."""

    name: str
    gains: tuple[float, ...]
    discordant: float
    """The share of rows on which a candidate scores differently from the program as it was."""
    val: int
    holdout: int
    compiles: int
    group: int = 1
    """Rows of one document, which all LMs get right or wrong together."""


CELLS = {
    cell.name: cell
    for cell in (
        Cell("equal", (0.0,) * 4, 0.20, 40, HOLDOUT, 1000),
        Cell("+10 at 15%", (PLANTED, 0.0), 0.15, 100, HOLDOUT, 1000),
        Cell("+10 at 25%", (PLANTED, 0.0), 0.25, 100, HOLDOUT, 400),
        Cell("+10 at 40%", (PLANTED, 0.0), 0.40, 100, HOLDOUT, 400),
        Cell("equal, few rows", (0.0,) * 4, 0.30, 30, 30, 1000),
        Cell("equal, 15 groups", (0.0,) * 4, 0.30, 40, 150, 1000, group=10),
    )
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one compile claimed, and what is true."""

    gain: float
    low: float
    high: float
    truth: float
    """The true gain of the candidate that won."""
    differs: bool
    """Whether a candidate won, and not the program as it was."""
    claimed: bool
    """Whether the gate let it ship."""


class World:
    """An LM whose candidates gain what they are said to gain: on rows drawn anew by each seed, and by luck on each row."""

    capabilities = frozenset({"generate"})

    def __init__(self, cell: Cell, seed: int) -> None:
        self.name = f"world-{seed}"
        self._cell, self._seed = cell, seed

    async def __call__(self, request: Request, /) -> Response:
        """Answer yes where the candidate is right on the row."""
        _, _, said = request.messages[0].text.partition("candidate ")
        unit = int(request.messages[-1].text.partition("row ")[2].split()[0]) // self._cell.group
        return Response(reply({"answer": "yes" if self._right(unit, said.split()[0]) else "no"}, request))

    def _right(self, unit: int, candidate: str) -> bool:
        right = self._luck(unit) < RIGHT
        if candidate == "none":
            return right
        gain, differing = self._cell.gains[int(candidate)], self._cell.discordant
        changed = (differing - gain) / 2 / RIGHT if right else (differing + gain) / 2 / (1 - RIGHT)
        return right != (self._luck(unit, candidate) < changed)

    def _luck(self, *names: object) -> float:
        digest = hashlib.sha256("/".join(map(str, (self._seed, *names))).encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class Best:
    """Scores each candidate on all validation rows, and takes the best."""

    candidates: int

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        """One full evaluation a candidate."""
        made = [params.replace("predict", instruction=f"This is candidate {n} .") for n in range(self.candidates)]
        return await search(problem, params, Full([Ask(candidate) for candidate in made]))


def compiled(cell: Cell, seed: int) -> Compiled:
    """Compile under a seed, as users do, and hold the certificate against the truth."""
    program = lp.Predict("question -> answer").with_params(lp.PredictorParams(instruction="This is candidate none ."))
    numbers = iter(range(10_000))
    train, val, holdout = (
        [_row(next(numbers), cell.group) for _ in range(size)] for size in (10 * cell.group, cell.val, cell.holdout)
    )
    folder = Path(tempfile.mkdtemp(prefix="lmprog-certificate-"))
    try:
        result = lp.compile(
            program, train=train, val=val, holdout=holdout, metric=exact_match("answer"), lm=World(cell, seed), seed=seed,
            optimizer=Best(len(cell.gains)), budget=lp.Budget(), gate="significant", run_dir=folder / "run",
            group=None if cell.group == 1 else "document",
        )  # fmt: skip
        winner = _winner(read_journal(result.run_dir / JOURNAL))
    finally:
        shutil.rmtree(folder)
    found = result.certificate
    truth = 0.0 if winner == "none" else cell.gains[int(winner)]
    low, high = found.interval.low, found.interval.high
    return Compiled(found.gain, low, high, truth, winner != "none", claimed=result.shipped == "compiled")


def _row(number: int, group: int) -> dict[str, Any]:
    return {"question": f"row {number} .", "answer": "yes", "document": f"document {number // group}"}


def _winner(events: Sequence[Mapping[str, Any]]) -> str:
    """Return the number of the candidate that led in the end, or "none" where none did."""
    last = [event["candidate"] for event in events if event["event"] == "IncumbentChanged"][-1]
    scored = next(event for event in events if event["event"] == "CandidateScored" and event["candidate"] == last)
    instruction: str = scored["params"]["predictors"]["predict"]["instruction"]
    return instruction.split()[3]
