"""Signatures: which types a field may have, what is refused and when, instructions, demos, reasoning."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import enum
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

import lmprog as lp
from lmprog.short_form import from_string
from lmprog.signature import Field, check_demo, check_inputs, encode, fields_of
from lmprog.testing import ScriptedLM


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Size(enum.StrEnum):
    S = "small"


class Place(pydantic.BaseModel):
    name: str
    parts: list[Place] = []


class Keyed(pydantic.BaseModel):
    """Fields with names that a reader of pydantic's schemas could trip over, and one with another name in JSON."""

    type: int
    default: bytes
    written: str = pydantic.Field(alias="asWritten")


class Loose(pydantic.BaseModel):
    anything: pydantic.JsonValue


@dataclasses.dataclass
class Span:
    start: int
    when: datetime.date


class Pair(NamedTuple):
    left: int
    right: str


class Entry(TypedDict):
    key: str


UTC = datetime.UTC
Stars = Annotated[int, pydantic.Field(ge=1, le=5)]

ACCEPTED: list[tuple[Any, object]] = [
    (str, "a"),
    (int, 10**30),
    (float, float("-inf")),
    (bool, True),
    (int | None, None),
    (Literal["a", 1, None], 1),
    (Colour, Colour.BLUE),
    (Size, Size.S),
    (dict[Size, int], {Size.S: 1}),
    (Stars, 5),
    (list[str], ["a", "b"]),
    (list[list[int]], [[1], []]),
    (Place, Place(name="a", parts=[Place(name="b")])),
    (list[Keyed], [Keyed(type=1, default=b"x", asWritten="y")]),
    (Loose, Loose(anything={"a": [1, None, "x"]})),
    (Span, Span(1, datetime.date(2020, 2, 29))),
    (Entry, {"key": "a"}),
    (Pair, Pair(1, "a")),
    (datetime.date, datetime.date(2020, 2, 29)),
    (datetime.datetime, datetime.datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=UTC)),
    (datetime.time, datetime.time(1, 2, 3, 4)),
    (datetime.timedelta, datetime.timedelta(days=-3, microseconds=7)),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (bytes, b"\xff\x00"),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2)),
    (dict[int, str], {1: "a"}),
    (dict[bool, bytes], {True: b"\xff"}),
    (pydantic.JsonValue, {"a": [1, None]}),
    (list[pydantic.JsonValue], [1, "a"]),
    (int | str, "1"),
    (int | list[int], [1]),
    (list[Stars] | Place | None, Place(name="a")),
    (uuid.UUID, uuid.UUID(int=7)),
    (Path, Path("a/b")),
    (Sequence[int], [1, 2]),
    (re.Pattern[str], re.compile("a+")),
]

REFUSED: list[tuple[Any, str]] = [
    (Any, "could hold anything"),
    (object, "could hold anything"),
    (list, "could hold anything"),
    (dict[str, Any], "could hold anything"),
    (pydantic.create_model("Hidden", default=(Any, None)), "could hold anything"),
    (type("Plain", (), {}), "pydantic does not know it"),
    (range, "pydantic does not know it"),
    (Callable[[int], int], "is a function"),
    (set[int], "has no order"),
    (list[set[int] | None], "has no order"),
    (frozenset[int], "has no order"),
    (Iterator[int], "pydantic does not know it"),
    (pydantic.SecretStr, "hides its value"),
    (type[int], "is a class object"),
    (type, "has no form in JSON"),
    (Literal[Colour.RED], "has a choice that JSON cannot hold"),
    (Literal[b"a"], "has a choice that JSON cannot hold"),
    (enum.Enum("Point", {"ORIGIN": (0, 0)}), "has a choice that JSON cannot hold"),
]


def declare(annotation: Any) -> type[lp.Signature]:
    """A signature with an input and an output of one type."""
    body = {"given": lp.InputField(), "found": lp.OutputField()}
    return type("Declared", (lp.Signature,), {**body, "__annotations__": dict.fromkeys(body, annotation)})


def a_field(annotation: Any) -> Field:
    return fields_of(declare(annotation)).inputs["given"]


# Types of fields


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED, ids=lambda x: str(x)[:40])
def test_a_value_of_an_accepted_type_reads_back_equal(annotation: Any, value: object) -> None:
    signature = declare(annotation)

    typed = check_inputs(signature, {"given": value})["given"]
    written = json.dumps(encode(signature, {"given": typed})["given"])

    assert typed == value
    assert type(typed) is type(value) or isinstance(value, Path | int)
    assert fields_of(signature).inputs["given"].decode(json.loads(written)) == value


