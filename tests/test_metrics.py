"""A metric says how good a prediction is, from 0 to 1, or says at once what is wrong with it."""

import math
import unicodedata
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import lmprog as lp
from lmprog.metrics import normalized, takes_trace, to_score
from lmprog.scope import Step


class Gold(BaseModel):
    answer: list[str]


class Colour(Enum):
    RED = "red"


@dataclass
class Prediction:
    answer: object


matches: Any = lp.metrics.exact_match("answer")


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("The Cat!", "cat"),
        ("a  theory, an  anthem", "theory anthem"),
        ("U.S.A.", "usa"),
        ("  Paris\n", "paris"),
        ("Łódź", "łódź"),
        ("the", ""),
    ],
)
def test_case_punctuation_articles_and_spaces_do_not_count(text: str, bare: str) -> None:
    assert normalized(text) == bare


@given(st.text())
def test_what_is_normalized_stays_as_it_is(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@pytest.mark.parametrize("composition", ["NFC", "NFD"])
def test_an_accent_may_be_written_in_two_ways(composition: Literal["NFC", "NFD"]) -> None:
    assert matches({"answer": "à la carte"}, Prediction(unicodedata.normalize(composition, "à la carte")))


def test_exact_match_compares_one_output_with_the_field_of_that_name() -> None:
    assert matches({"answer": "The Nile"}, Prediction("nile.")) is True
    assert matches({"answer": "The Nile"}, Prediction("Amazon")) is False


@pytest.mark.parametrize("prediction", [Prediction("b"), {"answer": "b"}, "B"])
def test_a_prediction_may_be_an_object_a_dict_or_a_text(prediction: object) -> None:
    assert matches({"answer": "b"}, prediction)


@pytest.mark.parametrize("row", [{"answer": ["a b", "c"]}, {"answer": ("a b", "c")}, Gold(answer=["a b", "c"])])
def test_a_row_may_list_right_answers(row: object) -> None:
    assert matches(row, Prediction("C"))
    assert not matches(row, Prediction("a b c"))


@pytest.mark.parametrize(
    ("gold", "said"), [(4, 4), (True, True), ("red", Colour.RED), (Colour.RED, "Red"), (None, None)]
)
def test_values_that_are_no_texts_are_compared_as_an_lm_would_write_them(gold: object, said: object) -> None:
    assert matches({"answer": gold}, Prediction(said))
    assert not matches({"answer": gold}, Prediction("something else"))


def test_a_row_without_the_field_is_an_error_that_says_what_it_has() -> None:
    with pytest.raises(lp.MetricError, match=r"needs the row to have `answer`, but it has \['gold', 'question'\]"):
        matches({"question": "?", "gold": "b"}, Prediction("b"))


@pytest.mark.parametrize("prediction", [None, 3, {"reply": "b"}, object()])
def test_a_prediction_without_the_output_is_an_error(prediction: object) -> None:
    with pytest.raises(lp.MetricError, match="needs the prediction to have `answer`"):
        matches({"answer": "b"}, prediction)


@pytest.mark.parametrize(
    ("returned", "value"),
    [(True, 1.0), (False, 0.0), (1, 1.0), (0.25, 0.25), (np.float32(0.5), 0.5), (np.bool_(True), 1.0), (Fraction(1, 4), 0.25)],
)  # fmt: skip
def test_bools_and_numbers_from_0_to_1_are_scores(returned: object, value: float) -> None:
    score = to_score(returned, {}, None)

    assert score.value == value
    assert type(score.value) is float


def test_a_score_carries_feedback_and_parts() -> None:
    score = to_score(lp.Score(True, feedback="too long", parts={"style": 0.5}), {}, None)

    assert score == lp.Score(1.0, feedback="too long", parts={"style": 0.5})


@pytest.mark.parametrize(
    "returned",
    [1.5, -0.1, 10**400, math.nan, math.inf, None, "1", [1], 1j, lp.Score(7), lp.Score(None)],  # type: ignore[arg-type]
)
def test_anything_else_is_an_error_with_row_and_value(returned: object) -> None:
    with pytest.raises(lp.MetricError) as error:
        to_score(returned, {"question": "why?"}, "because")

    assert repr(returned) in str(error.value)
    assert "'why?'" in str(error.value)
    assert "'because'" in str(error.value)


def test_a_number_above_1_is_told_how_to_become_a_score() -> None:
    with pytest.raises(lp.MetricError, match="Divide by the largest value it can take"):
        to_score(7, {}, None)


def test_a_metric_asks_for_the_trace_by_the_name_of_a_parameter() -> None:
    def without(row: object, prediction: object) -> bool:
        return True

    def third(row: object, prediction: object, trace: tuple[Step, ...]) -> bool:
        return True

    @dataclass
    class Metric:
        weights: list[float]  # unhashable

        def __call__(self, row: object, prediction: object, *, trace: tuple[Step, ...] = ()) -> float:
            return 0.5

    assert not takes_trace(without)
    assert takes_trace(third)
    assert takes_trace(Metric([1.0]))
