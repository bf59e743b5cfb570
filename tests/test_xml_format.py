"""The XML format: how a prompt looks, and which replies of an LM it takes. What all formats keep is in test_formats.py."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog.formats import Template, prepare
from lmprog.short_form import from_string

TAGS = [
    "<reason>",
    "</reason>",
    "<holds>",
    "</holds>",
    "<claim>",
    "<![CDATA[",
    "]]>",
    "]]",
    ">",
    "<",
    "&lt;",
    " ",
    "\n",
    "x",
]
properties = settings(deadline=None, derandomize=True, database=None, max_examples=200)


class Judge(lp.Signature):
    """Judge the claim."""

    claim: str = lp.InputField()
    sources: list[str] = lp.InputField()
    holds: bool = lp.OutputField(desc="as far as one can tell")
    reason: str = lp.OutputField()


def template(signature: type[lp.Signature] | str, **fields: Any) -> Template:
    made = from_string(signature) if isinstance(signature, str) else signature
    return prepare(made, lp.PredictorParams(instruction="Judge.", format="xml", **fields))


def refusal(made: Template, reply: str, *, cut_off: bool = False) -> str:
    """Why a reply is refused."""
    with pytest.raises(lp.OutputError) as caught:
        made.parse(reply, cut_off=cut_off)
    assert caught.value.raw == reply
    return caught.value.reason


def test_a_call_is_shown_as_elements() -> None:
    demo = lp.Demo(inputs={"claim": "1 > 2 && <b>", "sources": []}, outputs={"holds": False, "reason": "1 is\nless."})
    made = template(Judge, demos=[demo], field_descriptions={"reason": "one sentence"})

    messages = made.render({"claim": "a </claim> b", "sources": ["a", "b"]})

    assert [(message.role, message.text) for message in messages] == [
        (
            "system",
            "Judge.\n\n"
            "Input fields:\n- claim (text)\n- sources (JSON list, each text)\n\n"
            "Output fields:\n- holds (true or false): as far as one can tell\n- reason (text): one sentence\n\n"
            "Each field stands between tags of its name, with nothing escaped. "
            "A text that holds these tags stands in <![CDATA[...]]>. "
            "Reply with every output field in that layout, and nothing else:\n\n"
            "<holds>{true or false}</holds>\n<reason>{text}</reason>",
        ),
        ("user", "<claim>1 > 2 && <b></claim>\n<sources>[]</sources>"),
        ("assistant", "<holds>false</holds>\n<reason>\n1 is\nless.\n</reason>"),
        ("user", '<claim><![CDATA[a </claim> b]]></claim>\n<sources>\n[\n"a",\n"b"\n]\n</sources>'),
    ]


@properties
@given(reason=st.lists(st.sampled_from(TAGS), max_size=6).map("".join))
def test_a_text_of_tags_reads_back(reason: str) -> None:
    made = template(Judge)

    assert made.parse(made.render_reply({"holds": True, "reason": reason})) == {"holds": True, "reason": reason}


@properties
@given(
    parts=st.lists(st.sampled_from([*TAGS, "<holds>yes</holds>"]).filter(lambda tag: "CDATA" not in tag), max_size=9)
)
def test_a_text_is_all_between_the_first_and_the_last_tag_of_its_field_or_refused(parts: list[str]) -> None:
    reply = "".join(parts)
    try:
        reason = template(Judge).parse(reply)["reason"]
    except lp.OutputError:
        return

    assert reason == reply.partition("<reason>")[2].rpartition("</reason>")[0].strip()


@pytest.mark.parametrize(
    ("reply", "outputs"),
    [
        ("<holds>yes</holds><reason>so</reason>", {"holds": True, "reason": "so"}),
        ("Sure:\n\n<reason>\nso\n</reason>\n<holds> false </holds>\nDone.", {"holds": False, "reason": "so"}),
        ("```xml\n<holds>true</holds>\n<reason>so</reason>\n```", {"holds": True, "reason": "so"}),
        ("<output><holds>true</holds><reason>so</reason></output>", {"holds": True, "reason": "so"}),
        ("<holds>1</holds><reason>a < b && b > c, <b>&lt;</b></reason>", {"holds": True, "reason": "a < b && b > c, <b>&lt;</b>"}),
        ("<holds>1</holds><reason>if <holds> then</reason>", {"holds": True, "reason": "if <holds> then"}),
        ("<holds>1</holds><reason><reason>x</reason></reason>", {"holds": True, "reason": "<reason>x</reason>"}),
        ("<holds>1</holds><reason>\n<![CDATA[a </reason>]]>\n</reason>", {"holds": True, "reason": "a </reason>"}),
        ("<holds><![CDATA[true]]></holds><reason></reason>", {"holds": True, "reason": ""}),
        ("<holds>```json\ntrue\n```</holds><reason>\"so\"</reason>", {"holds": True, "reason": '"so"'}),
        ("<thought>No.</thought><holds>1</holds><reason>so</reason><score>1</score>", {"holds": True, "reason": "so"}),
    ],
    ids=["one line", "prose and another order", "fence", "element around it", "markup in a text", "tag of another field",
         "pairs of its own tags", "CDATA", "CDATA without need", "fenced value, text in quotes", "more than was asked for"],
)  # fmt: skip
def test_a_reply_whose_meaning_is_beyond_doubt_is_taken(reply: str, outputs: Mapping[str, object]) -> None:
    assert template(Judge).parse(reply) == outputs


CDATA = "a text that holds `<reason>` or `</reason>` must stand in <![CDATA[...]]>"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "the fields `holds`, `reason` are missing"),
        ("<reason>so</reason>", "the field `holds` is missing"),
        ("<holds>1</holds><reason>so", f"`<reason>` is not closed; {CDATA}"),
        ("<holds>1</holds><reason>print('</reason>')</reason>", f"`</reason>` closes nothing; {CDATA}"),
        ("<holds>1</holds><reason>I say <reason></reason>", f"`<reason>` is not closed; {CDATA}"),
        ("<reason>a</reason><holds>1</holds><reason>b</reason>", f"the field `reason` is given more than once; {CDATA}"),
        ("<holds>1</holds><reason><![CDATA[so</reason>", "a CDATA section of `<reason>` is not closed"),
        ("<holds>1</holds><reason><![CDATA[a]]> b</reason>", "in `<reason>` there is more than its CDATA section"),
        ("<holds>perhaps</holds><reason>so</reason>", "`holds` should be true or false, but is 'perhaps'"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong(reply: str, reason: str) -> None:
    assert refusal(template(Judge), reply).startswith(reason)


def test_a_reply_cut_off_before_its_end_is_refused() -> None:
    reply = "<holds>true</holds><reason>Because the"

    assert "cut off at the limit of tokens" in refusal(template(Judge), reply, cut_off=True)


def test_a_reply_cut_off_after_its_end_is_taken() -> None:
    reply = "<holds>true</holds><reason>so</reason>\nI hope that"

    assert template(Judge).parse(reply, cut_off=True) == {"holds": True, "reason": "so"}
