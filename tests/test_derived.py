"""Signatures made from others."""

from typing import Literal

import pytest

import lmprog as lp
from lmprog.derived import extended, reading, shown
from lmprog.signature import fields_of
from lmprog.testing import ScriptedLM


class Rate(lp.Signature):
    """Rate the film."""

    film: str = lp.InputField(desc="its title")
    year: int = lp.InputField(default=2000)
    stars: Literal[1, 2, 3] = lp.OutputField(desc="more is better")


def test_further_outputs_come_first_and_further_inputs_last_and_the_class_is_a_subclass() -> None:
    made = extended(Rate, "Think.", notes=(list[str], lp.InputField()), thought=(str, lp.OutputField()))

    fields = fields_of(made)
    assert issubclass(made, Rate) and fields.instruction == "Think."
    assert list(fields.inputs) == ["film", "year", "notes"]
    assert list(fields.outputs) == ["thought", "stars"]
    assert fields.schema.index('"thought"') < fields.schema.index('"stars"')
    assert list(fields_of(Rate).outputs) == ["stars"]


def test_reasoning_comes_before_further_outputs() -> None:
    made = extended(Rate, "Think.", thought=(str, lp.OutputField()))

    predictor = lp.ChainOfThought(made)

    assert list(fields_of(predictor.signature).outputs) == ["reasoning", "thought", "stars"]


def test_outputs_of_one_signature_are_inputs_of_another_with_their_types_and_defaults() -> None:
    fields = fields_of(Rate)

    made = reading("Check", {**fields.inputs, **fields.outputs}, "Check.", right=(bool, lp.OutputField()))

    given = fields_of(made).inputs
    assert made.__name__ == "Check" and list(given) == ["film", "year", "stars"]
    assert (given["film"].desc, given["year"].default, given["stars"].annotation) == (
        "its title",
        2000,
        Literal[1, 2, 3],
    )
    lm = ScriptedLM(lambda asked: {"right": True})
    with lp.using(lm=lm), pytest.raises(lp.InputError, match="`stars` = 4"):
        lp.Predict(made)(film="Heat", stars=4)


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(lp.SignatureError, match=r"Rate has a field called `stars`, .* Rename it"):
        extended(Rate, "?", stars=(int, lp.OutputField()))
    with pytest.raises(lp.SignatureError, match=r"Check has a field called `film`, .* Rename it"):
        reading("Check", fields_of(Rate).inputs, "?", film=(str, lp.OutputField()))


def test_values_are_shown_as_lines_texts_as_they_are_and_the_rest_as_json() -> None:
    fields = {**fields_of(Rate).inputs, **fields_of(Rate).outputs}

    assert shown(fields, {"film": "Heat", "stars": 3, "other": 1}) == "film: Heat\nstars: 3"
