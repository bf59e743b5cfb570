"""What all formats say about fields in the same words, and how values become text and are read again."""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeGuard, cast

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from lmprog.params import Demo, PredictorParams
from lmprog.request import InexactError, canonical_json, read_exactly
from lmprog.signature import Field, Fields

_PLAIN = re.compile(r'[^\s,"]([^,"\n\r]*[^\s,"])?')
"""A choice that needs no quotes to stand in a list with commas."""
_FENCE = re.compile(r"^```\w*\s*\n(.*)\n```$", re.DOTALL)
_DESCRIBED = re.compile(r"^- (\S+) \(", re.MULTILINE)
_DIGITS = frozenset("-0123456789")
_INEXACT = "inexact"
_LARGE = re.compile(r"\d[eE]\+?\d{2}|\d{309}")
"""What may be a number beyond Python's."""
_INPUTS, _OUTPUTS, _TOOLS = "Input fields:\n", "Output fields:\n", "Tools:\n"

dumps = json.JSONEncoder(ensure_ascii=False).encode
"""JSON text of a value. `json.dumps` would make an encoder at each call."""


def system_text(fields: Fields, params: PredictorParams, sentence: str, form: str, tools: str = "") -> str:
    """Return a system message: the instruction, the fields, the tools if there are any, and how the format lays fields out."""
    said = params.field_descriptions
    inputs = [_describe(field, said) for field in fields.inputs.values()]
    outputs = [_describe(field, said) for field in fields.outputs.values()]
    sections = [_INPUTS + "\n".join(inputs or ["none"]), _OUTPUTS + "\n".join(outputs)]
    sections += [_TOOLS + tools] if tools else []
    return "\n\n".join([params.instruction, *sections, f"{sentence} {form}"])


def asked_in(system: str, sentence: str) -> tuple[str, tuple[str, ...], str]:
    """Return the instruction, the names of the outputs and what is told of tools in a message of `system_text`.

    A message of another layout is all instruction.
    """
    head, _, _ = system.rpartition(sentence)
    head, _, rest = head.rpartition(f"\n\n{_OUTPUTS}")
    instruction, found, _ = head.rpartition(f"\n\n{_INPUTS}")
    outputs, _, tools = rest.partition(f"\n\n{_TOOLS}")  # the first: no description can hold an empty line
    return (instruction.strip(), tuple(_DESCRIBED.findall(outputs)), tools) if found else (system.strip(), (), "")


def _describe(field: Field, said: Mapping[str, str]) -> str:
    desc = said.get(field.name, field.desc)
    line = f"- {field.name} ({type_words(field.schema)})" + (f": {desc}" if desc else "")
    return line.replace("\n", "\n  ")  # so that no line of a description passes for the title of a section


_SCALARS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
_BOUNDS = {
    "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than",
    "minLength": "length at least", "maxLength": "length at most", "minItems": "at least", "maxItems": "at most",
    "pattern": "matching", "format": "format",
}  # fmt: skip


def type_words(schema: Mapping[str, Any] | bool) -> str:
    """Return in words what a JSON schema asks for."""
    if not isinstance(schema, Mapping):  # true, or in the schema of a foreign tool something that is none
        return "any JSON"
    values = schema.get("enum", [schema.get("const")] if "const" in schema else None)
    if _is_list(values):
        plain = all(isinstance(v, str) and _PLAIN.fullmatch(v) for v in values)
        return "one of: " + ", ".join(v if plain else dumps(v) for v in values)
    if set(schema) - {"title", "description", "default"} == {"anyOf"} and _is_list(schema["anyOf"]):
        return " or ".join(map(type_words, schema["anyOf"]))
    bounds = "".join(f", {words} {schema[name]}" for name, words in _BOUNDS.items() if name in schema)
    kind = schema.get("type")
    if isinstance(kind, list) and kind:  # of several types, as schemas of other tools have it
        return " or ".join(type_words({**schema, "type": one}) for one in cast("list[str]", kind))
    if isinstance(kind, str) and kind in _SCALARS:
        return _SCALARS[kind] + bounds
    if schema == {"type": "object"}:
        return "JSON object"
    items: Any = schema.get("items")
    if (
        kind == "array"
        and isinstance(items, dict)
        and (items == {"type": "object"} or str(cast("dict[str, Any]", items).get("type")) in _SCALARS)
        and "enum" not in items
    ):
        return f"JSON list, each {type_words(cast('dict[str, Any]', items))}" + bounds
    return f"JSON of this schema: {dumps(schema)}"


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def sides(fields: Fields, demo: Demo) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a demo's inputs and outputs as JSON data in the order of the types, so that equal params say the same."""
    return _in_order(fields.inputs, demo.inputs), _in_order(fields.outputs, demo.outputs)


