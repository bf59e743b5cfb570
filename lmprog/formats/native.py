"""Steps that call tools, asked of an LM that has tools itself: the request carries them, and what was called before
stands as the turns of a conversation, in demos too.

    user        [[ question ]] ...
    assistant   I must find Ada.                    calls search {"query": "Ada"}
    tool        Ada was born in Oslo.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, cast

from pydantic import ValidationError

from lmprog.errors import OutputError
from lmprog.formats.fields import dumps, encoded, system_text
from lmprog.formats.layout import NO_INPUTS, Layout, question, shown_sides
from lmprog.formats.repair import repaired
from lmprog.formats.tools import ARGUMENTS, THOUGHT, TOOL, TRAJECTORY, arguments_of, by_name, described
from lmprog.params import PredictorParams
from lmprog.request import InexactError, Message, Response, ToolCall, ToolSpec, read_exactly
from lmprog.signature import Fields, Signature, fields_of

FORM = (
    f"Write `{THOUGHT}` as plain text and call one tool with it; what the tool says follows. "
    "Call none where nothing is left to call."
)
"""How to reply."""
DEMO_ENDS = "(The example ends here.)"
"""What stands as the observation of a demo's own call: providers refuse a call that no tool answers."""

_AGAIN = 90_000
"""Numbers of calls from here on are not those of demos and trajectories."""
_NO_NAME_PART = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 64
"""What providers take as the name of a tool; an LM that writes calls as text may have written any."""


@dataclass(frozen=True, slots=True)
class Native:
    """A signature of a step that calls a tool under fixed params, as a conversation with calls."""

    layout: Layout
    fields: Fields
    prefix: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    schema: None = None
    json_reply: bool = False

    def render(self, inputs: Mapping[str, Any], /) -> tuple[Message, ...]:
        """Return the conversation that asks for the next call."""
        numbers = count(sum(len(message.tool_calls) for message in self.prefix))
        data = encoded(self.fields.inputs, inputs)
        return (*self.prefix, *_asked(self.layout, self.fields, data, _Calls(self.tools, numbers)))

    def read(self, response: Response, /) -> dict[str, Any]:
        """Return the outputs in a reply, or raise OutputError saying what is wrong with it.

        Of several calls the first is taken: the others were written without its observation, a turn of a trajectory has
        one call, and what is still wanted after the observation can be called then. A reply that ends without a call wishes
        to end: the tool's name is empty.
        """
        said: dict[str, Any] = {THOUGHT: response.text.strip(), TOOL: "", ARGUMENTS: {}}
        if response.tool_calls:
            call = response.tool_calls[0]
            said |= {TOOL: call.name, ARGUMENTS: _arguments(call, response)}
        elif response.finish_reason != "stop":
            cut_off = response.finish_reason == "length"
            reason = (
                "it was cut off at the limit of tokens, before any call" if cut_off else "it broke off before any call"
            )
            raise _refused(response, reason)
        try:
            return {name: field.decode(said[name]) for name, field in self.fields.outputs.items()}
        except ValidationError as error:
            fault = error.errors()[0]
            raise _refused(response, f"{fault['input']!r:.300} does not fit: {fault['msg']}") from None

    def said_again(self, outputs: Mapping[str, Any], remark: str, number: int, /) -> list[Message]:
        """Return outputs as a turn, answered by what is said about them. `number` of several, from 0."""
        data = encoded(self.fields.outputs, outputs)
        calls = _Calls(self.tools, count(_AGAIN + number))
        turns = calls.turns(data[THOUGHT], data[TOOL], data[ARGUMENTS], remark)
        return turns if data[TOOL] else [*turns, Message("user", remark)]


def prepare_native(
    layout: Layout, signature: type[Signature], params: PredictorParams, tools: Sequence[ToolSpec]
) -> Native:
    """Render what all rows share."""
    fields = fields_of(signature)
    shown = replace(fields, inputs=_without_trajectory(fields.inputs), outputs={THOUGHT: fields.outputs[THOUGHT]})
    prefix = [Message("system", system_text(shown, params, layout.sentence, FORM))]
    calls = _Calls(tools, count())
    for demo in params.demos:
        inputs, outputs = shown_sides(fields, demo)
        prefix += _asked(layout, fields, inputs, calls)
        prefix += calls.turns(outputs[THOUGHT], outputs[TOOL], outputs[ARGUMENTS], DEMO_ENDS)
    return Native(layout, fields, tuple(prefix), described(tools, params.field_descriptions))


def refused_reply(response: Response, complaint: str) -> tuple[Message, ...]:
    """Return the turns that send a reply back: each of its calls has to be answered."""
    if not response.tool_calls:
        return Message("assistant", response.text), Message("user", complaint)
    answers = [Message("tool", complaint, tool_call_id=call.id) for call in response.tool_calls]
    return Message("assistant", response.text, response.tool_calls), *answers


