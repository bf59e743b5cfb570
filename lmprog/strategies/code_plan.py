"""Plan, execute, and plan again from where an expectation failed; solved plans become demos (arXiv:2305.16653)."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, Self

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic import Field as Bounded
from pydantic_core import to_json
from typing_extensions import TypeVar  # with defaults, which typing has from Python 3.13

from lmprog import scope
from lmprog.derived import reading
from lmprog.errors import ContextError, InputError, LmprogError, OutputError, SignatureError
from lmprog.formats.fields import type_words
from lmprog.module import Module, is_whole, params_of, with_params
from lmprog.params import Demo
from lmprog.predict import P, Predict
from lmprog.signature import InputField, OutputField, Signature
from lmprog.strategies.apart import apart
from lmprog.tools import AnyTool, Tool, legible

W = TypeVar("W", default=Any)


class PlanStep(BaseModel):
    """A call of an action, and what it is expected to say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    action: str
    tries: Annotated[list[dict[str, JsonValue]], Bounded(min_length=1)]
    """Arguments by name. Of several, one after the other is tried until one does what is expected."""
    says: list[str] = []
    """What it must say for the plan to go on, whatever the case of its letters."""
    lacks: list[str] = []
    """What it must not say."""
    saves: str = ""
    """The name under which later steps find what it said, as `{name}`, and its arguments, as `{name.argument}`."""


Steps = Annotated[list[PlanStep], Bounded(min_length=1)]


@dataclass(frozen=True, slots=True)
class Done:
    """An action that was done, or could not be."""

    step: PlanStep
    arguments: Mapping[str, JsonValue]
    said: str
    failure: str = ""
    """What was wrong with it; "" where all was as expected."""


@dataclass(frozen=True, slots=True)
class Execution(Generic[W]):
    """What a run did to its world."""

    world: W
    done: tuple[Done, ...]
    """Every action in order, those that failed too."""
    replans: int
    failure: str
    """Why it gave up; "" where a plan was carried out to its end."""
    skill: Demo | None
    """The steps that led there, for the planner; not the first plan, where that had to be mended. None where it gave up."""


class Extract(Signature):
    """Answer the question from what was seen, in as few words as possible."""

    question: str = InputField()
    about: str = InputField(desc="what was seen")
    found: str = OutputField()


