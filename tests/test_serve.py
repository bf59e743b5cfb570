"""An LM behind OpenAI's chat protocol: the official client gets from it what it expects."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import openai
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

import lmprog as lp
from lmprog.cli import main
from lmprog.completions import CHOICES_AT_MOST, SEEDS, Completion, Refused, read_asked, requests_of
from lmprog.formats import prepare
from lmprog.lm.tiny.client import shared
from lmprog.loop import run
from lmprog.params import Demo, FormatName, PredictorParams
from lmprog.request import Response, ToolCall
from lmprog.serve import app
from lmprog.signature import fields_of
from lmprog.testing import Asked, ScriptedLM

KEY = "a-key-that-nobody-guesses"
PLURAL: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the plural of dog ?"}]
PASSAGES = [
    "Kazix Group is a steel company based in Tesudouv . It was founded by Anna Vuso in 1901 .",
    "Tesudouv is a city in Fabiland . It dates from 1420 . It lies on the river Nuzeth .",
]
RIVER = "On which river does the city where Kazix Group is based lie ?"
SAID_AT_MOST_S = 20.0


class WriteQuery(lp.Signature):
    """Write a search query that helps answer the question."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    query: str = lp.OutputField()


class Answer(lp.Signature):
    """Answer the question from the passages in a few words."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    answer: str = lp.OutputField()


DEMO = Demo(inputs={"question": "Who founded Kazix Group ?", "passages": PASSAGES[:1]}, outputs={"answer": "Anna Vuso"})


@contextmanager
def served(lm: lp.LM | str, *, key: str | None = None) -> Generator[str]:
    """The base URL of a server of the LM."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app(lm, key=key), lifespan="off", log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


def client_of(base: str, key: str = "none", *, attempts: int = 1) -> openai.OpenAI:
    return openai.OpenAI(base_url=base, api_key=key, max_retries=attempts - 1)


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with served("tiny") as url:
        yield url


@pytest.fixture(scope="module")
def tiny(base: str) -> Iterator[openai.OpenAI]:
    with client_of(base) as client:
        yield client


@contextmanager
def asking(lm: lp.LM) -> Generator[openai.OpenAI]:
    with served(lm) as url, client_of(url) as client:
        yield client


def echo(asked: Asked) -> str:
    """Everything that reached the LM."""
    request = asked.request
    return json.dumps(
        {
            "messages": [[message.role, message.text] for message in request.messages],
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "sample": request.sample,
            "schema": request.schema,
            "json_reply": request.json_reply,
            "tools": [[tool.name, tool.description, tool.parameters] for tool in request.tools],
        }
    )


@pytest.fixture(scope="module")
def echoing() -> Iterator[openai.OpenAI]:
    lm = ScriptedLM(echo, name="echo", capabilities=frozenset({"generate", "sample", "constrained", "tools"}))
    with asking(lm) as client:
        yield client


def heard(completion: ChatCompletion) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(completion.choices[0].message.content or ""))


def rendered(signature: type[lp.Signature], *demos: Demo) -> lp.Request:
    params = PredictorParams(instruction=fields_of(signature).instruction, demos=demos)
    chat = prepare(signature, params)
    return lp.Request(chat.render({"question": RIVER, "passages": PASSAGES}), chat.schema)


def as_sent(request: lp.Request) -> list[ChatCompletionMessageParam]:
    return [{"role": message.role, "content": message.text} for message in request.messages]  # type: ignore[misc] # pyright: ignore


# A completion


def test_a_conversation_is_answered_with_its_usage(tiny: openai.OpenAI) -> None:
    completion = tiny.chat.completions.create(model="tiny", messages=PLURAL)

    assert [choice.message.content for choice in completion.choices] == ["dogs"]
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == shared().name
    expected = run(shared()(lp.Request((lp.Message("user", "What is the plural of dog ?"),))), instead="")
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == expected.prompt_tokens > 0
    assert completion.usage.completion_tokens == expected.completion_tokens > 0
    assert completion.usage.total_tokens == expected.prompt_tokens + expected.completion_tokens