@pytest.mark.parametrize(("annotation", "reason"), REFUSED, ids=lambda x: str(x)[:40])
def test_a_type_that_cannot_travel_is_refused_by_name_when_the_class_is_made(annotation: Any, reason: str) -> None:
    with pytest.raises(lp.SignatureError, match=r"Declared: `given` of type .* cannot be a field: .*" + reason):
        declare(annotation)


class Veiled(pydantic.BaseModel):
    shown: int
    hidden: int = pydantic.Field(default=0, exclude=True)


class Incomplete(pydantic.BaseModel):
    hidden: int = pydantic.Field(exclude=True)


class Raw(pydantic.BaseModel):
    data: bytes


NOT_KEPT: list[tuple[Any, object]] = [
    (Veiled, Veiled(shown=1, hidden=2)),
    (Incomplete, Incomplete(hidden=1)),
    (Raw, Raw(data=b"\xff")),
    (str | datetime.date, datetime.date(2020, 2, 29)),
    (datetime.date | str, "2020-02-29"),
    (str | bytes, b"a"),
    (dict[tuple[int, int], str], {(1, 2): "a"}),
    (Sequence[int], (1, 2)),
    (re.Pattern[str], re.compile("a", re.IGNORECASE)),
    (Annotated[int, pydantic.PlainSerializer(lambda value: f"{value}!")], 3),
    (Annotated[str, pydantic.AfterValidator(lambda value: f"{value}!")], "a!"),
    (datetime.datetime, datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(seconds=61)))),
]


@pytest.mark.parametrize(("annotation", "value"), NOT_KEPT, ids=lambda x: str(x)[:40])
def test_a_value_that_would_not_read_back_is_refused_when_it_is_used(annotation: Any, value: object) -> None:
    with pytest.raises(lp.InputError) as caught:
        encode(declare(annotation), {"given": value})

    assert f"`given`: {value!r} does not read back" in str(caught.value)


def test_a_value_that_reads_back_is_kept_where_others_of_its_type_would_not() -> None:
    assert encode(declare(Veiled), {"given": Veiled(shown=1)}) == {"given": {"shown": 1}}
    assert encode(declare(str | datetime.date), {"given": "2020-02-29"}) == {"given": "2020-02-29"}


DRAWN: list[Any] = [
    *(str, int, float, bool, bytes, datetime.date, datetime.datetime, datetime.time, datetime.timedelta),
    *(list[str], dict[str, float], dict[int, bytes], tuple[int, str | None], int | str, datetime.date | str),
    *(Literal["a", 1, True, None], Colour, uuid.UUID, Pair, Span, dict[datetime.date, list[bool]], str | float | None),
]
FIELDS = {str(annotation): declare(annotation) for annotation in DRAWN}
VALUES: dict[str, st.SearchStrategy[object]] = {str(annotation): st.from_type(annotation) for annotation in DRAWN}


@settings(deadline=None)
@given(st.data())
def test_any_value_reads_back_equal_or_is_refused(data: st.DataObject) -> None:
    annotation = data.draw(st.sampled_from(DRAWN))
    signature, value = FIELDS[str(annotation)], data.draw(VALUES[str(annotation)])
    field = fields_of(signature).inputs["given"]

    try:
        typed = check_inputs(signature, {"given": value})["given"]
        written = json.dumps(field.encode(typed))
    except lp.InputError:
        return

    read = field.decode(json.loads(written))
    assert read == typed or read != read or typed != typed  # a NaN equals nothing


def test_a_plain_text_is_known_as_one() -> None:
    assert [a_field(kind).is_text for kind in (str, Size, datetime.date, Literal["a", "b"])] == [True] * 4
    assert [a_field(kind).is_text for kind in (int, Colour, str | None, list[str])] == [False] * 4


def test_models_of_two_fields_stand_once_in_the_schema_of_the_outputs() -> None:
    class Route(lp.Signature):
        start: Place = lp.OutputField()
        end: Place = lp.OutputField()

    schema = json.loads(fields_of(Route).schema)

    assert schema["properties"] == {name: {"$ref": "#/$defs/Place"} for name in ("start", "end")}
    assert list(schema["$defs"]) == ["Place"]
    assert schema["required"] == ["start", "end"]


# Declaring


class Ask(lp.Signature):
    """Answer the question.

    In a few words.
    """

    question: str = lp.InputField(desc="as asked")
    limit: int = lp.InputField(default=3)
    answer: str = lp.OutputField(desc="short")


