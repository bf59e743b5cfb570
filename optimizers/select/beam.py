"""Beam search whose next beam a bandit chooses by minibatches (Pryzant et al. 2023, arXiv:2305.03495, sec. 2.3)."""

import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from lmprog.errors import CapReached
from lmprog.optimizer import Problem
from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, End, Told

ROWS_AT_LEAST = 4
"""The fewest rows of a pull, where the allowance is short."""
SHARE = 0.5
"""The part of a round's calls that successors may take; the bandit has the rest."""


@dataclass(frozen=True, slots=True)
class Bandit:
    """UCB (algorithm 3 of the paper): `rounds` of pulls of the `width` most hopeful arms, on `rows` rows each."""

    rounds: int
    width: int
    rows: int
    exploration: float
    """c in the paper: an arm's value is its score + c sqrt(ln t / n), t pulls in all, n rows of its own."""


Expand = Callable[[int, Sequence[Params], float], Coroutine[Any, Any, Sequence[Ask]]]
"""Returns successors of the members of a beam, in at most so many calls; rounds count from 1."""


class Beam:
    """In each of `rounds` the beam is expanded, and a bandit on validation rows picks the next from old and new.

    What was scored stays known in later rounds; an arm's rows are not drawn twice, arms meet the rows in one order, and
    scores are adjusted for how hard the rows are. A candidate scored on all rows needs no pulls. What is left of
    the calls is divided over the rounds that are left: where it is short, minibatches and pulls shrink.
    """

    def __init__(
        self, problem: Problem, params: Params, expand: Expand, bandit: Bandit, *, beam: int, rounds: int
    ) -> None:
        self._problem, self._expand, self._bandit = problem, expand, bandit
        self._size, self._rounds = beam, rounds
        self._members = {params.fingerprint: Ask(params)}
        self._arms: dict[str, Ask] = {}
        self._order = list(range(len(problem.val)))
        self._round = self._pulled = self._pulls = self._rows = 0
        self._under_way = False

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask] | End:
        """Return the next pulls, of new successors where a round is over; nothing while pulls are under way."""
        if self._under_way:
            return []
        try:
            wishes = self._next_pulls(table)
            while not wishes and self._round < self._rounds:
                await self._next_round(table)
                wishes = self._next_pulls(table)
        except CapReached as cap:
            return End(f"the cap on {cap.cap} was reached")  # the best so far may still be scored in full
        self._under_way = bool(wishes)
        return wishes

    def tell(self, told: Sequence[Told], /) -> None:
        """Drop what broke the contract of prompts."""
        self._under_way = False
        for one in told:
            if one.evaluation is None:
                self._arms.pop(one.ask.params.fingerprint, None)

    async def _next_round(self, table: ScoreTable) -> None:
        problem, bandit = self._problem, self._bandit
        self._members = self._best(table)
        self._round, self._pulled = self._round + 1, 0
        problem.rng("bandit", self._round).shuffle(self._order)
        before, share = problem.allowance.ledger.requested, self._share()
        members = [ask.params for ask in self._members.values()]
        work = self._expand(self._round, members, SHARE * share)
        new = await problem.begin(work, calls=0 if math.isinf(share) else SHARE * share).result()
        shuffled = problem.rng("arms", self._round).sample(list(new), len(new))  # should pulls not suffice for all
        known = {*table.candidates, *self._members}
        fresh = {name: ask for ask in shuffled if (name := ask.params.fingerprint) not in known}
        problem.ended("successors", round=self._round, beam=len(members), new=len(fresh))
        self._arms = {**self._members, **fresh} if fresh else {}
        used = problem.allowance.ledger.requested - before
        rows = max(0.0, share - used) / problem.allowance.calls_per_row
        most = bandit.rounds * bandit.width
        self._rows = int(min(bandit.rows, max(ROWS_AT_LEAST, rows / most)))
        self._pulls = int(min(most, rows / self._rows))

    def _best(self, table: ScoreTable) -> dict[str, Ask]:
        """Return the next beam; the one that there is where nothing was pulled."""
        estimates = table.adjusted()
        known = [name for name in self._arms if name in estimates]
        ranked = sorted(known, key=lambda name: -estimates[name])[: self._size]
        return {name: self._arms[name] for name in ranked} or self._members

    def _next_pulls(self, table: ScoreTable) -> list[Ask]:
        first, left = self._round == 1, self._pulls - self._pulled
        # in round 1 the lone member is trial 0, which is scored in full even if that is still under way
        arms = [name for name in self._arms if not table.is_full(name) and not (first and name in self._members)]
        values = self._values(table, arms)
        chosen = sorted(arms, key=lambda name: -values[name])[: min(self._bandit.width, left)]
        self._pulled += len(chosen)
        return [self._pull(table, self._arms[name]) for name in chosen]

    def _values(self, table: ScoreTable, arms: Sequence[str]) -> dict[str, float]:
        estimates, log = table.adjusted(), math.log(self._pulled + 1)
        return {
            name: estimates[name] + self._bandit.exploration * math.sqrt(log / table.n(name))
            if table.n(name)
            else math.inf
            for name in arms
        }

    def _pull(self, table: ScoreTable, arm: Ask) -> Ask:
        missing = set(table.missing(arm.params.fingerprint))
        rows = [row for row in self._order if row in missing][: self._rows]
        return Ask(arm.params, tuple(sorted(rows)), origin=arm.origin, parents=arm.parents)

    def _share(self) -> float:
        """Return the calls of the round that begins; the full score of a finalist is kept back."""
        allowance = self._problem.allowance
        return max(0.0, allowance.left - allowance.for_rows(len(self._problem.val))) / (self._rounds - self._round + 1)
