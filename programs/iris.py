"""Which iris is it, by the size of its leaves (Fisher 1936): a task that no LM knows the rule of, and that rows teach.

It shows what demonstrations do where a description of the task says nothing about how it is solved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, cast

from lmprog.errors import DataError
from lmprog.metrics import exact_match
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.papers import better_together, mipro
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Part, Source, field
from lmprog.task import Task

SPECIES = ("setosa", "versicolor", "virginica")
SIZES = ("petal_length", "petal_width", "sepal_length", "sepal_width")
ALL = "all"


class Classify(Signature):
    """Say which species of iris has leaves of this size, in cm."""

    petal_length: float = InputField()
    petal_width: float = InputField()
    sepal_length: float = InputField()
    sepal_width: float = InputField()
    answer: Literal["setosa", "versicolor", "virginica"] = OutputField()


class Iris(Module):
    """Reason, then name the species. One LM call a flower."""

    def __init__(self) -> None:
        self.classify = ChainOfThought(Classify)

    def forward(self, petal_length: float, petal_width: float, sepal_length: float, sepal_width: float) -> Classify:
        """Return the species."""
        return self.classify(
            petal_length=petal_length, petal_width=petal_width, sepal_length=sepal_length, sepal_width=sepal_width
        )


@dataclass(frozen=True, slots=True)
class ScikitLearn:
    """Fisher's flowers as scikit-learn ships them: no network is needed."""

    def rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        """Return them all: 149, as one of the 150 is there twice. DataError where scikit-learn is not installed."""
        try:
            loaded = cast("Any", import_module("sklearn.datasets")).load_iris()
        except ImportError as error:
            raise DataError(f"Fisher's flowers come with scikit-learn ({error}): pip install scikit-learn.") from None
        columns = [name.removesuffix(" (cm)").replace(" ", "_") for name in loaded.feature_names]
        flowers = dict.fromkeys(
            (*map(float, sizes), int(species)) for sizes, species in zip(loaded.data, loaded.target, strict=True)
        )
        return [dict(zip((*columns, "species"), flower, strict=True)) for flower in flowers]

    def facts(self) -> dict[str, str]:
        """Return what names the data set."""
        return {"dataset": str(self)}

    def __str__(self) -> str:
        return "scikit-learn's iris"


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the sizes and the species, which may be given by name or by number from 0."""
    sizes = {name: field(raw, name, float) for name in SIZES}
    label: object = raw.get("answer", raw.get("species"))
    species = SPECIES[label] if type(label) is int and 0 <= label < len(SPECIES) else label
    if species not in SPECIES:
        raise DataError(f"`species` is {label!r} and should be one of {', '.join(SPECIES)}, or 0, 1, 2")
    return {**sizes, "answer": species}


SOURCE = Source(
    ScikitLearn(),
    to_row,
    inputs=SIZES,
    labels=("answer",),
    train=Part(ALL, 42),
    val=Part(ALL, 32),
    holdout=Part(ALL, 75),
    columns=(*SIZES, "species"),
)
"""The papers choose among prompts by the 75 rows that they train on; here 32 of 74 are kept for that."""


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on these rows."""
    return Task(
        name="iris",
        program=Iris,
        metric=exact_match("answer"),
        load=source,
        about="which of three irises it is, by four sizes in cm",
        published=(
            *mipro(40.9, 94.1, 88.6),
            *better_together(
                uncompiled=(26.0, 0.0, 48.0),
                prompts=(57.3, 56.7, 79.3),
                weights=(29.3, None, 37.3),
                prompts_weights_prompts=(52.7, 65.3, 79.3),
            ),
        ),
        not_tiny="it answers with numbers: compiled it names the right species of fewer flowers than chance does",
        needs=("pip install scikit-learn",),
    )


TASK = make_task()
