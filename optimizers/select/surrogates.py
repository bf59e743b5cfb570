"""Surrogates: which combinations of options to try next, from how those tried so far scored.

A surrogate holds nothing between calls: scores that are adjusted anew each round are what it sees, and choices may
have gained options since.
"""

import heapq
import itertools
import random
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from lmprog.optimizers.select.likeness import Likeness

Combo = tuple[int, ...]
"""One option of each choice, in the order of the choices; option 0 is the program as it was."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a combination scored."""

    combo: Combo
    score: float
    """Estimate of its mean over all rows, adjusted for how hard its own rows were."""
    rows: int
    """On how many rows it was run."""


class Surrogate(Protocol):
    """Decides which combinations of a categorical space are tried next."""

    def suggest(
        self, tried: Sequence[Tried], sizes: Sequence[int], taken: Collection[Combo], count: int, seed: int
    ) -> list[Combo]:
        """Return `count` different combinations that are not `taken`, fewer where there are no more; by the seed alone.

        `sizes` are the numbers of options, `taken` those known well enough, refused, or under way.
        """
        ...


Alike = Callable[[int], Likeness]
"""Returns how alike the options of a choice are, as they are now."""


@dataclass(frozen=True, slots=True)
class Tpe:
    """Optuna's tree-structured Parzen estimator, as MIPROv2 uses it.

    Optuna 5 dropped distances between categories; where `alike` is given, a trial here speaks for options like its own.
    """

    alike: Alike | None = None

    def suggest(
        self, tried: Sequence[Tried], sizes: Sequence[int], taken: Collection[Combo], count: int, seed: int
    ) -> list[Combo]:
        """Rebuild the study, and draw until there are enough. About a millisecond a trial."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=self._sampler(seed))
        space: dict[str, optuna.distributions.BaseDistribution] = {
            str(choice): optuna.distributions.CategoricalDistribution(tuple(range(size)))
            for choice, size in enumerate(sizes)
        }
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(zip(space, one.combo, strict=True)), distributions=space, value=one.score
                )
                for one in tried
            ]
        )
        chosen: list[Combo] = []
        for _ in range(_TRIES):
            if len(chosen) == count:
                return chosen
            trial = study.ask(space)  # it counts as running: constant_liar keeps the next from its side
            combo = tuple(int(trial.params[name]) for name in space)
            if combo not in taken and combo not in chosen:
                chosen.append(combo)
        rest = _shuffled(sizes, {*taken, *chosen}, random.Random(seed))
        return chosen + list(itertools.islice(rest, count - len(chosen)))

    def _sampler(self, seed: int) -> Any:
        """Return the sampler with every argument pinned, at the defaults of Optuna 5.0."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of arguments that Optuna 6 will fix at these values
            sampler: Any = optuna.samplers.TPESampler(
                consider_prior=True,
                prior_weight=1.0,
                consider_magic_clip=True,
                consider_endpoints=False,
                n_startup_trials=10,
                n_ei_candidates=24,
                gamma=_gamma,
                weights=_weights,
                seed=seed,
                multivariate=True,
                group=False,
                warn_independent_sampling=False,
                constant_liar=True,
                constraints_func=None,
            )
        if self.alike is not None:
            sampler._parzen_estimator_cls = _blurred(sampler._parzen_estimator_cls, self.alike)
        return sampler