@pytest.mark.parametrize("signature", [WriteQuery, Answer])
@pytest.mark.parametrize("demos", [(), (DEMO,)], ids=["no demos", "a demo"])
def test_a_prompt_of_lmprog_gets_the_reply_that_it_gets_in_process(
    tiny: openai.OpenAI, signature: type[lp.Signature], demos: tuple[Demo, ...]
) -> None:
    request = rendered(signature, *(demos if signature is Answer else ()))

    completion = tiny.chat.completions.create(model="tiny", messages=as_sent(request), temperature=0)

    reply = run(shared()(request), instead="")
    assert completion.choices[0].message.content == reply.text
    assert next(iter(fields_of(signature).outputs)) in reply.text


def test_a_refused_reply_is_asked_for_again_as_in_process(tiny: openai.OpenAI) -> None:
    request = rendered(WriteQuery)
    again = replace(
        request,
        messages=(*request.messages, lp.Message("assistant", "?"), lp.Message("user", "The field `query` is missing.")),
    )

    completion = tiny.chat.completions.create(model="tiny", messages=as_sent(again))

    assert completion.choices[0].message.content == run(shared()(again), instead="").text


def test_the_model_answers_to_its_full_name_too(tiny: openai.OpenAI) -> None:
    completion = tiny.chat.completions.create(model=shared().name, messages=PLURAL)

    assert completion.choices[0].message.content == "dogs"


def test_calls_at_once_get_the_replies_that_they_get_alone(base: str) -> None:
    words = ["dog", "cat", "house", "river", "boat", "lamp", "tree", "pen", "cup", "road"]
    asked = [f"What is the {what} of {word} ?" for word in words for what in ("plural", "opposite")]

    async def ask(client: openai.AsyncOpenAI, text: str) -> str | None:
        completion = await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": text}], temperature=1, seed=5, max_tokens=12
        )
        return completion.choices[0].message.content

    async def alone_and_together() -> tuple[list[str | None], list[str | None]]:
        async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
            alone = [await ask(client, text) for text in asked]
            return alone, await asyncio.gather(*(ask(client, text) for text in asked))

    alone, together = asyncio.run(alone_and_together())

    assert len(together) == 20
    assert together == alone
    assert len(set(alone)) > 10


def test_calls_at_once_reach_the_lm_at_once() -> None:
    lm = ScriptedLM(lambda _: "said", latency_s=0.3)

    async def ask(base: str) -> None:
        async with openai.AsyncOpenAI(base_url=base, api_key="none") as client:
            one = client.chat.completions.create(model="scripted", messages=PLURAL, n=2)
            other = client.chat.completions.create(model="scripted", messages=PLURAL)
            await asyncio.gather(one, other)

    with served(lm) as url:
        asyncio.run(ask(url))

    assert lm.most_in_flight == 3


def test_choices_are_the_samples_of_their_numbers(tiny: openai.OpenAI) -> None:
    completion = tiny.chat.completions.create(model="tiny", messages=PLURAL, n=3, temperature=2)

    request = lp.Request((lp.Message("user", "What is the plural of dog ?"),), temperature=2.0)
    replies = [run(shared()(replace(request, sample=sample)), instead="") for sample in range(3)]
    texts = [choice.message.content for choice in completion.choices]
    assert texts == [reply.text for reply in replies]
    assert len(set(texts)) == 3
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == replies[0].prompt_tokens
    assert completion.usage.completion_tokens == sum(reply.completion_tokens for reply in replies)


def test_a_seed_gives_another_sample_and_the_same_one_each_time(tiny: openai.OpenAI) -> None:
    def text(seed: int) -> str | None:
        completion = tiny.chat.completions.create(model="tiny", messages=PLURAL, temperature=2, seed=seed)
        return completion.choices[0].message.content

    assert text(1) == text(1) != text(2)


def test_max_tokens_cut_a_reply_off_and_say_so(tiny: openai.OpenAI) -> None:
    for limit in ({"max_tokens": 2}, {"max_completion_tokens": 2}):
        completion = tiny.chat.completions.create(model="tiny", messages=PLURAL, extra_body=limit)

        assert completion.choices[0].finish_reason == "length"
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 2


@pytest.mark.parametrize(
    ("stop", "said"), [("or", "one f"), (["three", " two"], "one for"), (["nowhere"], "one for two")]
)
def test_a_reply_ends_before_the_first_stop_sequence(stop: str | list[str], said: str) -> None:
    with asking(ScriptedLM(lambda _: Response("one for two", finish_reason="length"))) as client:
        completion = client.chat.completions.create(model="scripted", messages=PLURAL, stop=stop)

    assert completion.choices[0].message.content == said
    assert completion.choices[0].finish_reason == ("length" if stop == ["nowhere"] else "stop")


