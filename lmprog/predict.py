"""Predict: the only thing that calls an LM."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, ClassVar, Generic, cast, overload

from pydantic import ValidationError
from typing_extensions import ParamSpec, TypeVar  # with defaults, which typing has from Python 3.13

from lmprog import loop, scope
from lmprog.derived import extended
from lmprog.errors import InputError, LmprogError, OutputError, ParamsError, ScopeError, SignatureError
from lmprog.formats import Template, prepare, prepare_calls
from lmprog.formats.native import Native, refused_reply
from lmprog.inspection import note
from lmprog.lm import default_lm, plain
from lmprog.lm.specs import of_predictor, url_in
from lmprog.params import Config, Demo, PredictorParams
from lmprog.request import DEFAULT_MAX_TOKENS, LM, Message, Request, Response, ToolSpec
from lmprog.secrets import named_by_user
from lmprog.short_form import from_string
from lmprog.signature import InputField, Signature, check_demo, check_inputs, fields_of, values_of, with_reasoning
from lmprog.tools import AnyTool, Told, ToolLike, check_step, told, tools_by_name

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

    With `tools` it chooses what to call next and calls nothing itself: its signature extends `lp.NextCall`. The tools are
    told in the prompt, or in the request where the LM has tools itself, which then gets the turns of an input of the type
    `lp.Trajectory` as calls and their answers. Under an adapter they are told in the prompt, in whose layout it was
    trained. Their descriptions are params: `field_descriptions` may name them.
    """

    _origin: object = None
    """The artifact that a loaded or compiled twin comes from."""
    _rendered: tuple[PredictorParams | None, Template | Native | None] = None, None
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
        tools: Sequence[ToolLike] = (),
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
        tools: Sequence[ToolLike] = (),
    ) -> None: ...

    def __init__(
        self,
        signature: Callable[P, S_co] | str,
        /,
        *,
        demos: Sequence[Demo] = (),
        config: Mapping[str, object] | None = None,
        retries: int = 1,
        tools: Sequence[ToolLike] = (),
    ) -> None:
        if url := url_in(str((config or {}).get("lm") or "")):
            named_by_user(url)
        made = from_string(signature) if isinstance(signature, str) else _signature(signature)
        self.signature = with_reasoning(made) if self.reasons else made
        self.retries = retries
        self.tools: Mapping[str, AnyTool] = tools_by_name(tools)
        """What it may choose to call, by name."""
        if tools:
            check_step(self.signature, self.tools)
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
        template = prepare(self.signature, params, self.specs)
        inputs, outputs = values_of(self.signature, demo)
        return _request(template, params, inputs, scope.Scope()), template.render_reply(outputs)

    def _users_parts(self) -> dict[str, object]:
        return dict(self.tools)

    def _told_as_tool(self) -> Told:
        fields = fields_of(self.signature)
        return told(self.signature, fields.instruction, fields.inputs, self.acall)

    async def _answer(self, unnamed: Sequence[object], inputs: Mapping[str, object]) -> S_co:
        here = scope.current()
        bound = self._bound(here)
        lm = (
            here.lm
            or default_lm()
            or (plain(bound.params.config.lm, read=of_predictor) if bound.params.config.lm else None)
        )
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
        asking = scope.Asking(bound.path, self.signature, values, bound.params.instruction)
        answered: scope.Answered | None = None
        error: str | None = None
        try:
            if here.around is None:
                answered = await self._ask(lm, here, bound, asking)
            else:
                answered = await here.around(asking, partial(self._ask, lm, here, bound))
            if answered.error is not None:
                raise answered.error
            return cast("S_co", self.signature(**answered.asking.inputs, **answered.outputs))
        except LmprogError as wrong:
            error = str(wrong)
            raise
        finally:
            if here.trace:
                here.trace.close(place, _step(bound, answered or scope.Answered(asking, {}), error))

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

    async def _ask(self, lm: LM, here: scope.Scope, bound: scope.Bound, asking: scope.Asking) -> scope.Answered:
        template, inputs = self._as_asked(bound, asking, native=self._calls_natively(lm, bound.params))
        request = _request(template, bound.params, inputs, here)
        if asking.said:
            request = replace(request, messages=(*request.messages, *_turns(template, asking)))
        for attempt in range(1, self.retries + 1):
            response = await _sent(bound.path, lm, request)
            try:
                return scope.Answered(asking, _read(template, response), attempt)
            except OutputError as wrong:
                request = _asked_again(request, response, wrong)
        response = await _sent(bound.path, lm, request)
        try:
            outputs = _read(template, response)
        except OutputError as wrong:
            return scope.Answered(asking, {}, self.retries + 1, _final(bound.path, wrong))
        return scope.Answered(asking, outputs, self.retries + 1)

    def _as_asked(
        self, bound: scope.Bound, asking: scope.Asking, *, native: bool
    ) -> tuple[Template | Native, Mapping[str, Any]]:
        """Return the template and the inputs of a call that may have been changed by what surrounds it."""
        if not asking.advice and asking.instruction == bound.params.instruction:
            return self._template(bound, native=native), asking.inputs
        signature, inputs = self.signature, asking.inputs
        if asking.advice:
            name, signature = _advised(self.signature)
            inputs = {**inputs, name: asking.advice}
        params = bound.params.replace(instruction=asking.instruction)
        return self._prepared(signature, params, native=native), inputs

    def _template(self, bound: scope.Bound, *, native: bool) -> Template | Native:
        if bound.template is None or isinstance(bound.template, Native) != native:
            params, template = self._rendered
            if params is not bound.params or isinstance(template, Native) != native:
                # a program that is called by itself is bound anew each time
                template = self._prepared(self.signature, bound.params, native=native)
                self._rendered = bound.params, template
            bound.template = template
        return cast("Template | Native", bound.template)

    def _prepared(self, signature: type[Signature], params: PredictorParams, *, native: bool) -> Template | Native:
        return (prepare_calls if native else prepare)(signature, params, self.specs)

    def _calls_natively(self, lm: LM, params: PredictorParams) -> bool:
        if not self.tools or params.weights is not None:
            return False
        return "tools" in (_capabilities_of(params.config.lm) if params.config.lm else lm.capabilities)

    @property
    def specs(self) -> list[ToolSpec]:
        """What the LM is told of the tools, where no params say something else."""
        return [tool.spec for tool in self.tools.values()]