def _gamma(trials: int) -> int:
    """How many of the trials count as good."""
    return min(-(-trials // 10), 25)


def _weights(trials: int) -> Array:
    """How much each trial weighs: the last 25 fully."""
    return np.concatenate([np.linspace(1 / trials, 1, trials - 25), np.ones(25)]) if trials > 25 else np.ones(trials)


def _blurred(estimator: Any, alike: Alike) -> Any:
    """Return Optuna's estimator, in which an observed option lends weight to options like it."""

    def blurred(self: Any, observations: Any, name: str, *rest: Any) -> Any:
        found = estimator._calculate_categorical_distributions(self, observations, name, *rest)
        near = alike(int(name)) ** 2  # most texts have some n-grams in common
        return found._replace(weights=found.weights @ (near / near.sum(1, keepdims=True)))

    return type("_Blurred", (estimator,), {"_calculate_categorical_distributions": blurred})


_TRIES = 30
"""Suggestions drawn in a round before the rest are drawn at random: a small space may be nearly searched through."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What an option adds to the score, as a share of the full score."""

    mean: float
    variance: float

    @property
    def expected(self) -> float:
        """The mean, pulled to 0 as far as it is uncertain."""
        return self.mean * _EFFECT / (_EFFECT + self.variance)


@dataclass(frozen=True, slots=True)
class Additive:
    """A Gaussian process in which predictors add up, searched by Thompson sampling.

    A score is a constant, an effect of each option, and one of each combination of options within a predictor (`of` says
    which predictor a choice belongs to; without it each is its own); so the best combination of a draw is found
    exactly, predictor by predictor. Options that are `alike` have like effects. The noise falls with the rows. It takes
    milliseconds for 100 trials.

    Across predictors no interaction has been found to speak of (arXiv:2604.14585). That prompts' parts are told apart in
    the kernel is HbBoPs' idea (arXiv:2412.07820), which has neural features in place of likeness.
    """

    of: Sequence[int] | None = None
    alike: Alike | None = None

    def suggest(
        self, tried: Sequence[Tried], sizes: Sequence[int], taken: Collection[Combo], count: int, seed: int
    ) -> list[Combo]:
        """Draw `count` functions from the posterior, and return the best combination of each."""
        fit = _Fit(tried, sizes, self.of or range(len(sizes)), self.alike)
        rng = np.random.default_rng(seed)
        chosen: list[Combo] = []
        for _ in range(count):
            found = next(_best_first(fit.drawn(rng), fit.blocks, {*taken, *chosen}), None)
            if found is None:
                break
            chosen.append(found)
        return chosen

    def effects(self, tried: Sequence[Tried], sizes: Sequence[int]) -> list[list[Effect | None]]:
        """Return what each option of each choice adds to the score, by what was seen of it alone; None where nothing was."""
        fit = _Fit(tried, sizes, self.of or range(len(sizes)), self.alike)
        return [fit.effects(choice) for choice in range(len(sizes))]


_EFFECT = 0.04**2
"""Variance of an option's effect. To read it off the scores finds less: trials are few."""
_INNER = _EFFECT / 2
"""Variance of an interaction of options within a predictor."""
_SHARED = 0.5
"""The share of an effect that options which are wholly alike have in common."""
_ROW = 0.12
"""Variance of a score within a row: of answers that are right or wrong, on rows of different difficulty."""
_REST = 0.01**2
"""Variance of what is none of these."""
_LEVEL = 0.5**2
"""Variance of the constant."""
_BOLD = 0.5
"""How far a draw deviates from the mean, over what Thompson sampling does: trials are fewer than options."""
_UNSEEN = 0.95
"""The share of an effect's variance that is left where nothing to speak of was seen of it."""


class _Fit:
    """The posterior, given what was tried."""

    def __init__(self, tried: Sequence[Tried], sizes: Sequence[int], of: Sequence[int], alike: Alike | None) -> None:
        self.blocks = [[c for c in range(len(sizes)) if of[c] == block] for block in dict.fromkeys(of)]
        """The choices of each predictor."""
        self._shapes = [tuple(sizes[choice] for choice in block) for block in self.blocks]
        self._kernels = [_kernel(choice, size, alike) for choice, size in enumerate(sizes)]
        self._tried = np.array([one.combo for one in tried], dtype=np.intp).reshape(len(tried), len(sizes))
        self._cells: list[NDArray[np.intp]] = [
            np.asarray(np.ravel_multi_index([*self._tried[:, block].T], shape))
            for block, shape in zip(self.blocks, self._shapes, strict=True)
        ]
        self._scores: Array = np.array([one.score for one in tried]) - 0.5
        self._noise: Array = _ROW / np.array([float(one.rows) for one in tried]) + _REST
        self._covariance: Array = np.diag(self._noise) + _LEVEL
        for own, kernel in zip(self._tried.T, self._kernels, strict=True):
            self._covariance += _EFFECT * kernel[np.ix_(own, own)]
        for cells in self._cells:
            self._covariance += _INNER * np.equal.outer(cells, cells)

    def drawn(self, rng: np.random.Generator) -> list[Array]:
        """Return a function drawn from the posterior: for each predictor the value of every combination of its options.

        Matheron's rule: a draw from the prior, and the correction that what was tried asks for.
        """

        def normal(shape: int | tuple[int, ...], variance: float | Array) -> Array:
            return _BOLD * np.sqrt(variance) * rng.standard_normal(shape)

        roots = [np.linalg.cholesky(kernel + 1e-9 * np.eye(len(kernel))) for kernel in self._kernels]
        mains: list[Array] = [root @ normal(len(root), _EFFECT) for root in roots]
        inner = [normal(shape, _INNER) for shape in self._shapes]
        there = normal(1, _LEVEL) + normal(len(self._noise), self._noise)
        for own, main in zip(self._tried.T, mains, strict=True):
            there = there + main[own]
        for cells, values in zip(self._cells, inner, strict=True):
            there = there + values.ravel()[cells]
        weights = _solved(self._covariance, self._scores - there)
        for own, kernel, main in zip(self._tried.T, self._kernels, mains, strict=True):
            main += _EFFECT * kernel[:, own] @ weights
        for cells, values in zip(self._cells, inner, strict=True):
            values += _INNER * np.bincount(cells, weights, values.size).reshape(values.shape)
        return [
            sum(np.ix_(*(mains[choice] for choice in block)), start=values)
            for block, values in zip(self.blocks, inner, strict=True)
        ]

    def effects(self, choice: int) -> list[Effect | None]:
        """Return the effect of each option: the posterior, with the prior that pulls it to 0 divided out."""
        across = _EFFECT * self._kernels[choice][:, self._tried[:, choice]]
        means = across @ _solved(self._covariance, self._scores)
        left = 1 - (across * _solved(self._covariance, across.T).T).sum(1) / _EFFECT
        return [
            Effect(float(mean / (1 - share)), float(_EFFECT * share / (1 - share))) if share < _UNSEEN else None
            for mean, share in zip(means, np.maximum(left, 1e-9), strict=True)
        ]


def _kernel(choice: int, size: int, alike: Alike | None) -> Array:
    own = np.eye(size)
    return own if alike is None else (1 - _SHARED) * own + _SHARED * alike(choice)


def _solved(matrix: Array, right: Array) -> Array:
    return cast("Array", np.linalg.solve(matrix, right))


def _best_first(values: Sequence[Array], blocks: Sequence[Sequence[int]], taken: Collection[Combo]) -> Iterator[Combo]:
    """Yield the combinations that are not taken, in descending order of the sum of their predictors' values."""
    orders = [cast("list[int]", np.argsort(-value, axis=None, kind="stable").tolist()) for value in values]
    worths = [cast("list[float]", value.ravel()[order].tolist()) for value, order in zip(values, orders, strict=True)]
    start: Combo = (0,) * len(values)
    heap: list[tuple[float, Combo]] = [(-sum(worth[0] for worth in worths), start)]
    seen: set[Combo] = {start}
    while heap:
        less, ranks = heapq.heappop(heap)
        combo: dict[int, int] = {}
        for rank, order, value, block in zip(ranks, orders, values, blocks, strict=True):
            options = np.unravel_index(order[rank], value.shape)
            combo |= zip(block, map(int, options), strict=True)
        found = tuple(combo[choice] for choice in sorted(combo))
        if found not in taken:
            yield found
        for number, rank in enumerate(ranks):
            after = (*ranks[:number], rank + 1, *ranks[number + 1 :])
            if rank + 1 < len(worths[number]) and after not in seen:
                seen.add(after)
                heapq.heappush(heap, (less + worths[number][rank] - worths[number][rank + 1], after))


def _shuffled(sizes: Sequence[int], taken: Collection[Combo], rng: random.Random) -> Iterator[Combo]:
    """Yield every combination that is not taken, the options of each choice in random order."""
    orders = [rng.sample(range(size), size) for size in sizes]
    return (combo for combo in itertools.product(*orders) if combo not in taken)
