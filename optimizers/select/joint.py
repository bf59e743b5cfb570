"""Joint search over one choice per predictor and part: a surrogate says which combinations are tried next."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from lmprog.optimizers.select.racing import beaten
from lmprog.optimizers.select.surrogates import Combo, Surrogate, Tried
from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Told


class Space(Protocol):
    """A categorical space of params, which may gain options between rounds; option 0 of each choice is the program as it was."""

    @property
    def sizes(self) -> Sequence[int]:
        """How many options each choice has."""
        ...

    def build(self, combo: Combo, /) -> Params:
        """Return the params that a combination stands for; no two combinations stand for the same."""
        ...

    def describe(self, combo: Combo, /) -> str:
        """Return in a few words what differs from the program as it was."""
        ...


class Joint:
    """A categorical space searched by a surrogate: `width` combinations a round on one minibatch, and full scores now and then.

    All candidates of a round share their rows, and what the surrogate sees is adjusted for how hard these rows are. After
    every `full_every` trials the best combination without a full score races for one: it runs on as many rows again in each
    round, until it has run on all, or one that has a full score has beaten it for certain. Rounds may be asked
    before those under way are told. The combinations `first` are tried before the surrogate is asked. `grow` is called before
    each round, and may add options to the space.
    """

    def __init__(
        self,
        space: Space,
        surrogate: Surrogate,
        rows: Callable[[int], tuple[int, ...] | None],
        *,
        seed: int,
        trials: int | None,
        width: int,
        full_every: int,
        first: Sequence[Combo] = (),
        grow: Callable[[int, Sequence[Tried]], Awaitable[None]] | None = None,
    ) -> None:
        self._space, self._surrogate, self._rows, self._grow = space, surrogate, rows, grow
        self._seed, self._trials, self._width, self._full_every = seed, trials, width, full_every
        self._round = self._done = self._full_at = 0
        self._names: dict[Combo, str] = {}
        self._under_way: deque[list[tuple[Combo, Ask, bool]]] = deque()
        """Rounds of (combination, wish, whether it is a trial)."""
        self._refused: set[Combo] = set()
        self._first = deque(first)
        self._racing: Combo | None = None

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return the next combinations to try, and a candidate for a full score when one is due."""
        self._round += 1
        estimates = table.adjusted()
        names = {self._name(combo): combo for combo in [(0,) * len(self._space.sizes), *self._names]}
        tried = [Tried(names[name], estimates[name], table.n(name)) for name in table.candidates if name in names]
        if self._grow is not None:
            await self._grow(self._done, tried)
        wishes = [*self._full(table, tried), *await self._fresh(table, tried)]
        if wishes:
            self._under_way.append(wishes)
        return [ask for _, ask, _ in wishes]

    def tell(self, told: Sequence[Told], /) -> None:
        """Count the trials; what they scored is in the table."""
        results = {id(one.ask): one for one in told}
        for combo, ask, is_trial in self._under_way.popleft():
            one = results.get(id(ask))
            if one is not None and one.evaluation is None:
                self._refused.add(combo)
            elif one is not None and is_trial:
                self._done += 1

    def _full(self, table: ScoreTable, tried: Sequence[Tried]) -> list[tuple[Combo, Ask, bool]]:
        under_way = self._combos_under_way()
        if self._racing is not None and self._racing not in under_way and self._raced(table, self._racing):
            self._racing = None
        if self._racing is None and self._done >= self._full_at + self._full_every:
            self._full_at = self._done
            partial = [one for one in tried if one.rows < table.rows and one.combo not in under_way]
            partial = [one for one in partial if not self._raced(table, one.combo)]
            self._racing = max(partial, key=lambda one: one.score).combo if partial else None  # the first of equals
        combo = self._racing
        if combo is None or combo in under_way:
            return []
        name = self._name(combo)
        missing = table.missing(name)
        random.Random(f"{self._seed}/{name}/{len(missing)}").shuffle(missing)
        rows = tuple(sorted(missing[: max(self._width, table.n(name))]))
        return [
            (combo, Ask(self._space.build(combo), rows, origin=f"full score of {self._space.describe(combo)}"), False)
        ]

    def _raced(self, table: ScoreTable, combo: Combo) -> bool:
        """Tell whether a combination needs no more rows."""
        name = self._name(combo)
        full = [other for other in table.candidates if table.is_full(other)]
        return combo in self._refused or table.is_full(name) or name in beaten(table, [name, *full])

    async def _fresh(self, table: ScoreTable, tried: Sequence[Tried]) -> list[tuple[Combo, Ask, bool]]:
        rows = self._rows(self._round)
        batch = range(table.rows) if rows is None else rows
        known = {one.combo for one in tried if table.scores(self._name(one.combo)).keys() >= {*batch}}
        taken = {(0,) * len(self._space.sizes)} | known | self._refused | self._combos_under_way()
        suggested = await self._suggested(tried, taken)
        return [
            (combo, Ask(self._space.build(combo), rows, origin=self._space.describe(combo)), True)
            for combo in suggested
        ]

    async def _suggested(self, tried: Sequence[Tried], taken: Collection[Combo]) -> list[Combo]:
        most = self._width
        if self._trials is not None:
            under_way = sum(is_trial for wishes in self._under_way for _, _, is_trial in wishes)
            most = min(most, self._trials - self._done - under_way)
        if most <= 0:
            return []
        chosen: list[Combo] = []
        while self._first and len(chosen) < most:
            if (combo := self._first.popleft()) not in {*taken, *chosen}:
                chosen.append(combo)
        if len(chosen) < most:
            seed = self._seed * _SEEDS + self._round
            sizes, more = list(self._space.sizes), most - len(chosen)
            # in a thread, so that replies to the rounds under way are taken in meanwhile
            chosen += await asyncio.to_thread(self._surrogate.suggest, tried, sizes, {*taken, *chosen}, more, seed)
        for combo in chosen:
            self._name(combo)
        return chosen

    def _combos_under_way(self) -> set[Combo]:
        return {combo for wishes in self._under_way for combo, _, _ in wishes}

    def _name(self, combo: Combo) -> str:
        if combo not in self._names:
            self._names[combo] = self._space.build(combo).fingerprint
        return self._names[combo]


_SEEDS = 100_003
"""More than there are rounds, so that no two seeds share a round's."""