def test_what_the_client_asks_reaches_the_lm(echoing: openai.OpenAI) -> None:
    completion = echoing.chat.completions.create(
        model="echo",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "said"},
            {"role": "user", "content": "three"},
        ],
        temperature=0.7,
        max_tokens=9,
        seed=4,
        top_p=0.5,
        user="somebody",
        extra_body={"a_field_of_another_server": [1]},
    )

    assert heard(completion) == {
        "messages": [["system", "Be brief."], ["user", "one\ntwo"], ["assistant", "said"], ["user", "three"]],
        "temperature": 0.7,
        "max_tokens": 9,
        "sample": 4,
        "schema": None,
        "json_reply": False,
        "tools": [],
    }


def test_what_the_client_leaves_open_is_as_everywhere_in_lmprog(echoing: openai.OpenAI) -> None:
    asked = heard(echoing.chat.completions.create(model="echo", messages=PLURAL, temperature=None, seed=None, n=None))

    default = lp.Request(())
    assert (asked["temperature"], asked["max_tokens"], asked["sample"]) == (
        default.temperature,
        default.max_tokens,
        default.sample,
    )


def test_a_schema_reaches_an_lm_that_can_be_held_to_it_with_its_fields_in_order(echoing: openai.OpenAI) -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}

    completion = echoing.chat.completions.create(
        model="echo",
        messages=PLURAL,
        response_format={"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}},
    )

    asked = heard(completion)
    assert asked["json_reply"] is True
    assert list(json.loads(asked["schema"])["properties"]) == ["z", "a"]


def test_tools_and_their_calls_go_through_an_lm_that_calls_tools() -> None:
    call = ToolCall("call-1", "weather", '{"city": "Oslo"}')

    def reply(asked: Asked) -> Response:
        said = asked.request.messages[-1]
        if said.role == "tool":
            return Response(f"{said.tool_call_id} gave {said.text} for {asked.request.messages[-2].tool_calls[0].name}")
        return Response("", tool_calls=(replace(call, name=asked.request.tools[0].name),))

    tools: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    lm = ScriptedLM(reply, capabilities=frozenset({"generate", "tools"}))
    with asking(lm) as client:
        first = client.chat.completions.create(model="scripted", messages=PLURAL, tools=tools)
        message = first.choices[0].message
        turns: list[Any] = [*PLURAL, message, {"role": "tool", "tool_call_id": "call-1", "content": "rain"}]
        second = client.chat.completions.create(model="scripted", messages=turns, tools=tools)
        deltas = [
            chunk.choices[0].delta.tool_calls
            for chunk in client.chat.completions.create(model="scripted", messages=PLURAL, tools=tools, stream=True)
        ]

    assert first.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    assert message.tool_calls[0].type == "function"
    assert message.tool_calls[0].function.arguments == '{"city": "Oslo"}'
    assert second.choices[0].message.content == "call-1 gave rain for weather"
    assert [made[0].function.name for made in deltas if made and made[0].function] == ["weather"]


@pytest.mark.parametrize("layout", ["chat", "json", "xml"])
def test_an_evaluation_over_http_equals_the_one_in_process(base: str, layout: FormatName) -> None:
    rows: list[dict[str, object]] = [
        {"question": RIVER, "passages": PASSAGES, "answer": "Nuzeth"},
        {"question": "Who founded Kazix Group ?", "passages": PASSAGES[:1], "answer": "Anna Vuso"},
        {"question": "In which country does Tesudouv lie ?", "passages": PASSAGES, "answer": "Fabiland"},
        {"question": "What is it ?", "passages": [], "answer": "?"},
    ]
    params = PredictorParams(instruction=fields_of(Answer).instruction, demos=(DEMO,), format=layout)
    program = lp.ChainOfThought(Answer).with_params(params)
    metric = lp.metrics.exact_match("answer")

    over_http = lp.evaluate(program, rows, metric, lm=f"{base}#tiny")

    in_process = lp.evaluate(program, rows, metric, lm="tiny")
    assert over_http.score == in_process.score > 0
    assert over_http.runs == in_process.runs


# A stream


def test_a_stream_holds_the_same_text_in_pieces(tiny: openai.OpenAI) -> None:
    messages = as_sent(rendered(Answer))
    whole = tiny.chat.completions.create(model="tiny", messages=messages)

    chunks = list(tiny.chat.completions.create(model="tiny", messages=messages, stream=True))

    pieces = [chunk.choices[0].delta.content for chunk in chunks]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len([piece for piece in pieces if piece]) > 3
    assert "".join(piece or "" for piece in pieces) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_the_usage_where_it_is_asked_for(tiny: openai.OpenAI) -> None:
    whole = tiny.chat.completions.create(model="tiny", messages=PLURAL, n=2)

    *_, last = tiny.chat.completions.create(
        model="tiny", messages=PLURAL, n=2, stream=True, stream_options={"include_usage": True}
    )

    assert last.choices == []
    assert last.usage == whole.usage


def test_an_async_stream_holds_every_choice(base: str) -> None:
    async def choices() -> dict[int, str]:
        texts: dict[int, str] = {}
        async with openai.AsyncOpenAI(base_url=base, api_key="none") as client:
            async for chunk in await client.chat.completions.create(
                model="tiny", messages=PLURAL, n=2, temperature=2, stream=True
            ):
                choice = chunk.choices[0]
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        return texts

    streamed = asyncio.run(choices())

    with client_of(base) as client:
        whole = client.chat.completions.create(model="tiny", messages=PLURAL, n=2, temperature=2)
    assert streamed == {choice.index: choice.message.content for choice in whole.choices}


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_the_pieces_of_a_stream_are_the_text(texts: list[str]) -> None:
    completion = Completion("id", 0, "lm", tuple(Response(text) for text in texts))

    pieces = [""] * len(texts)
    for chunk in completion.chunks(include_usage=False):
        for choice in ChatCompletionChunk.model_validate(chunk).choices:
            pieces[choice.index] += choice.delta.content or ""

    assert pieces == texts


# Models


def test_both_names_of_the_model_are_listed_and_found(tiny: openai.OpenAI) -> None:
    names = [model.id for model in tiny.models.list()]

    assert names == ["tiny", shared().name]
    assert [tiny.models.retrieve(name).id for name in names] == names


def test_a_name_with_slashes_is_found() -> None:
    lm = ScriptedLM(lambda _: "said", name="local/folder/model")
    with asking(lm) as client:
        assert client.models.retrieve("local/folder/model").id == "local/folder/model"


def test_health_needs_no_key() -> None:
    with served("tiny", key=KEY) as url, client_of(url.removesuffix("/v1")) as client:
        assert client.get("/health", cast_to=object) == {"status": "ok", "model": shared().name}


# What is refused


def code_of(error: openai.APIStatusError) -> tuple[int, object, object]:
    return error.status_code, error.code, error.param


def test_an_unknown_model_is_not_found_and_those_there_are_are_named(tiny: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as asked:
        tiny.chat.completions.create(model="gpt-5", messages=PLURAL)
    with pytest.raises(openai.NotFoundError) as retrieved:
        tiny.models.retrieve("gpt-5")

    for found in (asked.value, retrieved.value):
        assert code_of(found) == (404, "model_not_found", "model")
        assert f"'tiny' and '{shared().name}'" in str(found)


@pytest.mark.parametrize(
    ("given", "code", "param", "said"),
    [
        ({"temperature": 3}, None, "temperature", "less than or equal to 2. It is 3"),
        ({"max_tokens": 0}, None, "max_tokens", "greater than or equal to 1"),
        ({"n": CHOICES_AT_MOST + 1}, None, "n", "less than or equal to 128"),
        ({"messages": []}, None, "messages", "at least 1 item"),
        ({"messages": None}, None, "messages", "should be a valid array"),
        ({"messages": [{"role": "robot", "content": ""}]}, None, "messages[0].role", '"robot"'),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            None,
            "messages[0].content[0].text",
            "missing",
        ),
        ({"stop": ""}, None, "stop[0]", "at least 1 character"),
        ({"logprobs": True}, "unsupported_parameter", "logprobs", "does not support `logprobs`"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "unsupported_parameter", "tools", "calls none"),
        ({"tool_choice": "required"}, "unsupported_parameter", "tool_choice", 'send "auto" or "none"'),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format", "held to JSON"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            "unsupported_content",
            "messages[0].content[0]",
            "'image_url', and tiny-",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place_and_reason(
    tiny: openai.OpenAI, given: dict[str, Any], code: str | None, param: str, said: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        tiny.chat.completions.create(model="tiny", messages=PLURAL, extra_body=given)

    assert code_of(refused.value) == (400, code, param)
    assert refused.value.type == "invalid_request_error"
    assert said in str(refused.value)


def test_tools_that_may_not_be_called_are_no_obstacle(tiny: openai.OpenAI) -> None:
    completion = tiny.chat.completions.create(
        model="tiny",
        messages=PLURAL,
        tools=[{"type": "function", "function": {"name": "f"}}],
        tool_choice="none",
        response_format={"type": "text"},
        logprobs=False,
    )

    assert completion.choices[0].message.content == "dogs"


def test_a_prompt_beyond_the_context_is_refused_as_such(tiny: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        tiny.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "dog " * 2000}])

    assert code_of(refused.value) == (400, "context_length_exceeded", "messages")


@pytest.mark.parametrize("sent", [None, "another-key", f"{KEY} and more"])
def test_a_wrong_or_missing_key_is_refused_and_none_is_told(sent: str | None) -> None:
    with served("tiny", key=KEY) as url, client_of(url, sent or "none") as client:
        headers: dict[str, Any] = {"Authorization": openai.omit} if sent is None else {}
        for call in (
            lambda: client.models.list(extra_headers=headers),
            lambda: client.chat.completions.create(model="tiny", messages=PLURAL, extra_headers=headers),
        ):
            with pytest.raises(openai.AuthenticationError) as refused:
                call()

            assert code_of(refused.value) == (401, "invalid_api_key", None)
            assert KEY not in refused.value.response.text
            assert "another-key" not in refused.value.response.text


def test_the_right_key_is_let_in() -> None:
    with served("tiny", key=KEY) as url, client_of(url, KEY) as client:
        assert client.chat.completions.create(model="tiny", messages=PLURAL).choices[0].message.content == "dogs"


def failing(error: Exception) -> ScriptedLM:
    def reply(_: Asked) -> str:
        raise error

    return ScriptedLM(reply)


@pytest.mark.parametrize(
    ("error", "status", "code", "sent"),
    [
        (lp.UnavailableError("down"), 503, "lm_unavailable", 2),
        (lp.AuthError("no such key"), 502, "lm_key_refused", 1),
        (lp.LMError("broken"), 502, "lm_error", 1),
        (ValueError("a bug"), 502, "lm_error", 1),
    ],
)
def test_a_failure_of_the_lm_is_the_servers_and_tried_again_only_where_that_helps(
    error: Exception, status: int, code: str, sent: int
) -> None:
    lm = failing(error)

    with (
        served(lm) as url,
        client_of(url, attempts=2) as client,
        pytest.raises(openai.InternalServerError) as raised,
    ):
        client.chat.completions.create(model="scripted", messages=PLURAL)

    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert lm.sent == sent


def test_how_long_to_wait_is_passed_on() -> None:
    with asking(failing(lp.UnavailableError("busy", retry_after_s=2.5))) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="scripted", messages=PLURAL)

        assert raised.value.response.headers["retry-after"] == "3"


def test_a_providers_key_in_an_error_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    with asking(failing(lp.LMError(f"the provider said: {KEY} is odd"))) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="scripted", messages=PLURAL)

        assert "*** is odd" in raised.value.response.text


