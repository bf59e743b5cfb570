"""Predict: the only thing that calls an LM."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, cast, overload

from pydantic import ValidationError
from typing_extensions import ParamSpec, TypeVar  # with defaults, which typing has from Python 3.13

from lmprog import loop, scope
from lmprog.errors import InputError, LmprogError, OutputError, ParamsError, ScopeError, SignatureError
from lmprog.formats import Template, prepare
from lmprog.inspection import note
from lmprog.lm import default_lm, plain
from lmprog.params import Config, Demo, PredictorParams
from lmprog.request import DEFAULT_MAX_TOKENS, LM, Message, Request, Response
from lmprog.short_form import from_string
from lmprog.signature import Signature, check_demo, check_inputs, fields_of, values_of, with_reasoning

P = ParamSpec("P", default=...)
S_co = TypeVar("S_co", bound=Signature, covariant=True, default=Any)

LONE_PATH = "predict"
"""The path of a predictor that is a program by itself."""

_SHOWN_AT_MOST = 2000


class Predict(Generic[P, S_co]):
    """Ask the LM in scope to fill a signature's outputs: one LM call, and `retries` more where a reply does not validate.

    A predictor holds no compiled state. What it says comes from the params bound around the call, or, for
    one that belongs to no program, from the instruction, demos and config given here.
    A reply that does not validate is sent back with the error, `retries` times; then OutputError holds it raw.
    """

    _origin: object = None
    """The artifact that a loaded or compiled twin comes from."""
    _rendered: tuple[PredictorParams | None, Template | None] = None, None
    """The latest params that were rendered, and what came of it."""
    reasons: ClassVar[bool] = False
    """Whether the LM writes its reasoning before the outputs."""

    @overload
    def __init__(
        self,
        signature: str,
        /,
        *,
        demos: Sequence[Demo] = (),
        config: Mapping[str, object] | None = None,
        retries: int = 1,
    ) -> None: ...

    @overload
    def __init__(
        self,
        signature: Callable[P, S_co],
        /,
        *,
        demos: Sequence[Demo] = (),
        config: Mapping[str, object] | None = None,
        retries: int = 1,
    ) -> None: ...

    def __init__(
        self,
        signature: Callable[P, S_co] | str,
        /,
        *,
        demos: Sequence[Demo] = (),
        config: Mapping[str, object] | None = None,
        retries: int = 1,
    ) -> None:
        made = from_string(signature) if isinstance(signature, str) else _signature(signature)
        self.signature = with_reasoning(made) if self.reasons else made
        self.retries = retries
        self.owner: str | None = None
        """The program that holds this predictor, by class name; set when it becomes part of one."""
        self._own = scope.Bound(
            LONE_PATH,
            PredictorParams(
                instruction=fields_of(self.signature).instruction,
                demos=tuple(check_demo(self.signature, demo) for demo in demos),
                config=_config(config or {}),
            ),
        )

    @property
    def initial(self) -> PredictorParams:
        """The params that the predictor was written with."""
        return self._own.params

    def with_params(self, params: PredictorParams) -> "Predict[P, S_co]":
        """Return a twin that is a program by itself and runs under other params."""
        twin = copy.copy(self)
        twin._own, twin.owner = scope.Bound(LONE_PATH, params), None
        return twin

    def __call__(self, /, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the signature with its outputs filled. In async code write `await predictor.acall(...)`."""
        return loop.run_here(self._answer(args, inputs), instead="await predictor.acall(...)")

    async def acall(self, /, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the signature with its outputs filled."""
        return await loop.hop(self._answer(args, inputs))

    def worked(self, params: PredictorParams, demo: Demo) -> tuple[Request, str]:
        """Return the request that a demo's inputs give under some params, and the reply that holds its outputs.

        The very texts of a call: what a model should learn to write, behind what it is going to read.
        """
        template = prepare(self.signature, params)
        inputs, outputs = values_of(self.signature, demo)
        return _request(template, params, inputs, scope.Scope()), template.render_reply(outputs)

    async def _answer(self, unnamed: Sequence[object], inputs: Mapping[str, object]) -> S_co:
        here = scope.current()
        bound = self._bound(here)
        lm = here.lm or default_lm() or (plain(bound.params.config.lm) if bound.params.config.lm else None)
        if lm is None:
            raise ScopeError(
                f'`{bound.path}` has no LM to call. Name one: `lp.configure(lm="tiny")`, `with lp.using(lm=...):` '
                "around the call, or the environment variable LMPROG_LM."
            )
        if unnamed:
            raise InputError(
                f"{self.signature.__name__} was given {unnamed[0]!r} without a name. Write each input by name: "
                f"{', '.join(f'{name}=...' for name in fields_of(self.signature).inputs)}."
            )
        values = check_inputs(self.signature, inputs)
        place = here.trace.open() if here.trace else 0
        outputs: dict[str, Any] = {}
        retries, error = 0, None
        try:
            outputs, retries = await self._ask(lm, here, bound, values)
        except OutputError as wrong:
            retries, error = self.retries, str(wrong)
            raise
        except LmprogError as wrong:
            error = str(wrong)
            raise
        finally:
            if here.trace:
                here.trace.close(place, scope.Step(bound.path, values, outputs, retries, error))
        return cast("S_co", self.signature(**values, **outputs))

    def _bound(self, here: scope.Scope) -> scope.Bound:
        around: scope.Scope | None = here
        while around is not None:
            if self in around.region.bound:
                return around.region.bound[self]
            around = around.outer
        if self.owner is not None:
            raise ScopeError(
                f"this predictor ({self.signature.__name__}) belongs to a {self.owner} and was called where that "
                f"program's params are not in force. Call the program, or wrap the call: `with lp.using(program):`. "
                f"In a thread that you start, run it under `contextvars.copy_context().run`."
            )
        return self._own

    async def _ask(
        self, lm: LM, here: scope.Scope, bound: scope.Bound, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], int]:
        template = self._template(bound)
        request = _request(template, bound.params, values, here)
        for attempt in range(self.retries):
            response = await _sent(bound.path, lm, request)
            try:
                return template.parse(response.text, cut_off=_cut_off(response)), attempt
            except OutputError as wrong:
                request = _asked_again(request, response, wrong)
        response = await _sent(bound.path, lm, request)
        try:
            return template.parse(response.text, cut_off=_cut_off(response)), self.retries
        except OutputError as wrong:
            raise _final(bound.path, response, wrong) from None

    def _template(self, bound: scope.Bound) -> Template:
        if bound.template is None:
            params, template = self._rendered
            if params is not bound.params:  # a program that is called by itself is bound anew each time
                template = prepare(self.signature, bound.params)
                self._rendered = bound.params, template
            bound.template = template
        return cast("Template", bound.template)


class ChainOfThought(Predict[P, S_co]):
    """A Predict that has the LM reason first, in an output `reasoning` before the others.

    To a type checker it returns the signature as written; `lp.reasoning(prediction)` gives the text.
    Chain-of-thought prompting: Wei et al. 2022, arXiv:2201.11903; zero-shot: Kojima et al. 2022, arXiv:2205.11916.
    """

    reasons = True


def _request(template: Template, params: PredictorParams, values: Mapping[str, Any], here: scope.Scope) -> Request:
    config = params.config
    temperature = here.temperature if config.temperature is None else config.temperature
    return Request(
        messages=template.render(values),
        schema=template.schema,
        temperature=temperature or 0.0,
        max_tokens=config.max_tokens or DEFAULT_MAX_TOKENS,
        sample=here.sample,
        weights=params.weights.sha256 if params.weights else None,
        json_reply=template.json_reply,
        lm=config.lm,
    )


def _signature(given: object) -> type[Signature]:
    if isinstance(given, type) and issubclass(given, Signature) and given is not Signature:
        return given
    raise SignatureError(
        f"{given!r} is no signature: write a class of fields, `class Answer(lp.Signature): ...`, or a text such as "
        f'"question -> answer: int".'
    )


def _config(config: Mapping[str, object]) -> Config:
    try:
        return Config.model_validate(config)
    except ValidationError as error:
        known = ", ".join(Config.model_fields)
        wrong = "; ".join(f"`{'.'.join(map(str, e['loc']))}`: {e['msg']}" for e in error.errors())
        raise ParamsError(f"config {dict(config)!r} does not fit: {wrong}. It may hold {known}.") from None


async def _sent(path: str, lm: LM, request: Request) -> Response:
    try:
        response = await lm(request)
    except LmprogError as error:
        note(path, lm.name, request, f"{type(error).__name__}: {error}")
        raise
    note(path, lm.name, request, response)
    return response


def _cut_off(response: Response) -> bool:
    return response.finish_reason == "length"


def _asked_again(request: Request, response: Response, wrong: OutputError) -> Request:
    """Put the reply and what is wrong with it at the end of the conversation."""
    complaint = (
        f"That reply cannot be used: {wrong.reason}. Reply again, with every output field in the layout asked for."
    )
    turns = (Message("assistant", response.text), Message("user", complaint))
    return replace(request, messages=(*request.messages, *turns))


def _final(path: str, response: Response, wrong: OutputError) -> OutputError:
    text = response.text
    shown = text if len(text) <= _SHOWN_AT_MOST else text[:_SHOWN_AT_MOST] + "..."
    return OutputError(f"`{path}`: {wrong.reason}. The reply was:\n{shown}", raw=text, reason=wrong.reason)
