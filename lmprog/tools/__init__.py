"""Tools: typed functions that an LM may ask to have called, and the signature of a step that asks."""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from lmprog import scope
from lmprog.errors import InputError, SignatureError
from lmprog.formats.fields import dumps, type_words
from lmprog.formats.json import Json
from lmprog.formats.tools import ARGUMENTS, THOUGHT, TOOL, Arguments, arguments_of, by_name
from lmprog.formats.tools import Trajectory as Trajectory
from lmprog.formats.tools import Turn as Turn
from lmprog.request import ToolSpec
from lmprog.signature import Field, OutputField, Signature, encode, fields_of, type_name

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""What every provider takes as the name of a tool."""
_WITHIN = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JSON = Json()
_SHOWN_AT_MOST = 100


class Told(NamedTuple):
    """What a program says of itself as a tool."""

    name: str
    description: str
    fields: Mapping[str, Field]
    call: Callable[..., Awaitable[object]]


class NextCall(Signature):
    """Choose the next tool to call, and write its arguments."""

    next_thought: str = OutputField()
    next_tool_name: str = OutputField(desc="the name of one of the tools")
    next_tool_args: Arguments = OutputField(desc="its arguments by name, or the value alone where it takes one")


class Tool(Generic[P, R_co]):
    """A typed function, sync or async, that an LM may ask to have called: `lp.Tool(search)`, or `@lp.Tool` above it.

    The LM is told its name, its description (the docstring) and its arguments: their types, defaults, and what
    `Annotated[str, pydantic.Field(description="...")]` says of them. Arguments are checked by pydantic before each call. What
    it returns becomes text: a str as it is, all else as JSON. Arguments that annotations do not tell may be given: as
    `fields` of a signature, or as `schema`, the JSON schema of an object, by which the function checks them itself.
    SignatureError where a function cannot be a tool. A tool is called as the function is: `search("x")`. Of a tool it makes
    another, with the name or description given: `lp.Tool(search, name="search_news")`. So it does of a program, which is
    known by its class and docstring, or by its signature.
    """

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str | None = None,
        description: str | None = None,
        fields: Mapping[str, Field] | None = None,
        schema: Mapping[str, object] | None = None,
    ) -> None:
        if not callable(cast("object", function)):
            raise SignatureError(
                f"{function!r} cannot be a tool: give a function, `def search(query: str) -> str: ...`."
            )
        if isinstance(function, Tool):  # of which another is made
            other = cast("Tool[P, R_co]", function)
            function, name = other.function, other.name if name is None else name
            description = other.description if description is None else description
            if fields is None and schema is None:
                fields, schema = other.fields, json.loads(other.parameters)
        program: Callable[[], Told] | None = getattr(function, "_told_as_tool", None)
        self._run: Callable[..., object] = function
        if program is not None:
            its = program()
            self._run, name = its.call, its.name if name is None else name
            description = its.description if description is None else description
            fields = its.fields if fields is None and schema is None else fields
        self.function: Callable[P, R_co] = function
        self.name: str = checked_name(_name_of(function) if name is None else name)
        self.description: str = inspect.cleandoc(_doc_of(function) if description is None else description)
        """What the LM is told, where no params say something else."""
        _check_schema(self.name, schema)
        self.fields: Mapping[str, Field] | None = (
            _fields_of(self.name, _written(self.name, function)) if fields is None and schema is None else fields
        )
        """Its arguments by name; None where a schema alone tells them."""
        self.parameters: str = dumps(
            _schema_of(self.name, self.fields) if self.fields is not None else dict(schema or {})
        )
        """JSON schema of the arguments, as text."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    @property
    def spec(self) -> ToolSpec:
        """What an LM is told."""
        return ToolSpec(self.name, self.description, self.parameters)

    def checked(self, arguments: Mapping[str, object] | str) -> dict[str, Any]:
        """Return JSON data as arguments of the declared types, or raise InputError naming each at fault.

        As in replies in JSON, a number may stand for a text, and a text for what it says; a text alone is the value of the
        only argument.
        """
        names = arguments_of(self.spec)
        given = by_name(arguments, names)
        if given is None:
            raise InputError(
                f"the arguments of `{self.name}` are the text {arguments!r:.100}. Write a JSON object with {', '.join(names) or 'nothing'}."
            )
        if self.fields is None:
            return given
        wrong = [f"there is no argument `{name}`" for name in given if name not in self.fields]
        values: dict[str, Any] = {}
        for name, field in self.fields.items():
            if name not in given:
                wrong += [f"`{name}` is missing"] * (field.default is ...)
                continue
            try:
                values[name] = _JSON.value(field, dumps(given[name]))
            except ValidationError as error:
                shown = repr(given[name])[:_SHOWN_AT_MOST]
                wrong.append(
                    f"`{name}` should be {type_words(field.schema)}, but is {shown} ({error.errors()[0]['msg']})"
                )
        if wrong:
            known = ", ".join(f"`{name}`" for name in self.fields) or "none"
            raise InputError(f"the arguments of `{self.name}` do not fit: {'; '.join(wrong)}. Its arguments: {known}.")
        return values

    async def acall(self, arguments: Mapping[str, object] | str) -> str:
        """Check arguments, call the function with them and return what it returned as text.

        A sync function runs in a worker thread, in the scope of the caller. InputError where the arguments do not fit; what
        the function raises is raised.
        """
        return self._text(await scope.called(self._run, **self.checked(arguments)))

    def _users_parts(self) -> dict[str, object]:
        return {"function": self.function}

    def _text(self, returned: object) -> str:
        if isinstance(returned, str):
            return legible(returned)
        if isinstance(returned, Signature):
            kind = type(returned)
            outputs = encode(kind, {name: getattr(returned, name) for name in fields_of(kind).outputs})
            only = list(outputs.values())
            return only[0] if len(only) == 1 and isinstance(only[0], str) else dumps(outputs)
        try:
            return to_json(returned, fallback=_as_list).decode()
        except PydanticSerializationError as error:
            if "surrogates not allowed" in str(error):  # in UTF-8, which it writes
                return legible(dumps(to_jsonable_python(returned, fallback=_as_list)))
            raise SignatureError(
                f"the tool `{self.name}` returned a {type(returned).__name__}, which JSON cannot hold. Return a str, or a "
                "value that pydantic can write: a number, a list, a dict, a dataclass, a model."
            ) from None


