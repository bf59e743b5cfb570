"""What the formats of prompts have in common: each carries every value, and a program runs under any of them."""

import asyncio
import enum
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import lmprog as lp
from lmprog.formats import Template, chat, json, prepare, read, xml
from lmprog.lm.tiny.client import shared
from lmprog.lm.tiny.template import prompt_of, reply_of
from lmprog.optimizer import Outcome, Problem
from lmprog.params import FormatName
from lmprog.short_form import from_string
from lmprog.testing import Answer, Asked, ScriptedLM, check_format, hostile_texts, reply

FORMATS: tuple[FormatName, ...] = get_args(FormatName)
texts = hostile_texts()
properties = settings(deadline=None, derandomize=True, database=None, max_examples=60)
SENTENCES: Mapping[FormatName, str] = {"chat": chat.LAYOUT, "json": json.LAYOUT, "xml": xml.LAYOUT}
in_every_format = pytest.mark.parametrize("format_", FORMATS)


class Colour(enum.Enum):
    RED = "red"
    ODD = "</colour>"


class Place(BaseModel):
    name: str
    levels: dict[str, int]


class Everything(lp.Signature):
    """Describe it."""

    text: str = lp.InputField()
    parts: list[str] = lp.OutputField()
    remark: str = lp.OutputField()
    note: str | None = lp.OutputField()
    either: str | int = lp.OutputField()
    colour: Colour = lp.OutputField()
    grade: Literal["good", "1"] = lp.OutputField()
    holds: bool = lp.OutputField()
    share: float = lp.OutputField()
    day: date = lp.OutputField()
    place: Place = lp.OutputField()


class Add(lp.Signature):
    """Add the numbers."""

    a: int = lp.InputField()
    b: int = lp.InputField()
    total: int = lp.OutputField()


