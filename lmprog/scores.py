"""The score table: which candidate scored what on which row, and what may be concluded from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lmprog.statistics import Interval, mean_interval

RIDGE = 10.0
"""Pseudo-rows that pull a candidate's effect to the mean: the variance of a score within a row over that of candidates."""


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

    def missing(self, candidate: str, rows: Iterable[int] | None = None) -> list[int]:
        """Return the rows, of these or of all, that a candidate was not scored on; each once, in order."""
        cells = self._scores.get(candidate, {})
        wanted = range(self.rows) if rows is None else sorted({*rows})
        return [row for row in wanted if row not in cells]

    def mean(self, candidate: str) -> float:
        """Return the plain mean over the candidate's own rows; compare it only with means over the same rows."""
        cells = self._scores[candidate]
        return sum(cells[row] for row in sorted(cells)) / len(cells)

    def compare(self, first: str, second: str) -> Comparison | None:
        """Return the paired comparison on shared rows, or None where there are none."""
        differences = self._differences(first, second)
        if not differences:
            return None
        return Comparison(sum(differences) / len(differences), mean_interval(differences), len(differences))

    def gain(self, first: str, second: str) -> float:
        """Return the mean gain of the second on shared rows, 0 where there are none: what `compare` gives, without its interval."""
        differences = self._differences(first, second)
        return sum(differences) / len(differences) if differences else 0.0

    def _differences(self, first: str, second: str) -> list[float]:
        a, b = self._scores[first], self._scores[second]
        return [b[row] - a[row] for row in sorted(a.keys() & b.keys())]

    def adjusted(self) -> dict[str, float]:
        """Return each candidate's expected mean over all rows, adjusted for how hard its own rows were.

        A two-way additive fit, score = row + candidate. Rows are fixed effects, so that candidates are compared on the
        rows that they share, and one that saw hard rows alone loses nothing by it. Candidates are pulled to the mean
        of all by a ridge, so that 35 lucky rows do not count as 300. A full score stands as it is.
        """
        names = list(self._scores)
        known, values = np.zeros((len(names), self.rows)), np.zeros((len(names), self.rows))
        for i, name in enumerate(names):
            cells = self._scores[name]
            known[i, list(cells)] = 1.0
            values[i, list(cells)] = list(cells.values())
        seen = known.any(0)
        known, values = known[:, seen], values[:, seen]
        per_row = known.sum(0)
        share = known / per_row
        # the normal equations, with the rows' effects put in
        left, right = np.diag(known.sum(1) + RIDGE) - share @ known.T, values.sum(1) - share @ values.sum(0)
        effects = cast("NDArray[np.float64]", np.linalg.solve(left, right))
        levels = cast("NDArray[np.float64]", (values.sum(0) - effects @ known) / per_row)
        level = float(levels.mean()) if names else 0.0
        estimates = cast("list[float]", (level + effects).tolist())
        return {
            name: self.mean(name) if self.is_full(name) else estimate
            for name, estimate in zip(names, estimates, strict=True)
        }
