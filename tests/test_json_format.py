"""The JSON format: how a prompt looks, and which replies of an LM it takes. What all formats keep is in test_formats.py."""

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

import lmprog as lp
from lmprog.formats import Template, prepare
from lmprog.short_form import from_string


class Judge(lp.Signature):
    """Judge the claim."""

    claim: str = lp.InputField()
    sources: list[str] = lp.InputField()
    holds: bool = lp.OutputField(desc="as far as one can tell")
    reason: str = lp.OutputField()


class Price(lp.Signature):
    """Name the price."""

    price: Decimal = lp.OutputField()
    sizes: dict[str, int] = lp.OutputField()


def template(signature: type[lp.Signature] | str, **fields: Any) -> Template:
    made = from_string(signature) if isinstance(signature, str) else signature
    return prepare(made, lp.PredictorParams(instruction="Judge.", format="json", **fields))


def refusal(made: Template, reply: str, *, cut_off: bool = False) -> str:
    """Why a reply is refused."""
    with pytest.raises(lp.OutputError) as caught:
        made.parse(reply, cut_off=cut_off)
    assert caught.value.raw == reply
    return caught.value.reason


def test_a_call_is_shown_as_objects() -> None:
    demo = lp.Demo(inputs={"claim": '"1" > 2', "sources": []}, outputs={"holds": False, "reason": "1 is\nless."})
    made = template(Judge, demos=[demo], field_descriptions={"reason": "one sentence"})

    messages = made.render({"claim": "2 > 1", "sources": ["a", "b"]})

    assert [(message.role, message.text) for message in messages] == [
        (
            "system",
            "Judge.\n\n"
            "Input fields:\n- claim (text)\n- sources (JSON list, each text)\n\n"
            "Output fields:\n- holds (true or false): as far as one can tell\n- reason (text): one sentence\n\n"
            "The fields of a message stand in one JSON object, each under its name. "
            "Reply with a JSON object of every output field, in this order, and nothing else:\n\n"
            '{\n"holds": <true or false>,\n"reason": "<text>"\n}',
        ),
        ("user", '{\n"claim": "\\"1\\" > 2",\n"sources": []\n}'),
        ("assistant", '{\n"holds": false,\n"reason": "1 is\\nless."\n}'),
        ("user", '{\n"claim": "2 > 1",\n"sources": [\n"a",\n"b"\n]\n}'),
    ]


# Replies that are nearly right


@pytest.mark.parametrize(
    ("reply", "outputs"),
    [
        ('{"holds": true, "reason": "so"}', {"holds": True, "reason": "so"}),
        ('```json\n{"holds": true, "reason": "so"}\n```', {"holds": True, "reason": "so"}),
        ('Sure, {this}:\n{"reason": "so", "holds": false}\nI hope {it} helps.', {"holds": False, "reason": "so"}),
        ('{"holds": "yes", "reason": "so"}', {"holds": True, "reason": "so"}),
        ('{"holds": true, "reason": 1.50}', {"holds": True, "reason": "1.50"}),
        ('{"holds": true, "reason": "```\\n{}\\n```"}', {"holds": True, "reason": "```\n{}\n```"}),
        ('{"holds": true, "reason": "one\n\ttwo"}', {"holds": True, "reason": "one\n\ttwo"}),
        ('{"thought": {"holds": false}, "holds": true, "reason": "so"}', {"holds": True, "reason": "so"}),
        ('{"output": {"holds": true, "reason": "so"}}', {"holds": True, "reason": "so"}),
        ('[{"holds": true, "reason": "so"}]', {"holds": True, "reason": "so"}),
        ('{"holds": true, "reason": "so"}\n{"holds": true, "reason": "so"}', {"holds": True, "reason": "so"}),
        ('{"holds": true, "reason": "so"}\n{"claim": "and', {"holds": True, "reason": "so"}),
    ],
    ids=["one line", "fence", "prose with braces", "word for a truth value", "number for a text", "fence in a text",
         "line break in a text", "more than was asked for", "object around it", "list around it", "said twice",
         "goes on with another call"],
)  # fmt: skip
def test_a_reply_whose_meaning_is_beyond_doubt_is_taken(reply: str, outputs: Mapping[str, object]) -> None:
    assert template(Judge).parse(reply) == outputs


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('{"holds": true, "reason": "so",}', "so"),
        ("{'holds': True, 'reason': \"it's so\"}", "it's so"),
        ('{holds: true, reason: "so"}', "so"),
        ('{"holds": true "reason": "so"}', "so"),
        ('{"holds": true, "reason": "the "one" said: no"}', 'the "one" said: no'),
        ('{"holds": true, "reason": "by \\d+ and C:\\dir"}', "by \\d+ and C:\\dir"),
        ('Here:\n```json\n{"holds": true, "reason": "so",}\n```\nGood luck.', "so"),
    ],
    ids=[
        "comma at the end",
        "Python",
        "bare names",
        "no comma",
        "quotes in a text",
        "backslashes",
        "in a fence, in prose",
    ],
)
def test_json_that_is_not_quite_json_is_repaired_and_logged(
    reply: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lmprog.formats"):
        outputs = template(Judge).parse(reply)

    assert outputs == {"holds": True, "reason": reason}
    assert "repaired the JSON of a reply" in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        '{"holds": true, "reason": "so"',
        '{"holds": true, "reason": "use {x}',
        '{"holds": true, "reason": "a 12" by 14" disc"; "size": 3}',
        '{"holds": true, "reason": "a", "b", "c"}',
        '{"holds": true, "reason": "so" // as they say\n}',
        '{"holds": true, "reason": 1_000}',
        '{"holds": true, "reason": "C:\\Users\\new"}',
        '{"holds": true, "reason": """a "b" c"""}',
        '{"holds": true, "reason": one two}',
    ],
    ids=["no end", "no end after a brace", "a text in parts", "several texts", "comment", "odd number", "half an escape",
         "three quotes", "no quotes"],
)  # fmt: skip
def test_json_whose_repair_might_change_a_value_is_refused(reply: str) -> None:
    assert refusal(template(Judge), reply).startswith("it is not valid JSON: ")


