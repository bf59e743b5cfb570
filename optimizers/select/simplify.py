"""A last step for any optimizer: take back the winner's changes that bring nothing.

A search keeps what came with its gain: the best of many nearly equal combinations is full of changes that only luck let
win. They make prompts longer and stranger, and on other rows they are worth nothing.
"""

import math
from collections.abc import Iterator, Sequence

from lmprog.errors import CapReached
from lmprog.events import CandidateScored, IncumbentChanged
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.space import Choice, Kind
from lmprog.params import Params

KEPT = 0.05
"""The part of an allowance to keep back for this. Calls that candidates share are made once, so much is decided with little."""
KINDS: tuple[Kind, ...] = ("field_descriptions", "format", "instruction", "demos")
"""What is taken back first: demos carry most of what prompts gain."""
FIRST = 35
"""Rows run at first, where a change that matters shows; then twice as many as until then."""
HALF = 0.5
"""A change stays where the winner is ahead of the program without it by more standard errors of the paired difference."""
CLEAR = 1.5
"""As many on the rows until then, and no more rows are run."""


async def simplified(problem: Problem, start: Params, outcome: Outcome) -> Outcome:
    """Return the outcome without those of its changes to `start` whose loss does not show on the validation rows.

    Changes are taken back one after the other, each on top of those before, and compared with the winner, so that
    losses do not add up; never below the baseline. It ends where the allowance has no room for more rows.
    """
    changes = list(_changes(start, outcome.params))
    if not changes:
        return outcome
    winner = (await problem.evaluate(outcome.params)).scores  # recorded by now
    undoing = _Undoing(problem, outcome, winner)
    kept, undone = outcome, 0
    try:
        for change in changes:
            back = kept.params.replace(change.path, **{change.kind: getattr(start[change.path], change.kind)})
            scores = await undoing.scores(back, f"without the new {change.kind.replace('_', ' ')} of {change.path}")
            if scores is not None:
                kept, undone = Outcome(back, _mean(scores), outcome.baseline_score, outcome.stopped), undone + 1
                requested = problem.allowance.ledger.requested
                problem.emit(IncumbentChanged(back.fingerprint, kept.score, requested))
    except CapReached:
        pass
    problem.ended("simplify", changes=len(changes), undone=undone, score=kept.score)
    return kept


class _Undoing:
    """Runs of the program with a change taken back, compared with the winner's row by row."""

    def __init__(self, problem: Problem, outcome: Outcome, winner: Sequence[float]) -> None:
        self._problem, self._outcome, self._winner = problem, outcome, winner
        self._order = list(range(len(winner)))
        problem.rng("simplify").shuffle(self._order)

    async def scores(self, params: Params, origin: str) -> list[float] | None:
        """Return the scores of the params on all rows where they lose nothing to speak of, else None."""
        known: dict[int, float] = {}
        allowance = self._problem.allowance
        while len(known) < len(self._order):
            rest = self._order[len(known) : max(FIRST, 3 * len(known))]
            fitting = int(min(allowance.left / allowance.calls_per_row, len(rest)))  # if nothing is recorded: most is
            if fitting < min(FIRST, len(rest)):
                return None
            rows = sorted(rest[:fitting])
            work = self._problem.evaluate(params, rows)
            found = await self._problem.begin(work, calls=allowance.for_rows(len(rows))).result()
            known |= zip(rows, found.scores, strict=True)
            parents, requested = (self._outcome.params.fingerprint,), allowance.ledger.requested
            self._problem.emit(
                CandidateScored(-1, params.fingerprint, parents, params, tuple(rows), found.scores, requested, origin)
            )
            if self._loss(known) > CLEAR:
                return None
        scores = [known[row] for row in range(len(self._winner))]
        return scores if self._loss(known) <= HALF and _mean(scores) >= self._outcome.baseline_score else None

    def _loss(self, known: dict[int, float]) -> float:
        """Return by how many standard errors the winner is ahead on the known rows."""
        losses = [self._winner[row] - score for row, score in known.items()]
        spread = math.sqrt(sum(loss * loss for loss in losses))
        return sum(losses) / spread if spread else 0.0


def _changes(start: Params, winner: Params) -> Iterator[Choice]:
    """Yield what differs, the latest predictors first: without their changes the calls before them are those recorded."""
    for kind in KINDS:
        for path, value in reversed(list(winner.items())):
            if getattr(value, kind) != getattr(start[path], kind):
                yield Choice(path, kind)


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)
