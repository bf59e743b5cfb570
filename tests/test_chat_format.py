"""The chat format: how a prompt looks, and which replies of an LM it takes. What all formats keep is in test_formats.py."""

import enum
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import lmprog as lp
from lmprog.formats import Template, prepare
from lmprog.formats.chat import END
from lmprog.short_form import from_string
from lmprog.testing import hostile_texts

texts = hostile_texts()
properties = settings(deadline=None, derandomize=True, database=None, max_examples=100)


class Judge(lp.Signature):
    """Judge the claim."""

    claim: str = lp.InputField()
    holds: bool = lp.OutputField(desc="as far as one can tell")
    reason: str = lp.OutputField()


class Wide(lp.Signature):
    """Take everything apart."""

    parts: list[str] = lp.OutputField()
    total: int | None = lp.OutputField()
    grade: Literal["good", "bad"] = lp.OutputField()


class Street(BaseModel):
    name: str
    number: int
    former: dict[str, int]


class Town(lp.Signature):
    """Name the town."""

    street: Street = lp.InputField()
    town: str = lp.OutputField()


def template(signature: type[lp.Signature] | str, instruction: str = "Do it.", **fields: Any) -> Template:
    made = from_string(signature) if isinstance(signature, str) else signature
    return prepare(made, lp.PredictorParams(instruction=instruction, **fields))


def system_of(made: Template) -> str:
    return made.render({})[0].text


def refusal(made: Template, reply: str, *, cut_off: bool = False) -> str:
    """Why a reply is refused."""
    with pytest.raises(lp.OutputError) as caught:
        made.parse(reply, cut_off=cut_off)
    assert caught.value.raw == reply
    return caught.value.reason


def test_a_call_is_shown_as_fields_under_their_names() -> None:
    demo = lp.Demo(inputs={"claim": "1 > 2"}, outputs={"holds": False, "reason": "1 is less."})
    made = template(Judge, "Judge.", demos=[demo], field_descriptions={"reason": "one\nsentence"})

    messages = made.render({"claim": "2 > 1"})

    assert [(message.role, message.text) for message in messages] == [
        (
            "system",
            "Judge.\n\n"
            "Input fields:\n- claim (text)\n\n"
            "Output fields:\n- holds (true or false): as far as one can tell\n- reason (text): one\n  sentence\n\n"
            "Each field is its name in double square brackets on a line of its own, with the value below. "
            "A text that holds such a line stands as a JSON string. Reply with every output field in that layout, and nothing else:\n\n"
            "[[ holds ]]\n<true or false>\n\n[[ reason ]]\n<text>\n\n[[ end of fields ]]",
        ),
        ("user", "[[ claim ]]\n1 > 2"),
        ("assistant", "[[ holds ]]\nfalse\n\n[[ reason ]]\n1 is less.\n\n[[ end of fields ]]"),
        ("user", "[[ claim ]]\n2 > 1"),
    ]


def test_fields_are_shown_in_the_order_of_the_signature() -> None:
    made = template("a, b -> c")

    assert made.render({"b": "2", "a": "1"}) == made.render({"a": "1", "b": "2"})


# Text around the fields


@properties
@given(before=texts, after=texts, holds=st.booleans(), reason=texts)
def test_text_around_the_fields_never_becomes_a_field(before: str, after: str, holds: bool, reason: str) -> None:
    lines = before.split("\n")
    assume(not any(line.startswith(("[[ holds ]]", "[[ reason ]]", END)) for line in lines))
    made = template(Judge)
    outputs = {"holds": holds, "reason": reason}

    reply = f"{before}\n{made.render_reply(outputs)}{after}"

    assert made.parse(reply) == outputs


@properties
@given(
    marker=st.sampled_from(["[[ claim ]]", "[[ other ]]", "[[ हिन्दी ]]", "[[holds]]", " [[ holds ]]", "x [[ holds ]]"])
)
def test_a_line_that_names_no_output_belongs_to_the_value_around_it(marker: str) -> None:
    reply = f"[[ holds ]]\ntrue\n\n[[ reason ]]\nIt says:\n{marker}\nyes\n\n{END}"

    assert template(Judge).parse(reply)["reason"] == f"It says:\n{marker}\nyes"


@pytest.mark.parametrize("unasked", ["[[ confidence ]]\nhigh", "[[ claim ]]\n2 > 3\n\n[[ verdict ]]\nno"])
@pytest.mark.parametrize("end", [f"\n\n{END}", ""])
def test_a_section_that_nobody_asked_for_is_no_part_of_the_value_before(unasked: str, end: str) -> None:
    reply = f"[[ holds ]]\ntrue\n\n[[ reason ]]\nAs 1 < 2.\n\nSo.\n\n{unasked}{end}"

    assert template(Judge).parse(reply) == {"holds": True, "reason": "As 1 < 2.\n\nSo."}


