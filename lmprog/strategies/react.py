"""ReAct: think, call a tool, read what it says, until the answer is known (Yao et al. 2022, arXiv:2210.03629)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, cast, overload

from lmprog.derived import extended, reading
from lmprog.errors import ContextError, InputError, LmprogError, OutputError, SignatureError
from lmprog.formats.tools import SHOWN_OF_AN_OBSERVATION, cut
from lmprog.module import Module, Program, is_whole, signature_of
from lmprog.predict import ChainOfThought, P, Predict, S_co
from lmprog.secrets import redact
from lmprog.signature import InputField, OutputField, Signature, and_list, check_inputs, fields_of
from lmprog.tools import AnyTool, NextCall, Tool, ToolLike, Trajectory, Turn, as_tool, check_list, legible

FINISH = "finish"
"""The tool that ends a run: its arguments are the signature's outputs."""
MOST_CHARACTERS = 4000
"""Of an observation: a page of text, some 1000 tokens, of which ten fit any LM's context."""

_OF_ONE_CALL = (OutputError, InputError, ContextError)
"""What of lmprog's own errors concerns the one call of a tool. All others are about the whole run: caps, keys, scopes."""

_AROUND_NAMES = " \n`'\""
"""What LMs write around the name of a tool at times."""
_log = logging.getLogger("lmprog.tools")


