"""Intervals: how far a mean or a paired difference can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95


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
    so equal scores give equal intervals. An interval of differences excludes 0 only if the evidence does.
    """
    values = np.asarray(scores, dtype=float)
    if not len(values):
        raise ValueError("there is no score to take an interval of")
    sums, sizes = _by_cluster(values, clusters)
    counts = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    means = (counts @ sums) / (counts @ sizes)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def paired_interval(
    first: Sequence[float], second: Sequence[float], *, clusters: Sequence[object] | None = None
) -> Interval:
    """Return the 95% interval of the mean of `second` minus `first`, row by row."""
    if len(first) != len(second):
        raise ValueError(f"paired scores need the same rows: there are {len(first)} and {len(second)}")
    return mean_interval([b - a for a, b in zip(first, second, strict=True)], clusters=clusters)


def _by_cluster(
    values: NDArray[np.float64], clusters: Sequence[object] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each cluster's sum and size."""
    if clusters is None:
        return values, np.ones(len(values))
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([places[name] for name in clusters])
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)
