"""Intervals: how far a mean or a paired difference can be trusted, and which gain so many rows can show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
CELLS = 1_000_000
"""Resampled cells held in memory at once."""
RESAMPLED_AT_MOST = 1000
FEW = 10
"""Distinct scores, or clusters, up to which it is counted how often each is drawn."""

POWER = 0.8
"""How often a gain should be found that is there: the usual choice (Cohen 1988)."""
POWER_EXACT = 400
"""Rows up to which every outcome is looked at; above, the normal distribution differs by less than three points."""
NEGLIGIBLE = 1e-6
HALVINGS = 12
"""To a gain's fourth digit."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% interval, both ends included."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.2f}, {self.high:.2f}]"

    def signed(self) -> str:
        """Return the interval with signs, as of a difference."""
        return f"[{self.low:+.2f}, {self.high:+.2f}]"


def mean_interval(scores: Sequence[float], *, clusters: Sequence[object] | None = None) -> Interval:
    """Return the 95% percentile bootstrap interval of a mean, resampling rows, or whole clusters of rows.

    `clusters` names the cluster of each row; rows of one cluster stand or fall together. The percentiles are those of
    Hesterberg's expanded interval (2015, arXiv:1411.5279), since plain ones are too narrow where rows or clusters
    are few. The resampling is seeded, so equal scores give equal intervals, in whatever order, and the interval holds the
    mean. Above 1000 rows or clusters the normal interval takes its place, from which it then differs by nothing that shows.
    """
    return _mean_interval(tuple(scores), None if clusters is None else tuple(clusters))


@lru_cache(maxsize=1000)  # a report draws the same intervals several times
def _mean_interval(scores: tuple[float, ...], clusters: tuple[object, ...] | None) -> Interval:
    values = np.asarray(scores, dtype=float)
    if not len(values):
        raise ValueError("there is no score to take an interval of")
    mean = min(max(sum(scores) / len(scores), min(scores)), max(scores))  # rounding may put it beside equal scores
    units = _by_cluster(values, clusters)
    low, high = _resampled(units) if len(units) <= RESAMPLED_AT_MOST else _normal(units, mean)
    # rounding may put an end of no width beside the mean; the normal interval may leave the range of the scores
    return Interval(min(max(low, min(scores)), mean), max(min(high, max(scores)), mean))


def paired_interval(
    first: Sequence[float], second: Sequence[float], *, clusters: Sequence[object] | None = None
) -> Interval:
    """Return the 95% interval of the mean of `second` minus `first`, row by row."""
    if len(first) != len(second):
        raise ValueError(f"paired scores need the same rows: there are {len(first)} and {len(second)}")
    return mean_interval([b - a for a, b in zip(first, second, strict=True)], clusters=clusters)


def power(gain: float, *, discordant: float, rows: int) -> float:
    """Return how often the interval of a paired difference lies above 0 where the true mean difference is `gain`.

    `discordant` is the share of rows that score differently, one of 0 and the other 1; the rest score alike. Exact,
    by the very interval, up to POWER_EXACT rows.
    """
    wins, losses = (discordant + gain) / 2, (discordant - gain) / 2
    if not 0 <= gain <= discordant <= 1:
        raise ValueError(f"a gain of {gain} takes a share of rows from {gain} to 1 that differ, and not {discordant}")
    if rows > POWER_EXACT:
        spread = math.sqrt((discordant - gain**2) / rows)
        return NormalDist().cdf(gain / spread - NormalDist().inv_cdf((1 + LEVEL) / 2)) if spread else float(gain > 0)
    found = 0.0
    for lost in range(rows + 1):
        here = _binomial(lost, rows, losses)
        if here > NEGLIGIBLE:
            least = _wins_needed(lost, rows)
            share = wins / (1 - losses) if losses < 1 else 0.0
            found += here * math.fsum(_binomial(won, rows - lost, share) for won in range(least, rows - lost + 1))
    return min(1.0, found)