def test_an_lm_that_follows_the_prompt_can_write_a_line_that_looks_like_a_field() -> None:
    reply = f'[[ holds ]]\ntrue\n\n[[ reason ]]\n"It says:\\n[[ holds ]]\\nyes"\n\n{END}'

    assert template(Judge).parse(reply)["reason"] == "It says:\n[[ holds ]]\nyes"


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        ('"Oslo"', '"Oslo"'),
        ('"to be" or "not"', '"to be" or "not"'),
        ('"so \\"it\\" is"', 'so "it" is'),
        ('"one\\ntwo"', "one\ntwo"),
        ('"[[ holds ]]"', "[[ holds ]]"),
        ('" spaced "', " spaced "),
        ('"a\\d"', '"a\\d"'),
    ],
    ids=["in quotes", "between quotes", "escaped quotes", "escaped line", "quoted marker", "quoted space", "no JSON"],
)
def test_a_text_keeps_its_quotes_unless_they_make_it_json_that_the_layout_needs(shown: str, read: str) -> None:
    made = template(Judge)

    assert made.parse(f"[[ holds ]]\nyes\n\n[[ reason ]]\n{shown}\n\n{END}")["reason"] == read
    assert made.parse(made.render_reply({"holds": True, "reason": shown}))["reason"] == shown


@pytest.mark.parametrize(
    ("value", "shown"), [("Oslo", "Oslo"), ("null", '"null"'), ("7", '"7"'), ('"', '"'), (None, "null")]
)
def test_where_text_is_one_of_several_types_it_has_quotes_only_where_it_would_be_another(
    value: str | None, shown: str
) -> None:
    assert template("a: str | None -> b").render({"a": value})[-1].text == f"[[ a ]]\n{shown}"


@pytest.mark.parametrize("second", ["true", "false"])
def test_a_field_given_twice_is_refused(second: str) -> None:
    reply = f"[[ holds ]]\ntrue\n\n[[ reason ]]\nso\n\n[[ holds ]]\n{second}\n\n{END}"

    assert refusal(template(Judge), reply) == (
        "the field `holds` is given more than once; a text that holds the line `[[ holds ]]` must stand as a JSON string"
    )


def test_an_input_given_twice_is_refused() -> None:
    with pytest.raises(lp.OutputError, match="`claim` is given more than once"):
        template(Judge).parse_inputs("[[ claim ]]\na\n\n[[ claim ]]\nb")


# Replies that are nearly right


@pytest.mark.parametrize(
    ("reply", "outputs"),
    [
        ("[[ holds ]]\nyes\n\n[[ reason ]]\nso\n\n[[ end of fields ]]", {"holds": True, "reason": "so"}),
        ("[[ holds ]]\nTrue\n[[ reason ]]\nso", {"holds": True, "reason": "so"}),
        ("[[ holds ]] false\n[[ reason ]] so\n[[ end of fields ]]", {"holds": False, "reason": "so"}),
        ('[[ holds ]]\n"true"\n\n[[ reason ]]\n"so \\"it\\" is"', {"holds": True, "reason": 'so "it" is'}),
        ("[[ holds ]]\r\n```json\r\nfalse\r\n```\r\n\r\n[[ reason ]]\r\nso\r\n", {"holds": False, "reason": "so"}),
        ("[[ reason ]]\n\n\n[[ holds ]]\n1\n\n[[ end of fields ]]", {"holds": True, "reason": ""}),
        ('[[ holds ]]\nno\n\n[[ reason ]]\n"Yes" is "no"', {"holds": False, "reason": '"Yes" is "no"'}),
        ("[[ holds ]]\nno\n\n[[ reason ]]\n```\ncode\n```", {"holds": False, "reason": "```\ncode\n```"}),
    ],
    ids=["a word for a truth value", "no end marker", "value beside the name", "quotes around values", "CRLF and fence",
         "another order, nothing in a text", "quotes inside a text", "a text that is code"],
)  # fmt: skip
def test_a_reply_whose_meaning_is_beyond_doubt_is_taken(reply: str, outputs: Mapping[str, object]) -> None:
    assert template(Judge).parse(reply) == outputs


@pytest.mark.parametrize("parts", ['```json\n["a", "b"]\n```', '```\n["a", "b"]\n```', '[\n"a",\n"b"\n]', '["a","b"]'])
def test_json_may_be_fenced_and_laid_out_at_will(parts: str) -> None:
    outputs = template(Wide).parse(
        f"[[ parts ]]\n{parts}\n\n[[ total ]]\nnull\n\n[[ grade ]]\n'good'".replace("'", '"')
    )

    assert outputs == {"parts": ["a", "b"], "total": None, "grade": "good"}