@pytest.mark.parametrize("digits", ["0.1234567890123456789", "12345678901234567890.25", "1.50", "-3"])
def test_the_digits_of_a_number_are_those_that_the_lm_wrote(digits: str) -> None:
    price = template(Price).parse(f'{{"price": {digits}, "sizes": {{}}}}')["price"]

    assert str(price) == digits


def test_json_in_a_text_is_read_where_no_text_can_be_meant() -> None:
    made = template("-> parts: list[str], n: int | None, note: str | None")

    outputs = made.parse('{"parts": "[\\"a\\"]", "n": "null", "note": "null"}')

    assert outputs == {"parts": ["a"], "n": None, "note": "null"}


# Replies that are wrong


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "it holds no JSON object with `holds` or `reason`"),
        ("It holds.", "it holds no JSON object with `holds` or `reason`"),
        ('{"claim": "x"}', "it holds no JSON object with `holds` or `reason`"),
        ('{"holds": true}', "the field `reason` is missing"),
        ('{"holds": true, "reason": null}', "`reason` should be text, but is 'null'"),
        ('{"holds": true, "reason": ["so"]}', "`reason` should be text, but is '[\"so\"]'"),
        ('{"holds": "perhaps", "reason": ""}', "`holds` should be true or false, but is '\"perhaps\"'"),
        ('{"holds": true, "reason": "a", "holds": false}', "the field `holds` is given more than once"),
        ('{"holds": true, "reason": "a"} or {"holds": false, "reason": "b"}', "it holds more than one JSON object"),
        ('{"thought": {"holds": true, "reason": "a"}, "holds": false', "it is not valid JSON: Expecting ',' at ''"),
        ('{"holds": true "reason": one}', "it is not valid JSON: Expecting ',' at '\"reason\": one}'"),
    ],
)
def test_a_refusal_says_what_is_wrong(reply: str, reason: str) -> None:
    assert refusal(template(Judge), reply).startswith(reason)


def test_a_name_given_twice_inside_a_value_is_refused() -> None:
    reply = '{"price": 1, "sizes": {"s": 1, "s": 2}}'

    assert refusal(template(Price), reply) == "the field `s` is given more than once"


@pytest.mark.parametrize(
    "reply",
    ['{"holds": true, "reason": "so', '{"holds": true, "reason": "so",', '{"a": {"holds": true, "reason": "x"}'],
)
def test_a_reply_cut_off_before_its_end_is_refused(reply: str) -> None:
    assert "cut off at the limit of tokens" in refusal(template(Judge), reply, cut_off=True)


def test_a_reply_cut_off_after_its_end_is_taken() -> None:
    reply = '{"holds": true, "reason": "so"}\nI hope that'

    assert template(Judge).parse(reply, cut_off=True) == {"holds": True, "reason": "so"}


def test_a_demo_is_shown_in_the_order_of_its_types() -> None:
    demo = lp.Demo(inputs={"sources": ["a"], "claim": "b"}, outputs={"reason": "c", "holds": True})

    asked, said = template(Judge, demos=[demo]).render({})[1:3]

    assert (asked.text, said.text) == (
        '{\n"claim": "b",\n"sources": ["a"]\n}',
        '{\n"holds": true,\n"reason": "c"\n}',
    )
