"""Modules: programs made of predictors, and the params that are in force while they run."""

import copy
import inspect
from collections.abc import Awaitable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from lmprog import loop, scope
from lmprog.errors import ParamsError, ScopeError
from lmprog.lm import from_spec
from lmprog.params import Params, PredictorParams
from lmprog.predict import LONE_PATH, Predict
from lmprog.request import LM
from lmprog.signature import check_demo, fields_of

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

    _params: Params | None = None
    _origin: object = None
    """Where a loaded or compiled program comes from; an artifact's concern."""

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        for _, part, _ in _walk(value, name, None):
            if isinstance(part, Predict):
                part.owner = type(self).__name__

    @overload
    def __call__(self: _Sync[P, R_co], *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self: _Async[P, R_co], *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program. In async code write `await program.acall(...)`."""
        if loop.on_loop():
            raise ScopeError(
                f"{type(self).__name__} was called in async code, where it would wait for itself. "
                f"Write `await program.acall(...)`."
            )
        forward = getattr(self, "forward", None)
        if forward is None:
            return loop.run(self._acall(*args, **kwargs), instead="await program.acall(...)")
        with _entered(self):
            return forward(*args, **kwargs)

    @overload
    def acall(self: _Async[P, R_co], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]: ...
    @overload
    def acall(self: _Sync[P, R_co], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]: ...
    def acall(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Run the program; a sync `forward` runs in a worker thread."""
        return self._acall(*args, **kwargs)

    async def _acall(self, *args: Any, **kwargs: Any) -> Any:
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


def predictors(program: Program) -> dict[str, AnyPredict]:
    """Return every predictor in `program` by path, in order of definition; a shared one once, by its first path.

    A compiled program inside another keeps its predictors apart, even where a twin of it stands elsewhere.
    """
    return {path: predictor for path, predictor, _ in _distinct(program)}


def params_of(program: Program) -> Params:
    """Return the params that the program runs under: those it was compiled to, or was written with."""
    found: dict[str, PredictorParams] = {}
    for path, predictor, holder in _distinct(program):
        if holder is None:
            found[path] = predictor.initial
        else:
            prefix, compiled = holder
            found[path] = compiled[path[len(prefix) :].removeprefix(".")]
    return Params(found)


def with_params(program: M, params: Params) -> M:
    """Return a twin of the program that runs under `params`: the same class, with the predictors shared."""
    checked = check_params(program, params)
    if isinstance(program, Predict):
        return cast("M", program.with_params(checked[LONE_PATH]))
    twin = copy.copy(program)
    object.__setattr__(twin, "_params", checked)
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
        fields = fields_of(named[path].signature)
        unknown = sorted(set(value.field_descriptions) - set(fields.inputs) - set(fields.outputs))
        if unknown:
            raise ParamsError(f"`{path}` has no field called {unknown}: it has {[*fields.inputs, *fields.outputs]}.")
    return Params(
        {
            path: value.replace(demos=tuple(check_demo(named[path].signature, demo) for demo in value.demos))
            for path, value in params.items()
        }
    )


def bind(program: Program, params: Params) -> scope.Binding:
    """Return the program with `params` in force, made once per candidate and run on any number of rows at once."""
    if isinstance(program, Predict):
        lone = scope.Region(frozenset(), {program: scope.Bound(LONE_PATH, params[LONE_PATH])})
        return scope.Binding(program, lone, {})
    paths = {(id(holder and holder[1]), id(predictor)): path for path, predictor, holder in _distinct(program)}
    bounds = {path: scope.Bound(path, value) for path, value in params.items()}
    modules: dict[int, set[int]] = {}
    found: dict[int, dict[object, scope.Bound]] = {}
    for _, part, holder in _walk(program, "", None):
        region = id(holder and holder[1])
        if isinstance(part, Predict):
            found.setdefault(region, {})[part] = bounds[paths[region, id(part)]]
        else:
            modules.setdefault(region, set()).add(id(part))
    regions = {key: scope.Region(frozenset(members), found.get(key, {})) for key, members in modules.items()}
    by_module = {member: regions[key] for key, members in modules.items() for member in members}
    return scope.Binding(program, by_module[id(program)], by_module)


@contextmanager
def bound(binding: scope.Binding) -> Generator[None]:
    """Run the block with a program's params in force."""
    with scope.scoped(binding=binding, region=binding.root):
        yield


@contextmanager
def using(
    program: Program | None = None,
    *,
    params: Params | None = None,
    lm: LM | str | None = None,
    sample: int | None = None,
) -> Generator[None]:
    """Run the block with a program's params, an LM or a sample index in force.

    `with lp.using(program):` lets you call a program's predictors one by one. `lm` is an LM or a spec such as
    "tiny". `sample=1, 2, ...` asks for fresh samples of calls that were recorded already.
    """
    if program is None and params is not None:
        raise ParamsError("params are for a program: write `with lp.using(program, params=params):`.")
    changes: scope.Changes = {}
    if program is not None:
        binding = bind(program, params_of(program) if params is None else check_params(program, params))
        changes["binding"], changes["region"] = binding, binding.root
    if lm is not None:
        changes["lm"] = from_spec(lm)
    if sample is not None:
        changes["sample"] = sample
    with scope.scoped(**changes):
        yield


def inputs_of(program: Program) -> tuple[str, ...]:
    """Return the names that `forward` takes: what is an input in a row; every other field of a row is a label."""
    if isinstance(program, Predict):
        return tuple(fields_of(program.signature).inputs)
    forward = getattr(program, "aforward", None) or program._forward()  # pyright: ignore[reportPrivateUsage]
    parameters = inspect.signature(forward).parameters.values()
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def required_inputs_of(program: Program) -> tuple[str, ...]:
    """Return those inputs that have no default."""
    if isinstance(program, Predict):
        return tuple(name for name, field in fields_of(program.signature).inputs.items() if field.default is ...)
    forward = getattr(program, "aforward", None) or program._forward()  # pyright: ignore[reportPrivateUsage]
    parameters = inspect.signature(forward).parameters
    return tuple(name for name in inputs_of(program) if parameters[name].default is inspect.Parameter.empty)


_Holder = tuple[str, Params] | None
"""The nearest compiled program around a part: its path, and its params; None for a program as written."""


def _distinct(program: Program) -> list[tuple[str, AnyPredict, _Holder]]:
    first: dict[tuple[int, int], tuple[str, AnyPredict, _Holder]] = {}
    for path, part, holder in _walk(program, "", None):
        if isinstance(part, Predict):
            first.setdefault((id(holder and holder[1]), id(part)), (path or LONE_PATH, part, holder))
    return list(first.values())


def _walk(
    value: object, path: str, holder: _Holder, around: tuple[int, ...] = ()
) -> Iterator[tuple[str, Module | AnyPredict, _Holder]]:
    """Yield each module and predictor with path and holder; a part that holds a part around it is not entered again."""
    if id(value) in around:
        return
    around = (*around, id(value))
    if isinstance(value, Predict):
        yield path, cast("AnyPredict", value), holder
    elif isinstance(value, Module):
        inner = holder if value._params is None else (path, value._params)  # pyright: ignore[reportPrivateUsage]
        yield path, value, inner
        for name, child in vars(value).items():
            yield from _walk(child, f"{path}.{name}" if path else name, inner, around)
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(cast("Sequence[object]", value)):
            yield from _walk(child, f"{path}[{index}]", holder, around)
    elif isinstance(value, Mapping) and not isinstance(value, Params):
        for key, child in cast("Mapping[object, object]", value).items():
            yield from _walk(child, f"{path}[{key!r}]", holder, around)


@contextmanager
def _entered(module: Module) -> Generator[None]:
    """Put the right params in force for a module that is called."""
    here = scope.current()
    if id(module) in here.region.modules:
        yield
        return
    region = here.binding.regions.get(id(module)) if here.binding else None
    if region is not None:
        with scope.scoped(region=region):
            yield
    else:
        with bound(bind(module, params_of(module))):
            yield
