"""Which surrogate finds more: `python tests/bench/surrogates.py [--seeds N] [SURROGATE ...]`.

Planted spaces of 1 to 4 predictors, each with six instructions and six demo sets: effects that add up, effects with
interactions within a predictor, and with as strong ones between predictors. Some options are alike and do alike. A row is
right or wrong, by its difficulty, the combination's effects and luck; trials run on minibatches of 35 of 100 rows, through
the very selector and score table that users run. The figure is the true gain of the winner over the program as it was, in
points, with twice its standard error.
"""

import argparse
import asyncio
import functools
import itertools
import statistics
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import lmprog as lp
from lmprog.evaluation import Evaluation
from lmprog.optimizers.select import likeness
from lmprog.optimizers.select.joint import Joint
from lmprog.optimizers.select.surrogates import Additive, Combo, Surrogate, Tpe
from lmprog.params import PredictorParams
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Told

ROWS, BATCH, OPTIONS, FAMILIES = 100, 35, 6, 3
POPULATION = 4000
"""Rows on which a combination's true score is taken."""
BUDGET = 24 * BATCH
"""Row runs of the search, the first full score apart; in MIPRO's light setting a few more."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Planted:
    """A space of which the truth is known."""

    predictors: int
    scale: float
    """Standard deviation of an option's effect, on the logit of being right."""
    within: float
    between: float
    """Standard deviation of interactions, as a multiple of that of the options' own effects."""
    seed: int

    @property
    def sizes(self) -> list[int]:
        """An instruction and a demo set for each predictor."""
        return [OPTIONS] * (2 * self.predictors)

    @property
    def of(self) -> list[int]:
        """The predictor of each choice."""
        return [choice // 2 for choice in range(2 * self.predictors)]

    def build(self, combo: Combo) -> lp.Params:
        """Return params that say which combination they are."""
        return lp.Params({"only": PredictorParams(instruction=repr(combo))})

    def describe(self, combo: Combo) -> str:
        """Return nothing that anybody reads."""
        return repr(combo)

    def families(self, choice: int) -> list[int]:
        """Return the kind of each option: those of one kind have half of their effects in common."""
        return [int(kind) for kind in self._rng("family", choice).integers(FAMILIES, size=OPTIONS)]

    def alike(self, choice: int) -> likeness.Likeness:
        """Return how alike a choice's options look: a little less than they are."""
        same = likeness.of_kinds(self.families(choice))
        return 0.4 * same + 0.6 * np.eye(OPTIONS)

    def effect(self, combo: Combo) -> float:
        """Return the sum of a combination's effects, on the logit of being right; 0 for the program as it was."""
        return self._worth(combo) - self._worth((0,) * len(combo))

    def right(self, combo: Combo, rows: Sequence[int]) -> list[float]:
        """Return which rows a combination gets right."""
        difficulty = self._rng("rows").normal(0.3, 1.5, ROWS)
        luck = self._rng("luck", *combo).logistic(0, 1, ROWS)
        return [float(right) for right in (difficulty + self.effect(combo) + luck > 0)[list(rows)]]

    def truth(self, combo: Combo) -> float:
        """Return the true score of a combination."""
        difficulty = np.random.default_rng(0).normal(0.3, 1.5, POPULATION)
        return float((1 / (1 + np.exp(-(difficulty + self.effect(combo))))).mean())

    @functools.cache  # noqa: B019  (lives as long as the benchmark)
    def _worth(self, combo: Combo) -> float:
        worth = sum(float(self._options(choice)[option]) for choice, option in enumerate(combo))
        for first, second in itertools.combinations(range(len(combo)), 2):
            strength = self.within if self.of[first] == self.of[second] else self.between / self.predictors
            pair = self._rng("pair", first, second).normal(0, self.scale, (OPTIONS, OPTIONS))
            worth += strength * float(pair[combo[first], combo[second]])
        return worth

    def _options(self, choice: int) -> Array:
        rng = self._rng("options", choice)
        family = rng.normal(0, self.scale * np.sqrt(0.5), FAMILIES)
        own = rng.normal(0, self.scale * np.sqrt(0.5), OPTIONS)
        found: Array = family[self.families(choice)] + own
        return found

    def _rng(self, *names: object) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(repr((self.seed, self.predictors, *names)).encode()))