def reply_of(outputs: Mapping[str, Any]) -> Response:
    """Return the reply that holds these outputs, JSON data, as an LM with tools gives it."""
    name, thought = outputs[TOOL], outputs.get(THOUGHT, "")
    calls = (ToolCall("call00000", name, dumps(outputs.get(ARGUMENTS, {}))),) if name else ()
    return Response(thought, tool_calls=calls)


def is_native(system: str) -> bool:
    """Tell whether a system message is that of a conversation with calls."""
    return system.endswith(FORM)


def turns_in(
    messages: Sequence[Message], fields_in: Callable[[str], Mapping[str, str]]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield (role, text of each value by field) of a conversation with calls, as the other formats would have it.

    A question has the calls that follow it as its trajectory, and a demo's last turn is its reply.
    """
    starts = [place for place, message in enumerate(messages) if message.role == "user"]
    asked = [start for start in starts if fields_in(messages[start].text) or messages[start].text == NO_INPUTS]
    for place in starts:
        if place not in asked:  # what was wrong with a reply
            yield "user", {}
            continue
        end = min((start for start in asked if start > place), default=len(messages))
        calls = list(_calls(messages[place + 1 : end]))
        reply = calls.pop() if calls and place < asked[-1] else None
        past = [call for call in calls if call["tool"]]
        yield "user", {**fields_in(messages[place].text), TRAJECTORY: dumps(past)}
        if reply is not None:
            yield "assistant", {THOUGHT: reply["thought"], TOOL: reply["tool"], ARGUMENTS: dumps(reply["args"])}


def _without_trajectory(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: field for name, field in fields.items() if name != TRAJECTORY}


def _asked(layout: Layout, fields: Fields, data: Mapping[str, Any], calls: "_Calls") -> list[Message]:
    """Return the question and the turns that followed it."""
    turns = [Message("user", question(layout, fields, _without_trajectory(data)))]
    for turn in cast("list[dict[str, Any]]", data.get(TRAJECTORY, [])):
        turns += calls.turns(turn["thought"], turn["tool"], turn["args"], turn["observation"])
    return turns


@dataclass(frozen=True, slots=True)
class _Calls:
    """Writes calls as turns, in a form that providers take."""

    tools: Sequence[ToolSpec]
    numbers: Iterator[int]

    def turns(self, thought: str, name: str, arguments: dict[str, Any] | str, observation: str) -> list[Message]:
        """Return a call and what its tool said; where no tool is named, the thought alone."""
        if not name:
            return [Message("assistant", thought)]
        takes = next((arguments_of(tool) for tool in self.tools if tool.name == name), ())
        given = {"input": arguments} if (named := by_name(arguments, takes)) is None else named
        known = _NO_NAME_PART.sub("_", name)[:_LONGEST_NAME]
        # an id of nine letters and digits: Mistral takes no other
        call = ToolCall(f"call{next(self.numbers):05d}", known, dumps(given))
        return [Message("assistant", thought, (call,)), Message("tool", observation, tool_call_id=call.id)]


def _arguments(call: ToolCall, response: Response) -> dict[str, Any]:
    """Return the arguments of a call. Some servers send an empty text where there are none."""
    text = call.arguments.strip() or "{}"
    try:
        found: object = read_exactly(text, strict=False)  # line breaks in texts, which many LMs do not escape
    except InexactError as error:
        raise _refused(response, f"in the arguments of `{call.name}` {error}") from None
    except ValueError:
        found = None if response.finish_reason == "length" else repaired(text)
    if not isinstance(found, dict):
        raise _refused(response, f"the arguments of `{call.name}` are no JSON object but {text[:300]!r}")
    return cast("dict[str, Any]", found)


def _refused(response: Response, reason: str) -> OutputError:
    raw = "\n".join([response.text, *(f"{call.name} {call.arguments}" for call in response.tool_calls)]).strip()
    return OutputError(f"the reply does not hold the outputs asked for: {reason}.", raw=raw, reason=reason)


def _calls(turns: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """Yield the calls in some turns, each with what its tool said; a turn that calls nothing as one without a name."""
    said = {turn.tool_call_id: turn.text for turn in turns if turn.role == "tool"}
    for turn in turns:
        if turn.role == "assistant":
            call = turn.tool_calls[0] if turn.tool_calls else ToolCall("", "", "{}")
            yield {
                "thought": turn.text,
                "tool": call.name,
                "args": _data(call.arguments),
                "observation": said.get(call.id, ""),
            }


def _data(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # of a reply that was refused for it
        return text