def resolvable(*, discordant: float, rows: int, wanted: float = POWER) -> float:
    """Return the least gain that so many rows show with a power of 80%.

    Where the gain is above `discordant`, so many rows differ, all to the better.
    """
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = power(middle, discordant=max(discordant, middle), rows=rows) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


@lru_cache(maxsize=100_000)
def _wins_needed(losses: int, rows: int) -> int:
    """Return how many rows must be better, where so many are worse, for the interval to lie above 0."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    wins = min(
        rows - losses, round(losses + z * (z / 2 + math.sqrt(2 * losses + z * z / 4)))
    )  # McNemar's test; then look
    while wins > losses and _shows(wins - 1, losses, rows):
        wins -= 1
    while wins <= rows - losses and not _shows(wins, losses, rows):
        wins += 1
    return wins


def _shows(wins: int, losses: int, rows: int) -> bool:
    """Tell whether the interval lies above 0 where so many of the rows are better, and so many worse."""
    scores = (*[1.0] * wins, *[-1.0] * losses, *[0.0] * (rows - wins - losses))
    return wins > losses and _mean_interval(scores, None).low > 0


def _binomial(count: int, of: int, share: float) -> float:
    """Return the probability of so many successes."""
    if share <= 0 or share >= 1:
        return float(count == (of if share >= 1 else 0))
    ways = math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
    return math.exp(ways + count * math.log(share) + (of - count) * math.log1p(-share))


def _resampled(units: NDArray[np.float64]) -> tuple[float, float]:
    rng, count = np.random.default_rng(0), len(units)
    distinct, times = np.unique(units, axis=0, return_counts=True)
    if len(distinct) <= FEW:  # to draw how often each comes is the same as drawing rows, and takes a tenth of the time
        sums = rng.multinomial(count, times / count, size=RESAMPLES) @ distinct
        return _ends(sums[:, 0] / sums[:, 1], count)
    units = units[np.lexsort(units.T)]
    batch = max(1, CELLS // count)
    means: list[NDArray[np.float64]] = []
    for start in range(0, RESAMPLES, batch):
        drawn = rng.integers(count, size=(min(batch, RESAMPLES - start), count))
        means.append(units[drawn, 0].sum(1) / units[drawn, 1].sum(1))
    return _ends(np.concatenate(means), count)


def _ends(means: NDArray[np.float64], count: int) -> tuple[float, float]:
    tail = _tail(count)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _tail(count: int) -> float:
    """Return the share of resampled means beyond each end: as far out as Student's t is, with the unbiased variance."""
    if count < 2:
        return (1 - LEVEL) / 2
    normal = NormalDist()
    z, free = normal.inv_cdf((1 + LEVEL) / 2), count - 1
    # Cornish and Fisher's expansion of Student's quantile
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return normal.cdf(-t * math.sqrt(count / free))


def _normal(units: NDArray[np.float64], mean: float) -> tuple[float, float]:
    """What the bootstrap tends to with many rows: the mean and its standard error, of a ratio of sums to sizes."""
    deviations = units[:, 0] - mean * units[:, 1]
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * float(np.sqrt((deviations**2).sum()) / units[:, 1].sum())
    return float(mean - half), float(mean + half)


def _by_cluster(values: NDArray[np.float64], clusters: Sequence[object] | None) -> NDArray[np.float64]:
    """Return each cluster's sum and size, as (clusters, 2). Without clusters every row is one."""
    if clusters is None:
        return np.column_stack([values, np.ones(len(values))])
    if len(clusters) != len(values):
        raise ValueError(f"each score needs its cluster: there are {len(values)} scores and {len(clusters)} clusters")
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([places[name] for name in clusters])
    sums, sizes = np.bincount(index, weights=values), np.bincount(index)
    return np.column_stack([sums.astype(np.float64), sizes.astype(np.float64)])
