"""Surrogates find the best combination, respect what is taken, and see likeness."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmprog.optimizers.select import likeness
from lmprog.optimizers.select.surrogates import Additive, Combo, Surrogate, Tpe, Tried

WORTH = ((0.0, 0.1, -0.1), (0.0, 0.05), (0.0, -0.05, 0.1, 0.02))
"""Of each option of three choices."""
SIZES = [len(worths) for worths in WORTH]
BEST = (1, 1, 2)

SURROGATES = [Tpe(), Tpe(lambda choice: np.eye(SIZES[choice])), Additive(), Additive((0, 0, 1))]
NAMES = ["tpe", "tpe with likeness", "additive", "additive within predictors"]


def score(combo: Combo) -> float:
    return 0.4 + sum(worths[option] for worths, option in zip(WORTH, combo, strict=True))


def tried(combos: Sequence[Combo], rows: int = 300) -> list[Tried]:
    return [Tried(combo, score(combo), rows) for combo in combos]


ALL = list(product(*map(range, SIZES)))


@pytest.mark.parametrize("surrogate", SURROGATES, ids=NAMES)
def test_suggestions_differ_are_not_taken_and_follow_from_the_seed(surrogate: Surrogate) -> None:
    known = tried(ALL[:12])
    taken = {one.combo for one in known}

    first, again = (surrogate.suggest(known, SIZES, taken, 4, seed=0) for _ in range(2))

    assert first == again
    assert len({*first}) == 4
    assert taken.isdisjoint(first) and {*first} <= {*ALL}


@pytest.mark.parametrize("surrogate", SURROGATES, ids=NAMES)
@pytest.mark.parametrize("known", [0, 1, 20])
def test_a_space_is_searched_through_to_its_last_combination(surrogate: Surrogate, known: int) -> None:
    taken = {*ALL[:-2]}

    assert {*surrogate.suggest(tried(ALL[:known]), SIZES, taken, 5, seed=3)} == {*ALL[-2:]}
    assert surrogate.suggest(tried(ALL[:known]), SIZES, {*ALL}, 5, seed=3) == []
    assert surrogate.suggest([Tried((0, 0, 0), 0.5, 30)], [1, 1, 1], {(0, 0, 0)}, 2, seed=0) == []


@pytest.mark.parametrize("surrogate", SURROGATES, ids=NAMES)
def test_what_is_suggested_gets_better(surrogate: Surrogate) -> None:
    found: list[Combo] = [(0, 0, 0)]
    for step in range(15):
        found += surrogate.suggest(tried(found), SIZES, {*found}, 1, seed=step)

    random, learned = found[1:11], found[11:16]  # TPE draws ten at random
    if isinstance(surrogate, Tpe):
        assert sum(map(score, learned)) / 5 > sum(map(score, random)) / 10
    else:
        assert BEST in random


def test_an_additive_surrogate_combines_what_it_saw_apart() -> None:
    apart = tried([(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)] * 3)

    suggested = Additive().suggest(apart, SIZES, {one.combo for one in apart}, 20, seed=0)

    assert suggested.count(BEST) == 1 and suggested.index(BEST) < 5


def test_scores_on_many_rows_count_for_more() -> None:
    surrogate, sizes = Additive(), [2, 2]
    sure = [Tried((0, 0), 0.5, 30), Tried((1, 0), 0.7, 1000), Tried((0, 1), 0.7, 5)]

    certain, doubtful = (options[1] for options in surrogate.effects(sure, sizes))

    assert certain is not None and certain.variance < 0.01
    assert doubtful is None or doubtful.variance > certain.variance


def test_an_option_is_expected_to_do_as_those_like_it() -> None:
    alike = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.9, 0.0], [0.0, 0.9, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    known = [Tried((0,), 0.4, 300), Tried((1,), 0.6, 300)]

    def chosen(surrogate: Callable[[], Surrogate]) -> list[Combo]:
        return [surrogate().suggest(known, [4], {(0,), (1,)}, 1, seed=seed)[0] for seed in range(60)]

    assert chosen(lambda: Additive(alike=lambda choice: alike)).count((2,)) > 40
    assert chosen(Additive).count((2,)) < 40


def test_a_bad_trial_speaks_against_options_like_its_own_in_tpe_too() -> None:
    alike = np.eye(8)
    alike[3, 2] = alike[2, 3] = 0.9  # 2 and 7 are untried, and 3 is bad
    known = [Tried((option,), 0.9 if option == 1 else 0.1, 100) for option in (0, 1, 3, 4, 5, 6)] * 2

    def second(surrogate: Surrogate) -> list[int]:
        return [surrogate.suggest(known, [8], set(), 2, seed=seed)[1][0] for seed in range(40)]

    assert second(Tpe(lambda choice: alike)).count(2) < 10 < second(Tpe()).count(2)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_likeness_of_texts_is_a_kernel(texts: list[str]) -> None:
    found = likeness.of_texts(texts)

    assert np.allclose(np.diag(found), 1) and np.allclose(found, found.T)
    assert found.min() >= 0 and found.max() <= 1
    assert np.linalg.eigvalsh(found).min() > -1e-9


def test_texts_that_share_words_are_more_alike_and_demo_sets_that_share_demos() -> None:
    texts = likeness.of_texts(["Answer with care.", "Answer with great care.", "Write a search query."])
    sets = likeness.of_sets([["a", "b"], ["b", "c"], ["d"], []])

    assert texts[0, 1] > 0.5 > texts[0, 2]
    assert np.allclose(sets[0], [1, 0.5, 0, 0])
