"""Conversations of DSPy programs, read and answered."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lmprog as lp
from lmprog.formats import prepare, read, write_reply
from lmprog.formats.dspy import DspyChat, DspyJson
from lmprog.lm.tiny.client import Tiny
from lmprog.lm.tiny.template import prompt_of
from lmprog.params import PredictorParams
from lmprog.signature import fields_of

FIELDS = """Your input fields are:
1. `passages` (list[str]):\x20
2. `question` (str):
Your output fields are:
1. `answer` (str): as short as can be
All interactions will be structured in the following way, with the appropriate values filled in.
"""
OBJECTIVE = """In adhering to this structure, your objective is:\x20
        Answer the question in a few words.
        Copy them."""
CHAT = f"{FIELDS}\n[[ ## passages ## ]]\n{{passages}}\n\n[[ ## answer ## ]]\n{{answer}}\n\n[[ ## completed ## ]]\n{OBJECTIVE}"
JSON = f'{FIELDS}\nOutputs will be a JSON object with the following fields.\n\n{{\n  "answer": "{{answer}}"\n}}\n{OBJECTIVE}'
PASSAGES = ["Kazix Group is a steel company based in Tesudouv .", "Tesudouv lies on the river Nuzeth ."]
QUESTION = "Which river flows through the city where Kazix Group is based ?"
DEMO = '[[ ## passages ## ]]\n["Ada was born in Oslo ."]\n\n[[ ## question ## ]]\nWhere was Ada born ?'
ASKED = f"[[ ## passages ## ]]\n{json.dumps(PASSAGES)}\n\n[[ ## question ## ]]\n{QUESTION}"
STARTING = "starting with the field `[[ ## answer ## ]]`, and then ending with the marker for `[[ ## completed ## ]]`."
ENDS = {
    CHAT: f"Respond with the corresponding output fields, {STARTING}",
    JSON: "Respond with a JSON object in the following order of fields: `answer`.",
}
REPLIES = {CHAT: "[[ ## answer ## ]]\nOslo\n\n[[ ## completed ## ]]\n", JSON: '{\n  "answer": "Oslo"\n}'}


class Answer(lp.Signature):
    """Answer the question in a few words.
    Copy them."""

    passages: list[str] = lp.InputField()
    question: str = lp.InputField()
    answer: str = lp.OutputField(desc="as short as can be")


def conversation(system: str, demo: str = DEMO) -> tuple[lp.Message, ...]:
    return (
        lp.Message("system", system),
        lp.Message("user", demo),
        lp.Message("assistant", REPLIES[system]),
        lp.Message("user", f"{ASKED}\n\n{ENDS[system]}"),
    )


@pytest.mark.parametrize("system", [CHAT, JSON], ids=["chat", "json"])
def test_the_embedded_lm_sees_what_our_own_format_would_show_it(system: str) -> None:
    demo = lp.Demo(
        inputs={"passages": ["Ada was born in Oslo ."], "question": "Where was Ada born ?"}, outputs={"answer": "Oslo"}
    )
    ours = prepare(Answer, PredictorParams(instruction=fields_of(Answer).instruction, demos=(demo,)))

    asked = lp.Request(ours.render({"passages": PASSAGES, "question": QUESTION}), ours.schema)

    assert prompt_of(lp.Request(conversation(system))) == prompt_of(asked)


@pytest.mark.parametrize("system", [CHAT, JSON], ids=["chat", "json"])
def test_the_embedded_lm_answers_in_the_layout_it_was_asked_in(system: str) -> None:
    request = lp.Request(conversation(system))

    reply = asyncio.run(_ask(request)).text

    assert read((*conversation(system), lp.Message("assistant", reply))).turns[-1] == (
        "assistant",
        {"answer": "Nuzeth"},
    )
    assert reply == (
        "[[ ## answer ## ]]\nNuzeth\n\n[[ ## completed ## ]]" if system == CHAT else '{"answer": "Nuzeth"}'
    )


async def _ask(request: lp.Request) -> lp.Response:
    return await Tiny()(request)


def test_a_demo_that_lacks_fields_shows_those_it_has() -> None:
    partly = "This is an example of the task, though some input or output fields are not supplied.\n\n" + DEMO.replace(
        '["Ada was born in Oslo ."]', "Not supplied for this particular example."
    )

    ((inputs, outputs),) = read(conversation(CHAT, partly)).demos

    assert (inputs, outputs) == ({"question": "Where was Ada born ?"}, {"answer": "Oslo"})


def test_a_reply_that_was_cut_off_shows_it() -> None:
    for system, ending in ((CHAT, "[[ ## completed ## ]]"), (JSON, "}")):
        request = lp.Request(conversation(system))
        assert not write_reply([("answer", "Nuz")], request, ended=False).endswith(ending)


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)
NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(lambda name: name != "completed")


@given(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=4))
def test_replies_read_back(outputs: dict[str, str]) -> None:
    for layout in (DspyChat(), DspyJson()):
        texts = [(name, layout.text(value, is_text=True)) for name, value in outputs.items()]
        assert layout.fields_in(layout.write_reply(texts)) == outputs


@pytest.mark.parametrize("passages", [PASSAGES, []], ids=["passages", "none yet"])
@pytest.mark.parametrize("adapter", ["ChatAdapter", "JSONAdapter"])
def test_the_embedded_lm_sees_the_same_of_a_dspy_program_as_of_ours(adapter: str, passages: list[str]) -> None:
    dspy: Any = pytest.importorskip("dspy")
    signature = dspy.Signature("passages: list[str], question -> answer", fields_of(Answer).instruction)
    demo = {"passages": ["Ada was born in Oslo ."], "question": "Where was Ada born ?", "answer": "Oslo"}
    asked = {"passages": passages, "question": QUESTION}
    written = getattr(dspy, adapter)().format(signature, [demo], asked)
    inputs, outputs = {name: demo[name] for name in asked}, {"answer": "Oslo"}
    params = PredictorParams(
        instruction=fields_of(Answer).instruction, demos=(lp.Demo(inputs=inputs, outputs=outputs),)
    )
    ours = prepare(Answer, params)

    theirs = prompt_of(lp.Request(tuple(lp.Message(message["role"], message["content"]) for message in written)))

    assert theirs == prompt_of(lp.Request(ours.render(asked), ours.schema))


def test_dspy_reads_what_the_embedded_lm_writes() -> None:
    dspy: Any = pytest.importorskip("dspy")
    signature = dspy.Signature("passages: list[str], question -> answer", "Answer the question in a few words.")
    for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter()):
        written = adapter.format(signature, [], {"passages": PASSAGES, "question": QUESTION})
        messages = tuple(lp.Message(message["role"], message["content"]) for message in written)

        reply = asyncio.run(_ask(lp.Request(messages))).text

        assert adapter.parse(signature, reply) == {"answer": "Nuzeth"}
