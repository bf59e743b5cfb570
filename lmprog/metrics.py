"""Metrics: how good a prediction is, from 0 to 1."""

import inspect
import re
import string
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from numbers import Real
from typing import Any, cast

from lmprog.data import Row, fields_in
from lmprog.errors import InputError, MetricError
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

    Case, punctuation, articles and spaces do not count. The row may hold a list of right answers; None in place of
    an answer is an empty one.
    """

    def metric(row: Row, prediction: object) -> bool:
        fields = fields_in(row)
        if name not in fields:
            raise MetricError(f"exact_match({name!r}) needs the row to have `{name}`, but it has {sorted(fields)}.")
        gold = fields[name]
        answers = cast("list[object]", gold) if isinstance(gold, (list, tuple)) else [gold]
        return normalized(_text(_output(prediction, name))) in {normalized(_text(answer)) for answer in answers}

    return metric


def normalized(text: str) -> str:
    """Return text in lower case without punctuation, articles and doubled spaces (SQuAD: Rajpurkar et al. 2016)."""
    composed = unicodedata.normalize("NFC", text).lower()  # one way to write an accent
    bare = "".join(character for character in composed if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def check_metric(metric: object) -> None:
    """Refuse what cannot be called as a metric: InputError."""
    if not callable(metric):
        raise InputError(
            f"the metric is {metric!r}, which cannot be called: write a function such as "
            f'`def metric(row, prediction): return row["answer"] == prediction.answer`.'
        )
    try:
        signature = inspect.signature(metric)
    except (TypeError, ValueError):  # a built-in without a signature
        return
    try:
        signature.bind(None, None, **({"trace": ()} if "trace" in signature.parameters else {}))
    except TypeError as error:
        name = getattr(metric, "__name__", type(metric).__name__)
        third = [known for known in list(signature.parameters)[2:] if known != "trace"]
        if metric is exact_match:
            instead = 'Call it to get one: `metric=lp.metrics.exact_match("answer")`.'
        elif isinstance(metric, type):
            instead = (
                f"It is a class: write `metric={name}(...)`, of something that can be called with (row, prediction)."
            )
        elif len(third) == 1 and "trace" not in signature.parameters:
            instead = f"Only a third parameter called `trace` is given anything: write `trace` for `{third[0]}`."
        else:
            instead = "A metric takes (row, prediction), or (row, prediction, trace)."
        taken = ", ".join(map(str, signature.replace(return_annotation=signature.empty).parameters.values()))
        raise InputError(
            f"the metric {name}({taken}) cannot be called with (row, prediction): {error}. {instead}"
        ) from None


def takes_trace(metric: Metric) -> bool:
    """Tell whether a metric has a parameter called `trace`."""
    try:
        return "trace" in inspect.signature(metric).parameters
    except (TypeError, ValueError):  # a built-in without a signature
        return False


def to_score(value: object, row: Row, prediction: object) -> Score:
    """Return what a metric returned as a Score, or raise MetricError with the row."""
    if type(value) in (bool, float) and 0 <= cast("float", value) <= 1:  # as nearly all are
        return Score(float(cast("float", value)))
    score = value if isinstance(value, Score) else Score(cast("float", value))
    number = _plain(score.value)
    if not isinstance(number, Real) or not 0 <= cast("float", number) <= 1:  # NaN is not; not every int is a float
        too_large = isinstance(number, Real) and cast("float", number) > 1
        wanted = "It should return a bool, a number from 0 to 1, or lp.Score."
        wanted += " Divide by the largest value it can take." if too_large else ""
        shown = repr(value) if isinstance(number, Real) else f"a {type(value).__name__}"
        raise MetricError(
            f"the metric returned {value!r} for the row {row!r} with the prediction {prediction!r}. {wanted}",
            unshown=f"the metric returned {shown}. {wanted}",
        )
    return replace(score, value=float(number))


def _plain(number: object) -> object:
    """Return numpy's own kind of bool or number as Python's."""
    item = getattr(number, "item", None)
    return item() if callable(item) and getattr(number, "shape", None) == () else number


def _output(prediction: object, name: str) -> object:
    kind = type(prediction).__name__
    if isinstance(prediction, str):
        return prediction
    value = (
        cast("Mapping[str, object]", prediction).get(name, _ABSENT)
        if isinstance(prediction, Mapping)
        else getattr(prediction, name, _ABSENT)
    )
    if value is _ABSENT:
        needed = f"exact_match({name!r}) needs the prediction to have `{name}`, but it is"
        raise MetricError(f"{needed} {prediction!r}.", unshown=f"{needed} a {kind}.")
    return value


_ABSENT = object()


def _text(value: object) -> str:
    """Return a value as an LM would write it; no text for None."""
    if isinstance(value, Enum):
        value = value.value
    return "" if value is None else str(value)
