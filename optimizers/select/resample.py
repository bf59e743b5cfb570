"""Generations of candidates, each filtered on ever more rows, and the next made from those that are left."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Told


class Resample:
    """Filter pool after pool by successive halving (APE's algorithm 1: Zhou et al. 2022, arXiv:2211.01910).

    A pool is scored on the first `rows` rows of `order`. The better half goes on, and is scored on twice as many rows in
    all, until no more than `top` are left, of which the best gets a full score. Candidates are compared on the same
    rows. `next_pool` makes each pool from what the one before left, the best first; None from it ends the search. A
    score that is known is not asked for again, so that survivors cost nothing.
    """

    def __init__(
        self,
        params: Params,
        next_pool: Callable[[Sequence[Params], ScoreTable], Awaitable[Sequence[Ask] | None]],
        order: Sequence[int],
        *,
        rows: int,
        top: int,
    ) -> None:
        self._next_pool, self._order, self._rows, self._top = next_pool, order, rows, top
        self._left: list[Params] = [params]
        self._pool: list[Ask] = []
        self._seen = 0
        self._under_way = False

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return the wishes of the next stage, or of the next pool's first; nothing while a stage is under way."""
        if self._under_way or not table.candidates:
            return []
        while not (asks := self._stage(table)):
            pool = await self._next_pool(self._left, table)
            if pool is None:
                return []
            self._pool, self._seen = list(pool), 0
        self._under_way = True
        return asks

    def tell(self, told: Sequence[Told], /) -> None:
        """Take in that the stage is over; the scores are in the table. What was refused or cut is not asked for again."""
        self._under_way = False

    def _stage(self, table: ScoreTable) -> list[Ask]:
        """Drop who falls out, and return what is unknown of the rest on the next rows; nothing where the pool is done."""
        while self._pool:
            if self._seen:
                ranked = self._ranked(table)
                if len(ranked) <= self._top or self._seen == len(self._order):
                    self._left, self._pool = [ask.params for ask in ranked[: self._top]] or self._left, []
                    full = Ask(self._left[0], origin="full score of the best of its pool")
                    return [] if table.is_full(full.params.fingerprint) else [full]
                self._pool = ranked[: max(self._top, -(-len(ranked) // 2))]
            self._seen = min(len(self._order), max(self._rows, 2 * self._seen))
            asks = [replace(ask, rows=self._unknown(ask.params, table)) for ask in self._pool]
            if asks := [ask for ask in asks if ask.rows]:
                return asks
        return []

    def _ranked(self, table: ScoreTable) -> list[Ask]:
        """Return the pool, the best on the rows of this stage first, less what was refused or cut."""
        rows = self._order[: self._seen]
        known = [ask for ask in self._pool if not self._unknown(ask.params, table)]
        scores = [table.scores(ask.params.fingerprint) for ask in known]
        means = {id(ask): sum(cells[row] for row in rows) / len(rows) for ask, cells in zip(known, scores, strict=True)}
        return sorted(known, key=lambda ask: -means[id(ask)])

    def _unknown(self, params: Params, table: ScoreTable) -> tuple[int, ...]:
        missing = set(table.missing(params.fingerprint))
        return tuple(sorted(missing.intersection(self._order[: self._seen])))


def runs(count: int, *, rows: int, top: int, total: int) -> int:
    """Return how many runs of the program it takes to filter a pool of so many new candidates, on `total` rows at most."""
    taken = before = 0
    while before < total:
        seen = min(total, max(rows, 2 * before))
        taken, before = taken + count * (seen - before), seen
        if count <= top:
            break
        count = max(top, -(-count // 2))
    return taken
