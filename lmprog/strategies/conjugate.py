"""A transform in front of a program and its inverse behind: what tuning took, found elsewhere (arXiv:2309.10105)."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, cast

from lmprog import scope
from lmprog.derived import extended
from lmprog.errors import InputError
from lmprog.loop import gather
from lmprog.module import Module, Program, inputs_of, signature_of
from lmprog.predict import Predict
from lmprog.signature import REASONING, InputField, OutputField, Signature, fields_of
from lmprog.strategies.draws import Inputs
from lmprog.strategies.inner import Inner, P, R, program_of

Transform = str | Program | Callable[[str], str | Awaitable[str]]
"""What turns a text into another: an instruction for a predictor, a program that takes a text and gives one, or a function."""


class Reword(Signature):
    """Turn the text into another that says the same."""

    text: str = InputField()
    reworded: str = OutputField()


class Conjugate(Module, Generic[P, R]):
    """Run a program or signature on transformed inputs, and return what it gives with the inverse applied.

    Every input and output of type `str` or `list[str]` is transformed, text by text, but the reasoning. A program may return a
    prediction, a text or a list of texts; a prediction holds the inputs as they were given. Demos of the program inside
    are of the transformed kind, as bootstrapping makes them.

    Given as texts, `transform` and `inverse` are the instructions of two predictors of these names, which an optimizer may
    change like any other, or choose among those that you give it:

        program = Conjugate(answer, "Translate the text into French.", "Translate the text into English.")
        params = lp.params_of(program)
        latin = params.replace("transform", instruction="Translate the text into Latin.")
        lp.compile(program, optimizer=Pool([params, latin]), ...)

    The program's LM calls, and one for each text where the transform is a predictor, none where it is a function. It helps
    where an LM was tuned until it takes every input for the task it was tuned on, and so seems to have lost what it could do:
    inputs that look otherwise, in another language say, are read as before. A transform that loses something costs more than
    it gives.

    Conjugate prompting: Kotha, Springer and Raghunathan 2023, arXiv:2309.10105, who transform the whole prompt.
    """

    def __init__(self, program: Inner[P, R], transform: Transform, inverse: Transform) -> None:
        self.program = program_of(program)
        self.transform, self.inverse = _checked("transform", transform), _checked("inverse", inverse)
        self.__signature__ = signature_of(self.program)
        self._texts = [
            name
            for name, taken in self.__signature__.parameters.items()
            if taken.annotation in (*_TEXTS, inspect.Parameter.empty)
        ]
        if not self._texts:
            raise InputError(
                f"there is nothing to transform: none of the inputs {[*self.__signature__.parameters]} is a text or a list of texts."
            )

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> R:
        """Return what the program gives, with the inverse applied."""
        given = Inputs(args, inputs).named(self)
        turned = await _turned(self.transform, {name: given[name] for name in self._texts if _is_text(given[name])})
        prediction = await cast("Any", self.program).acall(**{**given, **turned})
        if _is_text(prediction):
            return cast("R", (await _turned(self.inverse, {"": prediction}))[""])
        if not isinstance(prediction, Signature):
            raise InputError(
                f"{type(self.program).__name__} returned {prediction!r:.200}, to which no inverse can be applied: return a prediction, a "
                "text or a list of texts."
            )
        outputs = fields_of(type(prediction)).outputs.values()
        written = {field.name for field in outputs if field.annotation in _TEXTS and field.name != REASONING}
        values = dict(vars(prediction))
        back = await _turned(self.inverse, {name: value for name, value in values.items() if name in written})
        asked = {name: given[name] for name in turned if values.get(name) == turned[name]}
        return cast("R", type(prediction)(**{**values, **asked, **back}))


_TEXTS = (str, list[str])


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value))
    )


async def _turned(transform: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values, each a text or a list of texts, with every text transformed; all at once."""
    texts = [text for value in values.values() for text in ([value] if isinstance(value, str) else value)]
    turned = iter(await gather(_one(transform, text) for text in texts))
    return {
        name: next(turned) if isinstance(value, str) else [next(turned) for _ in value]
        for name, value in values.items()
    }


async def _one(transform: Any, text: str) -> str:
    if isinstance(transform, (Module, Predict)):
        given = await cast("Any", transform).acall(**{inputs_of(cast("Program", transform))[0]: text})
    else:
        given = await scope.called(transform, text)
    if isinstance(given, Signature):
        [name] = _written(type(given))
        given = getattr(given, name)
    if not isinstance(given, str):
        raise InputError(f"the text {text!r:.200} was transformed into {given!r:.200}: give a text.")
    return given


def _written(signature: type[Signature]) -> list[str]:
    return [name for name in fields_of(signature).outputs if name != REASONING]


def _checked(role: str, given: object) -> Any:
    if isinstance(given, str):
        return Predict(extended(Reword, given))
    if not isinstance(given, (Module, Predict)):
        if callable(given) and not isinstance(given, type):
            return given
        raise InputError(f"{role}={given!r} is no transform: give an instruction, a program, or a function of a text.")
    program = cast("Program", given)
    taken = inputs_of(program)
    if len(taken) != 1 or (isinstance(program, Predict) and len(_written(program.signature)) != 1):
        raise InputError(f"the {role} takes {list(taken)}: give a program that takes one text and gives one.")
    return program
