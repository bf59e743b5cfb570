"""Signatures: a task as a typed record whose outputs are still to be filled."""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import NoneType, SimpleNamespace
from typing import Any, ClassVar, Literal, TypeVar, cast, dataclass_transform, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError

from lmprog.errors import InputError, LmprogError, OutputError, SignatureError
from lmprog.params import Demo
from lmprog.request import canonical_json

S = TypeVar("S", bound="Signature")

REASONING = "reasoning"
"""The output that `with_reasoning` puts in front."""

_REQUIRED: Any = ...
_EXACT = {"str", "int", "float", "bool", "none", "list", "nullable", "default"}
"""Kinds of pydantic schema that read back what they wrote; a value of any other kind is checked when it is used."""
_SCALARS = {str, int, float, bool, NoneType}
_REFUSED = {
    "any": "could hold anything: write what it holds, or pydantic.JsonValue for any JSON",
    "choice": "has a choice that JSON cannot hold: write texts, numbers, true, false or None, or an Enum of those",
    "is-subclass": "is a class object",
    "callable": "is a function",
    "generator": "is used up by reading it: write list[...]",
    "set": "has no order, so equal calls would not look equal: write list[...]",
    "frozenset": "has no order, so equal calls would not look equal: write tuple[..., ...]",
}
_NOT_KEPT = "does not read back as it is once written as JSON"
_INSTEAD = "Give a value that does, or another type to the field."
_CONFIG = ConfigDict(ser_json_inf_nan="constants", ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class _Slot:
    role: Literal["input", "output"]
    desc: str
    default: object


def InputField(*, desc: str = "", default: Any = _REQUIRED) -> Any:
    """Declare an input. `desc` is shown to the LM beside the name; with a `default` the input may be left out."""
    return _Slot("input", desc, default)


def OutputField(*, desc: str = "", init: Literal[False] = False) -> Any:
    """Declare an output, which the LM fills. `init` is for type checkers: outputs are never passed in."""
    return _Slot("output", desc, _REQUIRED)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of a signature: its type, and how its values travel as JSON and as text."""

    name: str
    role: Literal["input", "output"]
    annotation: Any
    desc: str
    default: object
    adapter: TypeAdapter[Any]
    schema: Mapping[str, Any]
    """JSON schema of the values."""
    is_text: bool
    """Whether every value is a string in JSON, so that it may be shown without quotes."""
    exact: bool
    """Whether every value of the type reads back equal, so that values need no check."""

    def encode(self, value: object) -> Any:
        """Return a value as JSON data. InputError if it would not read back equal."""
        if type(value) is str and self.exact:
            return value
        try:
            data = self.adapter.dump_python(value, mode="json", by_alias=True)
            back = value if self.exact else self.decode(data)
        except (TypeError, ValueError) as error:  # pydantic's own are ValueErrors, a type's own may be either
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise InputError(f"`{self.name}`: {value!r} {_NOT_KEPT}, because: {first}. {_INSTEAD}") from None
        if back is not value and back != value:  # nan differs from itself
            raise InputError(f"`{self.name}`: {value!r} {_NOT_KEPT}, but as {back!r}. {_INSTEAD}")
        return data

    def decode(self, data: object) -> Any:
        """Return JSON data as a value of the field's type, or raise pydantic's ValidationError."""
        if self.annotation is str and type(data) is str and data.isascii():  # which is all that pydantic would find out
            return data
        return self.adapter.validate_json(json.dumps(data))


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """What lmprog knows about a signature class."""

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]
    instruction: str
    schema: str
    """JSON schema of the outputs, canonical text with the properties in the order of the fields."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(InputField, OutputField))
class Signature:
    """A task as a typed record: the docstring is the instruction, the fields are what goes in and what comes out.

    A prediction is an instance with every field filled. A type checker sees a frozen dataclass whose
    constructor takes the inputs only, so that `Predict(MySignature)` is typed from end to end with no plugin.
    Fields may have any type whose values pydantic writes to JSON and reads back equal.
    """

    __lmprog_fields__: ClassVar[Fields]

    def __init_subclass__(cls) -> None:
        cls.__lmprog_fields__ = _read_fields(cls, _caller_locals())

    def __init__(self, /, **values: object) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} is immutable: build a new one instead of setting `{name}`")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


