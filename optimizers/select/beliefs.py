"""What is believed of given candidates: how good each is, by its scores and by those of candidates like it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lmprog.optimizers.select.likeness import of_kinds, of_sets, of_texts
from lmprog.params import Params
from lmprog.request import canonical_json
from lmprog.scores import ScoreTable

Array = NDArray[np.float64]

HAS_DEMOS, INSTRUCTION, DEMOS, OWN = 0.02, 0.005, 0.004, 0.01
"""Variances of what a candidate adds to the mean score: by having demos at all, its instructions, its demos, and itself."""
SHARED_LUCK = 0.3
"""Correlation of the scores of wholly alike prompts on a row, beyond what their means and the row explain."""
ROW, FEW = 0.1, 50.0
"""Added to the variance of a row's scores: rows on which nearly all agree tell more, but not without end. Weights favour
some rows, which the mean over all does not; so they level out where rows are more than a few."""
NOISE, NOISE_ROWS = 0.4, 50.0
"""What is left of a row's variance once candidates and rows are accounted for, and how many scores this counts for."""


class Beliefs:
    """A Gaussian process over candidates.

    A score is the row's level, the candidate's effect and noise. Effects are alike where the prompts are (the prompt's
    parts apart, as in HbBoPs: arXiv:2412.07820). The noise has a variance of each row's own; prompts that are alike
    share some of it, so that their agreement does not count as so much evidence. Levels of rows are free, which makes
    all comparisons paired.
    """

    def __init__(self, candidates: Sequence[Params]) -> None:
        count = len(candidates)
        paths = list(candidates[0])
        effects: Array = np.zeros((count, count))
        for path in paths:
            own = [params[path] for params in candidates]
            effects += HAS_DEMOS * of_kinds([bool(one.demos) for one in own])
            effects += INSTRUCTION * of_texts([one.instruction for one in own])
            effects += DEMOS * of_sets([[demo.model_dump_json() for demo in one.demos] for one in own])
        whole = of_texts([canonical_json(params.to_json()) for params in candidates])
        self._prior = cast("Array", np.linalg.inv(effects / len(paths) + OWN * np.eye(count)))
        self._luck: Array = SHARED_LUCK * whole + (1 - SHARED_LUCK) * np.eye(count)
        self._names = [params.fingerprint for params in candidates]
        self._precisions: dict[tuple[int, ...], Array] = {}

    def means(self, table: ScoreTable) -> Array:
        """Return what the scores say of each candidate's mean, up to a constant that all share."""
        groups = self._groups(table)
        first = self._posterior(groups, NOISE)
        return self._posterior(groups, _noise(groups, first))

    def _posterior(self, groups: Sequence[tuple[tuple[int, ...], Array, Array]], noise: float) -> Array:
        precision, weighted = self._prior.copy(), np.zeros(len(self._names))
        for who, scores, variances in groups:
            weights, own = 1 / (noise * variances), self._precision(who)
            precision[np.ix_(who, who)] += weights.sum() * own
            weighted[list(who)] += own @ (scores @ weights)
        return cast("Array", np.linalg.solve(precision, weighted))

    def _groups(self, table: ScoreTable) -> list[tuple[tuple[int, ...], Array, Array]]:
        """Return rows that were run by the same candidates together: these, their scores on each, and each row's variance."""
        seen: defaultdict[int, list[int]] = defaultdict(list)
        cells: list[Mapping[int, float]] = [table.scores(name) if table.n(name) else {} for name in self._names]
        for number, known in enumerate(cells):
            for row in known:
                seen[row].append(number)
        rows: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for row in sorted(seen):
            if len(seen[row]) > 1:
                rows[tuple(seen[row])].append(row)
        groups: list[tuple[tuple[int, ...], Array, Array]] = []
        added = ROW * (1 + (sum(len(some) for some in rows.values()) / FEW) ** 4)
        for who, some in rows.items():
            scores = np.array([[cells[number][row] for row in some] for number in who])
            level = (scores.sum(0) + 1) / (len(who) + 2)
            groups.append((who, scores, level * (1 - level) + added))
        return groups

    def _precision(self, who: tuple[int, ...]) -> Array:
        """Return the inverse of the noise's correlation of some candidates, with the row's level projected out."""
        if who not in self._precisions:
            inverse = cast("Array", np.linalg.inv(self._luck[np.ix_(who, who)]))
            sums = inverse.sum(0)
            self._precisions[who] = inverse - np.outer(sums, sums) / sums.sum()
        return self._precisions[who]


def _noise(groups: Sequence[tuple[tuple[int, ...], Array, Array]], means: Array) -> float:
    """Return the noise as a share of the rows' variances."""
    found, count = NOISE * NOISE_ROWS, NOISE_ROWS
    for who, scores, variances in groups:
        rest = scores - means[list(who), None]
        rest = rest - rest.mean(0)
        found += float((rest**2 / variances).sum())
        count += (len(who) - 1) * scores.shape[1]
    return found / count
