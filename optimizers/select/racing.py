"""Racing: candidates that another has beaten for certain run no further."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lmprog.scores import ScoreTable

Array = NDArray[np.float64]

LEVEL = 0.05
"""How often the best of all may be dropped, over a whole race."""
BETS: Array = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Shares of a gambler's wealth put on the rival on each row. Small ones tell small differences, large ones lucky streaks."""


def beaten(table: ScoreTable, names: Sequence[str], *, level: float = LEVEL) -> set[str]:
    """Return which of these candidates some other has beaten, by paired scores on the rows that both were run on.

    However often it is asked during a race, and whenever rows are added, the chance that the candidate with the highest
    mean is ever among them is at most `level`. For each pair a gambler bets that the rival scores higher; were it not so
    on average, his wealth would ever grow to n / level with a chance of level / n only (Ville's inequality; betting:
    Waudby-Smith and Ramdas 2020, arXiv:2010.09686), and a candidate has fewer than n rivals.
    """
    known = [name for name in names if table.n(name)]
    scores, seen = _matrix(table, known)
    needed = np.log(max(1, len(names) - 1) / level)
    lost: set[str] = set()
    for number, name in enumerate(known):
        differences = np.where(seen & seen[number], scores - scores[number], 0.0)
        rival = int(differences.sum(1).argmax())
        if log_wealth(differences[rival]) >= needed:
            lost.add(name)
    return lost


def log_wealth(differences: Array) -> float:
    """Return the logarithm of what a gambler has won who began with 1, from the differences on each row, in [-1, 1]."""
    by_bet = np.log1p(BETS[:, None] * differences).sum(1)
    most = by_bet.max()
    return float(most + np.log(np.exp(by_bet - most).mean()))


def _matrix(table: ScoreTable, names: Sequence[str]) -> tuple[Array, NDArray[np.bool_]]:
    """Return scores and whether there are any, as (candidates, rows)."""
    scores, seen = np.zeros((len(names), table.rows)), np.zeros((len(names), table.rows), bool)
    for number, name in enumerate(names):
        cells = table.scores(name)
        rows = list(cells)
        scores[number, rows], seen[number, rows] = list(cells.values()), True
    return scores, seen
