"""Metrics: how good a prediction is, from 0 to 1."""

import inspect
import math
import re
import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from lmprog.data import Row, fields_in
from lmprog.errors import MetricError
from lmprog.scope import Step


@dataclass(frozen=True, slots=True)
class Score:
    """A score in [0, 1], higher is better, with what a reflective optimizer may want to read."""

    value: float
    feedback: str = ""
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Scores of single aspects, by name."""


Result = bool | float | Score
Metric = (
    Callable[[Any, Any], Result | Awaitable[Result]]
    | Callable[[Any, Any, tuple[Step, ...]], Result | Awaitable[Result]]
)
"""`metric(row, prediction)`, or with a third parameter called `trace`: the row as given, the prediction as `forward`
returned it, the steps in between. Sync or async. It returns a bool, a number in [0, 1] or a Score."""


def exact_match(name: str) -> Metric:
    """Return the metric that compares one output with the row's field of the same name, after SQuAD's normalisation.

    Case, punctuation, articles and spaces do not count. The row may hold a list of right answers.
    """

    def metric(row: Row, prediction: object) -> bool:
        gold = fields_in(row).get(name)
        if gold is None:
            raise MetricError(
                f"exact_match({name!r}) needs the row to have `{name}`, but it has {sorted(fields_in(row))}."
            )
        answers = cast("list[object]", gold) if isinstance(gold, (list, tuple)) else [gold]
        return normalized(_output(prediction, name)) in {normalized(str(answer)) for answer in answers}

    return metric


def normalized(text: str) -> str:
    """Return text in lower case without punctuation, articles and doubled spaces (SQuAD: Rajpurkar et al. 2016)."""
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def takes_trace(metric: Metric) -> bool:
    """Tell whether a metric has a parameter called `trace`."""
    return _takes_trace(metric)


def to_score(value: object, row: Row, prediction: object) -> Score:
    """Return what a metric returned as a Score, or raise MetricError with the row."""
    score = value if isinstance(value, Score) else None
    if score is None and isinstance(value, (bool, int, float)):
        score = Score(float(value))
    if score is None or not math.isfinite(score.value) or not 0 <= score.value <= 1:
        raise MetricError(
            f"the metric returned {value!r} for the row {row!r} with the prediction {prediction!r}. It should return a bool, "
            f"a number from 0 to 1, or lp.Score. Divide by the largest value it can take."
        )
    return score


@lru_cache(maxsize=256)
def _takes_trace(metric: Callable[..., object]) -> bool:
    try:
        return "trace" in inspect.signature(metric).parameters
    except (TypeError, ValueError):  # a built-in without a signature
        return False


def _output(prediction: object, name: str) -> str:
    if isinstance(prediction, str):
        return prediction
    value = (
        cast("Mapping[str, object]", prediction).get(name)
        if isinstance(prediction, Mapping)
        else getattr(prediction, name, None)
    )
    if value is None:
        raise MetricError(f"exact_match({name!r}) needs the prediction to have `{name}`, but it is {prediction!r}.")
    return str(value)