def fields_of(signature: type[Signature]) -> Fields:
    """Return the fields, instruction and schema of a signature class."""
    return signature.__lmprog_fields__


def check_inputs(signature: type[Signature], inputs: Mapping[str, object]) -> dict[str, Any]:
    """Return inputs as values of the declared types, defaults filled in, or raise InputError naming each at fault."""
    fields = fields_of(signature).inputs
    values: dict[str, Any] = {}
    wrong = [f"`{name}` is not an input" for name in inputs if name not in fields]
    for name, field in fields.items():
        value = inputs.get(name, field.default)
        if value is _REQUIRED:
            wrong.append(f"`{name}` is missing")
            continue
        try:
            values[name] = field.adapter.validator.validate_python(value)  # past a wrapper that takes most of the time
        except ValidationError as error:
            wrong += [_fault((name, *fault["loc"]), fault["msg"], fault["input"]) for fault in error.errors()]
    if wrong:
        known = ", ".join(f"`{name}`" for name in fields) or "none"
        raise InputError(
            f"{signature.__name__} was called with inputs that do not fit: {'; '.join(wrong)}. Its inputs: {known}."
        )
    return values


def encode(signature: type[Signature], values: Mapping[str, object]) -> dict[str, Any]:
    """Return values of inputs or outputs as JSON data."""
    fields = fields_of(signature)
    return {name: _field(fields, name).encode(value) for name, value in values.items()}


def check_demo(signature: type[Signature], demo: Demo) -> Demo:
    """Return the demo with its values as JSON data, or raise SignatureError saying what does not fit.

    Inputs may be missing, and `reasoning` too; every other output must be there.
    """
    fields = fields_of(signature)
    unknown = [f"`{n}`" for n in demo.inputs if n not in fields.inputs]
    unknown += [f"`{n}`" for n in demo.outputs if n not in fields.outputs]
    missing = [f"`{n}`" for n in fields.outputs if n not in demo.outputs and n != REASONING]
    if unknown or missing:
        faults = [f"has no {', '.join(missing)}"] * bool(missing) + [f"names unknown {', '.join(unknown)}"] * bool(
            unknown
        )
        raise SignatureError(
            f"a demo of {signature.__name__} {' and '.join(faults)}. Inputs: {list(fields.inputs)}; outputs: {list(fields.outputs)}."
        )
    return Demo(
        inputs=_check_values(signature, fields.inputs, demo.inputs),
        outputs=_check_values(signature, fields.outputs, demo.outputs),
    )


def demo_of(signature: type[Signature], inputs: Mapping[str, object], outputs: Mapping[str, object]) -> Demo:
    """Return the demo that a call's values give."""
    return Demo(inputs=encode(signature, inputs), outputs=encode(signature, outputs))


def values_of(signature: type[Signature], demo: Demo) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a demo's inputs and outputs as values of the declared types."""
    fields = fields_of(signature)
    inputs = {name: _typed(fields.inputs[name], value) for name, value in demo.inputs.items()}
    return inputs, {name: _typed(fields.outputs[name], value) for name, value in demo.outputs.items()}


def labeled_demo(signature: type[Signature], values: Mapping[str, object]) -> Demo | None:
    """Return the demo that a row's values give, where they name an input and every output (`reasoning` apart) and fit; or None."""
    fields = fields_of(signature)
    needed = [name for name in fields.outputs if name != REASONING]
    inputs = {name: values[name] for name in fields.inputs if name in values}
    if not inputs or not all(name in values for name in needed):
        return None
    try:
        return check_demo(signature, Demo(inputs=inputs, outputs={name: values[name] for name in needed}))
    except LmprogError:
        return None  # a label of another type than the output, such as a list of accepted answers


def fits(field: Field, value: object) -> bool:
    """Tell whether a row's value can be a field's, in a demo."""
    try:
        field.encode(_typed(field, value))
    except (ValidationError, InputError):
        return False
    return True


_reasoned: dict[type[Signature], type[Signature]] = {}


def with_reasoning(signature: type[S]) -> type[S]:
    """Return a subclass with a `reasoning` output in front of the others; a signature that has one is returned as it is."""
    if signature in _reasoned:
        return cast("type[S]", _reasoned[signature])
    fields = fields_of(signature)
    if REASONING in fields.outputs:
        return signature
    if REASONING in fields.inputs:
        raise SignatureError(
            f"{signature.__name__} has an input called `reasoning`, which is the name of the output that chain of thought adds. Rename it."
        )
    names: dict[str, Any] = {REASONING: OutputField(), "__annotations__": {REASONING: str}}
    names |= {"__doc__": fields.instruction, "__module__": signature.__module__, "__qualname__": signature.__qualname__}
    made = _reasoned[signature] = type(signature.__name__, (signature,), names)
    return cast("type[S]", made)