class ReAct(Module, Generic[P, S_co]):
    """Fill a signature's outputs by calling tools: each step a thought, a tool and its arguments; then what the tool says.

    A run ends when the LM calls `finish`, whose arguments are the outputs. After `max_steps` steps, or where `finish` is
    called with arguments that do not fit, where the LM calls nothing or its reply cannot be read, a second predictor,
    `extract`, answers from the turns until then. So a run takes at most `max_steps` + 1 LM calls, and as many again where
    replies do not validate. It helps where the answer must be looked up or computed, and what to look up next depends on
    what was found.

    What goes wrong with a tool is an observation: no tool of that name, arguments that do not fit, an exception. Errors
    that are about the run (a cap, a refused key, a predictor out of scope) are raised. An observation is cut after
    `most_characters`. `tools` are functions, `lp.Tool`s, and programs, whose predictors then become part of this one's.
    The descriptions of the tools, `finish` among them, are params of `step`: `compile()` improves them.

    Departures from the paper: `finish` has typed arguments, and where no answer was given one is extracted (as in DSPy),
    where the paper falls back to chain of thought without what was found.
    """

    @overload
    def __init__(
        self,
        signature: str,
        /,
        tools: Sequence[ToolLike | Program],
        *,
        max_steps: int = 10,
        most_characters: int = MOST_CHARACTERS,
        config: Mapping[str, object] | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self,
        signature: Callable[P, S_co],
        /,
        tools: Sequence[ToolLike | Program],
        *,
        max_steps: int = 10,
        most_characters: int = MOST_CHARACTERS,
        config: Mapping[str, object] | None = None,
    ) -> None: ...

    def __init__(
        self,
        signature: Callable[P, S_co] | str,
        /,
        tools: Sequence[ToolLike | Program],
        *,
        max_steps: int = 10,
        most_characters: int = MOST_CHARACTERS,
        config: Mapping[str, object] | None = None,
    ) -> None:
        for name, value in (("max_steps", max_steps), ("most_characters", most_characters)):
            if not is_whole(value, 1):
                raise InputError(f"ReAct({name}={value!r}): write a number from 1 on.")
        task = Predict(cast("Callable[P, S_co]", signature))
        self.signature = task.signature
        self.__signature__ = signature_of(task)
        self.max_steps, self.most_characters = max_steps, most_characters
        check_list(tools)
        made = [_tool(one) for one in tools]
        self.programs = _programs(made)
        """Programs among the tools, by name: their predictors are part of this program."""
        self.step: Predict[..., Any] = Predict(
            _step(self.signature), tools=[*made, _finish(self.signature)], config=config
        )
        self.extract: ChainOfThought[..., Any] = ChainOfThought(_extract(self.signature), config=config)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the signature with its outputs filled."""
        if args:
            named = ", ".join(f"{name}=..." for name in fields_of(self.signature).inputs)
            raise InputError(f"{self.signature.__name__} was given {args[0]!r} without a name. Write {named}.")
        values = check_inputs(self.signature, inputs)
        turns: list[Turn] = []
        while len(turns) < self.max_steps:
            try:
                step = await self.step.acall(**values, trajectory=turns)
            except OutputError as wrong:
                _log.info("the answer is extracted, since step %d cannot be read: %s", len(turns) + 1, wrong.reason)
                break
            except ContextError as wrong:
                _log.info("the answer is extracted from short observations: %s", wrong)
                turns = [
                    turn.model_copy(update={"observation": cut(turn.observation, SHOWN_OF_AN_OBSERVATION)})
                    for turn in turns
                ]
                break
            name, arguments = step.next_tool_name.strip(_AROUND_NAMES), step.next_tool_args
            outputs, observation = await self._called(name, arguments)
            if outputs is not None:
                return cast("S_co", self.signature(**values, **outputs))
            turns = [*turns, Turn(thought=step.next_thought, tool=name, args=arguments, observation=observation)]
            if name in (FINISH, ""):
                break
        extracted = await self.extract.acall(**values, trajectory=turns)
        return cast(
            "S_co",
            self.signature(**values, **{name: getattr(extracted, name) for name in fields_of(self.signature).outputs}),
        )

    async def _called(self, name: str, arguments: Mapping[str, object] | str) -> tuple[dict[str, Any] | None, str]:
        """Return the outputs, if that was `finish`, and else what the tool said."""
        tool = self.step.tools.get(name)
        if tool is None:
            known = ", ".join(f"`{known}`" for known in self.step.tools)
            return None, f"Error: there is no tool `{name}`. There are {known}." if name else ""
        try:
            if name == FINISH:
                return tool.checked(arguments), ""
            said = await tool.acall(arguments)
        except _OF_ONE_CALL as wrong:
            said = f"Error: {wrong}"
        except (Exception, SystemExit) as error:  # noqa: BLE001  the user's own code: what it raised is what the tool says
            said = _said_of(name, error)
        return None, legible(cut(said, self.most_characters))


def _said_of(name: str, error: BaseException) -> str:
    """Return an observation of what a tool raised; a group that holds an error about the whole run is raised."""
    if any(isinstance(leaf, LmprogError) and not isinstance(leaf, _OF_ONE_CALL) for leaf in _leaves(error)):
        raise error
    _log.info("the tool `%s` raised", name, exc_info=error)
    return redact(f"Error: `{name}` raised {type(error).__name__}: {error}")


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for part in group.exceptions for leaf in _leaves(part)]


def _tool(given: ToolLike | Program) -> AnyTool:
    tool = as_tool(cast("ToolLike", given))
    if tool.name == FINISH:
        raise SignatureError(
            f"a tool is called `{FINISH}`, as the one by which ReAct ends. Give yours another name: "
            f'`lp.Tool({FINISH}, name="...")`.'
        )
    return tool


def _programs(tools: Sequence[AnyTool]) -> dict[str, Program]:
    found = {tool.name: cast("object", tool.function) for tool in tools}
    return {name: cast("Program", one) for name, one in found.items() if isinstance(one, (Module, Predict))}


def _finish(signature: type[Signature]) -> AnyTool:
    outputs = fields_of(signature).outputs

    def finish(**values: object) -> object:
        return signature(**values)

    about = f"Gives {and_list(list(outputs))} and ends the task."
    return Tool(finish, description=about, fields=outputs)


def _step(signature: type[Signature]) -> type[Signature]:
    fields, chosen = fields_of(signature), fields_of(NextCall).outputs
    instruction = (
        f"{fields.instruction}\n\nUse the tools to find out what is still unknown, one call at a time. Think about what the "
        f"trajectory says so far and what to do next, then choose a tool and write its arguments. When you know "
        f"{and_list(list(fields.outputs))}, call `{FINISH}`."
    )
    return reading(
        signature.__name__,
        fields.inputs,
        instruction,
        trajectory=(Trajectory, InputField(desc="the calls so far, and what the tools said")),
        **{name: (field.annotation, OutputField(desc=field.desc)) for name, field in chosen.items()},
    )


def _extract(signature: type[Signature]) -> type[Signature]:
    instruction = f"{fields_of(signature).instruction}\n\nAnswer from what the tools said in the trajectory."
    trajectory = InputField(desc="what was thought, which tools were called, and what they said")
    return extended(signature, instruction, trajectory=(Trajectory, trajectory))
