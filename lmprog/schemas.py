"""Signatures as JSON and back: for programs that are loaded without the code that declared them."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union

import pydantic

from lmprog.errors import SignatureError
from lmprog.signature import Field, InputField, OutputField, Signature, fields_of

Arrays = Literal["list", "tuple"]
"""What arrays of any length are in Python, which a JSON schema does not tell."""

_PLAIN: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}
_FORMATS: dict[str, Any] = {"date": datetime.date, "date-time": datetime.datetime, "time": datetime.time}
_BOUNDS = {
    "minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt", "multipleOf": "multiple_of",
    "minLength": "min_length", "maxLength": "max_length", "minItems": "min_length", "maxItems": "max_length",
    "pattern": "pattern",
}  # fmt: skip
_NOTES = {"title", "description", "default"}


def recorded(field: Field) -> dict[str, Any]:
    """Return a field as JSON data. `arrays` is null where the type needs the user's own code, so that no schema tells it."""
    data = {"name": field.name, "desc": field.desc, "schema": field.schema, "arrays": _arrays(field)}
    if field.default is not ...:
        data["default"] = field.encode(field.adapter.validate_python(field.default))
    return data


def signature_of(
    name: str, instruction: str, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
) -> type[Signature]:
    """Return the signature whose fields were `recorded`.

    SignatureError where a type needs the user's own code: a nested model, an enum, a validator.
    """
    own = [field["name"] for field in (*inputs, *outputs) if field["arrays"] is None]
    if own:
        raise SignatureError(
            f"{name} has types that are declared in code, of {', '.join(f'`{field}`' for field in own)}."
        )
    types = {field["name"]: type_of(field["schema"], field["arrays"]) for field in (*inputs, *outputs)}
    slots = {field["name"]: InputField(desc=field["desc"], default=field.get("default", ...)) for field in inputs}
    slots |= {field["name"]: OutputField(desc=field["desc"]) for field in outputs}
    return type(name, (Signature,), {"__annotations__": types, "__doc__": instruction, **slots})


def type_of(schema: Mapping[str, Any], arrays: Arrays = "list") -> Any:
    """Return the Python type whose JSON schema this is; SignatureError where there is no built-in one."""
    said = {key: value for key, value in schema.items() if key not in _NOTES}
    kind = said.get("type")
    if "enum" in said or "const" in said:
        return Literal[tuple(said.get("enum", [said.get("const")]))]
    if set(said) == {"anyOf"}:
        return Union[tuple(type_of(part, arrays) for part in said["anyOf"])]  # noqa: UP007  (the parts are values)
    if kind == "array" and set(said) <= {"type", "items", "minItems", "maxItems"} and "items" in said:
        item: Any = type_of(said["items"], arrays)
        return _bounded(list[item] if arrays == "list" else tuple[item, ...], said)
    if kind == "array" and "prefixItems" in said:
        return tuple[tuple(type_of(part, arrays) for part in said["prefixItems"])]  # type: ignore[misc]
    if kind == "object" and set(said) == {"type", "additionalProperties"} and said["additionalProperties"] is not True:
        return dict[str, type_of(said["additionalProperties"], arrays)]  # type: ignore[misc]
    if kind == "string" and said.get("format") in _FORMATS:
        return _FORMATS[said["format"]]
    if kind in _PLAIN and set(said) <= {"type", *_BOUNDS}:
        return _bounded(_PLAIN[kind], said)
    raise SignatureError(f"there is no built-in type for the JSON schema {dict(schema)}.")


def _arrays(field: Field) -> Arrays | None:
    """Return with which arrays the schema gives the field's very type again: the same checks on the same Python values."""
    kinds: tuple[Arrays, ...] = ("list", "tuple")
    for arrays in kinds:
        try:
            output = {"name": "value", "desc": "", "schema": field.schema, "arrays": arrays}
            made = fields_of(signature_of("Rebuilt", "", [], [output])).outputs["value"]
        except SignatureError:
            return None
        if made.schema == field.schema and made.adapter.core_schema == field.adapter.core_schema:
            return arrays
    return None


def _bounded(kind: Any, schema: Mapping[str, Any]) -> Any:
    bounds = {_BOUNDS[key]: value for key, value in schema.items() if key in _BOUNDS}
    return Annotated[kind, pydantic.Field(**bounds)] if bounds else kind