class Solve(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoStages(lp.Module):
    def __init__(self) -> None:
        self.first, self.second = lp.Predict(Solve), lp.ChainOfThought(Solve)

    def forward(self, question: str) -> Solve:
        return self.second(question=self.first(question=question).answer)


def template(
    signature: type[lp.Signature] | str, format_: FormatName, instruction: str = "Do it.", **fields: Any
) -> Template:
    made = from_string(signature) if isinstance(signature, str) else signature
    return prepare(made, lp.PredictorParams(instruction=instruction, format=format_, **fields))


def request(made: Template, inputs: Mapping[str, Any]) -> lp.Request:
    return lp.Request(made.render(inputs), made.schema, json_reply=made.json_reply)


def under(format_: FormatName, program: TwoStages) -> TwoStages:
    params = lp.params_of(program)
    for path in params:
        params = params.replace(path, format=format_)
    return lp.with_params(program, params)


@in_every_format
def test_a_format_fulfils_the_contract_of_formats(format_: FormatName) -> None:
    check_format(prepare, format=format_, examples=50)


@in_every_format
def test_only_json_replies_are_json_that_an_lm_can_be_held_to(format_: FormatName) -> None:
    assert template("a -> b", format_).json_reply == (format_ == "json")


@in_every_format
def test_fields_are_shown_in_the_order_of_the_signature(format_: FormatName) -> None:
    made = template("a, b -> c, d", format_)

    assert made.render({"b": "2", "a": "1"}) == made.render({"a": "1", "b": "2"})
    assert made.render_reply({"d": "2", "c": "1"}) == made.render_reply({"c": "1", "d": "2"})


@in_every_format
def test_a_demo_without_inputs_has_a_turn_that_says_so(format_: FormatName) -> None:
    made = template("a -> b", format_, demos=[lp.Demo(inputs={}, outputs={"b": "x"})])

    asked = made.render({"a": "1"})[1]

    assert asked == lp.Message("user", "(no inputs)")
    assert made.parse_inputs(asked.text) == {}


@in_every_format
def test_an_input_given_twice_is_refused(format_: FormatName) -> None:
    made = template("a -> b", format_)
    asked = made.render({"a": "1"})[-1].text.removesuffix("\n}").removeprefix("{\n")
    twice = f"{{{asked},\n{asked}}}" if format_ == "json" else f"{asked}\n\n{asked}"

    with pytest.raises(lp.OutputError, match="`a` is given more than once"):
        made.parse_inputs(twice)


@in_every_format
@pytest.mark.parametrize(
    ("type_", "value", "says"),
    [
        ("dict[str, int]", '{"total": 5, "total": 999}', "`?total`? is given more than once"),
        ("list[dict[str, int]]", '[{"a": 1}, {"total": 5, "b": 1, "total": 5}]', "`?total`? is given more than once"),
        ("float", "1e999", "1e999 is beyond what a number can be"),
        ("float", "-" + "9" * 400 + ".5", r"9\.\.\. is beyond what a number can be"),
        ("dict[str, float]", '{"a": 1E+400}', r"1E\+400 is beyond what a number can be"),
        ("float", "1" + 320 * "0", "it holds a number beyond what a number can be"),
        ("list[float]", "[1" + 320 * "0" + "]", "it holds a number beyond what a number can be"),
        ("float", "1" * 250 + "e60", "is beyond what a number can be"),
    ],
)
def test_json_that_would_be_read_as_something_else_is_refused(
    format_: FormatName, type_: str, value: str, says: str
) -> None:
    made = template(f"a -> b: {type_}", format_)
    written = {
        "chat": f"[[ b ]]\n{value}\n\n[[ end of fields ]]",
        "json": f'{{"b": {value}}}',
        "xml": f"<b>{value}</b>",
    }

    with pytest.raises(lp.OutputError, match=says):
        made.parse(written[format_])


@in_every_format
@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("str | None", '{"a": 1, "a": 2} is what I found'),
        ("str | None", "1e999"),
        ("int", 10**320),
        ("float", math.inf),
    ],
)
def test_what_is_no_such_json_is_read_as_it_was_written(format_: FormatName, type_: str, value: object) -> None:
    made = template(f"a -> b: {type_}", format_)

    assert made.parse(made.render_reply({"b": value})) == {"b": value}