def test_the_docstring_is_the_instruction_without_its_indentation() -> None:
    assert fields_of(Ask).instruction == "Answer the question.\n\nIn a few words."


def test_without_a_docstring_the_instruction_names_the_fields() -> None:
    assert fields_of(from_string("a, b, c -> d, e")).instruction == "Given `a`, `b` and `c`, write `d` and `e`."
    assert fields_of(from_string("-> d")).instruction == "Write `d`."


def test_fields_keep_their_order_role_and_description() -> None:
    fields = fields_of(Ask)

    assert [(f.name, f.role, f.desc) for f in fields.inputs.values()] == [
        ("question", "input", "as asked"),
        ("limit", "input", ""),
    ]
    assert [(f.name, f.role, f.desc) for f in fields.outputs.values()] == [("answer", "output", "short")]


def test_a_subclass_adds_fields_after_those_it_inherits_and_may_replace_one_in_place() -> None:
    class Rated(Ask):
        stars: Stars = lp.OutputField()
        question: list[str] = lp.InputField()  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

    fields = fields_of(Rated)

    assert list(fields.inputs) == ["question", "limit"]
    assert list(fields.outputs) == ["answer", "stars"]
    assert fields.inputs["question"].annotation == list[str]
    assert list(fields_of(Ask).outputs) == ["answer"]


def test_a_subclass_inherits_a_docstring_but_not_a_default_instruction() -> None:
    class Bare(lp.Signature):
        a: str = lp.InputField()
        b: str = lp.OutputField()

    class More(Bare):
        c: str = lp.OutputField()

    class Kept(Ask):
        c: str = lp.OutputField()

    assert fields_of(More).instruction == "Given `a`, write `b` and `c`."
    assert fields_of(Kept).instruction == fields_of(Ask).instruction


def test_types_written_as_strings_may_be_local_also_to_another_function_than_a_subclass() -> None:
    def base() -> tuple[type[lp.Signature], type[enum.Enum]]:
        class Kind(enum.Enum):
            A = "a"

        class Local(lp.Signature):
            kind: Kind = lp.InputField()
            kinds: list[Kind] = lp.OutputField()

        return Local, Kind

    local, kind = base()
    reasoned = lp.ChainOfThought(local).signature

    assert fields_of(reasoned).inputs["kind"].annotation is kind
    assert fields_of(reasoned).outputs["kinds"].annotation == list[kind]  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("answer: str", "`answer` is neither input nor output. Write `answer: ... = lp.InputField()`"),
        ("answer: str = 'a'", "`answer` is neither input nor output"),
        ("answer = lp.OutputField()", "`answer` has no type. Write `answer: str = ...`"),
        ("answer: str = lp.InputField()", "Wrong has no output, so an LM has nothing to write"),
        ("_answer: str = lp.OutputField()", "a field cannot be called `_answer`"),
        ("answer: Unknown = lp.OutputField()", "name 'Unknown' is not defined"),
        ("answer: 'list[' = lp.OutputField()", "A field's type must be a type"),
        ("n: int = lp.InputField(default='a')\n    answer: str = lp.OutputField()", "`n` has the default 'a', which is no int"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_says_what_to_write(body: str, error: str) -> None:
    with pytest.raises(lp.SignatureError, match=re.escape(error)):
        exec(f"class Wrong(lp.Signature):\n    {body}", {"lp": lp, "__name__": __name__})


# The short form


@pytest.mark.parametrize(
    ("text", "inputs", "outputs"),
    [
        ("question -> answer", {"question": str}, {"answer": str}),
        (" a , b : list[str]->c:int ", {"a": str, "b": list[str]}, {"c": int}),
        ("-> a: tuple[int, ...]", {}, {"a": tuple[int, ...]}),
        ("a: dict[str, list[bool]] -> b: float | None", {"a": dict[str, list[bool]]}, {"b": float | None}),
        ("a: Optional[date] -> b: datetime", {"a": datetime.date | None}, {"b": datetime.datetime}),
        ("a -> b: Literal['x', -1, None]", {"a": str}, {"b": Literal["x", -1, None]}),
        ("self -> cls", {"self": str}, {"cls": str}),
    ],
)  # fmt: skip
def test_a_short_form_is_read(text: str, inputs: dict[str, object], outputs: dict[str, object]) -> None:
    fields = fields_of(from_string(text))

    assert {name: field.annotation for name, field in fields.inputs.items()} == inputs
    assert {name: field.annotation for name, field in fields.outputs.items()} == outputs


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("question", "write inputs, one arrow, outputs"),
        ("a -> b -> c", "write inputs, one arrow, outputs"),
        ("a ->", "has no output"),
        ("a b -> c", "is no signature"),
        ("class -> c", "is no signature"),
        ("a = 1 -> b", "is no signature: write fields as \"name\" or \"name: type\", with commas"),
        ("*a -> b", "is no signature"),
        ("a, *, b -> c", "is no signature"),
        ("a): ...\ndef f(b -> c", "is no signature"),
        ("a, a -> b", "uses ['a'] more than once"),
        ("a -> a", "uses ['a'] more than once"),
        ("_a -> b", "a field cannot be called `_a`"),
        ("a: Path -> b", "uses the type `Path`, which the short form does not know: it has str, int"),
        ("a: list['str'] -> b", "uses the type `'str'`"),
        ("a: print('no') -> b", "uses the type `print('no')`"),
        ("a: 5 -> b", "uses the type `5`"),
        ("a: int[str] -> b", "uses `int[str]`, which is no type"),
        ("a: Literal[x] -> b", "choices are texts in quotes"),
        ("a: Literal -> b", "cannot be a field"),
        ("a: list -> b", "could hold anything"),
    ],
)  # fmt: skip
def test_a_wrong_short_form_is_refused_with_the_reason(text: str, error: str) -> None:
    with pytest.raises(lp.SignatureError, match=re.escape(error)):
        lp.Predict(text)