class CodePlan(Module, Generic[P, W]):
    """Act in a world by a plan: a predictor writes all steps at once, and they are carried out while each says what it is
    expected to; where one does not, `replan` writes the rest anew from that step, up to `replans` times.

    `world` is a class: each run makes an instance from the run's inputs, its public methods are the actions (typed, with a
    docstring for the LM, sync or async), and `str(instance)` is what the planner reads: the task and how things stand. A
    program that takes what the class takes and returns an `Execution`. What goes wrong in an action (no such action,
    arguments that do not fit, an exception) is a failure of its step. A step may also `ask` the LM about something that was
    seen (in-plan feedback). `most_actions` bounds a run.

    One LM call where the plan holds, one more for each replan and each `ask`. It helps in worlds where most of what will
    happen can be foreseen. `learned_from` makes skills of solved plans: demos in the planner's params. The program itself
    remembers nothing from run to run.

    AdaPlanner: Sun, Zhuang, Kong, Dai and Zhang 2023, arXiv:2305.16653. Departures: the paper's plan is Python that is run
    as the LM wrote it; here a step is data, a call of a typed method, since an LM's text must not run in the user's process.
    So loops are `tries` and assertions are `says` and `lacks`. A new plan begins at the step that failed, where the paper's LM
    may choose an earlier one. Skills are kept by the caller, where the paper's agent has a memory of its own.
    """

    def __init__(self, world: Callable[P, W], *, replans: int = 3, most_actions: int = 50) -> None:
        if not (is_whole(replans, 0) and is_whole(most_actions, 1)):
            raise InputError(
                f"replans={replans!r}, most_actions={most_actions!r}: write 0 replans or more, 1 action or more."
            )
        self.__signature__, actions = _read(world)
        self.actions = {**actions, ASK: Tool(self._asked, name=ASK, description=_ASK)}
        self.world, self.replans, self.most_actions = world, replans, most_actions
        steps = (Steps, OutputField(desc="\n".join(["the actions are", *map(_described, self.actions.values())])))
        situation = (str, InputField(desc="what is to be done, and how things stand"))
        done = (list[str], InputField(desc="what was done, and what it said"))
        failed = (str, InputField(desc="the step that failed, and why"))
        self.plan: Predict[..., Any] = Predict(reading("Plan", {}, _PLAN, situation=situation, steps=steps))
        self.replan: Predict[..., Any] = Predict(
            reading("Replan", {}, _REPLAN, situation=situation, done=done, failed=failed, steps=steps)
        )
        self.extract = Predict(Extract)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> Execution[W]:
        """Return what was done, and the world after it."""
        world = self.world(*args, **inputs)
        situation, done, replans = str(world), list[Done](), 0
        with apart() as planning:
            steps: list[PlanStep] = (await self.plan.acall(situation=situation)).steps
        while True:
            done, steps = await self._carried_out(world, steps, done)
            if not steps:
                solved = [one.step.model_dump(mode="json") for one in done if not one.failure]
                skill = Demo(inputs={"situation": situation}, outputs={"steps": solved})
                return Execution(world, tuple(done), replans, "", skill)
            if replans == self.replans or len(done) >= self.most_actions:
                spent = f"{len(done)} actions were done, and {len(steps)} steps of the plan are left"
                return Execution(world, tuple(done), replans, done[-1].failure or spent, None)
            *before, failed = map(_told, done)
            planning.set_aside()
            with apart() as planning:
                steps = (await self.replan.acall(situation=str(world), done=before, failed=failed)).steps
            replans += 1

    def learned_from(self, executions: Iterable[Execution[W]], *, most: int = 4) -> Self:
        """Return a twin whose planner is shown, after the demos that it has, the plans of those runs that were carried out to
        their end; of all the latest `most`, and one for each situation."""
        params = params_of(self)
        solved = [execution.skill for execution in executions if execution.skill]
        latest = {str(demo.inputs): demo for demo in (*params["plan"].demos, *solved)}
        return with_params(self, params.replace("plan", demos=tuple(latest.values())[-most:]))

    async def _carried_out(
        self, world: W, steps: list[PlanStep], before: list[Done]
    ) -> tuple[list[Done], list[PlanStep]]:
        """Return all that was done, and the steps that are left: from the one that failed on."""
        done = [*before]
        for place, step in enumerate(steps):
            for arguments in step.tries:
                if len(done) >= self.most_actions:
                    return done, steps[place:]
                done.append(await self._tried(world, step, arguments, done))
                if not done[-1].failure:
                    break
            else:
                return done, steps[place:]
        return done, []

    async def _tried(self, world: W, step: PlanStep, written: dict[str, JsonValue], before: list[Done]) -> Done:
        arguments = written
        try:
            arguments = _filled(written, before)
            said = await self._said(world, step.action, arguments)
        except (Exception, SystemExit) as error:
            if isinstance(error, LmprogError) and not isinstance(error, _OF_ONE_STEP):
                raise
            told = str(error) if isinstance(error, LmprogError) else f"{type(error).__name__}: {error}"
            return Done(step, arguments, "", told)  # the world's own code too: the plan goes another way
        wrong = [f"it does not say {text!r}" for text in step.says if text.lower() not in said.lower()]
        wrong += [f"it says {text!r}" for text in step.lacks if text.lower() in said.lower()]
        return Done(step, arguments, said, " and ".join(wrong))

    async def _said(self, world: W, action: str, arguments: Mapping[str, JsonValue]) -> str:
        if action not in self.actions:
            raise InputError(f"there is no action {action!r}: there are {', '.join(self.actions)}.")
        tool = self.actions[action]
        function = tool.function if action == ASK else getattr(world, action)
        returned: object = await scope.called(function, **tool.checked(arguments))
        return legible(returned) if isinstance(returned, str) else to_json(returned).decode()

    async def _asked(self, question: str, about: str) -> str:
        return (await self.extract.acall(question=question, about=about)).found


