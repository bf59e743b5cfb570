"""Scores are compared on shared rows, and no interval or estimate claims more than its rows say."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmprog.certificate import decide, gain_of
from lmprog.evaluation import Evaluation, Run
from lmprog.metrics import Score
from lmprog.scores import ScoreTable
from lmprog.statistics import RESAMPLED_AT_MOST, mean_interval, paired_interval

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def table(rows: int, **scores: dict[int, float]) -> ScoreTable:
    made = ScoreTable(rows)
    for candidate, cells in scores.items():
        made.record(candidate, list(cells), list(cells.values()))
    return made


def evaluated(*scores: float) -> Evaluation:
    return Evaluation(tuple(Run({}, None, Score(score), ()) for score in scores))


@given(SCORES)
@settings(deadline=None, max_examples=25)
def test_an_interval_holds_the_mean_and_stays_within_the_scores(scores: list[float]) -> None:
    interval, mean = mean_interval(scores), min(max(sum(scores) / len(scores), min(scores)), max(scores))

    assert min(scores) <= interval.low <= mean <= interval.high <= max(scores)


@given(SCORES, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=25)
def test_an_interval_does_not_depend_on_the_order_of_rows(scores: list[float], order: random.Random) -> None:
    shuffled = list(scores)
    order.shuffle(shuffled)

    first, second = mean_interval(scores), mean_interval(shuffled)

    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_a_95_percent_interval_misses_the_truth_in_about_5_of_100_samples() -> None:
    rng, misses = random.Random(0), 0

    for _ in range(120):
        interval = mean_interval([float(rng.random() < 0.6) for _ in range(40)])
        misses += not interval.low <= 0.6 <= interval.high

    assert 1 <= misses <= 15


def test_more_rows_give_a_narrower_interval() -> None:
    widths = [mean_interval([0.0, 1.0] * n) for n in (5, 50, 400)]

    assert all(a.high - a.low > b.high - b.low for a, b in pairwise(widths))


def test_the_interval_of_many_rows_continues_that_of_few() -> None:
    few, many = (mean_interval([0.0, 1.0, 1.0, 0.5] * (n // 4)) for n in (RESAMPLED_AT_MOST, RESAMPLED_AT_MOST + 4))

    assert (many.low, many.high) == pytest.approx((few.low, few.high), abs=0.003)


def test_rows_that_were_copied_prove_nothing_more_once_they_are_clustered() -> None:
    scores = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    once = mean_interval(scores)

    plain = mean_interval(scores * 9)
    clustered = mean_interval(scores * 9, clusters=list(range(8)) * 9)

    assert (clustered.low, clustered.high) == pytest.approx((once.low, once.high))
    assert plain.high - plain.low < 0.5 * (clustered.high - clustered.low)


def test_scores_and_clusters_must_be_of_the_same_rows() -> None:
    with pytest.raises(ValueError, match="2 scores and 1 clusters"):
        mean_interval([0.0, 1.0], clusters=["a"])
    with pytest.raises(ValueError, match="no score"):
        mean_interval([])
    with pytest.raises(ValueError, match="there are 1 and 2"):
        paired_interval([0.0], [0.0, 1.0])


def test_a_paired_interval_is_that_of_the_differences() -> None:
    first, second = [0.2, 0.4, 0.6, 0.8], [0.3, 0.5, 0.7, 0.9]

    interval = paired_interval(first, second)

    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))
    assert paired_interval(first, first) == mean_interval([0.0])


def test_an_interval_is_shown_with_two_digits_and_signs_where_asked() -> None:
    interval = mean_interval([0.25, 0.25])

    assert (str(interval), interval.signed()) == ("[0.25, 0.25]", "[+0.25, +0.25]")


def test_a_gain_is_the_mean_difference_without_rounding_errors() -> None:
    baseline, compiled = evaluated(0.1, 0.2, 0.3), evaluated(0.3, 0.1, 0.2)

    gain = gain_of(baseline, compiled)

    assert (compiled.score > baseline.score, gain.gain, gain.n) == (False, 0.0, 3)
    assert decide("no-harm", gain) == "baseline"


@pytest.mark.parametrize(
    ("differences", "shipped"),
    [
        ([0.1] * 30, ("compiled", "compiled", "compiled")),
        ([1.0] * 5 + [-1.0] * 4 + [0.0] * 21, ("compiled", "baseline", "compiled")),
        ([0.0] * 30, ("baseline", "baseline", "compiled")),
        ([-0.1] * 30, ("baseline", "baseline", "compiled")),
    ],
)
def test_gates_ship_on_a_gain_on_a_significant_gain_or_always(
    differences: list[float], shipped: tuple[str, str, str]
) -> None:
    gain = gain_of(evaluated(*[0.0] * len(differences)), evaluated(*differences))

    assert (decide("no-harm", gain), decide("significant", gain), decide("none", gain)) == shipped


def test_a_table_keeps_each_candidates_rows_and_their_number() -> None:
    scores = table(3, a={0: 1.0, 1: 0.0, 2: 1.0}, b={2: 0.5})

    assert (scores.n("a"), scores.n("b"), scores.n("never")) == (3, 1, 0)
    assert (scores.is_full("a"), scores.is_full("b")) == (True, False)
    assert (scores.missing("b"), scores.missing("never")) == ([0, 1], [0, 1, 2])
    assert scores.missing("b", [2, 1, 1]) == [1]
    assert (scores.mean("a"), scores.mean("b")) == (2 / 3, 0.5)
    assert scores.candidates == ["a", "b"]


def test_a_row_that_is_scored_again_is_counted_once() -> None:
    scores = table(2, a={0: 1.0})

    scores.record("a", [0, 1], [0.0, 0.0])

    assert (scores.n("a"), scores.mean("a")) == (2, 0.0)


def test_a_row_beyond_the_table_is_refused() -> None:
    with pytest.raises(IndexError, match="row 2 is not among the table's 2 rows"):
        table(2, a={2: 1.0})


def test_candidates_are_compared_on_the_rows_that_they_share() -> None:
    scores = table(5, a={0: 0.0, 1: 1.0, 2: 0.0, 3: 0.0}, b={1: 1.0, 2: 1.0, 3: 0.5, 4: 0.0})

    found = scores.compare("a", "b")

    assert found is not None
    assert (found.gain, found.rows) == (0.5, 3)
    assert 0.0 <= found.interval.low < 0.5 < found.interval.high <= 1.0


def test_candidates_without_a_shared_row_cannot_be_compared() -> None:
    assert table(2, a={0: 1.0}, b={1: 1.0}).compare("a", "b") is None


EASY, HARD = range(10), range(10, 20)


def test_a_candidate_seen_on_hard_rows_is_not_ranked_below_an_equal_one_seen_on_easy_rows() -> None:
    scores = table(
        20,
        baseline=dict.fromkeys(EASY, 1.0) | dict.fromkeys(HARD, 0.0),
        on_hard=dict.fromkeys(HARD, 0.0),
        on_easy=dict.fromkeys(EASY, 1.0),
    )

    estimates = scores.adjusted()

    assert scores.mean("on_hard") < scores.mean("on_easy")
    assert estimates == pytest.approx({"baseline": 0.5, "on_hard": 0.5, "on_easy": 0.5})


def test_one_that_gains_on_hard_rows_is_ranked_above_one_that_equals_the_baseline_on_easy_rows() -> None:
    scores = table(
        20,
        baseline=dict.fromkeys(EASY, 1.0) | dict.fromkeys(HARD, 0.0),
        on_hard=dict.fromkeys(HARD, 0.3),
        on_easy=dict.fromkeys(EASY, 1.0),
    )

    estimates = scores.adjusted()

    assert estimates["on_hard"] > estimates["on_easy"]


def test_a_full_score_stands_as_it_is() -> None:
    scores = table(4, a=dict.fromkeys(range(4), 0.25), b=dict.fromkeys(range(4), 0.75), c={0: 1.0})

    estimates = scores.adjusted()

    assert (estimates["a"], estimates["b"]) == (0.25, 0.75)


def test_the_fewer_rows_the_nearer_is_an_estimate_to_the_mean_of_all() -> None:
    gains: list[float] = []
    for n in (2, 10, 50):
        scores = table(100, baseline=dict.fromkeys(range(100), 0.5), lucky=dict.fromkeys(range(n), 1.0))
        gains.append(scores.adjusted()["lucky"] - 0.5)

    assert 0 < gains[0] < gains[1] < gains[2] < 0.5


def test_an_empty_table_has_no_estimates() -> None:
    assert ScoreTable(3).adjusted() == {}
