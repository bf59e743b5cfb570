"""Signatures made from others, for strategies: what a task takes and gives, and what a strategy adds to it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from lmprog.errors import SignatureError
from lmprog.signature import Field, InputField, S, Signature, fields_of, schema_of


def extended(signature: type[S], instruction: str, /, **added: tuple[Any, Any]) -> type[S]:
    """Return a subclass with another instruction and further fields, each a type and an InputField() or OutputField().

    Further inputs come behind the signature's own, and further outputs before them, so that an LM writes them first.
    """
    own = fields_of(signature)
    _check_free(signature.__name__, {**own.inputs, **own.outputs}, added)
    made = cast("type[S]", type(signature.__name__, (signature,), _body(signature, instruction, added)))
    fields = fields_of(made)
    first = {name: field for name, field in fields.outputs.items() if name in added}
    outputs = {**first, **fields.outputs}
    made.__lmprog_fields__ = replace(fields, outputs=outputs, schema=schema_of(outputs))
    return made


def reading(name: str, fields: Mapping[str, Field], instruction: str, /, **added: tuple[Any, Any]) -> type[Signature]:
    """Return a signature called `name` that takes these fields of another as inputs, outputs too, and has the `added` ones."""
    _check_free(name, fields, added)
    given = {
        field.name: (field.annotation, InputField(desc=field.desc, default=field.default)) for field in fields.values()
    }
    return type(name, (Signature,), _body(Signature, instruction, {**given, **added}))


def narrowed(signature: type[S], prediction: object, **also: object) -> S:
    """Return the prediction of an extended signature as one of the signature itself, without the fields that were added.

    `also` are values that it carries beside its fields, as it does `reasoning`.
    """
    own = fields_of(signature)
    return signature(**{name: getattr(prediction, name) for name in (*own.inputs, *own.outputs)}, **also)


def shown(fields: Mapping[str, Field], values: Mapping[str, Any]) -> str:
    """Return the values of these fields as one text, a line `name: value` for each; what is no text as JSON."""
    data = {name: field.encode(values[name]) for name, field in fields.items() if name in values}
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in data.items()
    }
    return "\n".join(f"{name}: {text}" for name, text in texts.items())


def _check_free(name: str, fields: Mapping[str, Field], added: Mapping[str, object]) -> None:
    taken = [known for known in added if known in fields]
    if taken:
        raise SignatureError(
            f"{name} has a field called `{taken[0]}`, a name that what was made around it needs for a field of its own. Rename it."
        )


def _body(signature: type[Signature], instruction: str, fields: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    slots = {name: slot for name, (_, slot) in fields.items()}
    return {
        **slots,
        "__annotations__": annotations,
        "__doc__": instruction,
        "__module__": signature.__module__,
        "__qualname__": signature.__qualname__,
    }