ASK = "ask"
_OF_ONE_STEP = (InputError, OutputError, ContextError)
"""What of lmprog's own errors concerns one step. All others are about the whole run: caps, keys, scopes."""
_SAVED = re.compile(r"\{(\w+(?:\.\w+)?)\}")
_STEP = """\
A step calls one action. `tries` holds its arguments by name; where you cannot know which are right, such as where a thing
is, write several, and they are tried in turn until the action says what you expect. `says` holds what it must say if the
step succeeds, `lacks` what it must not say: expect what tells whether the plan can go on. What a step `saves` under a name,
later steps may use in their arguments: {name} stands for what it said, {name.argument} for its argument."""
_PLAN = f"""\
Write a plan that gets done what the situation asks for, all of it: nobody asks you again after each step.

{_STEP}"""
_REPLAN = f"""\
A step of a plan has failed. Write the rest of the plan anew, from that step on, so that it gets done what the situation
asks for. What was done is done, and need not be done again.

{_STEP}"""
_ASK = (
    'Ask about what was seen, such as about="{seen}", where an argument has to be read from it; answers in a few words.'
)


def _read(world: Callable[..., object]) -> tuple[inspect.Signature, Mapping[str, AnyTool]]:
    """Return what the class takes, and its actions by name."""
    if not isinstance(world, type) or not {"__str__", "__repr__"} & {*_named(world)}:
        raise InputError(
            f"world={world!r}: write a class whose `__str__` tells what is to be done and how things stand, and whose public "
            f"methods are the actions."
        )
    named = {n: f for n, f in _named(world).items() if inspect.isfunction(f) and not n.startswith("_")}
    if not named or ASK in named:
        wrong = (
            f"its action `{ASK}` has the name of one that every plan has"
            if named
            else "it has no public method to act by"
        )
        raise SignatureError(f"{world.__name__} cannot be the world of a plan: {wrong}.")
    actions = [Tool(partial(function, None)) for function in named.values()]
    try:
        takes = inspect.signature(world, eval_str=True)
    except NameError as error:
        raise SignatureError(
            f"{world.__name__} cannot be the world of a plan: {error}. The types of what it takes must be visible where it stands."
        ) from None
    return takes, {tool.name: tool for tool in actions}


def _named(world: type) -> dict[str, object]:
    """Return what a class and its bases define, in order."""
    bases = [base for base in reversed(world.__mro__) if base is not object]
    return {name: value for base in bases for name, value in vars(base).items()}


def _described(tool: AnyTool) -> str:
    fields = (tool.fields or {}).values()
    return (
        f"{tool.name}({', '.join(f'{field.name}: {type_words(field.schema)}' for field in fields)}): {tool.description}"
    )


def _filled(arguments: Mapping[str, JsonValue], before: Iterable[Done]) -> dict[str, JsonValue]:
    """Return arguments with what earlier steps saved in place of the names for it."""
    saved: dict[str, str] = {}
    for one in before:
        if one.step.saves and not one.failure:
            saved[one.step.saves] = one.said
            saved |= {f"{one.step.saves}.{name}": str(value) for name, value in one.arguments.items()}

    def known(match: re.Match[str]) -> str:
        if match[1] not in saved:
            raise InputError(f"nothing is saved as {match[1]!r}: there are {sorted(saved)}.")
        return saved[match[1]]

    return {name: _SAVED.sub(known, v) if isinstance(v, str) else v for name, v in arguments.items()}


def _told(one: Done) -> str:
    call = f"{one.step.action}({', '.join(f'{name}={value!r}' for name, value in one.arguments.items())})"
    return f"{call}: {one.said}" + (f" FAILED, since {one.failure}" if one.failure else "")