def reasoning(prediction: object) -> str:
    """Return the text that a ChainOfThought wrote before its outputs.

    >>> lp.reasoning(program(question="..."))
    """
    text = getattr(prediction, REASONING, None)
    if not isinstance(text, str):
        raise OutputError(f"{type(prediction).__name__} holds no reasoning: it did not come from a ChainOfThought.")
    return text


def _read_fields(cls: type[Signature], local_names: Mapping[str, Any]) -> Fields:
    hints = _hints(cls, local_names)
    untyped = [name for name, value in vars(cls).items() if isinstance(value, _Slot) and name not in hints]
    if untyped:
        raise SignatureError(
            f"{cls.__name__}: `{untyped[0]}` has no type. Write `{untyped[0]}: str = ...`, or the type that it has."
        )
    slots = {name: _slot(cls, name) for name in hints}
    made = [_make_field(cls, name, hints[name], slot) for name, slot in slots.items()]
    own = [f for f in made if f.name in inspect.get_annotations(cls)]
    ordered = [*own, *(f for f in made if f not in own)] if REASONING in (f.name for f in own) else made
    inputs = {f.name: f for f in ordered if f.role == "input"}
    outputs = {f.name: f for f in ordered if f.role == "output"}
    if not outputs:
        raise SignatureError(
            f"{cls.__name__} has no output, so an LM has nothing to write. Add one: `answer: str = lp.OutputField()`."
        )
    docs = [
        base.__dict__.get("__doc__") for base in cls.__mro__ if issubclass(base, Signature) and base is not Signature
    ]
    doc = next((doc for doc in docs if doc), None)
    default = (
        f"Given {and_list(list(inputs))}, write {and_list(list(outputs))}."
        if inputs
        else f"Write {and_list(list(outputs))}."
    )
    return Fields(inputs, outputs, inspect.cleandoc(doc) if doc else default, schema_of(outputs))


def schema_of(outputs: Mapping[str, Field]) -> str:
    """Return the JSON schema of outputs as canonical text, with the properties in their order."""
    mode: Literal["serialization"] = "serialization"
    by_name, shared = TypeAdapter.json_schemas((name, mode, field.adapter) for name, field in outputs.items())
    properties = {name: by_name[name, mode] for name in outputs}  # `shared` holds the models that fields refer to
    schema = {"type": "object", "properties": properties, "required": list(outputs), **shared}
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def _caller_locals() -> Mapping[str, Any]:
    """Names visible where the signature class is being written, for string annotations of local types."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame.f_back if frame else None
    return frame.f_locals if frame else {}


def _hints(cls: type[Signature], local_names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the type of each field. Base classes know theirs already: their names may not be visible from here."""
    hints: dict[str, Any] = {}
    bases: tuple[type[object], ...] = cls.__mro__
    for base in reversed(bases):
        if base is not cls and issubclass(base, Signature):
            known = fields_of(base) if base is not Signature else Fields({}, {}, "", "")
            typed = {name: field.annotation for name, field in {**known.inputs, **known.outputs}.items()}
            hints = typed if hints.keys() <= typed.keys() else {**hints, **typed}  # the order of the nearest base
        else:
            hints |= _own_hints(base, local_names)
    return hints


def _own_hints(cls: type[object], local_names: Mapping[str, Any]) -> dict[str, Any]:
    written = SimpleNamespace(__annotations__=inspect.get_annotations(cls))
    try:
        return get_type_hints(written, vars(sys.modules[cls.__module__]), dict(local_names), include_extras=True)
    except (NameError, SyntaxError, TypeError) as error:
        raise SignatureError(
            f"{cls.__name__}: {error}. A field's type must be a type that can be seen where the class stands: "
            f"import it above the class, outside `if TYPE_CHECKING:`."
        ) from None