# Values


def predict(predictor: lp.Predict[..., Any], outputs: Mapping[str, object], /, **inputs: object) -> Any:
    with lp.using(lm=ScriptedLM(lambda asked: outputs)):
        return predictor(**inputs)


def test_a_prediction_holds_inputs_defaults_and_outputs_and_is_an_instance_of_the_signature() -> None:
    prediction = predict(lp.Predict(Ask), {"answer": "b"}, question="a")

    assert isinstance(prediction, Ask)
    assert (prediction.question, prediction.limit, prediction.answer) == ("a", 3, "b")
    assert repr(prediction) == "Ask(question='a', limit=3, answer='b')"


def test_a_prediction_is_immutable() -> None:
    prediction = predict(lp.Predict(Ask), {"answer": "b"}, question="a")

    with pytest.raises(AttributeError, match="a Ask is immutable: build a new one instead of setting `answer`"):
        prediction.answer = "c"


def test_predictions_are_equal_when_signature_and_values_are() -> None:
    first, second = (predict(lp.Predict(Ask), {"answer": "b"}, question="a") for _ in range(2))

    assert first == second == copy.copy(first)
    assert first != predict(lp.Predict(Ask), {"answer": "c"}, question="a")
    assert first != predict(lp.Predict("question, limit: int -> answer"), {"answer": "b"}, question="a", limit=3)


def test_fields_may_have_the_names_of_common_methods() -> None:
    class Named(lp.Signature):
        copy: str = lp.InputField()
        json: str = lp.InputField()
        self: str = lp.InputField()
        schema: str = lp.OutputField()
        items: list[str] = lp.OutputField()
        keys: int = lp.OutputField()

    inputs, outputs = {"copy": "a", "json": "b", "self": "c"}, {"schema": "d", "items": ["e"], "keys": 6}

    prediction = predict(lp.Predict(Named), outputs, **inputs)

    assert {name: getattr(prediction, name) for name in (*inputs, *outputs)} == {**inputs, **outputs}


def test_wrong_inputs_are_named_each_with_the_users_value() -> None:
    with pytest.raises(lp.InputError) as caught:
        predict(lp.Predict(Ask), {}, limit="many", qestion="a")

    assert str(caught.value) == (
        "Ask was called with inputs that do not fit: `qestion` is not an input; `question` is missing; "
        "`limit` = 'many': Input should be a valid integer, unable to parse string as an integer. "
        "Its inputs: `question`, `limit`."
    )


def test_a_fault_inside_a_value_is_named_by_its_place() -> None:
    with pytest.raises(lp.InputError, match=re.escape("`given.parts.0.name` = 5: Input should be a valid string")):
        check_inputs(declare(Place), {"given": {"name": "a", "parts": [{"name": 5}]}})


def test_an_input_without_a_name_is_refused() -> None:
    ask: lp.Predict[..., Any] = lp.Predict(Ask)

    with (
        lp.using(lm=ScriptedLM(lambda asked: {})),
        pytest.raises(lp.InputError, match=r"was given 'why\?' without a name. Write each input by name: question="),
    ):
        ask("why?")