def _in_order(fields: Mapping[str, Field], data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: field.encode(field.adapter.validate_json(canonical_json(data[name])))
        for name, field in fields.items()
        if name in data
    }


def encoded(fields: Mapping[str, Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return typed values as JSON data in the order of the fields."""
    return {name: field.encode(values[name]) for name, field in fields.items() if name in values}


def json_text(data: object) -> str:
    """Return JSON data as text, with a line for each item of a list."""
    if isinstance(data, list) and len(data) > 1:  # pyright: ignore[reportUnknownArgumentType]
        return "[\n" + ",\n".join([dumps(item) for item in data]) + "\n]"  # pyright: ignore[reportUnknownVariableType]
    return dumps(data)


def is_plain(data: object, *, is_text: bool) -> TypeGuard[str]:
    """Return whether data is a string that `read_text` reads as itself. `is_text`: no value of its field is another kind."""
    return isinstance(data, str) and (is_text or not _is_json(data))


def _is_json(text: str) -> bool:
    try:
        json.loads(unfenced(text))
    except ValueError:
        return False
    except RecursionError:  # brackets within brackets
        return True
    return True


def unfenced(text: str) -> str:
    """Return the content of a code block; any other text as it is."""
    fenced = _FENCE.match(text)
    return fenced[1] if fenced else text


def unquoted(text: str) -> str | None:
    """Return what a JSON string says; None where the text is none."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return None
    return None


def read_text(field: Field, text: str) -> Any:
    """Return the value that a text says, JSON or plain. ValidationError where it says none of the field's type."""
    try:
        return field.decode(text) if field.is_text else _read_json(field, unfenced(text))
    except ValidationError:
        said = unquoted(text)
        if said is None:
            raise
        return read_text(field, said)


def _read_json(field: Field, text: str) -> Any:
    try:
        return read_json(field, text)
    except ValidationError as error:
        if field.schema.get("type") in {"array", "object"} or error.errors()[0]["type"] == _INEXACT:
            raise
        return field.decode(text)  # "yes" for true, or a text where text is one of the types


def read_json(field: Field, text: str) -> Any:
    """Return the value that JSON says. ValidationError where it says none of the field's type.

    A number for a type that is written as a text (Decimal) keeps its digits: pydantic would read a float.
    """
    if text[:1] in _DIGITS and all(
        part.get("type") in {"string", "null"} for part in field.schema.get("anyOf", [field.schema])
    ):
        try:
            return field.decode(text)
        except ValidationError:
            pass
    value = field.adapter.validate_json(text)
    large = _LARGE.search(text) is not None
    if large or "{" in text:
        try:
            read_exactly(text)
            if large and "Infinity" not in text and "Infinity" in dumps(field.encode(value)):  # of a whole number
                raise InexactError("it holds a number beyond what a number can be")
        except InexactError as error:
            fault = InitErrorDetails(type=PydanticCustomError(_INEXACT, "{why}", {"why": str(error)}), input=text)
            raise ValidationError.from_exception_data(field.name, [fault], "json") from None
    return value
