"""Checks of an LM."""

import asyncio
from dataclasses import replace
from typing import get_args

from lmprog import loop
from lmprog.errors import ContextError
from lmprog.formats import prepare
from lmprog.params import FormatName, PredictorParams
from lmprog.request import LM, Capability, Message, Request, Response, ToolCall, ToolSpec, answer
from lmprog.secrets import redact
from lmprog.signature import InputField, OutputField, Signature

FORMATS: tuple[FormatName, ...] = get_args(FormatName)
AT_ONCE = 32
CANCEL_AFTER_S = 0.005


def check_lm(lm: LM, *, deterministic: bool = False, too_long: str | None = None, timeout_s: float = 300.0) -> None:
    """Assert what every LM keeps. Sends about 60 short requests, and fails after `timeout_s`.

    Call it in a test: `check_lm(my_lm)`. It asserts that the name is one line that holds no key; that the capabilities
    are known ones; that plain requests, predictors and conversations are answered, with counts and a reason that make
    sense; that a JSON object comes where it can be made sure of, and tool calls are in form where there are tools; that many
    calls at once are each answered; and that calls which are cancelled end, and leave the LM usable.
    `deterministic`: a reply is a function of the request alone, whatever else is asked at the time; true of LMs that run in
    this process. `too_long` is a text longer than the LM's context: asked about it, the LM must raise ContextError.
    """
    _check_name(lm)
    _check_capabilities(lm)

    async def checks() -> None:
        async with asyncio.timeout(timeout_s):
            await _check_replies(lm)
            await _check_many(lm, deterministic=deterministic)
            await _check_cancellation(lm)
            if too_long is not None:
                await _check_context(lm, too_long)

    loop.run(checks(), instead="await asyncio.to_thread(check_lm, lm)")


def _check_name(lm: LM) -> None:
    name = lm.name
    assert name and name == " ".join(name.split()), f"the name {name!r} is not one line of text"
    assert redact(name) == name, "the name holds a key, and it stands in logs, caches and artifacts"
    assert lm.name == name, "the name changes, and recorded replies are found by it"


def _check_capabilities(lm: LM) -> None:
    unknown = set(lm.capabilities) - set(get_args(Capability))
    assert not unknown, f"there are no capabilities {sorted(unknown)}: there are {get_args(Capability)}"
    assert "generate" in lm.capabilities, 'an LM that is called has the capability "generate"'


class _Sum(Signature):
    """Add the numbers."""

    numbers: list[int] = InputField()
    remark: str = OutputField()
    total: int = OutputField()


async def _check_replies(lm: LM) -> None:
    asked = _plain("Say hello.")
    await _reply(lm, asked)
    await _reply(lm, replace(asked, max_tokens=1))
    await _reply(lm, replace(asked, messages=(Message("system", "Be brief."), *asked.messages)))
    await _reply(
        lm, replace(asked, messages=(*asked.messages, Message("assistant", "Hello."), Message("user", "Again.")))
    )
    for text in ("grüße, 你好, 🙂", "\ud800 is half a character", "x\x00y"):
        await _reply(lm, _plain(text))
    if "sample" in lm.capabilities:
        for sample in range(2):
            await _reply(lm, replace(asked, temperature=1.0, sample=sample))
    for format in FORMATS:
        template = prepare(_Sum, PredictorParams(instruction="Add the numbers.", format=format))
        messages = template.render({"numbers": [1, 2, 3]})
        reply = await _reply(lm, Request(messages, schema=template.schema, json_reply=template.json_reply))
        if template.json_reply and "constrained" in lm.capabilities:
            template.parse(reply.text)
    if "tools" in lm.capabilities:
        await _check_tools(lm)


async def _check_tools(lm: LM) -> None:
    schema = '{"properties":{"city":{"type":"string"}},"required":["city"],"type":"object"}'
    tools = (ToolSpec("weather", "Tells the weather in a city.", schema),)
    asked = replace(_plain("What is the weather in Oslo? Look it up."), tools=tools)
    reply = await _reply(lm, asked)
    calls = reply.tool_calls or (ToolCall("call_1", "weather", '{"city": "Oslo"}'),)
    known = {"weather"} >= {call.name for call in calls}
    assert known and all(call.id for call in calls), f"calls have an id and the name of a tool that there is: {calls}"
    results = tuple(Message("tool", "Sunny.", tool_call_id=call.id) for call in calls)
    turns = (Message("assistant", reply.text, tool_calls=calls), *results)
    await _reply(lm, replace(asked, messages=(*asked.messages, *turns)))


async def _check_many(lm: LM, *, deterministic: bool) -> None:
    asked = [_plain(f"What comes after {number}?") for number in range(AT_ONCE)]
    together = await asyncio.gather(*(_reply(lm, request) for request in asked))
    if deterministic:
        alone = [await _reply(lm, request) for request in asked[:4]]
        assert [reply.text for reply in alone] == [reply.text for reply in together[:4]], (
            "equal requests got different replies, alone and beside others"
        )


async def _check_cancellation(lm: LM) -> None:
    calls = [asyncio.ensure_future(answer(lm, _plain(f"Count to {number}."))) for number in range(100, 108)]
    await asyncio.sleep(CANCEL_AFTER_S)
    for call in calls:
        call.cancel()
    ended, _ = await asyncio.wait(calls)
    errors = [call.exception() for call in ended if not call.cancelled()]
    assert not any(errors), f"calls that are cancelled end with CancelledError, not with {errors}"
    await _reply(lm, _plain("Say hello again."))


async def _check_context(lm: LM, text: str) -> None:
    try:
        await _reply(lm, _plain(text))
    except ContextError:
        return
    raise AssertionError(
        f"a prompt of {len(text)} characters is longer than the context, and ContextError was not raised"
    )


async def _reply(lm: LM, request: Request) -> Response:
    reply = await answer(lm, request)  # which refuses impossible counts and costs
    assert reply.finish_reason in ("stop", "length", "other"), f"there is no finish_reason {reply.finish_reason!r}"
    assert all(isinstance(call, ToolCall) for call in reply.tool_calls), (
        f"tool calls are of the class ToolCall: {reply}"
    )
    return reply


def _plain(text: str) -> Request:
    return Request((Message("user", text),), max_tokens=16)
