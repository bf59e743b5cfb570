"""Racing: who is dropped, and how seldom it is the best."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lmprog.optimizers.select.racing import LEVEL, beaten, log_wealth
from lmprog.scores import ScoreTable

ROWS, STEP = 100, 20


def race(chances: Sequence[float], rng: np.random.Generator) -> tuple[set[str], int]:
    """Race candidates that are right with these chances, on rows of differing difficulty; return who fell, and the cost."""
    names = [str(number) for number in range(len(chances))]
    hard = rng.normal(0, 1.5, ROWS)
    logits = np.log(np.array(chances) / (1 - np.array(chances)))
    right = rng.random((len(names), ROWS)) < 1 / (1 + np.exp(-(logits[:, None] + hard)))
    table, fallen, cost = ScoreTable(ROWS), set[str](), 0
    for start in range(0, ROWS, STEP):
        rows = range(start, start + STEP)
        for name in names:
            if name not in fallen:
                table.record(name, rows, right[int(name), list(rows)].astype(float).tolist())
                cost += STEP
        fallen |= beaten(table, [name for name in names if name not in fallen])
    return fallen, cost


def test_the_best_is_dropped_in_at_most_5_of_100_races() -> None:
    rng = np.random.default_rng(1)
    races = 2000

    close = sum("0" in race([0.72, 0.7, 0.7, 0.7, 0.68, 0.6], rng)[0] for _ in range(races))

    assert close <= LEVEL * races


def test_the_worst_fall_early() -> None:
    rng = np.random.default_rng(2)
    found = [race([0.8, 0.78, 0.4, 0.35, 0.3, 0.3], rng) for _ in range(50)]

    assert np.mean([{"2", "3", "4", "5"} <= fallen for fallen, _ in found]) >= 0.8
    assert np.mean([cost for _, cost in found]) <= 0.7 * 6 * ROWS


def test_candidates_that_shared_no_row_beat_nobody() -> None:
    table = ScoreTable(200)
    table.record("a", range(100), [1.0] * 100)
    table.record("b", range(100, 200), [0.0] * 100)

    assert beaten(table, ["a", "b", "never run"]) == set()
    table.record("b", range(100), [0.0] * 100)
    assert beaten(table, ["a", "b", "never run"]) == {"b"}


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_wealth_does_not_depend_on_the_order_of_rows_and_never_is_negative(differences: list[float]) -> None:
    forwards: NDArray[np.float64] = np.array(differences)

    assert np.isfinite(log_wealth(forwards))
    assert np.isclose(log_wealth(forwards), log_wealth(forwards[::-1]))
    assert np.isclose(log_wealth(np.zeros(5)), 0)
