"""The checks of an LM: what keeps them passes, and each fault is found."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import lmprog as lp
from lmprog.lm.specs import from_spec
from lmprog.request import Capability, ToolCall
from lmprog.secrets import keep_secret
from lmprog.testing import Asked, ScriptedLM, check_lm

Answers = Callable[[Asked], lp.Response]


def fine(asked: Asked) -> lp.Response:
    return lp.Response('{"remark": "so", "total": 6}', prompt_tokens=3, completion_tokens=2)


def scripted(answers: Answers = fine, *more: Capability, name: str = "scripted") -> ScriptedLM:
    return ScriptedLM(answers, name=name, capabilities=frozenset({"generate", "sample", *more}))


def with_reply(**changes: Any) -> ScriptedLM:
    return scripted(lambda asked: replace(fine(asked), **changes), "tools")


class Stubborn:
    """Takes its time, and does not end when it is cancelled."""

    name, capabilities = "stubborn", frozenset({"generate"})

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            raise lp.LMError("interrupted") from None
        return lp.Response("hello")


def test_a_scripted_lm_keeps_them() -> None:
    check_lm(scripted(fine, "constrained", "tools"), deterministic=True)


def test_the_embedded_lm_keeps_them() -> None:
    check_lm(from_spec("tiny"), deterministic=True, too_long="why " * 2000)


counter = itertools.count()


@pytest.mark.parametrize(
    ("lm", "fault"),
    [
        (scripted(name="two\nlines"), "is not one line"),
        (scripted(name=""), "is not one line"),
        (ScriptedLM(fine, capabilities=frozenset({"sample"})), 'has the capability "generate"'),
        (with_reply(prompt_tokens=-1), "prompt_tokens is -1"),
        (with_reply(finish_reason="eos"), "no finish_reason 'eos'"),
        (with_reply(usd=-0.1), "usd is -0.1"),
        (with_reply(tool_calls=(ToolCall("", "weather", "{}"),)), "calls have an id"),
        (with_reply(tool_calls=(ToolCall("1", "wether", "{}"),)), "the name of a tool that there is"),
        (Stubborn(), "end with CancelledError"),
    ],
)
def test_a_fault_is_found(lm: lp.LM, fault: str) -> None:
    with pytest.raises((AssertionError, lp.LMError), match=fault):
        check_lm(lm)


def test_a_key_in_the_name_is_found() -> None:
    keep_secret("a-key-in-a-name-99")

    with pytest.raises(AssertionError, match="the name holds a key"):
        check_lm(scripted(name="model?key=a-key-in-a-name-99"))


def test_replies_that_depend_on_more_than_the_request_are_found() -> None:
    lm = scripted(lambda asked: lp.Response(str(next(counter))))

    check_lm(lm)
    with pytest.raises(AssertionError, match="equal requests got different replies"):
        check_lm(lm, deterministic=True)


def test_an_lm_that_reads_any_length_is_found() -> None:
    with pytest.raises(AssertionError, match="ContextError was not raised"):
        check_lm(scripted(), too_long="why")


def test_a_json_reply_that_cannot_be_made_sure_of_is_found() -> None:
    with pytest.raises(lp.OutputError):
        check_lm(scripted(lambda asked: lp.Response("six"), "constrained"))
