"""Successive halving: ever fewer candidates on ever more rows."""

import math
from collections.abc import Callable, Sequence

from lmprog.optimizer import Problem
from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, End, Told

Rank = Callable[[ScoreTable, Sequence[str]], Sequence[str]]
"""Puts candidates in order, the best first."""


class Halving:
    """All candidates left run on the same rows, then the best part of them, one in `factor`, on more, till one is left.

    Each stage may take an equal part of the calls that are left, and adds to the rows that were run before. With a factor
    of 2 and the mean as `rank` it is Sequential Halving (Karnin et al. 2013); with a factor near 1, Successive Rejects
    (Audibert and Bubeck 2010). Where calls are not capped, or suffice for it, all are run on all rows.
    """

    def __init__(self, problem: Problem, candidates: Sequence[Params], rank: Rank, *, factor: float) -> None:
        self._problem, self._rank, self._factor = problem, rank, factor
        self._left = {params.fingerprint: params for params in candidates}
        self._first = candidates[0].fingerprint
        self._order = list(range(len(problem.val)))
        problem.rng("rows").shuffle(self._order)
        self._seen = 0
        self._under_way = False

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask] | End:
        """Return the next stage; nothing while one is under way."""
        if self._under_way:
            return []
        if self._seen and len(self._left) > 1:
            self._drop(table)
        if len(self._left) <= 1 or self._seen == len(self._order):
            return End("one candidate was left" if len(self._left) == 1 else "the best were run on all rows")
        runs = self._problem.allowance.left / self._problem.allowance.calls_per_row
        count, rest = len(self._left), len(self._order) - self._seen
        more = min(rest, max(1, int(self._share(runs) / count)), int(min(runs, rest * count) / count))
        if not more:
            return End(self._problem.allowance.why_spent)
        rows = tuple(sorted(self._order[self._seen : self._seen + more]))
        self._seen += more
        self._under_way = True
        return [Ask(params, rows, origin="given") for params in self._left.values()]

    def tell(self, told: Sequence[Told], /) -> None:
        """Drop what broke the contract of prompts."""
        self._under_way = False
        for one in told:
            if one.evaluation is None:
                self._left.pop(one.ask.params.fingerprint, None)

    def choose(self, table: ScoreTable) -> str:
        """Return the best of those left; the first where nothing was run."""
        return self._rank(table, [name for name in self._left if table.n(name)] or list(self._left) or [self._first])[0]

    def _drop(self, table: ScoreTable) -> None:
        ranked = self._rank(table, list(self._left))
        kept = {*ranked[: self._next(len(ranked))]}
        self._left = {name: params for name, params in self._left.items() if name in kept}

    def _next(self, count: int) -> int:
        """Return how many go on of so many."""
        return min(count - 1, math.ceil(count / self._factor))

    def _share(self, runs: float) -> float:
        """Return how many runs the next stage may take, so that all stages to come take an equal part and `runs` in all.

        A stage takes less where its candidates have no rows left to run on.
        """
        counts = [len(self._left)]
        while counts[-1] > 2:
            counts.append(self._next(counts[-1]))

        def taken(share: float) -> float:
            rows, total = float(self._seen), 0.0
            for count in counts:
                more = min(len(self._order) - rows, share / count)
                rows, total = rows + more, total + count * more
            return total

        low, high = 0.0, float(counts[0] * len(self._order))
        if taken(high) <= runs:
            return high
        while high - low > 0.5:
            middle = (low + high) / 2
            low, high = (middle, high) if taken(middle) <= runs else (low, middle)
        return low
