"""Certificates keep their word, and the power that plans go by is that of the certificate's own interval."""

import random

import pytest
from certificate_rig import CELLS, Compiled, compiled

from lmprog.statistics import POWER_EXACT, mean_interval, paired_interval, power, resolvable

COMPILES = 6


def found_in(cell: str) -> list[Compiled]:
    return [compiled(CELLS[cell], seed) for seed in range(COMPILES)]


def test_compiles_of_equal_candidates_seldom_claim_a_gain() -> None:
    found = found_in("equal")

    assert sum(one.claimed for one in found) <= 2  # of 6 at 2.5% each: more in one case of 3000
    assert any(one.differs for one in found)
    assert all(one.truth == 0 for one in found)


def test_compiles_with_a_planted_gain_find_it_and_their_intervals_hold_it() -> None:
    found = found_in("+10 at 15%")

    assert sum(one.claimed for one in found) >= 4  # of 6 at 90% each: fewer in one case of 60, and the seeds are fixed
    winners = [one for one in found if one.differs]
    assert sum(one.low <= one.truth <= one.high for one in winners) >= len(winners) - 2


def test_power_is_how_often_the_interval_lies_above_zero() -> None:
    rng, rows, wins, losses = random.Random(0), 60, 0.20, 0.05
    above = 0
    for _ in range(400):
        drawn = [rng.random() for _ in range(rows)]
        second = [1.0 if luck < wins else 0.0 if luck < wins + losses else 0.5 for luck in drawn]
        first = [0.0 if luck < wins else 1.0 if luck < wins + losses else 0.5 for luck in drawn]
        above += paired_interval(first, second).low > 0

    assert above / 400 == pytest.approx(power(0.15, discordant=0.25, rows=rows), abs=0.06)


def test_ten_points_at_15_percent_discordant_rows_are_found_on_150_rows_in_80_percent_or_more() -> None:
    assert power(0.10, discordant=0.15, rows=150) >= 0.80
    assert power(0.0, discordant=0.15, rows=150) <= 0.025


def test_power_falls_as_more_rows_differ_and_grows_with_rows() -> None:
    by_discordance = [power(0.1, discordant=share, rows=100) for share in (0.1, 0.15, 0.25, 0.4)]
    by_rows = [power(0.1, discordant=0.25, rows=rows) for rows in (30, 60, 120)]

    assert by_discordance == sorted(by_discordance, reverse=True)
    assert by_rows == sorted(by_rows)


def test_the_power_of_many_rows_continues_that_of_few() -> None:
    few, many = (power(0.05, discordant=0.2, rows=rows) for rows in (POWER_EXACT, POWER_EXACT + 1))

    assert few == pytest.approx(many, abs=0.03)


def test_all_rows_better_is_always_found_and_no_row_different_never() -> None:
    assert power(1.0, discordant=1.0, rows=30) == pytest.approx(1.0)
    assert power(0.0, discordant=0.0, rows=30) == 0.0
    assert power(0.0, discordant=0.0, rows=POWER_EXACT + 1) == 0.0


def test_a_gain_above_the_rows_that_differ_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a gain of 0.3 takes a share of rows from 0.3 to 1"):
        power(0.3, discordant=0.2, rows=50)


def test_the_resolvable_gain_is_the_one_with_a_power_of_80_percent() -> None:
    least = resolvable(discordant=0.2, rows=150)

    assert least is not None
    assert power(least, discordant=0.2, rows=150) == pytest.approx(0.8, abs=0.01)


def test_few_clusters_are_missed_by_no_more_than_a_tenth_of_intervals() -> None:
    rng, missed = random.Random(1), 0
    for _ in range(200):
        documents = [rng.choice([-1.0, 0.0, 1.0]) for _ in range(8)]
        rows = [(mean + rng.choice([-0.5, 0.5]), name) for name, mean in enumerate(documents) for _ in range(5)]
        interval = mean_interval([value for value, _ in rows], clusters=[name for _, name in rows])
        missed += not interval.low <= 0 <= interval.high

    assert missed / 200 < 0.10  # 14% with the plain percentiles
