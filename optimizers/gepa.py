"""GEPA: reflective evolution of instructions along the Pareto frontier (Agrawal et al. 2025, arXiv:2507.19457)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lmprog import loop
from lmprog.errors import CapReached
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.reflect import reflected
from lmprog.optimizers.select.pareto import crossed, frontier, pairs, telling_rows
from lmprog.optimizers.select.rows import Minibatches
from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, End, Told, search

CROSSING_ROWS = 5
"""Validation rows on which a crossover must do as well as the better of its parents before it is scored on all."""


@dataclass(frozen=True, slots=True)
class Gepa:
    """Rewrite one instruction at a time, of a candidate that is best on some validation row, by what its runs teach.

    Each attempt draws a parent from the frontier in proportion to the rows that it leads on, runs it on `minibatch`
    training rows, has the proposer reflect on one predictor's part in these runs (the predictors in turn) and
    runs the child on the same rows. A child with a better sum joins: it is scored on all validation rows. `width`
    attempts run at once, 1 in the paper, and the child that gained most joins. `merge` is the number of crossovers of two
    on the frontier that are tried at most: 5 in the paper's GEPA+Merge. The search ends after `patience` attempts in a
    row without a child that joins, which the paper leaves to the budget, or after `attempts` in all.
    """

    minibatch: int = 3
    width: int = 1
    merge: int = 0
    patience: int = 50
    attempts: int | None = None

    def __post_init__(self) -> None:
        require(self, minibatch=1, width=1, merge=0, patience=1, attempts=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best params found. An attempt takes twice `minibatch` training runs and one proposer call, a child
        that joins a run on each validation row, and a crossover up to as many.
        """
        return await search(problem, params, _Evolution(self, problem, params), ahead=2)


@dataclass(frozen=True, slots=True)
class _Member:
    params: Params
    parents: tuple[str, ...]
    turn: int
    """Which predictor is the next to be rewritten in its children."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    parent: str
    turn: int


@dataclass(frozen=True, slots=True)
class _Child:
    params: Params
    parent: str
    gain: float
    """Over the parent, summed over the minibatch."""
    origin: str


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A crossover that is being tried on a few rows."""

    ask: Ask
    rows: tuple[int, ...]
    least: float