def test_a_wrong_path_is_not_found_and_the_right_ones_are_named(base: str) -> None:
    with client_of(base.removesuffix("/v1")) as client, pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="tiny", messages=PLURAL)

    assert "no POST /chat/completions here" in str(refused.value)
    assert "POST /v1/chat/completions" in str(refused.value)


def test_what_a_web_page_could_send_unasked_is_refused(tiny: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        tiny.chat.completions.create(model="tiny", messages=PLURAL, extra_headers={"Content-Type": "text/plain"})

    assert refused.value.status_code == 415
    assert "content-type: application/json" in str(refused.value)


@given(st.one_of(st.binary(), st.text().map(lambda text: json.dumps(text).encode())))
def test_no_body_breaks_the_reading(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_asked(body)

    assert refused.value.status == 400


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "role"]), inner),
    max_leaves=5,
)
FIELDS = [
    "temperature",
    "max_tokens",
    "n",
    "seed",
    "stop",
    "stream",
    "tools",
    "tool_choice",
    "response_format",
    "logprobs",
]


@given(st.dictionaries(st.sampled_from([*FIELDS, "messages", "model", "logit_bias", "stream_options"]), VALUES))
def test_a_request_is_read_or_refused_whatever_its_fields_hold(given: dict[str, Any]) -> None:
    body = json.dumps({"model": "tiny", "messages": PLURAL, **given}).encode()

    try:
        requests = requests_of(read_asked(body), shared())
    except Refused as refused:
        assert refused.status == 400
    else:
        assert len(requests) == (given.get("n") or 1)