class AtRandom:
    """Any combination that is not taken."""

    def suggest(self, tried: object, sizes: Sequence[int], taken: object, count: int, seed: int) -> list[Combo]:
        """Return combinations drawn at random."""
        rng = np.random.default_rng(seed)
        return [tuple(int(rng.integers(size)) for size in sizes) for _ in range(count)]


SURROGATES: Mapping[str, Callable[[Planted], Surrogate]] = {
    "random": lambda space: AtRandom(),
    "tpe": lambda space: Tpe(),
    "tpe, likeness": lambda space: Tpe(space.alike),
    "additive": lambda space: Additive(space.of),
    "additive, likeness": lambda space: Additive(space.of, space.alike),
}
SPACES = {
    "faint, adding up": (0.2, 0.0, 0.0),
    "adding up": (0.4, 0.0, 0.0),
    "interacting": (0.4, 0.7, 0.7),
    "strong, interacting": (0.8, 0.7, 0.7),
}
"""Scale, and interactions within and between predictors."""


async def gain(space: Planted, surrogate: Surrogate, budget: int) -> float:
    """Search the space, and return the winner's true gain."""
    joint = Joint(
        space, surrogate, functools.partial(_batch, space), seed=space.seed, trials=None, width=2, full_every=5
    )
    table, origin = ScoreTable(ROWS), (0,) * len(space.sizes)
    names = {space.build(origin).fingerprint: origin}
    _run(space, table, names, Ask(space.build(origin)))
    left = budget
    while left > 0:
        told: list[Told] = []
        for ask in await joint.ask(table):
            left -= _run(space, table, names, ask)
            told.append(Told(ask, Evaluation(())))
        joint.tell(told)
    estimates = table.adjusted()
    for name in sorted((n for n in names if not table.is_full(n)), key=lambda n: -estimates[n])[:2]:
        _run(space, table, names, Ask(space.build(names[name])))
    winner = max((name for name in names if table.is_full(name)), key=table.mean)
    return space.truth(names[winner]) - space.truth(origin)


def _run(space: Planted, table: ScoreTable, names: dict[str, Combo], ask: Ask) -> int:
    instruction = ask.params["only"].instruction
    combo = tuple(map(int, instruction.strip("(,)").split(",")))
    names[ask.params.fingerprint] = combo
    rows = range(ROWS) if ask.rows is None else ask.rows
    table.record(ask.params.fingerprint, list(rows), space.right(combo, list(rows)))
    return len(rows)


def _batch(space: Planted, number: int) -> tuple[int, ...]:
    rng = np.random.default_rng([space.seed, (number + 1) // 2])
    return tuple(sorted(map(int, rng.choice(ROWS, BATCH, replace=False))))


def main() -> None:
    """Print a line for each space and size, the means, and the gain over the first in pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surrogates", nargs="*", default=list(SURROGATES))
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in given.surrogates}
    took = dict.fromkeys(given.surrogates, 0.0)
    print(_line("points gained, by surrogate", given.surrogates), flush=True)
    for (kind, strengths), predictors in itertools.product(SPACES.items(), (1, 2, 4)):
        for name in given.surrogates:
            start = time.perf_counter()
            for seed in range(given.seeds):
                space = Planted(predictors, *strengths, seed)
                found[name].append(100 * asyncio.run(gain(space, SURROGATES[name](space), BUDGET)))
            took[name] += time.perf_counter() - start
        last = [_interval(gains[-given.seeds :]) for gains in found.values()]
        print(_line(f"{kind}, {predictors} predictors", last), flush=True)
    first, *_ = found.values()
    print(_line("all", [_interval(gains) for gains in found.values()]))
    paired = [[a - b for a, b in zip(gains, first, strict=True)] for gains in found.values()]
    print(_line(f"more than {given.surrogates[0]}", [_interval(differences) for differences in paired]))
    print(_line("seconds a search", [f"{s / len(first):.2f}" for s in took.values()]))


def _interval(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.1f} ± {2 * statistics.stdev(values) / len(values) ** 0.5:.1f}"


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:34}" + "".join(f"{cell:>20}" for cell in cells)


if __name__ == "__main__":
    main()
