"""The short form of a signature: `"question, passages: list[str] -> answer: int"`."""

import ast
import datetime
from typing import Any, Literal, Optional

from lmprog.errors import SignatureError
from lmprog.signature import InputField, OutputField, Signature

_SHORT_TYPES: dict[str, Any] = {
    "str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "tuple": tuple, "None": None,
    "Literal": Literal, "Optional": Optional, "date": datetime.date, "datetime": datetime.datetime,
}  # fmt: skip


def from_string(text: str) -> type[Signature]:
    """Return the signature that a short form such as `"question, passages: list[str] -> answer: int"` stands for."""
    sides = text.split("->")
    if len(sides) != 2:
        raise SignatureError(
            f'{text!r} is no signature: write inputs, one arrow, outputs, such as "question -> answer: int".'
        )
    inputs, outputs = (_parse_side(side, text) for side in sides)
    names = [name for name, _ in (*inputs, *outputs)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SignatureError(f"{text!r} uses {twice} more than once. Give each field a name of its own.")
    slots = {name: InputField() for name, _ in inputs} | {name: OutputField() for name, _ in outputs}
    annotations = dict([*inputs, *outputs])
    return type("StringSignature", (Signature,), {"__annotations__": annotations, **slots, "__doc__": None})


def _parse_side(side: str, whole: str) -> list[tuple[str, Any]]:
    """Read `a, b: list[str]` as the parameters of a function."""
    try:
        statements = ast.parse(f"def f({side.strip()}): ...").body
    except SyntaxError as error:
        raise _no_signature(whole, f" ({error.msg})") from None
    match statements:
        case [
            ast.FunctionDef(
                args=ast.arguments(posonlyargs=[], vararg=None, kwonlyargs=[], kwarg=None, defaults=[]) as parameters,
                body=[ast.Expr(ast.Constant())],
            )
        ]:
            return [(arg.arg, _short_type(arg.annotation, whole)) for arg in parameters.args]
        case _:
            raise _no_signature(whole)


def _no_signature(whole: str, why: str = "") -> SignatureError:
    return SignatureError(f'{whole!r} is no signature{why}: write fields as "name" or "name: type", with commas.')


def _short_type(node: ast.expr | None, whole: str) -> Any:
    if node is None:
        return str
    try:
        return _resolve(node, whole)
    except TypeError as error:
        raise SignatureError(f"{whole!r} uses `{ast.unparse(node)}`, which is no type ({error}).") from None


def _choices(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise TypeError("choices are texts in quotes, numbers, True, False or None") from None


def _resolve(node: ast.expr, whole: str) -> Any:
    match node:
        case ast.Name(id=name) if name in _SHORT_TYPES:
            return _SHORT_TYPES[name]
        case ast.Constant(value=value) if value is None or value is ...:
            return value
        case ast.Tuple(elts=parts):
            return tuple(_resolve(part, whole) for part in parts)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return Literal[_choices(choices)]
        case ast.Subscript(value=base, slice=inner):
            return _resolve(base, whole)[_resolve(inner, whole)]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _resolve(left, whole) | _resolve(right, whole)
        case _:
            raise SignatureError(
                f"{whole!r} uses the type `{ast.unparse(node)}`, which the short form does not know: it has "
                f"{', '.join(_SHORT_TYPES)}. For other types write a Signature class."
            )
