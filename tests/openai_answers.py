"""What the chat server of the tests replies: functions of the request alone."""

import json
from functools import lru_cache
from typing import Any
from zlib import crc32

from lmprog.request import Response, ToolCall
from lmprog.testing import Answer, Asked

Json = dict[str, Any]


def default(asked: Asked) -> Answer:
    """Answer with values that the types of the outputs allow; a conversation without fields with its last text.

    Where there are tools, the first is called, until the conversation has what it gave.
    """
    request, said = asked.request, asked.request.messages[-1].text
    if request.tools and request.messages[-1].role != "tool":
        tool = request.tools[0]
        schema = json.loads(tool.parameters)
        return Response("", tool_calls=(ToolCall("call_0", tool.name, json.dumps(_of_schema(schema, {}, said))),))
    if request.json_reply and request.schema:
        schema = json.loads(request.schema)
        return json.dumps(_of_schema(schema, schema.get("$defs", {}), said))
    if not asked.outputs:
        return f"re: {said}"
    system = "\n\n".join(message.text for message in request.messages if message.role == "system")
    return {name: _value(_words(system, name), f"{name} {said}") for name in asked.outputs}


TWICE = "twice"
WORDINGS = ("Think twice.", "Answer at once.", "Think twice and check.", "Say something.")
_OF_TASK = {"hint", "reasoning", "answer"}


def planted_rows(count: int) -> list[dict[str, str]]:
    """Return rows for `planted`: a program with the input `question`, the output `answer`, and `hint` between steps."""
    return [{"question": f"What is number {number}?", "answer": str(number)} for number in range(count)]


def planted(asked: Asked) -> Answer:
    """Right on 4 questions of 10, on 3 more where the instruction says "twice", and on 3 more with demos.

    A `hint` is good or bad by the same rule, and a good one makes an `answer` right. Asked for anything else, as
    proposers ask, it gives one of WORDINGS.
    """
    if not asked.outputs or not _OF_TASK.issuperset(asked.outputs):
        place = crc32(asked.request.messages[-1].text.encode()) + asked.request.sample
        return dict.fromkeys(asked.outputs, WORDINGS[place % len(WORDINGS)]) or WORDINGS[0]
    question = asked.inputs["question"]
    good = crc32(question.encode()) % 10 < 4 + 3 * (TWICE in asked.instruction) + 3 * bool(asked.demos)
    good = good or asked.inputs.get("hint") == "good"
    right = {"reasoning": "so", "hint": "good", "answer": question.split()[-1].strip("?")}
    wrong = {"reasoning": "so", "hint": "bad", "answer": "unknown"}
    return {name: (right if good else wrong)[name] for name in asked.outputs}


@lru_cache
def _words(system: str, name: str) -> str:
    """Return what the system message says about the type of an output."""
    _, _, described = system.rpartition("\n\nOutput fields:\n")
    _, _, rest = f"\n{described}".partition(f"\n- {name} (")
    return rest.split("\n", 1)[0].split("): ", 1)[0].rstrip(")")


def _value(words: str, by: str) -> Any:
    """Return a value of a type that was told in words, chosen by the hash of `by`. Patterns are not heeded."""
    number = crc32(by.encode())
    kind, _, rest = words.partition(": ")
    if kind == "one of":
        choices = [part.strip() for part in rest.split(",")]
        chosen = choices[number % len(choices)]
        return json.loads(chosen) if chosen[:1] in '"-0123456789' else chosen
    if kind == "JSON of this schema":
        schema = json.loads(rest)
        return _of_schema(schema, schema.get("$defs", {}), by)
    if words.startswith("JSON list, each "):
        return [_value(words.removeprefix("JSON list, each "), by)]
    bounds = dict(part.rsplit(" ", 1) for part in words.split(", ")[1:] if " " in part)
    match words.split(", ")[0].split(" or ")[0]:
        case "whole number":
            least = int(bounds.get("at least", int(bounds.get("more than", -1)) + 1))
            most = int(bounds.get("at most", int(bounds.get("less than", least + 10)) - 1))
            return least + number % (most - least + 1)
        case "number":
            return float(bounds.get("at least", bounds.get("at most", 0.5)))
        case "true or false" | "true":
            return bool(number % 2)
        case "null":
            return None
        case _:
            known = {"date": "2020-02-29", "date-time": "2020-02-29T12:00:00Z", "time": "12:00:00"}
            return known.get(bounds.get("format", ""), f"text {number % 1000}")


def _of_schema(schema: Json, shared: Json, by: str) -> Any:
    if "$ref" in schema:
        return _of_schema(shared[schema["$ref"].rpartition("/")[2]], shared, by)
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return choices[crc32(by.encode()) % len(choices)]
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return _of_schema(choices[-1], shared, by)  # the last: that of an optional value is null, which ends recursion
    match schema.get("type"):
        case "object":
            return {name: _of_schema(part, shared, by + name) for name, part in schema.get("properties", {}).items()}
        case "array" if "prefixItems" in schema:
            return [_of_schema(part, shared, by) for part in schema["prefixItems"]]
        case "array":
            return [_of_schema(schema["items"], shared, by) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return schema.get("minimum", schema.get("maximum", 1))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return f"text {crc32(by.encode()) % 1000}"