def test_a_default_is_not_shared_between_calls() -> None:
    class Collect(lp.Signature):
        found: list[str] = lp.InputField(default=[])
        done: bool = lp.OutputField()

    predict(lp.Predict(Collect), {"done": True}).found.append("a")

    assert predict(lp.Predict(Collect), {"done": True}).found == []


# Reasoning


def test_chain_of_thought_asks_for_reasoning_first_and_returns_the_signature() -> None:
    predictor = lp.ChainOfThought(Ask)

    prediction = predict(predictor, {"reasoning": "because", "answer": "b"}, question="a")

    assert list(fields_of(predictor.signature).outputs) == ["reasoning", "answer"]
    assert list(json.loads(fields_of(predictor.signature).schema)["properties"]) == ["reasoning", "answer"]
    assert fields_of(predictor.signature).instruction == fields_of(Ask).instruction
    assert isinstance(prediction, Ask)
    assert lp.reasoning(prediction) == "because"


def test_chain_of_thought_takes_the_short_form() -> None:
    prediction = predict(lp.ChainOfThought("question -> n: int"), {"reasoning": "two", "n": 2}, question="a")

    assert (prediction.n, lp.reasoning(prediction)) == (2, "two")


def test_equal_signatures_reason_in_one_class() -> None:
    assert lp.ChainOfThought(Ask).signature is lp.ChainOfThought(Ask).signature


def test_a_signature_with_reasoning_of_its_own_is_left_as_it_is() -> None:
    predictor = lp.ChainOfThought("question -> answer, reasoning")

    assert list(fields_of(predictor.signature).outputs) == ["answer", "reasoning"]


def test_an_input_called_reasoning_is_refused() -> None:
    with pytest.raises(lp.SignatureError, match="has an input called `reasoning`"):
        lp.ChainOfThought("reasoning -> verdict")


def test_asking_for_reasoning_that_was_never_written_is_an_error() -> None:
    prediction = predict(lp.Predict(Ask), {"answer": "b"}, question="a")

    with pytest.raises(lp.OutputError, match="Ask holds no reasoning"):
        lp.reasoning(prediction)


# Demos


def test_a_demos_values_are_checked_and_become_json() -> None:
    demo = lp.Demo(
        inputs={"given": Span(1, datetime.date(2020, 2, 29))}, outputs={"found": {"start": "2", "when": "2020-03-01"}}
    )

    checked = check_demo(declare(Span), demo)

    assert checked.inputs == {"given": {"start": 1, "when": "2020-02-29"}}
    assert checked.outputs == {"found": {"start": 2, "when": "2020-03-01"}}


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED, ids=lambda x: str(x)[:40])
def test_checking_a_demo_again_changes_nothing(annotation: Any, value: object) -> None:
    signature = declare(annotation)

    once = check_demo(signature, lp.Demo(inputs={"given": value}, outputs={"found": value}))

    assert check_demo(signature, once) == once
    assert fields_of(signature).inputs["given"].decode(once.inputs["given"]) == value


def test_a_demo_may_lack_inputs_and_reasoning_but_no_other_output() -> None:
    reasoned = lp.ChainOfThought(Ask).signature

    assert check_demo(reasoned, lp.Demo(inputs={}, outputs={"answer": "b"})).outputs == {"answer": "b"}
    with pytest.raises(
        lp.SignatureError, match=re.escape("a demo of Ask has no `answer`. Inputs: ['question', 'limit']")
    ):
        check_demo(Ask, lp.Demo(inputs={"question": "a"}, outputs={}))


def test_a_demo_with_unknown_names_is_refused() -> None:
    with pytest.raises(lp.SignatureError, match="names unknown `qestion`, `question`"):
        check_demo(Ask, lp.Demo(inputs={"qestion": "a"}, outputs={"answer": "b", "question": "c"}))


def test_a_demo_with_a_value_that_does_not_fit_is_refused_when_the_predictor_is_made() -> None:
    demo = lp.Demo(inputs={"limit": "many"}, outputs={"answer": "b"})

    with pytest.raises(lp.SignatureError, match="a demo of Ask has `limit` = 'many', which does not fit"):
        lp.Predict(Ask, demos=[demo])


def test_a_demo_with_a_value_that_would_not_read_back_is_refused() -> None:
    demo = lp.Demo(inputs={}, outputs={"found": Veiled(shown=1, hidden=2)})

    with pytest.raises(lp.SignatureError, match="does not read back"):
        check_demo(declare(Veiled), demo)