def _as_list(value: object) -> object:
    """Return the numbers of an array, or of one number, as NumPy, PyTorch and pandas have them."""
    numbers: Callable[[], object] | None = getattr(value, "tolist", None)
    if numbers is None:
        raise PydanticSerializationError(f"a {type(value).__name__} has no form in JSON")
    return numbers()


AnyTool = Tool[..., Any]
ToolLike = AnyTool | Callable[..., object]
"""A tool, or a function to make one of."""


def as_tool(given: ToolLike) -> AnyTool:
    """Return a tool as it is, and a function as a tool."""
    return cast("AnyTool", given) if isinstance(given, Tool) else Tool(given)


def tools_by_name(given: Sequence[ToolLike]) -> dict[str, AnyTool]:
    """Return tools by name, functions made tools. SignatureError where two have one name."""
    check_list(given)
    found: dict[str, AnyTool] = {}
    for tool in map(as_tool, given):
        if tool.name in found:
            raise SignatureError(
                f'two tools are called `{tool.name}`. Give one of them another name: `lp.Tool({tool.name}, name="...")`.'
            )
        found[tool.name] = tool
    return found


def check_list(given: object) -> None:
    """Raise SignatureError where that is no list of tools."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise SignatureError(f"tools={given!r}: write a list of functions, `tools=[search]`.")


def check_step(signature: type[Signature], tools: Mapping[str, AnyTool]) -> None:
    """Raise SignatureError where a predictor of this signature cannot call these tools."""
    fields = fields_of(signature)
    if tuple(fields.outputs) != (THOUGHT, TOOL, ARGUMENTS):
        raise SignatureError(
            f"{signature.__name__} writes {list(fields.outputs)}, and a predictor with tools writes which tool to call next. "
            f"Write `class {signature.__name__}(lp.NextCall):` with inputs alone, or `lp.ReAct({signature.__name__}, tools=...)`, "
            "which calls tools until the outputs are known."
        )
    for name in tools:
        if name in fields.inputs or name in fields.outputs:
            raise SignatureError(
                f"`{name}` is the name of a tool and of a field of {signature.__name__}. Rename one of them, such as "
                f'`lp.Tool({name}, name="...")`.'
            )


def checked_name(name: str) -> str:
    """Return the name of a tool, or raise SignatureError where providers would refuse it."""
    if not isinstance(cast("object", name), str) or not _NAME.fullmatch(name):
        raise SignatureError(
            f"a tool cannot be called {name!r}: a name has up to 64 letters of a to z, digits and underscores, and begins "
            'with no digit. Write `lp.Tool(function, name="...")`.'
        )
    return name


def legible(text: str) -> str:
    """Return a text that UTF-8 can hold: a question mark stands for half of a surrogate pair, as in damaged file names."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _check_schema(tool: str, schema: object) -> None:
    """Raise SignatureError where there is a schema that is not one of an object."""
    fields: Mapping[object, object] = cast("Any", schema) if isinstance(schema, Mapping) else {}
    properties = fields.get("properties", {})
    if schema is None or (
        fields.get("type", "object") == "object" and isinstance(schema, Mapping) and isinstance(properties, Mapping)
    ):
        return
    raise SignatureError(
        f"the schema of the tool `{tool}` is {schema!r:.200}. Write the JSON schema of an object, such as "
        '{"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}.'
    )


