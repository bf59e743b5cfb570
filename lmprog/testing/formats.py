"""Checks of a prompt format."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from lmprog.errors import OutputError
from lmprog.formats import Template
from lmprog.params import Demo, FormatName, Params, PredictorParams
from lmprog.request import canonical_json
from lmprog.signature import InputField, OutputField, Signature, check_demo, encode, fields_of

if TYPE_CHECKING:  # `check_format` and `hostile_texts` import it when called: only tests need it
    from hypothesis.strategies import SearchStrategy


Prepare = Callable[[type[Signature], PredictorParams], Template]
"""A format: what makes a template of a signature and params."""


def check_format(prepare: Prepare, *, format: FormatName = "chat", examples: int = 100) -> None:
    """Assert that a format carries every value of every type there and back, with `examples` tries a property.

    Call it in a test: `check_format(lmprog.formats.prepare, format="json")`; `format` is what the params name. It
    asserts that inputs, outputs and demos read back exactly; that prose around a reply changes nothing, nor do
    fields that nobody asked for; that a reply cut off anywhere is refused, as one that lacks a field or has a value
    of another type, with a reason that names it; that of two replies in one the second never counts; that any wrong
    reply is an OutputError that holds it raw; that the conversation is a system message with the instruction, two
    turns for each demo, and the question; and that equal params say the same.
    """
    _need_hypothesis()
    from hypothesis import given, settings
    from hypothesis import strategies as st

    tries = settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    plain = PredictorParams(instruction="Do it.", format=format)
    cases = _cases()
    asked = st.sampled_from(cases).flatmap(lambda case: st.tuples(st.just(case), case.inputs))
    answered = st.sampled_from(cases).flatmap(lambda case: st.tuples(st.just(case), case.outputs))
    twice = st.sampled_from(cases).flatmap(lambda case: st.tuples(st.just(case), case.outputs, case.outputs))
    shown = st.sampled_from(cases).flatmap(
        lambda case: st.tuples(st.just(case), st.lists(_demos(case), max_size=2), case.inputs)
    )
    prose = st.text("abcdefgh ,.?!\n")

    @tries
    @given(asked)
    def inputs_read_back(drawn: tuple[_Case, dict[str, Any]]) -> None:
        case, inputs = drawn
        template = prepare(case.signature, plain)
        text = template.render(inputs)[-1].text
        _assert_same(case.signature, template.parse_inputs(text), inputs, text)

    @tries
    @given(answered, prose, prose)
    def outputs_read_back(drawn: tuple[_Case, dict[str, Any]], before: str, after: str) -> None:
        case, outputs = drawn
        template = prepare(case.signature, plain)
        text = template.render_reply(outputs)
        _assert_same(case.signature, template.parse(text), outputs, text)
        _assert_same(case.signature, template.parse(text, cut_off=True), outputs, text)
        around = f"{before}\n{text}\n{after}"
        _assert_same(case.signature, template.parse(around), outputs, around)

    @tries
    @given(answered, prose)
    def fields_that_nobody_asked_for_change_nothing(drawn: tuple[_Case, dict[str, Any]], remark: str) -> None:
        case, outputs = drawn
        text = prepare(case.wider, plain).render_reply({**outputs, _REMARK: remark})
        _assert_same(case.signature, prepare(case.signature, plain).parse(text), outputs, text)

    @tries
    @given(answered, st.data())
    def a_reply_that_is_cut_off_is_refused(drawn: tuple[_Case, dict[str, Any]], data: st.DataObject) -> None:
        case, outputs = drawn
        template = prepare(case.signature, plain)
        text = template.render_reply(outputs)
        part = text[: data.draw(st.integers(0, len(text) - 1))]
        assert _refusal(template, part, cut_off=True), f"a part of a reply was taken for the whole: {part!r}"

    @tries
    @given(answered, st.data())
    def a_reply_that_lacks_a_field_is_refused(drawn: tuple[_Case, dict[str, Any]], data: st.DataObject) -> None:
        case, outputs = drawn
        template = prepare(case.signature, plain)
        lost = data.draw(st.sampled_from(list(outputs)))
        text = template.render_reply({name: value for name, value in outputs.items() if name != lost})
        reason = _refusal(template, text)
        assert reason and f"`{lost}`" in reason, f"`{lost}` is not in {text!r}, of which is said: {reason}"

    @tries
    @given(twice)
    def of_two_replies_the_second_never_counts(drawn: tuple[_Case, dict[str, Any], dict[str, Any]]) -> None:
        case, first, second = drawn
        template = prepare(case.signature, plain)
        text = f"{template.render_reply(first)}\n\n{template.render_reply(second)}"
        if not _refusal(template, text):
            _assert_same(case.signature, template.parse(text), first, text)

    @tries
    @given(answered, st.data())
    def a_wrong_reply_is_an_output_error(drawn: tuple[_Case, dict[str, Any]], data: st.DataObject) -> None:
        case, outputs = drawn
        template = prepare(case.signature, plain)
        text = template.render_reply(outputs)
        start, stop = sorted([data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))])
        _refusal(template, text[:start] + data.draw(hostile_texts()) + text[stop:])

    @tries
    @given(shown, hostile_texts())
    def the_conversation_shows_demos(drawn: tuple[_Case, list[Demo], dict[str, Any]], instruction: str) -> None:
        case, demos, inputs = drawn
        checked = tuple(check_demo(case.signature, demo) for demo in demos)
        params = PredictorParams(instruction=instruction, demos=checked, format=format)
        template = prepare(case.signature, params)
        system, *turns, question = template.render(inputs)
        assert (system.role, question.role) == ("system", "user")
        assert instruction in system.text, f"the instruction {instruction!r} is not in {system.text!r}"
        assert [turn.role for turn in turns] == ["user", "assistant"] * len(demos)
        for demo, asks, says in zip(demos, turns[::2], turns[1::2], strict=True):
            reader = case.signature if "reasoning" in demo.outputs else case.unreasoned
            said = prepare(reader, plain).parse(says.text)
            _assert_same(case.signature, template.parse_inputs(asks.text), demo.inputs, asks.text)
            _assert_same(case.signature, said, demo.outputs, says.text)
        read = Params.from_json(Params({"p": params}).to_json())["p"]
        again = prepare(case.signature, read).render(inputs)
        assert again == (system, *turns, question), "params read from their JSON say something else"

    inputs_read_back()
    outputs_read_back()
    fields_that_nobody_asked_for_change_nothing()
    a_reply_that_is_cut_off_is_refused()
    a_reply_that_lacks_a_field_is_refused()
    of_two_replies_the_second_never_counts()
    a_wrong_reply_is_an_output_error()
    the_conversation_shows_demos()
    _check_values_of_another_type(prepare, plain)


def _check_values_of_another_type(prepare: Prepare, params: PredictorParams) -> None:
    """Assert that a value of another type is refused with the field, what it should be and what it is."""
    for annotation, words in ((int, "whole number"), (list[int], "list"), (Literal["a", "b"], "a, b")):
        text = prepare(_signature({"value": str}, inputs=[]), params).render_reply({"value": "something else"})
        reason = _refusal(prepare(_signature({"value": annotation}, inputs=[]), params), text) or "nothing"
        missed = [part for part in ("`value`", words, "something else") if part not in reason]
        assert not missed, f"of {text!r} is said: {reason}; it does not name {missed}"


_PIECES = (
    "[[ answer ]]", "[[ true ]]", "[[ हिन्दी ]]", "[[ other ]]", "[[ end of fields ]]", "\n\n[[ remark ]]\n", "<answer>", "</answer>",
    "</value>", "<answer>x</answer>", "<![CDATA[", "]]",
    "]]>", "&lt;", "&", "{", "}", '{"answer": "x"}', "[]", "null", "true", "NaN", "1.5", '"', "'", "\\", "\\n", "\\u0041", "```json\n", "\n```",
    "\n", "\r", "\r\n", "\t", " ", "\u2028", "\u0085", "\u00a0", "\ufeff", "\x00", "\x1f", ":", ",", "#", "-",
)  # fmt: skip


def hostile_texts() -> "SearchStrategy[str]":
    """Return a Hypothesis strategy of texts that break formats: markers, quotes, JSON, fences, odd line ends, NUL."""
    _need_hypothesis()
    from hypothesis import strategies as st

    return st.lists(st.sampled_from(_PIECES) | st.text(max_size=4), max_size=5).map("".join)


class _Colour(Enum):
    RED = "red"
    SEA = " sea, deep"
    END = "[[ end of fields ]]"


class _Place(BaseModel):
    name: str
    levels: dict[str, list[int]]
    near: "_Place | None" = None


@dataclass(frozen=True, slots=True, repr=False)
class _Case:
    signature: type[Signature]
    unreasoned: type[Signature]
    """The same without `reasoning`."""
    wider: type[Signature]
    """The same with one more output."""
    inputs: "SearchStrategy[dict[str, Any]]"
    outputs: "SearchStrategy[dict[str, Any]]"

    def __repr__(self) -> str:
        fields = fields_of(self.signature)
        return f"<{', '.join(fields.inputs)} -> {', '.join(fields.outputs)}>"  # what a failing check shows


_NAMES = ("question", "true", "null", "end", "instruction", "naïve", "हिन्दी", "fields", "value")
_REMARK = "remark"


def _cases() -> list[_Case]:
    """Signatures with each type as input and output, under odd names, and one with all types."""
    from hypothesis import strategies as st

    texts = hostile_texts()
    text = (str, texts)
    places = st.builds(
        _Place, name=texts, levels=st.dictionaries(texts, st.lists(st.integers(), max_size=2), max_size=3)
    )
    kinds: list[tuple[Any, SearchStrategy[Any]]] = [
        text,
        (int, st.integers(-(10**30), 10**30)),
        (float, st.sampled_from([math.nan, math.inf, -0.0]) | st.floats()),
        (bool, st.booleans()),
        (str | None, st.none() | texts),
        (str | int, texts | st.integers()),
        (list[str], st.lists(texts, max_size=3)),
        (list[list[bool]], st.lists(st.lists(st.booleans(), max_size=2), max_size=3)),
        (Literal["yes", "no, never", '"so"', "null", "[[ answer ]]"], st.sampled_from(["yes", "no, never", '"so"', "null", "[[ answer ]]"])),
        (_Colour, st.sampled_from(_Colour)),
        (date, st.dates()),
        (_Place, places | places.map(lambda place: place.model_copy(update={"near": place}))),
        (dict[str, int], st.dictionaries(texts, st.integers(), max_size=3)),
        (bytes | None, st.none() | st.binary(max_size=9)),
        (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    ]  # fmt: skip
    cases = [_case({}, {"answer": text}), _case({"question": text}, {"answer": text})]
    for index, kind in enumerate(kinds):
        asked, said = _NAMES[index % len(_NAMES)], _NAMES[(index + 1) % len(_NAMES)]
        cases.append(_case({asked: kind, "context": text}, {"reasoning": text, said: kind, "answer": text}))
    everything = {f"field_{index}": kind for index, kind in enumerate(kinds)}
    cases.append(_case({f"{name}_in": kind for name, kind in everything.items()}, everything))
    return cases


def _case(
    inputs: "dict[str, tuple[Any, SearchStrategy[Any]]]", outputs: "dict[str, tuple[Any, SearchStrategy[Any]]]"
) -> _Case:
    from hypothesis import strategies as st

    types = {name: kind for name, (kind, _) in {**inputs, **outputs}.items()}
    unreasoned = {name: kind for name, kind in types.items() if name != "reasoning"}
    return _Case(
        signature=_signature(types, inputs=inputs),
        unreasoned=_signature(unreasoned, inputs=inputs),
        wider=_signature({**types, _REMARK: str}, inputs=inputs),
        inputs=st.fixed_dictionaries({name: values for name, (_, values) in inputs.items()}),
        outputs=st.fixed_dictionaries({name: values for name, (_, values) in outputs.items()}),
    )


def _signature(types: Mapping[str, Any], *, inputs: Collection[str]) -> type[Signature]:
    slots = {name: InputField() if name in inputs else OutputField() for name in types}
    return type("Case", (Signature,), {"__annotations__": dict(types), **slots})


def _demos(case: _Case) -> "SearchStrategy[Demo]":
    """Demos whose inputs may be missing, and whose reasoning may."""
    from hypothesis import strategies as st

    def demo(gone: frozenset[str], inputs: dict[str, Any], outputs: dict[str, Any]) -> Demo:
        return Demo(
            inputs={name: value for name, value in inputs.items() if name not in gone},
            outputs={name: value for name, value in outputs.items() if name not in gone & {"reasoning"}},
        )

    gone = st.frozensets(st.sampled_from([*_NAMES, "context", "reasoning"]))
    return st.builds(demo, gone, case.inputs, case.outputs)


def _assert_same(signature: type[Signature], read: Mapping[str, Any], written: Mapping[str, Any], text: str) -> None:
    """Compare as JSON, which tells 1 from True and 1.0, and finds nan equal to itself."""
    for name in written.keys() | read.keys():
        assert name in read, f"`{name}` is lost in {text!r}"
        assert name in written, f"`{name}` = {read[name]!r} was never written, but is read from {text!r}"
        there, back = (canonical_json(encode(signature, {name: values[name]})) for values in (written, read))
        assert there == back and type(read[name]) is type(written[name]), (
            f"`{name}` = {written[name]!r} reads back as {read[name]!r} from {text!r}"
        )


def _refusal(template: Template, text: str, *, cut_off: bool = False) -> str | None:
    """Return why a reply is refused; None where it is taken."""
    try:
        template.parse(text, cut_off=cut_off)
    except OutputError as error:
        assert error.raw == text, "OutputError.raw is not the reply as it came"
        assert error.reason, "OutputError.reason does not say what is wrong"
        return error.reason
    return None


def _need_hypothesis() -> None:
    if find_spec("hypothesis") is None:
        raise ImportError("this check draws its cases with Hypothesis: pip install 'lmprog[dev]'")