class _Evolution:
    """The selector: what crossovers wait for first, then attempts until some child joins."""

    def __init__(self, options: Gepa, problem: Problem, params: Params) -> None:
        self._options, self._problem = options, problem
        train = replace(problem, val=problem.train)  # the rows that the minibatches are of
        self._batches = Minibatches(train, options.minibatch)
        self._pool = {params.fingerprint: _Member(params, (), 0)}
        self._crossings = options.merge
        self._crossing: _Crossing | None = None
        self._joined, self._number, self._barren = 1, 0, 0
        self._under_way = False

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask] | End:
        """Return the next candidates to score; none while others are scored, or where all rows are right."""
        if self._under_way:
            return []
        means = {name: table.mean(name) for name in self._pool if table.is_full(name)}
        if max(means.values(), default=0.0) >= 1:
            return []
        leaders = frontier({name: table.scores(name) for name in means}) or dict.fromkeys(self._pool, 1)
        try:
            wishes = self._proven(table) or self._crossed(table, means, leaders) or await self._children(leaders)
        except CapReached as cap:
            return End(f"the cap on {cap.cap} was reached")  # what was found until then stands
        self._under_way = bool(wishes)
        return wishes

    def tell(self, told: Sequence[Told], /) -> None:
        """Learn nothing: what matters is in the table."""
        self._under_way = False

    async def _children(self, leaders: Mapping[str, int]) -> list[Ask]:
        """Make attempts, `width` at a time, until a child joins: the one that gained most."""
        while self._barren < self._options.patience and (attempts := self._attempts(leaders)):
            work = loop.gather([self._child(attempt) for attempt in attempts])
            made = await self._problem.begin(work, calls=len(attempts) * self._calls).result()
            children = [child for child in made if child is not None]
            self._barren = 0 if children else self._barren + len(attempts)
            if children:
                best = max(children, key=lambda child: child.gain)
                return [self._joining(best.params, (best.parent,), best.origin)]
        return []

    @property
    def _calls(self) -> int:
        """What an attempt takes."""
        return 2 * self._problem.allowance.for_rows(self._options.minibatch) + 1

    def _attempts(self, leaders: Mapping[str, int]) -> list[_Attempt]:
        """Draw as many parents as may be tried at once, and leave enough to score a child."""
        allowance, options, attempts = self._problem.allowance, self._options, list[_Attempt]()
        left = allowance.left - allowance.for_rows(len(self._problem.val))
        while len(attempts) < options.width and (len(attempts) + 1) * self._calls <= left:
            if self._number == options.attempts:
                break
            self._number += 1
            rng = self._problem.rng("parent", self._number)
            (name,) = rng.choices([*leaders], [*leaders.values()])
            member = self._pool[name]
            attempts.append(_Attempt(self._number, name, member.turn))
            self._pool[name] = replace(member, turn=member.turn + 1)
        return attempts

    async def _child(self, attempt: _Attempt) -> _Child | None:
        """Make an attempt: a child, if one is written and does better than its parent."""
        problem, parent = self._problem, self._pool[attempt.parent].params
        rows = self._batches.of_round(attempt.number)
        before = await problem.evaluate(parent, rows, on="train")
        called = {step.predictor for run in before.runs for step in run.trace}
        turns = [list(parent)[(attempt.turn + i) % len(parent)] for i in range(len(parent))]
        path = next((path for path in turns if path in called), None)
        if path is None or min(before.scores) >= 1:
            return None
        child = await reflected(problem, parent, path, before.runs, attempt.number)
        if child is None or child.fingerprint in self._pool:
            return None
        gain = sum((await problem.evaluate(child, rows, on="train")).scores) - sum(before.scores)
        return _Child(child, attempt.parent, gain, f"`{path}`, reflection {attempt.number}") if gain > 0 else None

    def _joining(self, params: Params, parents: tuple[str, ...], origin: str) -> Ask:
        """Take params into the pool; they may be on the frontier once they are scored on all rows."""
        turn = max(self._pool[name].turn for name in parents)
        self._pool[params.fingerprint] = _Member(params, parents, turn)
        return Ask(params, origin=origin, parents=parents)

    def _crossed(self, table: ScoreTable, means: Mapping[str, float], leaders: Mapping[str, int]) -> list[Ask]:
        """Return a crossover of two on the frontier, to be tried on a few rows, where a child has joined and one is left."""
        if not self._crossings or len(means) <= self._joined:
            return []
        self._joined = len(means)
        rng = self._problem.rng("crossover", self._joined)
        parents = {name: member.parents for name, member in self._pool.items()}
        for ancestor, better, other in pairs(parents, means, leaders, rng):
            made = crossed(*(self._pool[name].params for name in (ancestor, better, other)))
            if made is not None and made.fingerprint not in self._pool:
                scores = table.scores(better), table.scores(other)
                rows = telling_rows(*scores, CROSSING_ROWS, rng)
                ask = self._joining(made, (better, other), f"crossover of {better} and {other}")
                least = max(sum(cells[row] for row in rows) for cells in scores)
                self._crossings, self._crossing = self._crossings - 1, _Crossing(ask, rows, least)
                return [replace(ask, rows=rows)]
        return []

    def _proven(self, table: ScoreTable) -> list[Ask]:
        """Return the crossover that was tried last, to be scored on all rows, where it did as well as the better parent."""
        crossing, self._crossing = self._crossing, None
        if crossing is None:
            return []
        name = crossing.ask.params.fingerprint
        missing = tuple(table.missing(name))
        if not missing or not table.n(name):  # scored on all rows already, or on none where the budget was spent
            return []
        tried = sum(table.scores(name)[row] for row in crossing.rows)
        return [replace(crossing.ask, rows=missing)] if tried >= crossing.least else []
