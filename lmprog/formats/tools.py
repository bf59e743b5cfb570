"""Tools in prompts: the fields of a step that calls one, what was called before, and how a text tells which tools there are.

Tools:
- search(query, most): Finds passages.
  - query (text): what to look for
  - most (whole number), 3 where it is left out
- finish(answer): Gives the answer and ends the task.
  - answer (text)
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints, WithJsonSchema

from lmprog.formats.fields import dumps, type_words
from lmprog.request import ToolSpec

THOUGHT, TOOL, ARGUMENTS = "next_thought", "next_tool_name", "next_tool_args"
"""The outputs of a step that calls a tool."""
TRAJECTORY = "trajectory"
"""The input of such a step that holds the turns before it."""
SHOWN_OF_AN_OBSERVATION = 400
"""Characters of each observation in the trajectory of a demo. Four demos of ten turns then take some 5000 tokens at most:
a demo shows how to go on, and what a tool said there is of no use here."""

Arguments = Annotated[
    dict[str, JsonValue] | Annotated[str, StringConstraints(pattern=r"^(?:$|[^{\[\s])")],
    WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}]}),
]
"""The arguments of a call by name; or, of a tool that takes one, its value as a text, as in the paper's `search[Ada]`: weak
LMs write that, and no JSON. What begins like JSON is none of these texts, so that broken JSON is refused and asked for again.
"""


class Turn(BaseModel):
    """What was thought, which tool was called with which arguments, and what it said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    thought: str = ""
    tool: str
    """Its name; empty where none was called."""
    args: Arguments = {}
    observation: str = ""


Trajectory = Annotated[list[Turn], WithJsonSchema({"type": "array", "items": {"type": "object"}})]
"""Turns in order. The schema that a prompt shows says no more than that they are objects: the turns show the rest."""


class Told(NamedTuple):
    """A tool as a text tells it."""

    name: str
    arguments: tuple[str, ...]
    about: str


def described(tools: Sequence[ToolSpec], said: Mapping[str, str]) -> tuple[ToolSpec, ...]:
    """Return the tools with the descriptions that are said of them; of the others, their own."""
    return tuple(replace(tool, description=said.get(tool.name, tool.description)) for tool in tools)


def tools_text(tools: Sequence[ToolSpec]) -> str:
    """Return what a section of a system message tells of the tools. No line of it can be taken for the title of a section."""
    return "\n".join(map(_tell, tools))


def tools_in(section: str) -> tuple[Told, ...]:
    """Return what `tools_text` tells."""
    return tuple(
        Told(told[1], tuple(told[2].split(", ")) if told[2] else (), (told[3] or "").replace(_BREAK, "\n"))
        for told in _TOLD.finditer(section)
    )


def arguments_of(tool: ToolSpec) -> tuple[str, ...]:
    """Return the names of a tool's arguments."""
    return tuple(json.loads(tool.parameters).get("properties", {}))


def by_name(arguments: Mapping[str, Any] | str, names: Sequence[str]) -> dict[str, Any] | None:
    """Return the arguments of a call by name; None where a text alone stands for several."""
    if not isinstance(arguments, str):
        return dict(arguments)
    return {names[0]: arguments} if len(names) == 1 else None if arguments else {}


def shortened(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the turns of a demo, as JSON data, with their observations cut."""
    return [{**turn, "observation": cut(str(turn["observation"]), SHOWN_OF_AN_OBSERVATION)} for turn in turns]


def cut(text: str, most: int) -> str:
    """Return the beginning of a text that is too long, and that it was cut."""
    return text if len(text) <= most else f"{text[:most]}... (cut: {most} of {len(text)} characters)"


_BREAK = "\n    "
_TOLD = re.compile(r"^- (\w+)\(([^)]*)\)(?:: (.*(?:\n    .*)*))?$", re.MULTILINE)


def _tell(tool: ToolSpec) -> str:
    schema = json.loads(tool.parameters)
    properties: Mapping[str, Any] = schema.get("properties", {})
    properties = {name: {} if isinstance(said, bool) else said for name, said in properties.items()}
    about = f": {tool.description.strip()}" if tool.description.strip() else ""
    lines = [f"- {tool.name}({', '.join(properties)}){about}".replace("\n", _BREAK)]
    for name, said in properties.items():
        whole = _whole(said, schema.get("$defs", {}))
        desc = str(said.get("description", "")).strip()
        line = f"  - {name} ({type_words(whole)})"
        line += f", {dumps(said['default'])} where it is left out" if "default" in said else ""
        line += f": {desc}" if desc else ""
        lines.append(line.replace("\n", "\n      "))
    return "\n".join(lines)


def _whole(said: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of an argument with what it refers to, and without what is told beside it."""
    own = {key: value for key, value in said.items() if key not in ("description", "default", "title")}
    if set(own) == {"$ref"}:
        own = dict(definitions.get(str(own["$ref"]).rpartition("/")[2], own))
    return {**own, "$defs": definitions} if "$ref" in dumps(own) and "$defs" not in own else own