def _slot(cls: type[Signature], name: str) -> _Slot:
    if name.startswith("_"):
        raise SignatureError(
            f"{cls.__name__}: a field cannot be called `{name}`: names that begin with `_` are private. Rename it."
        )
    value = getattr(cls, name, None)
    if not isinstance(value, _Slot):
        raise SignatureError(
            f"{cls.__name__}: `{name}` is neither input nor output. Write `{name}: ... = lp.InputField()` or `= lp.OutputField()`."
        )
    return value


def _make_field(cls: type[Signature], name: str, annotation: Any, slot: _Slot) -> Field:
    where = f"{cls.__name__}: `{name}` of type {type_name(annotation)} cannot be a field"
    try:
        adapter = _adapter(annotation)
        kinds = set(_kinds(adapter.core_schema))
        refused = [reason for kind, reason in _REFUSED.items() if kind in kinds]
        if refused:
            raise SignatureError(f"{where}: it {refused[0]}.")
        schema, accepted = adapter.json_schema(mode="serialization"), adapter.json_schema()
    except PydanticSchemaGenerationError:
        raise SignatureError(f"{where}: pydantic does not know it. Make it a pydantic model or a dataclass.") from None
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        first = str(error).splitlines()[0]
        raise SignatureError(f"{where}: it has no form in JSON ({first}). Use a pydantic model.") from None
    if "writeOnly" in canonical_json(schema):
        raise SignatureError(f"{where}: it hides its value when written, so it cannot be read back.")
    text = all(part.get("type") == "string" or _all_strings(part) for part in (schema, accepted))
    field = Field(name, slot.role, annotation, slot.desc, slot.default, adapter, schema, text, exact=kinds <= _EXACT)
    if slot.default is not _REQUIRED:
        try:
            adapter.validate_python(slot.default)
        except ValidationError as error:
            raise SignatureError(
                f"{cls.__name__}: `{name}` has the default {slot.default!r}, which is no "
                f"{type_name(annotation)}: {error.errors()[0]['msg']}."
            ) from None
    return field


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":  # a model brings its own configuration
            raise
        return TypeAdapter(annotation)


def _kinds(schema: object) -> Iterator[str]:
    """Every kind of pydantic core schema used by a type."""
    if isinstance(schema, (list, tuple)):
        for value in cast("Sequence[object]", schema):
            yield from _kinds(value)
    if not isinstance(schema, dict):
        return
    part = cast("dict[str, object]", schema)
    kind = part.get("type")
    if not isinstance(kind, str):  # fields by name
        yield from _kinds(list(part.values()))
        return
    yield kind
    if "serialization" in part:
        yield "serialization"
    values = [
        *cast("list[object]", part.get("expected", [])),
        *(m.value for m in cast("list[Enum]", part.get("members", []))),
    ]
    if not all(type(value) in _SCALARS for value in values):
        yield "choice"
    for name, value in part.items():
        if kind == "json-or-python" and name == "json_schema":
            continue  # what a program sees is the Python side
        if name not in {"metadata", "serialization", "default", "expected", "members"}:
            yield from _kinds(value)


def _all_strings(schema: Mapping[str, Any]) -> bool:
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return bool(values) and all(isinstance(value, str) for value in values)


def type_name(annotation: Any) -> str:
    """Return a type as a user would write it."""
    return (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )


def _fault(place: tuple[int | str, ...], message: str, value: object) -> str:
    shown = repr(value)
    return f"`{'.'.join(map(str, place))}` = {shown if len(shown) <= 80 else shown[:77] + '...'}: {message}"


def _field(fields: Fields, name: str) -> Field:
    return fields.inputs[name] if name in fields.inputs else fields.outputs[name]


def _check_values(
    signature: type[Signature], fields: Mapping[str, Field], values: Mapping[str, object]
) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in values.items():
        try:
            checked[name] = fields[name].encode(_typed(fields[name], value))
        except (ValidationError, InputError) as error:
            reason = str(error) if isinstance(error, InputError) else f"{error.errors()[0]['msg']}."
            raise SignatureError(
                f"a demo of {signature.__name__} has `{name}` = {value!r}, which does not fit: {reason}"
            ) from None
    return checked


def _typed(field: Field, value: object) -> Any:
    """Read a demo's value, JSON first: a checked demo is JSON, and checking it again must not change it."""
    try:
        return field.decode(value)
    except (TypeError, ValueError):
        return field.adapter.validate_python(value)


def and_list(names: Sequence[str]) -> str:
    """Return names in words: "`a`, `b` and `c`"."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