@in_every_format
@pytest.mark.parametrize("value", ["\ud800", '"\ud800"', '"\\ud800"', "9" * 5000, "[" * 100_000, '{"n":' * 50_000])
@pytest.mark.parametrize("type_", ["int", "str | None", "list[int]"])
def test_a_value_that_breaks_readers_is_refused_or_taken_as_text(format_: FormatName, value: str, type_: str) -> None:
    made = template(f"-> n: {type_}", format_)
    around = {"chat": f"[[ n ]]\n{value}", "json": f'{{"n": {value}}}', "xml": f"<n>{value}</n>"}

    try:
        taken = made.parse(around[format_])["n"]
    except lp.OutputError as error:
        taken = error.raw

    assert taken in (value, around[format_], 10**5000 // 9 * 9)


# Conversations taken apart


@properties
@given(instruction=texts, description=texts, signature=st.sampled_from(["a -> b", "-> b"]))
@pytest.mark.parametrize("format_", FORMATS)
def test_the_instruction_reads_back_from_the_system_message(
    format_: FormatName, instruction: str, description: str, signature: str
) -> None:
    made = template(signature, format_, instruction=instruction.strip(), field_descriptions={"b": description})

    asked = read(made.render({}))

    assert (asked.instruction, asked.outputs) == (instruction.strip(), ("b",))


@in_every_format
@pytest.mark.parametrize("signature", ["a -> b", "-> b"])
@pytest.mark.parametrize(
    "instruction",
    [
        "",
        f"Mind this:\n\n{chat.LAYOUT}",
        f"{json.LAYOUT}\n\n{xml.LAYOUT} {chat.LAYOUT}",
        "Mind:\n\nInput fields:\n- a\n\nOutput fields:\n- b (text)",
        "One.\n\nOutput fields:",
    ],
)
def test_an_instruction_that_looks_like_a_layout_reads_back(
    format_: FormatName, instruction: str, signature: str
) -> None:
    description = f"Text.\n\nOutput fields:\n- c (text)\n\nInput fields:\n{xml.LAYOUT}"
    made = template(signature, format_, instruction=instruction, field_descriptions={"b": description})

    asked = read(made.render({"a": "1"} if "a" in signature else {}))

    assert (asked.instruction, asked.outputs) == (instruction, ("b",))
    assert asked.inputs == ({"a": "1"} if "a" in signature else {})


def test_a_system_message_of_another_layout_is_all_instruction() -> None:
    asked = read([lp.Message("system", "Answer briefly.\n\nOutput fields:\n- none\n")])

    assert (asked.instruction, asked.outputs) == ("Answer briefly.\n\nOutput fields:\n- none", ())


@properties
@given(
    shown=st.lists(st.tuples(st.dictionaries(st.sampled_from("ab"), texts, min_size=1), texts), max_size=2),
    a=texts,
    b=texts,
)
@pytest.mark.parametrize("format_", FORMATS)
def test_a_conversation_reads_back_its_demos_and_its_question(
    format_: FormatName, shown: list[tuple[dict[str, str], str]], a: str, b: str
) -> None:
    demos = [lp.Demo(inputs=inputs, outputs={"c": c}) for inputs, c in shown]

    asked = read(template("a, b -> c", format_, demos=demos).render({"a": a, "b": b}))

    assert asked.instruction == "Do it."
    assert asked.demos == tuple((demo.inputs, demo.outputs) for demo in demos)
    assert asked.inputs == {"a": a, "b": b}


@properties
@given(a=st.lists(texts, max_size=3), b=st.booleans(), c=st.integers() | st.none(), d=st.text("abc é<>&'") | st.none())
def test_a_question_reads_the_same_whatever_its_format(a: list[str], b: bool, c: int | None, d: str | None) -> None:
    made = [template("a: list[str], b: bool, c: int | None, d: str | None -> e", format_) for format_ in FORMATS]

    first, *others = [read(one.render({"a": a, "b": b, "c": c, "d": d})).inputs for one in made]

    assert all(other == first for other in others)


@in_every_format
def test_a_reply_that_was_refused_is_no_demo(format_: FormatName) -> None:
    demo = lp.Demo(inputs={"a": "1"}, outputs={"n": 1})
    made = template("a -> n: int", format_, demos=[demo])
    wrong = template("a -> n: str", format_).render_reply({"n": "two"})
    complaint = f"That reply cannot be used: {wrong!r}."
    again = (*made.render({"a": "2"}), lp.Message("assistant", wrong), lp.Message("user", complaint))

    asked = read(again)

    assert asked.demos == (({"a": "1"}, {"n": "1"}),)
    assert asked.inputs == {"a": "2"}
    assert asked.turns[-1] == ("user", {})


@pytest.mark.parametrize("text", ['{"a": 1', "{}", '{"a": 1} and', "<a>1", "<a>1</a> and", "</a>", "<a>1</b>", "dog"])
def test_a_message_that_is_not_wholly_in_the_layout_has_no_fields(text: str) -> None:
    for format_ in ("json", "xml"):
        system = template("a -> b", format_).render({"a": "1"})[0]

        assert read([system, lp.Message("user", text)]).inputs == {}


def test_a_conversation_may_be_empty() -> None:
    asked = read([])

    assert (asked.instruction, asked.inputs, asked.demos, asked.outputs) == ("", {}, (), ())


# Scripts


@properties
@given(
    parts=st.lists(texts, max_size=3),
    remark=texts,
    note=st.none() | texts,
    either=texts | st.integers(),
    colour=st.sampled_from(Colour),
    holds=st.booleans(),
    place=st.builds(Place, name=texts, levels=st.dictionaries(texts, st.integers(), max_size=2)),
)
@pytest.mark.parametrize("format_", FORMATS)
def test_outputs_that_a_script_gives_read_back_equal(format_: FormatName, **drawn: Any) -> None:
    made = template(Everything, format_)
    outputs = {**drawn, "colour": drawn["colour"].value, "place": drawn["place"].model_dump()}
    rest = {"grade": "1", "share": 0.5, "day": "2024-02-29"}

    text = reply(outputs | rest, request(made, {"text": "x"}))

    assert made.parse(text) == {**drawn, "grade": "1", "share": 0.5, "day": date(2024, 2, 29)}


@in_every_format
def test_a_script_sees_what_is_asked_in_any_format(format_: FormatName) -> None:
    seen: list[Asked] = []

    def script(asked: Asked) -> Answer:
        seen.append(asked)
        return {"total": int(asked.inputs["a"]) + int(asked.inputs["b"])}

    demo = lp.Demo(inputs={"a": 1, "b": 1}, outputs={"total": 2})
    params = lp.PredictorParams(instruction="Add.", demos=(demo,), format=format_)
    add = lp.Predict(Add).with_params(params)

    with lp.using(lm=ScriptedLM(script)):
        assert add(a=2, b=3).total == 5

    assert (seen[0].instruction, seen[0].outputs) == ("Add.", ("total",))
    assert seen[0].demos == (({"a": "1", "b": "1"}, {"total": "2"}),)
    assert seen[0].request.json_reply == (format_ == "json")


@in_every_format
def test_without_a_schema_the_outputs_are_known_from_the_system_message(format_: FormatName) -> None:
    made = template("a -> b, c: int", format_)
    asked = lp.Request(made.render({"a": "1"}))

    assert Asked(asked, read(asked.messages)).outputs == ("b", "c")
    assert made.parse(reply({"b": "x", "c": 2}, asked)) == {"b": "x", "c": 2}


@in_every_format
def test_a_reply_that_is_refused_is_asked_for_again_with_a_reason_to_act_on(format_: FormatName) -> None:
    complaints: list[str] = []

    def script(asked: Asked) -> Answer:
        last = asked.request.messages[-1].text
        if not last.startswith("That reply"):
            return reply({"total": "many"}, asked.request)
        complaints.append(last)
        return {"total": 5}

    add = lp.Predict(Add).with_params(lp.PredictorParams(instruction="Add.", format=format_))

    with lp.using(lm=ScriptedLM(script)):
        assert add(a=2, b=3).total == 5

    assert "`total` should be whole number, but is" in complaints[0]
    assert "many" in complaints[0]


# Whole programs


@in_every_format
def test_a_program_is_evaluated_in_any_format(format_: FormatName) -> None:
    def script(asked: Asked) -> Answer:
        return {name: f"<{asked.inputs['question']}> & [[ {name} ]]" for name in asked.outputs}

    rows = [{"question": "q", "answer": "<<q> & [[ answer ]]> & [[ answer ]]"}]

    result = lp.evaluate(under(format_, TwoStages()), rows, lp.metrics.exact_match("answer"), lm=ScriptedLM(script))

    assert result.score == 1.0


class Formatted:
    """Moves every predictor to a format, which is all that it changes."""

    def __init__(self, format_: FormatName) -> None:
        self.format = format_

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        for path in params:
            params = params.replace(path, format=self.format)
        return Outcome(params, 1.0, 0.0, "found")


@in_every_format
def test_a_program_is_compiled_to_any_format_and_runs_in_it_from_its_artifact(
    format_: FormatName, tmp_path: Path
) -> None:
    """The LM is right in the one format alone."""

    def script(asked: Asked) -> Answer:
        right = SENTENCES[format_] in asked.request.messages[0].text
        return dict.fromkeys(asked.outputs, f"{asked.inputs['question']}!" if right else "?")

    rows = [{"question": f"n{number}", "answer": f"n{number}!!"} for number in range(60)]
    lm = ScriptedLM(script)
    start = under("xml" if format_ != "xml" else "chat", TwoStages())

    result = lp.compile(
        start, train=rows[:10], val=rows[10:20], holdout=rows[20:60], metric=lp.metrics.exact_match("answer"),
        optimizer=Formatted(format_), lm=lm, run_dir=tmp_path / "run",
    )  # fmt: skip
    result.save(tmp_path / "made.lmprog")
    loaded = lp.load(tmp_path / "made.lmprog", program=TwoStages())

    assert (result.certificate.shipped, result.certificate.gain) == ("compiled", 1.0)
    assert {params.format for params in lp.params_of(loaded).values()} == {format_}
    with lp.using(lm=lm):
        assert loaded(question="x").answer == "x!!"


# The embedded LM


KAZIX = "Kazix Group is a steel company based in Tesudouv . It was founded by Anna Vuso in 1901 ."
TESUDOUV = "Tesudouv is a city in Fabiland . It dates from 1420 . It lies on the river Nuzeth ."
RIVER = "On which river does the city where Kazix Group is based lie ?"


class Hop(lp.Signature):
    """Answer the question from the passages in a few words."""

    passages: list[str] = lp.InputField()
    question: str = lp.InputField()
    answer: str = lp.OutputField()


HOP = {"passages": [KAZIX, TESUDOUV], "question": RIVER}


@in_every_format
def test_the_embedded_lm_reads_the_same_in_any_format(format_: FormatName) -> None:
    demo = lp.Demo(
        inputs={"passages": ["<b>One</b> .\nTwo .", '"{"'], "question": '"Who" ?'}, outputs={"answer": "<I>"}
    )

    made, usual = (request(template(Hop, one, demos=[demo]), HOP) for one in (format_, "chat"))

    assert prompt_of(made) == prompt_of(usual)
    assert prompt_of(replace(made, schema=None)) == prompt_of(usual)


@in_every_format
@pytest.mark.parametrize("predictor", [lp.Predict(Hop), lp.ChainOfThought(Hop)])
def test_the_embedded_lm_answers_in_any_format(format_: FormatName, predictor: lp.Predict[Any, Hop]) -> None:
    moved = predictor.with_params(predictor.initial.replace(format=format_))

    with lp.using(lm="tiny"):
        assert moved(**HOP).answer == "Nuzeth"


@in_every_format
def test_the_embedded_lm_reads_a_second_request_as_one_after_a_refusal(format_: FormatName) -> None:
    first = request(template(Hop, format_), HOP)
    complaint = (lp.Message("assistant", "Nuzeth , I think"), lp.Message("user", "That reply cannot be used: <a>, {}."))
    again = replace(first, messages=(*first.messages, *complaint))

    said = asyncio.run(shared()(again))

    assert prompt_of(again) == replace(prompt_of(first), one_by_one=True)
    assert "Nuzeth" in str(template(Hop, format_).parse(said.text)["answer"])


@in_every_format
def test_what_the_embedded_lm_could_not_end_is_refused_as_cut_off(format_: FormatName) -> None:
    made = template(Hop, format_)

    said = asyncio.run(shared()(replace(request(made, HOP), max_tokens=1)))

    assert said.finish_reason == "length"
    with pytest.raises(lp.OutputError, match="cut off at the limit of tokens"):
        made.parse(said.text, cut_off=True)


@in_every_format
def test_what_the_embedded_lm_writes_has_the_types_asked_for(format_: FormatName) -> None:
    made = template("a -> n: int | None, parts: list[str], holds: bool, either: str | int, text", format_)
    written = [("n", "null"), ("parts", '["x", "y"]'), ("holds", "true"), ("either", "7"), ("text", "7")]

    said = reply_of(written, request(made, {"a": "1"}), ended=True)

    assert made.parse(said) == {"n": None, "parts": ["x", "y"], "holds": True, "either": 7, "text": "7"}