class ChainOfThought(Predict[P, S_co]):
    """A Predict that has the LM reason first, in an output `reasoning` before the others.

    To a type checker it returns the signature as written; `lp.reasoning(prediction)` gives the text.
    Chain-of-thought prompting: Wei et al. 2022, arXiv:2201.11903; zero-shot: Kojima et al. 2022, arXiv:2205.11916.
    """

    reasons = True


@lru_cache
def _capabilities_of(spec: str) -> frozenset[str]:
    """Return what an LM can do: to look for the LM of an entry point takes longer than many a call."""
    return of_predictor(spec).capabilities


def _request(
    template: Template | Native, params: PredictorParams, values: Mapping[str, Any], here: scope.Scope
) -> Request:
    config = params.config
    temperature = here.temperature if config.temperature is None else config.temperature
    return Request(
        template.render(values),
        template.schema,
        temperature or 0.0,
        config.max_tokens or DEFAULT_MAX_TOKENS,
        here.sample,
        params.weights.sha256 if params.weights else None,
        template.json_reply,
        template.tools if isinstance(template, Native) else (),
        lm=config.lm,
    )


def _step(bound: scope.Bound, answered: scope.Answered, error: str | None) -> scope.Step:
    asking = answered.asking
    return scope.Step(
        bound.path,
        asking.inputs,
        answered.outputs,
        answered.asked - 1,
        error,
        asking.advice,
        asking.instruction if asking.instruction != bound.params.instruction else "",
        asking.fired,
    )


def _turns(template: Template | Native, asking: scope.Asking) -> Iterator[Message]:
    """Yield the conversation that goes on from earlier outputs of the same call."""
    for number, (outputs, remark) in enumerate(asking.said):
        if isinstance(template, Native):
            yield from template.said_again(outputs, remark, number)
        else:
            yield Message("assistant", template.render_reply(outputs))
            yield Message("user", remark)


_made_to_advise: dict[type[Signature], tuple[str, type[Signature]]] = {}


def _advised(signature: type[Signature]) -> tuple[str, type[Signature]]:
    """Return a free name for advice, and the signature with such an input behind its own."""
    if signature in _made_to_advise:
        return _made_to_advise[signature]
    fields = fields_of(signature)
    name = "advice"
    while name in fields.inputs or name in fields.outputs:
        name += "_"
    added = {name: (str, InputField(desc="what to do better than in an earlier attempt"))}
    made = _made_to_advise[signature] = name, extended(signature, fields.instruction, **added)
    return made


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


def _read(template: Template | Native, response: Response) -> dict[str, Any]:
    if isinstance(template, Native):
        return template.read(response)
    return template.parse(response.text, cut_off=response.finish_reason == "length")


def _asked_again(request: Request, response: Response, wrong: OutputError) -> Request:
    """Put the reply and what is wrong with it at the end of the conversation."""
    complaint = (
        f"That reply cannot be used: {wrong.reason}. Reply again, with every output field in the layout asked for."
    )
    turns = (
        refused_reply(response, complaint)
        if request.tools
        else (Message("assistant", response.text), Message("user", complaint))
    )
    return replace(request, messages=(*request.messages, *turns))


def _final(path: str, wrong: OutputError) -> OutputError:
    text = wrong.raw
    shown = text if len(text) <= _SHOWN_AT_MOST else text[:_SHOWN_AT_MOST] + "..."
    return OutputError(f"`{path}`: {wrong.reason}. The reply was:\n{shown}", raw=text, reason=wrong.reason)