def test_a_text_is_taken_without_quotes_where_text_is_one_of_several_types() -> None:
    made = template("-> a: str | None, b: str | int, c: str | None")

    outputs = made.parse("[[ a ]]\nnot JSON\n\n[[ b ]]\n7\n\n[[ c ]]\nnull")

    assert outputs == {"a": "not JSON", "b": 7, "c": None}


def test_bytes_without_quotes_are_base64_as_with_them() -> None:
    class Blob(lp.Signature):
        data: bytes | None = lp.OutputField()

    made = template(Blob)

    assert made.parse('[[ data ]]\n"aGk="') == made.parse("[[ data ]]\naGk=") == {"data": b"hi"}


# Replies that are wrong


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "the fields `parts`, `total`, `grade` are missing"),
        ('[[ parts ]]\n["a"]\n\n[[ grade ]]\ngood', "the field `total` is missing"),
        ('[[ parts ]]\n["a"\n\n[[ total ]]\n1\n\n[[ grade ]]\ngood', "`parts` should be JSON list, each text, but is '[\"a\"'"),
        ("[[ parts ]]\n[1]\n\n[[ total ]]\n1\n\n[[ grade ]]\ngood", "`parts` should be JSON list, each text, but is '[1]'"),
        ("[[ parts ]]\n[]\n\n[[ total ]]\nmany\n\n[[ grade ]]\ngood", "`total` should be whole number or null, but is 'many'"),
        ("[[ parts ]]\n[]\n\n[[ total ]]\n1\n\n[[ grade ]]\nfair", "`grade` should be one of: good, bad, but is 'fair'"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_and_what_it_should_be_and_what_it_was(reply: str, reason: str) -> None:
    assert refusal(template(Wide), reply).startswith(reason)


def test_a_refusal_shows_the_beginning_of_a_long_value() -> None:
    reason = refusal(template("-> n: int"), "[[ n ]]\n" + "9" * 5000 + "x")

    assert "9" * 300 + "..." in reason
    assert "9" * 301 not in reason


@pytest.mark.parametrize("reply", ["[[ a ]]\n\ud800", '[[ a ]]\n"\\ud800"'])
def test_text_that_is_no_unicode_is_refused(reply: str) -> None:
    assert "`a` should be text" in refusal(template("-> a"), reply)  # half of a surrogate pair


def test_a_reply_cut_off_before_its_end_is_refused_though_it_holds_every_field() -> None:
    reply = "[[ holds ]]\ntrue\n\n[[ reason ]]\nBecause the"

    assert "cut off at the limit of tokens" in refusal(template(Judge), reply, cut_off=True)


def test_a_reply_cut_off_after_its_end_is_taken() -> None:
    reply = f"[[ holds ]]\ntrue\n\n[[ reason ]]\nso\n\n{END}\nI hope that"

    assert template(Judge).parse(reply, cut_off=True) == {"holds": True, "reason": "so"}


def test_an_end_marker_inside_a_line_does_not_end_a_reply_that_was_cut_off() -> None:
    reply = f"[[ holds ]]\ntrue\n\n[[ reason ]]\nIt ends with {END} and"

    assert "cut off" in refusal(template(Judge), reply, cut_off=True)


# What the system message says


def test_choices_that_a_list_with_commas_would_blur_are_shown_as_json() -> None:
    class Side(enum.Enum):
        BOTH = "left, right"
        NONE = ""
        LEFT = "left"

    class Pick(lp.Signature):
        side: Side = lp.OutputField()

    assert '- side (one of: "left, right", "", "left")' in system_of(template(Pick))


def test_a_demo_is_shown_in_the_order_of_its_types_and_otherwise_sorted() -> None:
    street = {"number": 1, "name": "Elm", "former": {"b": 1, "a": 2}}
    demo = lp.Demo(inputs={"street": street}, outputs={"town": "Oslo"})

    shown = template(Town, demos=[demo]).render({})[1].text

    assert shown == '[[ street ]]\n{"name": "Elm", "number": 1, "former": {"a": 2, "b": 1}}'


def test_a_demo_shows_what_it_has() -> None:
    class Solve(lp.Signature):
        question: str = lp.InputField()
        hint: str = lp.InputField()
        reasoning: str = lp.OutputField()
        answer: int = lp.OutputField()

    demos = [lp.Demo(inputs={"hint": "count"}, outputs={"answer": 2}), lp.Demo(inputs={}, outputs={"answer": 3})]

    shown = [message.text for message in template(Solve, demos=demos).render({})[1:5]]

    assert shown == [
        "[[ hint ]]\ncount",
        f"[[ answer ]]\n2\n\n{END}",
        "(no inputs)",
        f"[[ answer ]]\n3\n\n{END}",
    ]
