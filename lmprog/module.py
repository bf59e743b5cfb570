"""Modules: programs made of predictors, and the params that are in force while they run."""

import copy
import inspect
import math
from collections.abc import Awaitable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar, cast, get_type_hints, overload

from lmprog import loop, scope
from lmprog.errors import CapabilityError, InputError, ParamsError, ScopeError, SignatureError
from lmprog.lm import plain
from lmprog.params import Params, PredictorParams
from lmprog.predict import LONE_PATH, Predict
from lmprog.request import LM
from lmprog.signature import Field, Signature, check_demo, fields_of
from lmprog.tools import Told, told

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

AnyPredict = Predict[..., Any]


class _Sync(Protocol[P, R_co]):
    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Async(Protocol[P, R_co]):
    def aforward(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R_co]: ...


class Module:
    """A program: attributes hold predictors and modules, alone or in lists and dicts; `forward` is the pipeline.

    Write `def forward`, or `async def aforward`, and call the module: a checker sees forward's own signature.
    A program is a function of (params, inputs). It runs under the params it was written with, or, as
    returned by `compile()` and `load()`, under better ones.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """Capabilities of the LM that the module cannot do without; `compile`, `plan` and `evaluate` refuse any other LM at once."""

    _params: Params | None = None
    _origin: object = None
    """Where a loaded or compiled program comes from; an artifact's concern."""
    _original: "Module | None" = None
    """What a twin was copied from: the program that its parts and tools know as their own."""
    _compiled_in: str | None = None
    """The program, by class name, that was given other params than this part of it was written with."""

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        for _, part, _ in _walk(value, name, None):
            if isinstance(part, Predict):
                part.owner = part.owner or type(self).__name__

    @overload
    def __call__(self: _Sync[P, R_co], /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self: _Async[P, R_co], /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the program. In async code write `await program.acall(...)`."""
        if loop.on_loop():
            raise ScopeError(
                f"{type(self).__name__} was called in async code, where it would wait for itself. "
                f"Write `await program.acall(...)`."
            )
        forward = getattr(self, "forward", None)
        if forward is None:
            return loop.run_here(self._acall(*args, **kwargs), instead="await program.acall(...)")
        with _entered(self):
            return forward(*args, **kwargs)

    @overload
    async def acall(self: _Async[P, R_co], /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    async def acall(self: _Sync[P, R_co], /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    async def acall(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the program; a sync `forward` runs in a worker thread."""
        return await self._acall(*args, **kwargs)

    async def _acall(self, /, *args: Any, **kwargs: Any) -> Any:
        with _entered(self):
            aforward = getattr(self, "aforward", None)
            if aforward is not None:
                return await aforward(*args, **kwargs)
            forward = self._forward()
            here = scope.current()

            def work() -> Any:
                with scope.scoped(depth=here.depth + 1):
                    return forward(*args, **kwargs)

            workers = here.workers or loop.default_workers()
            return await loop.hop(workers.run(work, here.depth))

    def _told_as_tool(self) -> Told:
        return told(type(self), type(self).__doc__ or "", signature_of(self), self._acall)

    def _users_parts(self) -> dict[str, object]:
        """Return what may be the user's in a module of ours: for its identity."""
        return {name: part for name, part in vars(self).items() if name not in vars(Module)}

    def _forward(self) -> Any:
        forward = getattr(self, "forward", None)
        if forward is None:
            name = type(self).__name__
            raise ScopeError(
                f"{name} has nothing to run: write `def forward(self, ...)` or `async def aforward(self, ...)`."
            )
        return forward


Program = Module | AnyPredict
"""What can be run, evaluated and compiled: a module, or a predictor by itself."""

M = TypeVar("M", bound=Program)


def is_sync(program: Program) -> bool:
    """Tell whether a program is a module whose `forward` is what runs."""
    return isinstance(program, Module) and getattr(program, "aforward", None) is None


def check_program(given: object) -> None:
    """Refuse what is no program: InputError."""
    if not isinstance(given, (Module, Predict)):
        if isinstance(given, type):
            kind = given.__name__
            made = f"lp.Predict({kind})" if issubclass(given, Signature) else f"{kind}(...)"
            what = f"the class {kind}: write `{made}`, a program made of it"
        else:
            what = f"{given!r}, not a Module or Predict"
        raise InputError(f"the program is {what}.")


def predictors(program: Program) -> dict[str, AnyPredict]:
    """Return every predictor in `program` by path, in order of definition; a shared one once, by its first path.

    A compiled program inside another keeps its predictors apart, even where a twin of it stands elsewhere.
    """
    return {path: predictor for path, predictor, _ in _distinct(_parts(program))}


def params_of(program: Program) -> Params:
    """Return the params that the program runs under: those it was compiled to, or was written with."""
    return Params(
        {
            path: predictor.initial if holder is None else holder.value(path)
            for path, predictor, holder in _distinct(_parts(program))
        }
    )


def with_params(program: M, params: Params) -> M:
    """Return a twin of the program that runs under `params`: the same class, with the predictors shared."""
    checked = check_params(program, params)
    if isinstance(program, Predict):
        return cast("M", program.with_params(checked[LONE_PATH]))
    twin = copy.copy(program)
    object.__setattr__(twin, "_params", checked)
    object.__setattr__(twin, "_original", program._original or program)  # pyright: ignore[reportPrivateUsage]
    _claim(program, _parts(program), checked)
    return twin


def check_params(program: Program, params: Params) -> Params:
    """Return `params` with the demos' values checked and as JSON, or raise ParamsError saying what does not fit."""
    named = predictors(program)
    if params.keys() != named.keys():
        raise ParamsError(
            f"these params are for another program: they name {sorted(params)}, {type(program).__name__} has "
            f"{sorted(named)}. Compile it again, or load the params made for it."
        )
    for path, value in params.items():
        fields, tools = fields_of(named[path].signature), named[path].tools
        unknown = sorted(set(value.field_descriptions) - {*fields.inputs, *fields.outputs, *tools})
        if unknown:
            known = f"it has {[*fields.inputs, *fields.outputs]}{f' and the tools {[*tools]}' if tools else ''}"
            raise ParamsError(f"`{path}` has no field{' or tool' if tools else ''} called {unknown}: {known}.")
    return Params({path: _with_checked_demos(path, named[path], value) for path, value in params.items()})


def bind(program: Program, params: Params) -> scope.Binding:
    """Return the program with `params` in force, made once per candidate and run on any number of rows at once."""
    if isinstance(program, Predict):
        lone = scope.Region(frozenset(), {program: scope.Bound(LONE_PATH, params[LONE_PATH])})
        return scope.Binding(program, lone, {})
    parts = _parts(program)
    _claim(program, parts, params)
    paths = {(_region(holder), id(predictor)): path for path, predictor, holder in _distinct(parts)}
    bounds = {path: scope.Bound(path, value) for path, value in params.items()}
    entered: dict[int, set[int]] = {}
    originals: dict[int, set[int]] = {}
    found: dict[int, dict[object, scope.Bound]] = {}
    for _, part, holder in parts:
        region = _region(holder)
        if isinstance(part, Predict):
            found.setdefault(region, {})[part] = bounds[paths[region, id(part)]]
        else:
            entered.setdefault(region, set()).add(id(part))
            originals.setdefault(region, set()).add(id(part._original or part))  # pyright: ignore[reportPrivateUsage]
    regions = {key: scope.Region(frozenset(entered[key] | originals[key]), found.get(key, {})) for key in entered}
    by_module: dict[int, scope.Region] = {}
    for key, members in entered.items():
        for member in members:  # a part that two twins share says nothing about which of them is meant
            by_module[member] = scope.NOWHERE if member in by_module else regions[key]
    return scope.Binding(program, by_module[id(program)], by_module)


@contextmanager
def bound(binding: scope.Binding) -> Generator[None]:
    """Run the block with a program's params in force."""
    with scope.scoped(binding=binding, region=binding.root, outer=scope.current()):
        yield


@contextmanager
def using(
    program: Program | None = None,
    *,
    params: Params | None = None,
    lm: LM | str | None = None,
    sample: int | None = None,
    temperature: float | None = None,
) -> Generator[None]:
    """Run the block with a program's params, an LM, a sample index or a temperature in force.

    `with lp.using(program):` lets you call a program's predictors one by one. `lm` is an LM or a spec such as
    "tiny". `sample=1, 2, ...` asks for fresh samples of calls that were recorded already. `temperature` is that of
    predictors whose own params set none.
    """
    if program is None and params is not None:
        raise ParamsError("params are for a program: write `with lp.using(program, params=params):`.")
    changes: scope.Changes = {}
    if program is not None:
        check_program(program)
        binding = bind(program, params_of(program) if params is None else check_params(program, params))
        changes["binding"], changes["region"], changes["outer"] = binding, binding.root, scope.current()
    if lm is not None:
        changes["lm"] = plain(lm)
    if sample is not None:
        changes["sample"] = sample
    if temperature is not None:
        changes["temperature"] = checked_temperature(temperature)
    with scope.scoped(**changes):
        yield


def signature_of(program: Program) -> inspect.Signature:
    """Return what a program takes, by name, type and default: what `forward` names, or the inputs of a predictor.

    A module that takes whatever another program takes says so with `self.__signature__ = signature_of(inner)`.
    """
    if isinstance(program, Predict):
        return inspect.Signature([_parameter(field) for field in fields_of(program.signature).inputs.values()])
    said: inspect.Signature | None = vars(program).get("__signature__")
    if said is not None:
        return said
    run = _run_of(program)
    written = inspect.signature(run)
    try:
        hints: dict[str, Any] = get_type_hints(run, include_extras=True)
    except (NameError, TypeError, AttributeError):  # types that only a checker sees
        hints = dict.fromkeys(written.parameters, inspect.Parameter.empty)
    parameters = written.parameters.values()
    return written.replace(parameters=[p.replace(annotation=hints.get(p.name, p.empty)) for p in parameters])


def inputs_of(program: Program) -> tuple[str, ...]:
    """Return the names that a program takes: what is an input in a row; every other field of a row is a label."""
    return tuple(_named(program))


def required_inputs_of(program: Program) -> tuple[str, ...]:
    """Return those inputs that have no default."""
    return tuple(name for name, parameter in _named(program).items() if parameter.default is parameter.empty)


def input_types_of(program: Program) -> dict[str, Any]:
    """Return the type of each input that says one. An input whose default is None may be None, whatever its type says."""
    return {
        name: parameter.annotation | None if parameter.default is None else parameter.annotation
        for name, parameter in _named(program).items()
        if parameter.annotation is not parameter.empty
    }


def check_capabilities(program: Program, lm: LM, role: str) -> None:
    """Raise CapabilityError where a module of the program needs what an LM cannot do (`Module.needs`)."""
    for path, part, _ in _parts(program):
        if isinstance(part, Module) and (lacking := sorted(part.needs - lm.capabilities)):
            raise CapabilityError(
                f"{lm.name} cannot be the {role} LM: {type(part).__name__}{f' at `{path}`' if path else ''} needs the capability "
                f"{', '.join(map(repr, lacking))}, and it has {sorted(lm.capabilities)}. Name another LM, or leave that module out."
            )


def checked_temperature(given: float) -> float:
    """Return a temperature, or refuse what is none: InputError."""
    if not isinstance(cast("object", given), (int, float)) or not 0 <= given < math.inf:
        raise InputError(f"temperature={given!r}: write a number from 0 on, such as temperature=1.0.")
    return float(given)


def is_whole(given: object, least: int) -> bool:
    """Tell whether something is a whole number from `least` on; True and False are none."""
    return not isinstance(given, bool) and isinstance(given, Integral) and int(given) >= least


def _parameter(field: Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is ... else field.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.annotation)


def _named(program: Program) -> dict[str, inspect.Parameter]:
    parameters = signature_of(program).parameters
    return {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _run_of(program: Module) -> Any:
    return getattr(program, "aforward", None) or program._forward()  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True, slots=True)
class _Holder:
    """The compiled programs around a part of a program."""

    nearest: Params
    """Parts with the same nearest one are bound together."""
    path: str
    """Path of the outermost."""
    outermost: Params
    """These decide: compiling a program may change the compiled programs inside it."""

    def value(self, path: str) -> PredictorParams:
        """Return the params of a predictor by its path in the whole program."""
        name = path[len(self.path) :].removeprefix(".")
        if name not in self.outermost:
            raise ParamsError(
                f"`{name}` became part of a program after it was compiled, with params for {sorted(self.outermost)}. "
                f"Compile it again, or leave its attributes as they were."
            )
        return self.outermost[name]


def _region(holder: _Holder | None) -> int:
    return id(holder.nearest) if holder else 0


_Part = tuple[str, Module | AnyPredict, _Holder | None]
"""A part of a program with its path and the compiled programs around it."""


def _parts(program: Program) -> list[_Part]:
    return list(_walk(program, "", None))


def _distinct(parts: Sequence[_Part]) -> list[tuple[str, AnyPredict, _Holder | None]]:
    first: dict[tuple[int, int], tuple[str, AnyPredict, _Holder | None]] = {}
    for path, part, holder in parts:
        if isinstance(part, Predict):
            first.setdefault((_region(holder), id(part)), (path or LONE_PATH, part, holder))
    return list(first.values())


def _walk(value: object, path: str, holder: _Holder | None, around: tuple[int, ...] = ()) -> Iterator[_Part]:
    """Yield each module and predictor; a part that holds a part around it is not entered again."""
    if id(value) in around:
        return
    around = (*around, id(value))
    children: list[tuple[str, object]] = []  # lists made at once: forward may set attributes in another thread
    if isinstance(value, Predict):
        yield path, cast("AnyPredict", value), holder
    elif isinstance(value, Module):
        own, original = value._params, value._original  # pyright: ignore[reportPrivateUsage]
        if own is not None:
            holder = replace(holder, nearest=own) if holder else _Holder(own, path, own)
        yield path, value, holder
        around = (*around, id(original))
        children = [(f"{path}.{name}" if path else name, child) for name, child in list(vars(value).items())]
    elif isinstance(value, (list, tuple)):
        items = enumerate(cast("Sequence[object]", value))
        children = [(f"{path}[{index}]", child) for index, child in items if isinstance(child, _ENTERED)]
    elif isinstance(value, dict):
        entries = list(cast("dict[object, object]", value).items())
        children = [(f"{path}[{key!r}]", child) for key, child in entries if isinstance(child, _ENTERED)]
    for name, child in children:
        yield from _walk(child, name, holder, around)


_ENTERED = (Predict, Module, list, tuple, dict)
"""What may hold a predictor. A long list of texts is passed over fast."""


def _claim(program: Module, parts: Sequence[_Part], params: Params) -> None:
    """Note on each part whose program it is, so that a part called without that program's params can say so.

    Parts that were put into a list or dict after it became an attribute are met here first. A module is claimed
    only once its params differ from those it was written with: before that, to call it by itself does no harm.
    """
    name = type(program).__name__
    compiled = any(params[path] != predictor.initial for path, predictor, _ in _distinct(parts))
    for _, part, _ in parts:
        if isinstance(part, Predict):
            part.owner = part.owner or name
        elif compiled and part is not program:
            object.__setattr__(part, "_compiled_in", name)


def _with_checked_demos(path: str, predictor: AnyPredict, value: PredictorParams) -> PredictorParams:
    try:
        return value.replace(demos=tuple(check_demo(predictor.signature, demo) for demo in value.demos))
    except SignatureError as error:
        raise ParamsError(f"`{path}`: {error}") from None


def _entered(module: Module) -> AbstractContextManager[None]:
    """Put the right params in force for a module that is called."""
    here = scope.current()
    if id(module) in here.region.modules:
        return _AS_IT_IS
    for around in scope.from_inside_out():
        if id(module) in around.region.modules:
            region = around.region
        elif around.binding and id(module) in around.binding.regions:
            region = around.binding.regions[id(module)]
        else:
            continue
        if region is here.region:
            return _AS_IT_IS
        return scope.scoped(binding=around.binding, region=region, outer=here)
    if module._compiled_in and module._params is None:  # pyright: ignore[reportPrivateUsage]
        raise ScopeError(
            f"this {type(module).__name__} is part of a compiled {module._compiled_in} and was called where that "  # pyright: ignore[reportPrivateUsage]
            f"program's params are not in force. Call the program, or wrap the call: `with lp.using(program):`. "
            f"In a thread that you start, run it under `contextvars.copy_context().run`."
        )
    return bound(bind(module, params_of(module)))


_AS_IT_IS = nullcontext()
