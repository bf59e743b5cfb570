"""What a budget means for a run: refused where it is too small, and in part kept back for the proof."""

import math
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lmprog.budget import MARGIN, Size, certificate_calls, estimate
from lmprog.cuts import Cuts
from lmprog.errors import CapReached, DataError, InputError
from lmprog.evaluation import Evaluation, Run
from lmprog.lm.ledger import Amount, Budget, Ledger, measured
from lmprog.params import Params
from lmprog.request import DEFAULT_MAX_TOKENS

T = TypeVar("T")

PROBED_ROWS = 4
"""Training rows run first, to see that all works and what a row takes."""

LAST, LAST_AT_LEAST = 0.25, 0.1
"""The share of the cap in seconds that the search leaves to the proof until calls have been timed, and the least then."""
TIMED_CALLS = 20
"""So many calls tell how fast calls are answered."""
SLOWER = 1.5
"""How much slower the proof may be than the search."""

_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run of a program takes, on the mean."""

    calls: float
    tokens: float
    usd: float
    steps: Mapping[str, float]
    """Calls by predictor."""

    @staticmethod
    def mean(runs: Sequence[Run], cost: Amount) -> "Taken":
        """Return the mean over runs that have cost so much in all."""
        steps = dict[str, float]()
        for step in (step for run in runs for step in run.trace):
            steps[step.predictor] = steps.get(step.predictor, 0.0) + (1 + step.retries) / len(runs)
        return Taken(cost.calls / len(runs), cost.tokens / len(runs), cost.usd / len(runs), steps)


NOTHING = Taken(0.0, 0.0, 0.0, {})


def taken_by(program: object, runs: Sequence[Run], cost: Amount) -> Taken:
    """Return what a row takes by the first rows, which have cost so much in all.

    DataError where the program's own code failed on most of them, or it called no LM.
    """
    Evaluation(tuple(runs)).checked()
    row = Taken.mean(runs, cost)
    if not row.calls:
        raise DataError(
            f"{type(program).__name__} made no LM call on the first {len(runs)} rows, so there is nothing to compile."
        )
    return row


class Caps:
    """The caps of a run, from the first rows to the proof.

    The search may spend what is left of calls, tokens and USD when the certificate's share is subtracted: what
    running baseline and winner on the holdout is expected to take, and a quarter more. Calls are measured on the first rows.
    Tokens and USD follow from these too, from the length of the longest prompts tried, and from what the runs so far
    took of what was expected of them.
    """

    def __init__(
        self, ledger: Ledger, budget: Size | Budget, params: Params, rows: Mapping[str, int], cuts: Cuts
    ) -> None:
        self.calls: int | None = None
        """The cap in calls, where there is one."""
        self.reserved = 0
        """Calls kept back for the certificate."""
        self._ledger, self._cuts = ledger, cuts
        self._size: Size | None = budget if not isinstance(budget, Budget) else None
        self._budget = budget if isinstance(budget, Budget) else Budget()
        self._params, self._rows = params, rows
        self._row = NOTHING
        self._longest = self._longest_taken = 1.0
        self._factor = 1.0
        self._timed_from = (0.0, 0)
        """Seconds and calls begun when the search began."""
        ledger.budget = self._budget

    def plan(self, row: Taken, probed: int, row_s: float = 0.0) -> None:
        """Set the caps of the search, now that so many rows have told what a row takes.

        `row_s` is how long a row takes at least where as many run at once as may. InputError where not even the score of
        the unmodified program and the certificate fit the budget.
        """
        self._row = row
        self.reserved = certificate_calls(self._rows["holdout"], row.calls)
        self.calls = self._budget.calls
        if self._size is not None:
            self.calls = estimate(self._size, predictors=len(self._params), calls_per_row=row.calls, **self._rows).total
        self._check(row, probed, "the program takes about {} a row")
        self._check_seconds(row_s)
        self._timed_from = (self._ledger.seconds, self._ledger.begun)
        self._ledger.kept_s = self._kept_s
        self._keep()
        self._ledger.planned = self._ledger.budget

    def refuse(self, row: Taken, probed: int, cap: CapReached) -> None:
        """Raise InputError where a cap was reached before so many rows were run; `row` is what the first took, or NOTHING."""
        if cap.cap == "seconds":
            return
        said = "the program takes about {} a row"
        if not row.calls:
            each, calls = self._ledger.largest, len(self._params)
            row = Taken(calls, calls * each.tokens, calls * each.usd, {})
            said = (
                "no row was run to its end. Where each predictor makes one call, as long as it may be, a row takes {}"
            )
        self._row = row
        self.reserved = certificate_calls(self._rows["holdout"], row.calls)
        self._check(row, probed, said)

    @property
    def searchable(self) -> int | None:
        """The calls that the search may request."""
        return None if self.calls is None else self.calls - self.reserved

    def free(self) -> None:
        """Let the certificate have what was kept back."""
        self._ledger.kept_s = float
        self._ledger.budget = self._ledger.planned = replace(self._budget, calls=self.calls)

    async def evaluated(self, what: str, params: Params, work: Coroutine[Any, Any, Evaluation]) -> Evaluation:
        """Run params that may win, and keep back what it takes to prove them."""
        if self._budget.tokens is None and self._budget.usd is None:
            return await self._cuts.within(what, work)
        length = self.length(params)
        self._longest = max(self._longest, length)
        self._keep()
        with measured() as cost:
            evaluation = await self._cuts.within(what, work)
        self._ledger.when_taken(lambda: self._learn(length, len(evaluation.runs), cost()))
        return evaluation

    async def within(self, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Do other work of the search; see Cuts."""
        return await self._cuts.within(what, work)

    def length(self, params: Params) -> float:
        """Return what a run under these params is expected to take, as a multiple of one under the program's own."""
        more = sum(
            steps * (_tokens(params, path) - _tokens(self._params, path)) for path, steps in self._row.steps.items()
        )
        return max(1.0, 1 + more / max(1.0, self._row.tokens))

    def _learn(self, length: float, runs: int, cost: Amount) -> None:
        """Take in what so many runs of params of this length cost."""
        self._longest_taken = max(self._longest_taken, length)
        for took, expected in ((cost.tokens, self._row.tokens), (cost.usd, self._row.usd)):
            if expected:
                self._factor = max(self._factor, took / (runs * length * expected))
        self._keep()
        self._ledger.planned = self._less(self._kept(self._longest_taken))

    def _keep(self) -> None:
        self._ledger.budget = self._less(self._kept(self._longest))

    def _kept(self, longest: float) -> tuple[float, float]:
        """Return the tokens and USD that the certificate is expected to take where a run of the winner is `longest` times
        one of the baseline."""
        row, runs = self._row, MARGIN * self._rows["holdout"] * self._factor * (1 + longest)
        reply = max(value.config.max_tokens or DEFAULT_MAX_TOKENS for value in self._params.values())
        last = longest * row.tokens + reply  # what its last call may need before it is sent, whatever it costs then
        return runs * row.tokens + last, runs * row.usd + last * self._ledger.dearest

    def _less(self, kept: tuple[float, float]) -> Budget:
        """Return the caps less what is kept in tokens and in USD."""
        whole, (tokens, usd) = self._budget, kept
        return Budget(
            calls=self.searchable,
            tokens=None if whole.tokens is None else max(1, math.floor(whole.tokens - tokens)),
            usd=None if whole.usd is None else max(1e-12, whole.usd - usd),
            seconds=whole.seconds,
        )

    def _kept_s(self) -> float:
        """Return the part of the cap in seconds that the certificate is expected to take: its calls, as fast as until now."""
        (began, before), seconds = self._timed_from, self._budget.seconds or 0.0
        calls = self._ledger.begun - before
        if calls < TIMED_CALLS:
            return LAST * seconds
        return max(LAST_AT_LEAST * seconds, SLOWER * self.reserved * (self._ledger.seconds - began) / calls)

    def _check(self, row: Taken, probed: int, said: str) -> None:
        """Refuse a cap that is too small; `said` is what is known of a row, with a place for what it takes."""
        budget, before = self._budget, probed + self._rows["val"]
        tokens, usd = self._kept(1.0)
        self._check_one("calls", budget.calls, said, row.calls, math.ceil(before * row.calls) + self.reserved)
        self._check_one("tokens", budget.tokens, said, row.tokens, math.ceil(before * row.tokens + tokens))
        self._check_one("USD", budget.usd, said, row.usd, before * row.usd + usd)

    def _check_seconds(self, row_s: float) -> None:
        """Refuse a cap in seconds that is too small however well all goes."""
        said = "at its pace until now the program takes {} a row, with as many rows at once as may be"
        least = row_s * (self._rows["val"] + 2 * self._rows["holdout"])
        self._check_one("seconds", self._budget.seconds, said, row_s, least, "at least")

    def _check_one(
        self, what: str, cap: float | None, said: str, per_row: float, least: float, bound: str = "up to"
    ) -> None:
        if cap is None or cap >= least:
            return
        figure = _figure(per_row)
        taken = f"{figure} {what.removesuffix('s') if figure == '1' else what}"
        rows, or_size = self._rows, ', or `budget="light"`' if what == "calls" else ""
        raise InputError(
            f"the budget of {_figure(cap)} {what} is too small: {said.format(taken)}, so "
            f"scoring it on {rows['val']} validation rows and proving a gain on {rows['holdout']} holdout rows takes {bound} "
            f"{_figure(least)} {what}, before any search. Give {_figure(2 * least)} {what} or more{or_size}."
        )


def _tokens(params: Params, path: str) -> float:
    return len(params[path].model_dump_json().encode()) / _BYTES_PER_TOKEN


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"
