"""Modules that take what another program takes, what they need of an LM, and the temperature of a scope."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

import pytest

import lmprog as lp
from lmprog.module import input_types_of, inputs_of, required_inputs_of, signature_of
from lmprog.testing import ScriptedLM

P = ParamSpec("P")
R = TypeVar("R")


class Answer(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    hints: list[str] = lp.InputField(default=[])
    answer: str = lp.OutputField()


class Twice(lp.Module):
    """A program with a default and a type that may be None."""

    def __init__(self) -> None:
        self.answer = lp.Predict(Answer)

    def forward(self, question: str, style: str = None) -> Answer:  # type: ignore[assignment]  # noqa: RUF013
        return self.answer(question=question, hints=[style] if style else [])


class Around(lp.Module, Generic[P, R]):
    """Passes on whatever the program inside it takes."""

    needs: ClassVar[frozenset[str]] = frozenset({"sample"})

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.__signature__ = signature_of(inner)

    async def aforward(self, *args: Any, **inputs: Any) -> Any:
        return await self.inner.acall(*args, **inputs)


Handler = Callable[[lp.Request], Awaitable[lp.Response]]


@pytest.mark.parametrize("inner", [lp.Predict(Answer), lp.ChainOfThought(Answer)])
def test_a_wrapper_takes_the_inputs_of_the_predictor_inside_it(inner: Any) -> None:
    around = Around[..., Any](Around[..., Any](inner))

    assert inputs_of(around) == ("question", "hints")
    assert required_inputs_of(around) == ("question",)
    assert input_types_of(around) == {"question": str, "hints": list[str]}


def test_a_wrapper_takes_the_inputs_of_the_program_inside_it() -> None:
    around = Around[..., Any](Twice())

    assert inputs_of(around) == inputs_of(Twice()) == ("question", "style")
    assert required_inputs_of(around) == ("question",)
    assert input_types_of(around) == {"question": str, "style": str | None}


def test_a_wrapper_is_evaluated_and_compiled_on_rows_of_the_program_inside_it() -> None:
    lm = ScriptedLM(lambda asked: {"answer": asked.inputs["question"].upper()})
    rows = [{"question": f"q{n}", "answer": f"Q{n}"} for n in range(4)]

    found = lp.evaluate(Around[..., Any](Twice()), rows, lp.metrics.exact_match("answer"), lm=lm)

    assert found.score == 1.0


class Still:
    """An LM that gives one reply and no samples."""

    name = "still"
    capabilities = frozenset({"generate"})

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        raise AssertionError("never asked")


def test_a_module_that_needs_what_the_lm_cannot_do_is_refused_before_any_call() -> None:
    rows = [{"question": f"q{n}", "answer": "x"} for n in range(120)]
    metric = lp.metrics.exact_match("answer")

    for refused in (
        lambda: lp.evaluate(Around[..., Any](Twice()), rows, metric, lm=Still()),
        lambda: lp.compile(Around[..., Any](Twice()), train=rows, metric=metric, lm=Still()),
        lambda: lp.plan(Around[..., Any](Twice()), train=rows, metric=metric, lm=Still()),
    ):
        with pytest.raises(
            lp.CapabilityError, match="still cannot be the task LM: Around needs the capability 'sample'"
        ):
            refused()


def test_a_scope_sets_the_temperature_of_predictors_that_set_none() -> None:
    temperatures: list[float] = []

    class Listening(Still):
        capabilities = frozenset({"generate", "sample"})

        async def __call__(self, request: lp.Request, /) -> lp.Response:
            temperatures.append(request.temperature)
            return await ScriptedLM(lambda asked: {"answer": "x"})(request)

    plain, cold = lp.Predict(Answer), lp.Predict(Answer, config={"temperature": 0.0})
    with lp.using(lm=Listening(), temperature=0.7):
        plain(question="q")
        cold(question="q")
    with lp.using(lm=Listening()):
        plain(question="q")

    assert temperatures == [0.7, 0.0, 0.0]


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "warm"])
def test_a_temperature_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(lp.InputError, match="write a number from 0 on"), lp.using(temperature=wrong):
        pass
