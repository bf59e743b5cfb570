"""Intervals: how far a mean or a paired difference can be trusted."""

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

    `clusters` names the cluster of each row; rows of one cluster stand or fall together. The resampling is seeded,
    so equal scores give equal intervals, in whatever order, and the interval holds the mean. Above 1000 rows or
    clusters the normal interval takes its place, from which it then differs by nothing that shows.
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


def _resampled(units: NDArray[np.float64]) -> tuple[float, float]:
    rng, count = np.random.default_rng(0), len(units)
    distinct, times = np.unique(units, axis=0, return_counts=True)
    if len(distinct) <= FEW:  # to draw how often each comes is the same as drawing rows, and takes a tenth of the time
        sums = rng.multinomial(count, times / count, size=RESAMPLES) @ distinct
        return _ends(sums[:, 0] / sums[:, 1])
    units = units[np.lexsort(units.T)]
    batch = max(1, CELLS // count)
    means: list[NDArray[np.float64]] = []
    for start in range(0, RESAMPLES, batch):
        drawn = rng.integers(count, size=(min(batch, RESAMPLES - start), count))
        means.append(units[drawn, 0].sum(1) / units[drawn, 1].sum(1))
    return _ends(np.concatenate(means))


def _ends(means: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


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