def _plain(function: Callable[..., object]) -> Any:
    """Return the function inside a `functools.partial`."""
    inner: object = getattr(function, "func", None)
    return _plain(inner) if callable(inner) and not inspect.isroutine(function) else function


def _name_of(function: Callable[..., object]) -> str:
    plain = _plain(function)
    return str(getattr(plain, "__name__", type(plain).__name__))


def _doc_of(function: Callable[..., object]) -> str:
    plain = _plain(function)
    if isinstance(plain, type):
        return plain.__doc__ or ""  # not that of a base
    called = None if inspect.isroutine(plain) else inspect.getdoc(type(plain).__call__)
    return inspect.getdoc(plain) or called or ""


def told(
    kind: type, description: str, fields: Mapping[str, Field] | inspect.Signature, call: Callable[..., Any]
) -> Told:
    """Return what a program says of itself: `kind` is the class that it is known by, and `fields` are its arguments."""
    name = _WITHIN.sub("_", kind.__name__).lower()
    return Told(name, description, _fields_of(name, fields) if isinstance(fields, inspect.Signature) else fields, call)


def _written(name: str, function: Callable[..., object]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError as error:
        raise SignatureError(
            f"`{name}` cannot be a tool: {error}. The types of its parameters must be visible where it stands: import "
            "them above it, outside `if TYPE_CHECKING:`."
        ) from None
    except (ValueError, TypeError, SyntaxError) as error:
        raise SignatureError(
            f"`{name}` cannot be a tool, because its parameters are not known ({error}). Write a function around it: "
            f"`def {name}(query: str) -> str: return ...`."
        ) from None


def _fields_of(name: str, written: inspect.Signature) -> dict[str, Field]:
    return {parameter.name: _field(name, parameter) for parameter in written.parameters.values()}


_WHY_NOT = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values, `*{0}`, which have no names",
    inspect.Parameter.VAR_KEYWORD: "takes any names, `**{0}`, so that nobody knows which",
    inspect.Parameter.POSITIONAL_ONLY: "takes `{0}` by position alone, and an LM gives arguments by name",
}


def _field(tool: str, parameter: inspect.Parameter) -> Field:
    name, annotation = parameter.name, parameter.annotation
    if parameter.kind in _WHY_NOT:
        raise SignatureError(
            f"`{tool}` cannot be a tool: it {_WHY_NOT[parameter.kind].format(name)}. Write a function around it that names "
            f"each argument with its type, or give its JSON schema: `lp.Tool({tool}, schema=...)`."
        )
    if annotation is parameter.empty:
        bound = " To make a tool of a method, give the bound one: `lp.Tool(self.search)`." * (name in ("self", "cls"))
        raise SignatureError(
            f"`{tool}` cannot be a tool: its parameter `{name}` has no type. Write `{name}: str`, or the type that it has.{bound}"
        )
    try:
        adapter = TypeAdapter[Any](annotation)
        schema = adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as error:
        raise SignatureError(
            f"`{tool}` cannot be a tool: its parameter `{name}` is of the type {type_name(annotation)}, which has no form in "
            f"JSON ({str(error).splitlines()[0]}). Use a pydantic model, or a built-in type."
        ) from None
    default = ... if parameter.default is parameter.empty else parameter.default
    said = {key: value for key, value in schema.items() if key not in ("description", "title", "default")}
    desc = str(schema.get("description", ""))
    return Field(name, "input", annotation, desc, default, adapter, said, schema.get("type") == "string", exact=False)


def _schema_of(tool: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    named, shared = TypeAdapter.json_schemas([(name, "validation", field.adapter) for name, field in fields.items()])
    properties: dict[str, dict[str, Any]] = {}
    for name, field in fields.items():
        said = {key: value for key, value in named[name, "validation"].items() if key not in ("description", "default")}
        said |= {"description": field.desc} if field.desc else {}
        properties[name] = {**said, **_default(field)}
    required = [name for name, field in fields.items() if field.default is ...]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **shared}


def _default(field: Field) -> dict[str, Any]:
    """Return the default of an argument as JSON data, where it has one that JSON can hold."""
    if field.default is ...:
        return {}
    try:
        return {"default": json.loads(field.adapter.dump_json(field.default, warnings=False))}
    except (PydanticSerializationError, ValueError):
        return {}