@given(
    st.lists(st.tuples(st.integers(0, SEEDS - 1), st.integers(1, CHOICES_AT_MOST)), min_size=2, max_size=2, unique=True)
)
def test_no_two_seeds_share_a_sample(pairs: list[tuple[int, int]]) -> None:
    def samples(seed: int, n: int) -> set[int]:
        asked = read_asked(json.dumps({"model": "tiny", "messages": PLURAL, "seed": seed, "n": n}).encode())
        return {request.sample for request in requests_of(asked, shared())}

    (one, n), (other, m) = pairs

    assert len(samples(one, n)) == n
    assert one == other or not samples(one, n) & samples(other, m)


# A client that leaves


def within(seconds: float, holds: Any) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(holds())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_takes_its_work_with_it(stream: bool) -> None:
    lm = ScriptedLM(lambda _: "said", latency_s=60)

    with asking(lm) as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="scripted", messages=PLURAL, n=2, stream=stream, timeout=0.3)

        assert lm.sent == 2
        assert within(5, lambda: lm.in_flight == 0)


# The command


@contextmanager
def command(*args: str, **environment: str) -> Generator[subprocess.Popen[str]]:
    """`lmprog lm serve` on a free port."""
    with subprocess.Popen(
        [sys.executable, "-m", "lmprog", "lm", "serve", "--port", "0", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def url_in(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http://"))


def test_the_command_says_where_it_listens_and_ends_well_at_an_interrupt() -> None:
    with command() as process:
        first, second = line_of(process), line_of(process)
        with client_of(url_in(first)) as client:
            said = client.chat.completions.create(model="tiny", messages=PLURAL).choices[0].message.content
        tried = subprocess.run(
            ["sh", "-c", second.removeprefix("try it:  ")], capture_output=True, text=True, timeout=SAID_AT_MOST_S
        )
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=SAID_AT_MOST_S)

    assert said == "dogs"
    assert json.loads(tried.stdout)["choices"][0]["message"]["content"] == "dogs"
    assert (process.returncode, rest) == (0, "stopped\n")


def test_the_command_takes_its_key_from_the_environment_and_never_says_it() -> None:
    with command(LMPROG_SERVE_KEY=KEY) as process:
        said = line_of(process)
        how = line_of(process)
        with client_of(url_in(said), KEY) as client, client_of(url_in(said), "another-key") as wrong:
            client.models.list()
            with pytest.raises(openai.AuthenticationError):
                wrong.models.list()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=SAID_AT_MOST_S)

    assert "with the key" in said
    assert '"authorization: Bearer $LMPROG_SERVE_KEY"' in how
    assert rest == "stopped\n"
    assert KEY not in said + how


def test_a_port_in_use_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert main(["lm", "serve", "--port", str(port)]) == 2

    assert f"cannot listen on port {port} of 127.0.0.1: address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing"], "no LM is called 'nothing'"),
        (["--key", ""], "the key is empty"),
        (["--host", "no-host.invalid"], "cannot listen on port 8000 of no-host.invalid"),
        (["--port", "70000"], "--port"),
    ],
)
def test_wrong_arguments_are_wrong_use(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lm", "serve", *args]) == 2

    assert said in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_without_the_extra_the_command_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing or name == "lmprog.serve"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    assert main(["lm", "serve"]) == 2

    assert "pip install 'lmprog[serve]'" in capsys.readouterr().err
