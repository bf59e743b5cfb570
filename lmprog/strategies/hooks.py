"""Hooks: code that acts on predictors' calls where its trigger holds, whatever the program and its prompts."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, cast

from pydantic import ValidationError

from lmprog import scope
from lmprog.errors import InputError
from lmprog.module import Module, is_whole, signature_of
from lmprog.scope import Answered, Ask, Asking, Firing
from lmprog.signature import fields_of
from lmprog.strategies.inner import Inner, P, R, program_of


@dataclass(frozen=True, slots=True)
class Call:
    """A predictor's call, as a hook sees it. Values are typed."""

    predictor: str
    """The predictor's path in the program."""
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    """What the LM replied; empty before it is asked. Neither can be changed in place: an action returns new values."""


Change = Mapping[str, Any] | str | None
"""What an action gives: new values by field, a remark on the reply, or nothing to change."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Code that acts on a predictor's call: `action(call)`, where `trigger(call)` holds.

    It acts on the reply; with `before=True` on the call before the LM is asked. The action is sync or async and returns
    - outputs by name, such as `{"total": 42}`: they take the place of what the LM wrote;
    - inputs by name, such as `{"passages": [...]}`: the LM is asked (again) with them;
    - a text: a remark on the reply, upon which the LM replies again;
    - None, where there is nothing to change.

    Hooks of higher `priority` act first, those of equal priority in the order given. A hook acts at most `limit` times on one
    call, so that a call asks the LM at most once for each of these, and once. The trigger is quick and sync.
    """

    trigger: Callable[[Call], bool]
    action: Callable[[Call], Change | Awaitable[Change]]
    priority: float = 0.0
    limit: int = 1
    before: bool = False
    name: str = ""
    """What the trace calls it; the name of the action unless given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or getattr(self.action, "__name__", type(self.action).__name__))
        for given in (self.trigger, self.action):
            if not callable(given):
                raise InputError(
                    f"a hook was given {given!r}, which cannot be called: write Hook(trigger, action), two functions of a Call."
                )
        if inspect.iscoroutinefunction(self.trigger):
            raise InputError(
                f"the trigger of the hook `{self.name}` is async: write a sync one. The action may be async."
            )
        if not is_whole(self.limit, 1):
            raise InputError(f"limit={self.limit!r}: write how often a hook may act on one call, 1 or more.")


class Hooked(Module, Generic[P, R]):
    """Run a program or signature with hooks on the calls of all its predictors.

    The program and its prompts stay as they are: a call on which no hook acts is the call without hooks. `Step.fired` tells
    which hooks acted on it, and how; its inputs and outputs are those that it had in the end. No extra LM call but those that
    hooks ask for. Within another Hooked, the outer one's hooks act first. Calls that an action itself makes have no
    hooks of this one.

    It helps where code knows better than the LM: arithmetic, lookups, checks of form, terms that must not be used.

    Language hooks: de Mijolla et al. 2024, arXiv:2412.05967, where hooks act after each sentence as the LM writes. Here they
    act on whole replies, with fields for sentences: most providers do not let a reply be gone on with.
    """

    def __init__(self, program: Inner[P, R], hooks: Sequence[Hook]) -> None:
        self.program = program_of(program)
        if not isinstance(cast("object", hooks), Sequence) or not all(
            isinstance(cast("object", one), Hook) for one in hooks
        ):
            raise InputError(f"hooks={hooks!r}: write a list of hooks, [Hook(trigger, action)].")
        self.hooks = tuple(sorted(hooks, key=lambda hook: -hook.priority))
        names = [hook.name for hook in self.hooks]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError(
                f"two hooks are called {twice[0]!r}: give each a name, as in Hook(..., name='calculator')."
            )
        self.__signature__ = signature_of(self.program)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> R:
        """Return what the program returns."""
        outside = scope.current().around
        with scope.surrounded(partial(_answer, self.hooks, outside)):
            return cast("R", await cast("Any", self.program).acall(*args, **inputs))


async def _answer(hooks: Sequence[Hook], outside: scope.Around | None, asking: Asking, ask: Ask) -> Answered:
    waiting = Answered(asking, {}, asked=0)
    for hook in hooks:
        waiting = await _acted(hook, outside, waiting) if hook.before else waiting
    asked = 0
    while True:
        left = waiting.asking
        replied = await ask(asking._replace(inputs=left.inputs, said=left.said, fired=left.fired))
        asked += replied.asked
        waiting = await _after(hooks, outside, replied)
        if not _asks_again(replied.asking, waiting.asking):
            return waiting._replace(asked=asked)


async def _after(hooks: Sequence[Hook], outside: scope.Around | None, answered: Answered) -> Answered:
    """Return what hooks make of a reply, up to the first that wants another."""
    for hook in hooks:
        if hook.before or answered.error is not None:
            continue
        acted = await _acted(hook, outside, answered)
        if _asks_again(answered.asking, acted.asking):
            return acted
        answered = acted
    return answered


def _asks_again(before: Asking, after: Asking) -> bool:
    return after.inputs is not before.inputs or after.said is not before.said


async def _acted(hook: Hook, outside: scope.Around | None, answered: Answered) -> Answered:
    """Return the call as the hook leaves it; as it was where the hook does not act."""
    asking = answered.asking
    call = Call(asking.path, MappingProxyType(asking.inputs), MappingProxyType(answered.outputs))
    if [firing.hook for firing in asking.fired].count(hook.name) >= hook.limit or not hook.trigger(call):
        return answered
    with scope.scoped(around=outside):
        change = await scope.called(hook.action, call)
    if isinstance(change, str) and change:
        return _remarked(hook, answered, change)
    given = _checked(hook, asking, {} if change is None else change)
    inputs = fields_of(asking.signature).inputs
    fired = (*asking.fired, Firing(hook.name, given))
    if given.keys() & inputs.keys():  # a conversation about the inputs as they were is over
        asking = asking._replace(inputs={**asking.inputs, **given}, said=())
        given = {}
    return answered._replace(asking=asking._replace(fired=fired), outputs={**answered.outputs, **given})


def _remarked(hook: Hook, answered: Answered, remark: str) -> Answered:
    if hook.before:
        raise InputError(
            f"the hook `{hook.name}` made the remark {remark!r} before there was a reply: leave out before=True."
        )
    asking = answered.asking
    said = (*asking.said, (answered.outputs, remark))
    return answered._replace(asking=asking._replace(said=said, fired=(*asking.fired, Firing(hook.name, {}, remark))))


def _checked(hook: Hook, asking: Asking, change: object) -> dict[str, Any]:
    """Return new values as values of the fields' types; InputError where they cannot be set."""
    who, fields = f"the hook `{hook.name}`", fields_of(asking.signature)
    if not isinstance(change, Mapping):
        raise InputError(f"{who} returned {change!r}: return new values by field, a text that is a remark, or None.")
    given = dict(cast("Mapping[str, Any]", change))
    known = {**fields.inputs, **({} if hook.before else fields.outputs)}
    unknown = [name for name in given if name not in known]
    if unknown:
        when = "before the call" if hook.before else "on the reply"
        raise InputError(f"{who} set `{unknown[0]}` of `{asking.path}`, {when}, where it may set {[*known]}.")
    if {name in fields.inputs for name in given} == {True, False}:
        raise InputError(
            f"{who} set {[*given]}, inputs and outputs at once: new inputs have the LM write all outputs anew."
        )
    for name, value in given.items():
        try:
            given[name] = known[name].adapter.validate_python(value)
        except ValidationError as error:
            raise InputError(
                f"{who} set `{name}` of `{asking.path}` to {value!r}: {error.errors()[0]['msg']}."
            ) from None
    return given
