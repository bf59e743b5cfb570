"""The score table: which candidate scored what on which row, and what may be concluded from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lmprog.statistics import Interval, mean_interval

RIDGE = 1.0
"""Pseudo-rows that pull a candidate's effect, and pseudo-candidates that pull a row's, to the mean."""
SWEEPS = 30


@dataclass(frozen=True, slots=True)
class Comparison:
    """One candidate against another on the rows that both were scored on."""

    gain: float
    """Mean score of the second minus that of the first."""
    interval: Interval
    rows: int


class ScoreTable:
    """Scores in [0, 1], candidate by row, most cells empty. Candidates are named by the fingerprint of their params."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._scores: dict[str, dict[int, float]] = {}

    @property
    def candidates(self) -> list[str]:
        """Candidates in the order in which they were first scored."""
        return list(self._scores)

    def record(self, candidate: str, rows: Sequence[int], scores: Sequence[float]) -> None:
        """Put in a candidate's scores on some rows."""
        cells = self._scores.setdefault(candidate, {})
        for row, score in zip(rows, scores, strict=True):
            if not 0 <= row < self.rows:
                raise IndexError(f"row {row} is not among the table's {self.rows} rows")
            cells[row] = score

    def scores(self, candidate: str) -> Mapping[int, float]:
        """Return a candidate's scores by row."""
        return self._scores[candidate]

    def n(self, candidate: str) -> int:
        """Return on how many rows a candidate was scored; 0 for one that never was."""
        return len(self._scores.get(candidate, {}))

    def is_full(self, candidate: str) -> bool:
        """Tell whether a candidate was scored on every row."""
        return self.n(candidate) == self.rows

    def missing(self, candidate: str) -> list[int]:
        """Return the rows that a candidate was not scored on."""
        cells = self._scores.get(candidate, {})
        return [row for row in range(self.rows) if row not in cells]

    def mean(self, candidate: str) -> float:
        """Return the plain mean over the candidate's own rows; compare it only with means over the same rows."""
        cells = self._scores[candidate]
        return sum(cells[row] for row in sorted(cells)) / len(cells)

    def compare(self, first: str, second: str) -> Comparison | None:
        """Return the paired comparison on shared rows, or None where there are none."""
        a, b = self._scores[first], self._scores[second]
        shared = sorted(a.keys() & b.keys())
        if not shared:
            return None
        differences = [b[row] - a[row] for row in shared]
        return Comparison(sum(differences) / len(shared), mean_interval(differences), len(shared))

    def adjusted(self) -> dict[str, float]:
        """Return each candidate's expected mean over all rows, adjusted for how hard its own rows were.

        A two-way additive fit, score = mean + candidate + row, with a ridge on both effects: a candidate seen on few
        rows is pulled to the mean of all, so that 35 lucky rows do not count as 300.
        """
        names = list(self._scores)
        filled = np.full((len(names), self.rows), np.nan)
        for i, name in enumerate(names):
            cells = self._scores[name]
            filled[i, list(cells)] = list(cells.values())
        known = ~np.isnan(filled)
        values = np.where(known, filled, 0.0)
        mean = values.sum() / max(1, known.sum())
        per_candidate, per_row = known.sum(1), known.sum(0)
        candidate, row = np.zeros(len(names)), np.zeros(self.rows)
        for _ in range(SWEEPS):
            candidate = (values - known * (mean + row)).sum(1) / (per_candidate + RIDGE)
            row = (values - known * (mean + candidate[:, None])).sum(0) / (per_row + RIDGE)
        estimates = mean + candidate + row.mean()
        full = per_candidate == self.rows
        estimates[full] = values[full].mean(1) if full.any() else estimates[full]
        return {name: float(estimate) for name, estimate in zip(names, estimates, strict=True)}
