"""The client of OpenAI-compatible servers, against a real one in another process."""

import asyncio
import contextlib
import errno
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pytest
from openai_answers import TWICE, planted_rows
from openai_server import Scene, Server, serving
from pydantic import BaseModel, Field

import lmprog as lp
from lmprog import loop, secrets
from lmprog.lm.openai import BASE_URL, from_spec
from lmprog.lm.refusals import Kind, read_refusal, retry_after_s
from lmprog.lm.wire import Answer, body_of, encoded, response_format, response_of
from lmprog.params import FormatName, PredictorParams
from lmprog.request import ToolCall, ToolSpec
from lmprog.secrets import HIDDEN
from lmprog.signature import fields_of
from lmprog.testing import ScriptedLM, check_lm

KEY = "sk-this-is-a-key-4711"
NUMBER = '{"properties":{"number":{"type":"integer"}},"required":["number"],"type":"object"}'
TOOL = ToolSpec("weather", "Tells the weather.", '{"properties":{"city":{"type":"string"}},"type":"object"}')


@pytest.fixture(scope="module")
def running() -> Generator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.reset()
    return running


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, URL or proxy of whoever runs the tests."""
    names = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "LMPROG_API_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR"]
    for name in [*names, *(f"{kind}_proxy" for kind in ("http", "https", "all", "no"))]:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def client(server: Server, model: str = "some-model", **settings: Any) -> lp.OpenAI:
    return lp.OpenAI(model, base_url=server.url, **settings)


def ask(lm: lp.LM, text: str = "hello", **settings: Any) -> lp.Response:
    return all_of(lm, [lp.Request((lp.Message("user", text),), **settings)])[0]


def all_of(lm: lp.LM, requests: Sequence[lp.Request]) -> list[lp.Response]:
    async def together() -> list[lp.Response]:
        return await asyncio.gather(*map(lm, requests))

    return loop.run(together(), instead="")


def failing(status: int, message: str, **more: Any) -> Scene:
    headers = more.pop("headers", {})
    return Scene(status, {"error": {"message": message, **more}}, headers)


def saying(**message: Any) -> Scene:
    """A scene with a reply."""
    usage, reason = message.pop("usage", None), message.pop("finish_reason", "stop")
    return Scene(body={"choices": [{"message": message, "finish_reason": reason}], "usage": usage})


# Where it sends, and under which name


def test_the_name_is_short_for_openai_and_holds_the_url_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    assert lp.OpenAI("gpt-5").name == "openai/gpt-5"
    assert lp.OpenAI("gpt-5", base_url=f"{BASE_URL}/").name == "openai/gpt-5"
    assert from_spec("openai/meta/llama").name == "openai/meta/llama"
    assert from_spec("http://localhost:8000/v1/#meta/llama").name == "http://localhost:8000/v1#meta/llama"

    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    assert from_spec("openai/gpt-5").name == lp.OpenAI("gpt-5").name == "https://elsewhere.example/v1#gpt-5"


def test_a_missing_key_for_openai_is_named_before_anything_is_sent() -> None:
    with pytest.raises(lp.AuthError, match="set the environment variable OPENAI_API_KEY"):
        from_spec("openai/gpt-5")


def test_openai_s_key_goes_to_no_other_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    ask(from_spec(f"{server.url}#some-model"))
    assert "authorization" not in server.last["headers"]
    ask(client(server))
    assert "authorization" not in server.last["headers"]

    monkeypatch.setenv("LMPROG_API_KEY", "another-key-0815")
    ask(from_spec(f"{server.url}#some-model"))
    assert server.last["headers"]["authorization"] == "Bearer another-key-0815"


NAMED: Mapping[str, Callable[[str, pytest.MonkeyPatch], object]] = {
    "scope": lambda spec, patch: lp.using(lm=spec).__enter__(),
    "object": lambda spec, patch: lp.evaluate(
        lp.Predict("question -> answer", retries=0), [{"question": "q"}], lambda row, found: 1.0,
        lm=lp.OpenAI("m", base_url=spec.partition("#")[0]),
    ),
    "environment": lambda spec, patch: patch.setenv("LMPROG_LM", spec),
    "program": lambda spec, patch: None,
}  # fmt: skip


@pytest.mark.parametrize("how", NAMED)
def test_no_key_goes_to_a_server_that_an_artifact_alone_names(
    how: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LMPROG_API_KEY", "another-key-0815")
    monkeypatch.setattr(secrets, "HOSTS_OF_THE_USER", set[str]())
    monkeypatch.setattr(secrets, "HOSTS_OF_ARTIFACTS", set[str]())
    elsewhere = f"{server.url}#some-model"
    path = lp.save(lp.Predict("question -> answer", config={"lm": elsewhere}), tmp_path / "a.lmprog")
    secrets.HOSTS_OF_THE_USER.clear()  # as in another process

    def key_sent(program: Any) -> bool:
        with lp.using(lm=ScriptedLM(lambda asked: {"answer": "x"})), contextlib.suppress(lp.OutputError):
            program(question="private")
        return "authorization" in server.last["headers"]

    loaded = lp.load(path)
    assert f"`predict` is answered by {elsewhere}, which this artifact names" in caplog.text
    assert not key_sent(loaded)

    with contextlib.suppress(lp.OutputError):
        loaded(question="private")  # with no other LM in force
    assert "authorization" not in server.last["headers"]

    caplog.clear()
    NAMED[how](elsewhere, monkeypatch)
    if how == "program":
        own = lp.Predict("question -> answer", config={"lm": elsewhere})
        assert key_sent(own)
        secrets.HOSTS_OF_ARTIFACTS.add(server.url.removesuffix("/v1"))
        loaded = lp.load(path, program=own)
    elif how == "environment":
        loaded = lp.load(path)
    assert key_sent(loaded) and not caplog.text


@pytest.mark.parametrize("status", [200, 500])
def test_no_more_of_an_answer_is_read_than_fits(server: Server, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr("lmprog.lm.http.MOST_BYTES", 2**16)
    server.set(scenes=[Scene(status, "x" * 2**18)])

    with pytest.raises(lp.LMError, match="is larger than 0 MiB, and was read no further"):
        ask(client(server))

    assert ask(client(server)).text == "re: hello"


@pytest.mark.parametrize("body", [b"<script" * 50_000, b"<title>" * 50_000, b"<" * 500_000])
def test_an_error_page_of_any_length_is_read_at_once(body: bytes) -> None:
    began = time.process_time()

    assert len(read_refusal(Answer(502, {}, body)).message) < 1000

    assert time.process_time() - began < 5  # it took minutes where all of it was searched


def test_a_key_that_a_server_echoes_is_hidden_however_it_is_written(server: Server) -> None:
    written = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    call = f'{{"id": "a", "type": "function", "function": {{"name": "weather", "arguments": "{written}"}}}}'
    server.set(
        scenes=[Scene(body=f'{{"choices": [{{"message": {{"content": "{written}", "tool_calls": [{call}]}}}}]}}')]
    )

    said = ask(client(server, api_key=KEY))

    assert (said.text, said.tool_calls[0].arguments) == (HIDDEN, HIDDEN)


def test_openai_s_key_goes_where_openai_s_url_points(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    ask(from_spec("openai/some-model"))

    assert server.last["headers"]["authorization"] == f"Bearer {KEY}"


def test_neither_name_nor_repr_holds_a_key(server: Server) -> None:
    lm = client(server, api_key=KEY, headers={"X-Api-Key": "top-secret-77"}, extra_body={"user": KEY})

    assert repr(lm) == f"OpenAI('some-model', base_url='{server.url}')"
    assert KEY not in lm.name


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:8000/v1", "is no URL of a server"),
        ("ftp://host/v1", "is no URL of a server"),
        ("http://", "is no URL of a server"),
        ("http://host:port/v1", "is no URL of a server"),
        ("http://ho st/v1", "is no URL of a server"),
        ("http://ho\0st/v1", "is no URL of a server"),
        ("http://[::1/v1", "is no URL of a server"),
        (f"https://user:{KEY}@host/v1", "holds a user name or a password"),
        ("https://host/v1?key=x", "goes on after its path"),
        ("https://host/v1/chat/completions", 'Write "https://host/v1"'),
    ],
)
def test_a_url_that_nothing_can_be_sent_to_is_refused(url: str, why: str) -> None:
    with pytest.raises(lp.LMError, match=why) as refused:
        lp.OpenAI("some-model", base_url=url)

    assert KEY not in str(refused.value)


def test_a_spec_without_a_model_is_refused() -> None:
    with pytest.raises(lp.LMError, match='"http://HOST/v1#MODEL"'):
        from_spec("http://localhost:8000/v1")


@pytest.mark.parametrize("key", ["two words", "smart–dash", "line\nbreak"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(lp.AuthError, match="was something else pasted") as refused:
        lp.OpenAI("gpt-5", api_key=key)

    assert key not in str(refused.value)


def test_equal_specs_and_keys_give_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = "http://localhost:8000/v1#m"
    first = from_spec(spec)

    assert from_spec(spec) is first
    monkeypatch.setenv("LMPROG_API_KEY", "another-key-0815")
    assert from_spec(spec) is not first


def test_further_settings_are_sent_and_mark_the_name(server: Server) -> None:
    low, high = (client(server, extra_body={"reasoning_effort": effort, "max_tokens": 7}) for effort in ("low", "high"))

    ask(low, max_tokens=100)

    assert (server.last["body"]["reasoning_effort"], server.last["body"]["max_tokens"]) == ("low", 7)
    assert low.name != high.name
    assert low.name.startswith(f"{server.url}#some-model+")


def test_the_http_library_is_loaded_at_the_first_call() -> None:
    code = "import sys, lmprog as lp; lp.OpenAI('m', base_url='http://h/v1'); print('aiohttp' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# What it sends


def test_a_request_is_sent_as_openai_has_it(server: Server) -> None:
    turns = (lp.Message("system", "Be brief."), lp.Message("user", "grüße"), lp.Message("assistant", "ja"))

    all_of(client(server, api_key=KEY), [lp.Request(turns, temperature=0.5, max_tokens=9)])

    assert server.last["line"] == "POST /v1/chat/completions HTTP/1.1"
    assert server.last["headers"]["content-type"] == "application/json"
    assert server.last["body"] == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "grüße"},
            {"role": "assistant", "content": "ja"},
        ],
        "temperature": 0.5,
        "max_tokens": 9,
    }


def test_only_further_samples_have_a_seed() -> None:
    def seed(**settings: Any) -> object:
        return body_of(lp.Request((), **settings), "m").get("seed")

    assert seed(temperature=1.0) is None
    assert seed(temperature=0.0, sample=3) is None
    assert [seed(temperature=1.0, sample=sample) for sample in (1, 2)] == [1, 2]


def test_tools_and_their_calls_go_there_and_back(server: Server) -> None:
    asked = lp.Request((lp.Message("user", "Weather?"),), tools=(TOOL,))
    reply = all_of(client(server), [asked])[0]

    assert reply.tool_calls == (ToolCall("call_0", "weather", '{"city": "text 744"}'),)
    assert (reply.text, reply.finish_reason) == ("", "stop")
    function = {"name": "weather", "description": "Tells the weather.", "parameters": json.loads(TOOL.parameters)}
    assert server.last["body"]["tools"] == [{"type": "function", "function": function}]

    turns = (
        lp.Message("assistant", "", tool_calls=reply.tool_calls),
        lp.Message("tool", "Sunny.", tool_call_id="call_0"),
    )
    all_of(client(server), [lp.Request((*asked.messages, *turns), tools=(TOOL,))])

    assert server.last["body"]["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_0",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "text 744"}'},
                }
            ],
        },
        {"role": "tool", "content": "Sunny.", "tool_call_id": "call_0"},
    ]


class House(BaseModel):
    """One choice."""

    kind: Literal["house"]
    floors: int


class Meadow(BaseModel):
    """The other."""

    kind: Literal["meadow"]


class Pet(BaseModel):
    """Has an optional value, a choice of models and itself inside."""

    name: str
    age: Annotated[int, Field(ge=0)] = 3
    likes: "list[Pet]" = []
    home: Annotated[House | Meadow, Field(discriminator="kind")] | None = None


def outputs_schema(annotation: Any) -> str:
    made = type("Made", (lp.Signature,), {"__annotations__": {"value": annotation}, "value": lp.OutputField()})
    return fields_of(made).schema


@pytest.mark.parametrize("annotation", [str, int, list[str], Literal["a", "b"], Pet, list[Pet], date, int | None, bool])
def test_a_schema_is_made_to_fit_strict_mode(annotation: Any) -> None:
    sent = response_format(outputs_schema(annotation))["json_schema"]

    assert sent["strict"] is True
    for part in objects_in(sent["schema"]):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
    assert not {"oneOf", "default", "discriminator", "title"} & keywords_in(sent["schema"])


@pytest.mark.parametrize("annotation", [dict[str, int], tuple[int, str], list[dict[str, str]], Literal[1, "a"]])
def test_a_schema_that_strict_mode_has_no_words_for_is_sent_as_it_is(annotation: Any) -> None:
    schema = outputs_schema(annotation)

    sent = response_format(schema)["json_schema"]

    assert (sent["strict"], sent["schema"]) == (False, json.loads(schema))


def objects_in(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for part in cast("list[object]", schema) for found in objects_in(part)]
    if not isinstance(schema, dict):
        return []
    node = cast("dict[str, Any]", schema)
    return [*([node] if node.get("type") == "object" else []), *objects_in(list(node.values()))]


def keywords_in(schema: Any) -> set[str]:
    node = cast("dict[str, Any]", schema)
    inner = [*node.get("properties", {}).values(), *node.get("$defs", {}).values(), *node.get("anyOf", [])]
    return set(node).union(*map(keywords_in, [*inner, *([node["items"]] if "items" in node else [])]))


def test_a_predictor_in_json_asks_for_its_schema(server: Server) -> None:
    ask(client(server), json_reply=True, schema=NUMBER)
    assert server.last["body"]["response_format"]["json_schema"]["schema"]["required"] == ["number"]

    ask(client(server), json_reply=False, schema=NUMBER)
    assert "response_format" not in server.last["body"]


def test_a_text_that_is_no_unicode_is_sent_as_a_question_mark() -> None:
    assert (
        json.loads(encoded(body_of(lp.Request((lp.Message("user", "a\ud800ü"),)), "m")))["messages"][0]["content"]
        == "a?ü"
    )


def test_a_prompt_of_megabytes_is_sent_whole(server: Server) -> None:
    assert ask(client(server), "x" * 3_000_000).prompt_tokens > 700_000


def test_adapters_and_missing_capabilities_are_refused_before_anything_is_sent(server: Server) -> None:
    with pytest.raises(lp.CapabilityError, match="knows no adapter with the SHA-256 'abab"):
        ask(client(server), weights="ab" * 32)
    with pytest.raises(lp.CapabilityError, match='without the capability "tools"'):
        ask(client(server, capabilities=frozenset({"generate"})), tools=(TOOL,))

    assert server.counts.total == 0


# What comes back


def test_counts_and_costs_are_taken_over(server: Server) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "cost": 0.00025}
    server.set(
        scenes=[
            saying(content="hi", usage=usage),
            saying(content="hi", usage={"prompt_tokens": 12}),
            saying(content="hi"),
        ]
    )

    told, partly, untold = (ask(client(server)) for _ in range(3))

    assert told == lp.Response("hi", 12, 3, usd=0.00025)
    assert partly == lp.Response("hi", 12, 0, usd=None)
    assert untold == lp.Response("hi", 0, 0, usd=None)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "stop"),
        ("content_filter", "other"),
        (None, "stop"),
        ("x", "other"),
    ],
)
def test_why_a_reply_ended(server: Server, said: str | None, meant: str) -> None:
    server.set(scenes=[saying(content="hi", finish_reason=said)])

    assert ask(client(server)).finish_reason == meant


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({}, ""),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": "hm"},
                    {"type": "text", "text": "a"},
                    {"type": "text", "text": "b"},
                ]
            },
            "ab",
        ),
        ({"content": None, "reasoning_content": "hm"}, ""),
    ],
)
def test_a_reply_s_text_is_read_in_each_form(server: Server, message: dict[str, Any], text: str) -> None:
    server.set(scenes=[saying(**message)])

    assert ask(client(server)).text == text


def test_half_a_surrogate_pair_in_a_reply_becomes_the_character_for_it(server: Server) -> None:
    server.set(scenes=[Scene(body='{"choices": [{"message": {"content": "half \\ud83d of it"}}]}')])

    assert ask(client(server)).text == "half \ufffd of it"


def test_a_refusal_by_the_model_is_a_reply_without_outputs(server: Server) -> None:
    server.set(scenes=[saying(content=None, refusal="I cannot help with that.")])

    assert ask(client(server)) == lp.Response("I cannot help with that.", finish_reason="other", usd=None)


@pytest.mark.parametrize(
    "scene",
    [
        failing(
            400,
            "The response was filtered due to the prompt triggering content management policy.",
            code="content_filter",
        ),
        failing(403, "Your chosen model requires moderation and your input was flagged."),
    ],
)
def test_a_refusal_of_the_content_is_about_one_row_and_no_error(server: Server, scene: Scene) -> None:
    server.set(scenes=[scene])

    reply = ask(client(server))

    assert reply.finish_reason == "other"
    assert reply.text


def test_tool_calls_without_id_or_with_arguments_as_object_are_read(server: Server) -> None:
    function = {"name": "f", "arguments": {"a": 1}}
    server.set(
        scenes=[saying(content=None, tool_calls=[{"function": function}, {"id": "x", "function": {"name": "g"}}])]
    )

    assert ask(client(server)).tool_calls == (ToolCall("call_0", "f", '{"a": 1}'), ToolCall("x", "g", "{}"))


# Where another attempt may help


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_passing_failure_is_worth_another_attempt(server: Server, status: int) -> None:
    server.set(scenes=[failing(status, "The engine is overloaded.")])

    with pytest.raises(lp.UnavailableError, match=f"answered {status}: The engine is overloaded"):
        ask(client(server))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_the_provider_asks_for_is_told(
    server: Server, headers: dict[str, str], seconds: float | None
) -> None:
    server.set(scenes=[failing(429, "Slow down.", headers=headers)])

    with pytest.raises(lp.UnavailableError) as raised:
        ask(client(server))

    assert raised.value.retry_after_s == seconds


def test_a_wait_until_a_date_is_told_in_seconds() -> None:
    said = retry_after_s({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)})

    assert said is not None
    assert 80 < said <= 90


@pytest.mark.parametrize(
    ("scene", "why"),
    [
        (Scene(cut=0), "cannot be reached: Server disconnected"),
        (Scene(cut=-10), "broke off"),
        (Scene(cut=60), "broke off|cannot be reached"),
        (Scene(body='{"choices": [{"message": {"cont'), "a reply that broke off after 31 bytes"),
        (Scene(body=""), "a reply that broke off after 0 bytes"),
        (Scene(body={"choices": []}), "a reply without choices"),
        (Scene(body={"error": {"code": 502, "message": "Provider returned error"}}), "Provider returned error"),
        (Scene(body={"choices": [{"error": {"message": "lost"}, "finish_reason": "error"}]}), "lost"),
        (Scene(503, "<html><head><title>503 Service Unavailable</title></head></html>"), "503 Service Unavailable"),
    ],
)
def test_an_answer_that_is_not_whole_is_worth_another_attempt(server: Server, scene: Scene, why: str) -> None:
    server.set(scenes=[scene])

    with pytest.raises(lp.UnavailableError, match=why):
        ask(client(server))

    assert ask(client(server)).text == "re: hello"


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens": -1000, "completion_tokens": -5, "cost": -1}',
        '{"prompt_tokens": NaN, "completion_tokens": 1.5, "cost": NaN}',
        f'{{"prompt_tokens": {"9" * 400}, "completion_tokens": null, "cost": Infinity}}',
        '{"prompt_tokens": "many", "completion_tokens": [], "cost": "free"}',
    ],
)
def test_figures_that_cannot_be_count_as_not_told(server: Server, usage: str) -> None:
    server.set(scenes=[Scene(body=f'{{"choices": [{{"message": {{"content": "hi"}}}}], "usage": {usage}}}')])

    assert ask(client(server)) == lp.Response("hi", 0, 0, usd=None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"choices": [{"message": {"content": "\xe9"}}]}', r"no UTF-8 but .*\\xe9"),
        (b"[" * 100_000, "no JSON but"),
        (b'{"choices":' + b"[" * 100_000, "no JSON but"),
        (b'{"usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}", "no JSON but"),
    ],
    ids=["latin-1", "deep", "deep within", "thousands of digits"],
)
def test_a_body_that_no_other_attempt_would_mend_is_an_error_at_once(body: bytes, says: str) -> None:
    with pytest.raises(lp.LMError, match=says) as raised:
        response_of(body)

    assert not isinstance(raised.value, lp.UnavailableError)


def test_a_reply_cut_within_a_character_broke_off() -> None:
    with pytest.raises(lp.UnavailableError, match="broke off"):
        response_of('{"choices": [{"message": {"content": "é'.encode()[:-1])


@pytest.mark.parametrize(
    "said",
    ["soon", "Wed, 21 Oct 2099 07:28:00 +9999999", "Wed, 21 Oct 2099 07:28:00 +99999999999999"],
)
def test_a_wait_that_no_clock_can_tell_is_not_told(said: str) -> None:
    assert retry_after_s({"retry-after": said}) is None


def test_a_refusal_nested_too_deep_is_a_refusal() -> None:
    assert read_refusal(Answer(500, {}, b"[" * 100_000)).kind == "later"


@pytest.mark.parametrize(("said", "kind"), [("false", "other"), ("true", "later"), ("", "later")])
def test_a_provider_that_says_no_attempt_helps_is_asked_no_more(said: str, kind: str) -> None:
    refusal = read_refusal(Answer(500, {"x-should-retry": said}, b'{"error": {"message": "The model crashed."}}'))

    assert (refusal.kind, refusal.message) == (kind, "The model crashed.")
    assert type(refusal.meaning("lm", lp.Request(()), "")) is (lp.LMError if kind == "other" else lp.UnavailableError)


def test_a_server_that_takes_too_long_or_is_not_there_is_unavailable(server: Server) -> None:
    server.set(scenes=[Scene(wait_s=30)])
    with pytest.raises(lp.UnavailableError, match=r"gave no answer within 0\.2 s"):
        ask(client(server, timeout_s=0.2))

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    with pytest.raises(
        lp.UnavailableError, match=rf"^{url}/chat/completions cannot be reached: {os.strerror(errno.ECONNREFUSED)}\b"
    ):
        ask(lp.OpenAI("m", base_url=url))
    with pytest.raises(lp.UnavailableError, match=r"cannot be reached: (?!Cannot connect)") as raised:
        ask(lp.OpenAI("m", base_url="http://no-such-host.invalid/v1"))
    assert "ssl:" not in str(raised.value)


def test_tls_with_a_server_that_speaks_none_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(lp.UnavailableError, match=r"reached: the TLS handshake failed, wrong version number$"):
            ask(lp.OpenAI("m", base_url=f"https://127.0.0.1:{plain.getsockname()[1]}/v1"))
        answering.join()


# Where it does not


def test_a_refused_key_is_an_auth_error_and_shown_nowhere(server: Server) -> None:
    server.set(key="the-right-key-1234")

    with pytest.raises(
        lp.AuthError, match=f"Incorrect API key provided: {re.escape(HIDDEN)}.*The key that was sent is refused"
    ) as wrong:
        ask(client(server, api_key=KEY))
    with pytest.raises(lp.AuthError, match="No key was sent: give `api_key`, or set LMPROG_API_KEY"):
        ask(client(server))

    assert KEY not in str(wrong.value)


def test_a_key_that_the_server_echoes_is_hidden_even_where_a_text_is_cut(server: Server) -> None:
    server.set(scenes=[failing(400, "x" * 490 + KEY), saying(content=f"Your key is {KEY}.")])
    lm = client(server, api_key=KEY)

    with pytest.raises(lp.LMError) as raised:
        ask(lm)
    reply = ask(lm)

    assert KEY[:5] not in str(raised.value)
    assert reply.text == f"Your key is {HIDDEN}."


def test_a_model_that_does_not_exist_is_answered_with_those_that_do(server: Server) -> None:
    server.set(models=["llama-3-8b", "qwen-2"])

    with pytest.raises(lp.LMError, match=r"`llama3` does not exist\. The server has the models llama-3-8b, qwen-2\."):
        ask(client(server, "llama3"))


def test_a_wrong_url_is_named(server: Server) -> None:
    with pytest.raises(lp.LMError, match=r"answered 404: Not Found\. Check the URL http.*/v2, which often ends in /v1"):
        ask(lp.OpenAI("some-model", base_url=server.url.replace("/v1", "/v2")))


@pytest.mark.parametrize(
    ("scene", "why"),
    [
        (failing(400, "Invalid value: 'x'."), "answered 400: Invalid value: 'x'"),
        (
            failing(400, "max_tokens is too large: 90000. This model supports at most 4096.", param="max_tokens"),
            "too large",
        ),
        (
            failing(429, "You exceeded your current quota, please check your plan.", code="insufficient_quota"),
            "No further attempt helps",
        ),
        (failing(402, "Insufficient credits."), "settled with the provider"),
        (
            Scene(200, "<!doctype html><title>Sign in</title>"),
            "sent no JSON but <!doctype html>.* Is http.*/v1 the base URL",
        ),
        (Scene(200, {"object": "list", "data": []}), "no chat completion but"),
        (Scene(200, {"choices": [{"message": "hi"}]}), r"no chat completion \(choices\.0\.message: "),
        (Scene(307, "", {"Location": "https://elsewhere.example/v1"}), "moved to https://elsewhere.example/v1"),
        (Scene(418, "<h1>I am a\nteapot</h1><p>short</p>"), "answered 418: I am a teapot"),
        (Scene(422, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}), "field required"),
        (Scene(400, [{"error": {"message": "API key not valid", "status": "INVALID_ARGUMENT"}}]), "API key not valid"),
        (Scene(400, {"error": "model is required"}), "answered 400: model is required"),
        (Scene(400, {}), "answered 400: "),
    ],
)
def test_any_other_answer_is_an_error_with_the_provider_s_words(server: Server, scene: Scene, why: str) -> None:
    server.set(scenes=[scene])

    with pytest.raises(lp.LMError, match=why) as raised:
        ask(client(server))

    assert type(raised.value) is lp.LMError
    assert server.counts.total == 1


def test_a_prompt_beyond_the_context_is_a_context_error(server: Server) -> None:
    server.set(context_tokens=100)

    with pytest.raises(lp.ContextError, match=r"maximum context length is 100 tokens.*Use fewer demos"):
        ask(client(server), "why " * 1000)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", "context"),
        (
            400,
            "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024",
            "context",
        ),
        (400, "the request exceeds the available context size. try increasing the context size", "context"),
        (500, "the request exceeds the available context size", "context"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context"),
        (400, "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000", "context"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", "context"),
        (
            400,
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 400015 tokens",
            "context",
        ),
        (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "context"),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.", "context"),
        (
            400,
            "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with 4096",
            "context",
        ),
        (400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length", "context"),
        (413, "Request Entity Too Large", "context"),
        (429, "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 60000.", "context"),
        (
            429,
            "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000.",
            "later",
        ),
        (429, "Too many tokens, please wait before trying again.", "later"),
        (503, "No context available right now", "later"),
        (400, "Your credit balance is too low to access the API.", "credit"),
        (400, "temperature must be at most 2", "other"),
        (405, "Method Not Allowed", "missing"),
    ],
)
def test_the_wordings_of_providers_are_understood(status: int, message: str, kind: Kind) -> None:
    assert read_refusal(Answer(status, {}, json.dumps({"error": {"message": message}}).encode())).kind == kind


# What it learns of a server


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, "lmprog.lm")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("refused", "settings"),
    [
        (["max_tokens"], {}),
        (["max_tokens", "max_completion_tokens"], {}),
        (["temperature"], {}),
        (["seed"], {"temperature": 1.0, "sample": 2}),
        (["response_format"], {"json_reply": True, "schema": NUMBER}),
        (
            ["max_tokens", "temperature", "seed", "response_format"],
            {"temperature": 1.0, "sample": 2, "json_reply": True, "schema": NUMBER},
        ),
    ],
)
def test_a_setting_that_is_refused_is_left_out_from_then_on_and_told_once(
    server: Server, said: Callable[[], list[str]], refused: list[str], settings: dict[str, Any]
) -> None:
    server.set(refuses=refused)
    lm = client(server)

    for text in ("one", "two", "three"):
        assert ask(lm, text, **settings).text

    assert server.counts.total == 3 + len(refused)
    assert not server.last["body"].keys() & set(refused)
    assert len(said()) == len(refused)
    assert f"{lm.name} does not take" in said()[0]


def test_the_limit_of_tokens_has_the_name_that_is_asked_for(server: Server) -> None:
    server.set(refuses=["max_tokens"])

    ask(client(server), max_tokens=77)

    assert server.last["body"]["max_completion_tokens"] == 77


@pytest.mark.parametrize(
    ("status", "body", "lesson"),
    [
        (400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "param": "max_tokens", "code": "unsupported_parameter"}}, "max_tokens"),
        (400, {"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.", "param": "temperature", "code": "unsupported_value"}}, "temperature"),
        (400, {"error": {"message": "`temperature` is deprecated for this model."}}, "temperature"),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, "seed"),
        (400, {"error": {"message": "Invalid schema for response_format 'outputs': ...", "param": "response_format"}}, "response_format"),
        (400, {"error": {"message": "This response_format type is unavailable now"}}, "response_format"),
        (400, {"error": {"message": "Failed to parse grammar"}}, "response_format"),
        (400, {"error": {"message": "temperature must be at most 2", "param": "temperature"}}, None),
        (400, {"error": {"message": "max_tokens is too large: 9. This model's context length is 4"}}, None),
        (429, {"error": {"message": "temperature is not supported"}}, None),
    ],
)  # fmt: skip
def test_what_a_refusal_teaches(status: int, body: dict[str, Any], lesson: str | None) -> None:
    sent = {"model", "messages", "max_tokens", "temperature", "seed", "response_format"}

    assert read_refusal(Answer(status, {}, json.dumps(body).encode())).lesson(sent) == lesson


def test_one_schema_that_is_refused_leaves_the_others_alone(server: Server) -> None:
    lm, other = client(server), NUMBER.replace("number", "year")
    server.set(scenes=[failing(400, "Invalid schema for response_format 'outputs'", param="response_format")])

    ask(lm, json_reply=True, schema=NUMBER)
    ask(lm, json_reply=True, schema=other)
    assert "response_format" in server.last["body"]
    ask(lm, json_reply=True, schema=NUMBER)
    assert "response_format" not in server.last["body"]


def test_calls_in_flight_learn_together(server: Server, said: Callable[[], list[str]]) -> None:
    server.set(refuses=["max_tokens", "temperature"], latency_s=0.02)

    replies = all_of(client(server), [lp.Request((lp.Message("user", str(number)),)) for number in range(32)])

    assert [reply.text for reply in replies] == [f"re: {number}" for number in range(32)]
    assert server.counts.total <= 3 * 32
    assert len(said()) == 2


@pytest.mark.parametrize(
    "scene",
    [
        failing(400, "registry.ollama.ai/library/gemma:latest does not support tools"),
        failing(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        failing(500, "tools param requires --jinja flag"),
        failing(404, "No endpoints found that support tool use."),
        failing(400, "Unsupported parameter: 'tools' is not supported with this model.", param="tools"),
    ],
)
def test_a_server_without_tools_lacks_the_capability(server: Server, scene: Scene) -> None:
    server.set(scenes=[scene])

    with pytest.raises(lp.CapabilityError, match='it lacks the capability "tools"'):
        ask(client(server), tools=(TOOL,))


# Connections


def many(count: int, *, round_: int = 0) -> list[lp.Request]:
    return [lp.Request((lp.Message("user", f"{round_}: {number}"),)) for number in range(count)]


def test_calls_share_connections_and_as_many_as_are_asked_for_are_in_flight(server: Server) -> None:
    server.set(latency_s=0.3)
    lm = client(server)

    first = all_of(lm, many(300))
    made = server.counts.connections
    again = all_of(client(server, "another-model"), many(300, round_=1))

    assert [reply.text for reply in (*first, *again)] == [
        f"re: {r}: {number}" for r in range(2) for number in range(300)
    ]
    assert server.counts.most_in_flight == 300
    assert server.counts.connections - made < 20  # beside those that ask for the counts


def test_a_call_that_is_cancelled_closes_its_connection_and_the_next_one_works(server: Server) -> None:
    server.set(latency_s=30)
    lm = client(server)

    async def leave() -> None:
        calls = [asyncio.ensure_future(lm(request)) for request in many(8)]
        await asyncio.sleep(0.3)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)

    loop.run(leave(), instead="")
    server.set(latency_s=0)

    assert ask(lm).text == "re: hello"
    assert (server.counts.abandoned, server.counts.in_flight) == (8, 0)


def test_a_connection_that_the_server_closed_between_two_sync_calls_costs_no_attempt(server: Server) -> None:
    server.set(scenes=[Scene(cut=10**6)])
    predictor = lp.Predict("q -> a")

    with lp.using(lm=client(server)):
        predictor(q="one")
        time.sleep(0.1)
        predictor(q="two")

    assert server.counts.total == 2


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64 + ".com", "1.2.3.4.5"])
def test_a_host_that_cannot_be_is_told_at_once(host: str) -> None:
    with pytest.raises(lp.LMError, match="is no URL that can be asked") as raised:
        ask(lp.OpenAI("m", base_url=f"http://{host}/v1"))

    assert not isinstance(raised.value, lp.UnavailableError)


def test_what_a_server_says_moves_no_cursor(server: Server) -> None:
    server.set(scenes=[failing(400, "bad \x1b[2J \u202e thing")])

    with pytest.raises(lp.LMError, match=r"bad \\x1b\[2J \\u202e thing"):
        ask(client(server))


def test_it_can_be_asked_from_any_event_loop(server: Server) -> None:
    lm = client(server)

    async def one() -> str:
        return (await lm(lp.Request((lp.Message("user", "hello"),)))).text

    assert [asyncio.run(one()) for _ in range(3)] == ["re: hello"] * 3


def script(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own that tells of everything that was not closed."""
    command = [sys.executable, "-W", "default", "-W", "error::ResourceWarning", "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("call", ["asyncio.run(five())", "[lp.Predict('q -> a')(q=str(i)) for i in range(5)]"])
def test_nothing_is_left_open_at_exit(server: Server, call: str) -> None:
    code = f"""
        import asyncio, sys, lmprog as lp
        lm = lp.OpenAI("m", base_url=sys.argv[1])
        lp.configure(lm=lm)
        async def five(): return await asyncio.gather(*(lm(lp.Request((lp.Message("user", str(i)),))) for i in range(5)))
        print(len({call}))
    """

    done = script(code, server.url)

    assert (done.stdout, done.stderr) == ("5\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_makes_connections_of_its_own(server: Server) -> None:
    code = """
        import os, sys, lmprog as lp
        lm = lp.OpenAI("m", base_url=sys.argv[1])
        def ask(text):
            with lp.using(lm=lm):
                return lp.Predict("q -> a")(q=text).a[:4]
        first = ask("one")
        child = os.fork()
        if child == 0:
            sys.exit(0 if ask("two") == "text" else 1)
        _, status = os.waitpid(child, 0)
        print(first, os.waitstatus_to_exitcode(status), ask("three"))
    """

    before = server.counts.connections
    done = script(code, server.url)

    assert (done.stdout, "Unclosed" in done.stderr) == ("text 0 text\n", False)
    assert server.counts.connections - before == 2 + 1  # and the one that asks for the counts


# Proxies and certificates


def test_the_environment_s_proxy_is_asked_for_hosts_that_are_not_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = server.url.removesuffix("/v1").replace("//", "//me:proxy-password@")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert ask(lp.OpenAI("m", base_url="http://llm.example/v1")).text == "re: hello"
    assert server.last["line"] == "POST http://llm.example/v1/chat/completions HTTP/1.1"
    assert server.last["headers"]["proxy-authorization"].startswith("Basic ")
    ask(client(server))
    assert server.last["line"] == "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize(
    ("proxy", "kind", "why"),
    [
        ("http://127.0.0.1:9", lp.UnavailableError, "the proxy 127.0.0.1:9: Connection refused"),
        ("http://no.such.host.invalid:3128", lp.UnavailableError, r"the proxy no\.such\.host\.invalid:3128: "),
        (
            "http://[",
            lp.LMError,
            "the proxy that the environment names for .* is no URL: Invalid IPv6 URL. Mend HTTP_PROXY",
        ),
    ],
)
def test_a_proxy_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, proxy: str, kind: type[lp.LMError], why: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)

    with pytest.raises(kind, match=why):
        ask(lp.OpenAI("m", base_url=f"http://behind-{len(proxy)}.example/v1"))


def test_a_kind_of_proxy_that_is_not_spoken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")

    with pytest.raises(lp.LMError, match=r"names a socks5 proxy.*NO_PROXY=llm\.example\."):
        ask(lp.OpenAI("m", base_url="https://llm.example/v1"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of an authority that nobody trusts, with its key, for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate takes the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    made, both = [folder / "key.pem", folder / "certificate.pem"], folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lmprog-test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(made[0]), "-out", str(made[1])]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text("".join(part.read_text() for part in made))
    return both


def test_a_certificate_counts_where_the_environment_names_its_authority(certificate: Path) -> None:
    code = """
        import sys, lmprog as lp
        from lmprog.loop import run
        try:
            print(run(lp.OpenAI("m", base_url=sys.argv[1])(lp.Request((lp.Message("user", "hi"),))), instead="").text)
        except lp.LMError as error:
            print(type(error).__name__, error)
    """
    with serving(certificate=certificate) as tls:
        refused = script(code, tls.url)
        os.environ["SSL_CERT_FILE"] = str(certificate)
        try:
            trusted = script(code, tls.url)
        finally:
            del os.environ["SSL_CERT_FILE"]

    assert refused.stdout.startswith("LMError the TLS certificate of 127.0.0.1:")
    assert "is not trusted: self-signed certificate. Where" in refused.stdout
    assert "name the file of its certificate in SSL_CERT_FILE" in refused.stdout
    assert (trusted.stdout, trusted.stderr) == ("re: hi\n", "")


# Whole


def test_it_keeps_what_every_lm_keeps(server: Server) -> None:
    server.set(context_tokens=20_000, latency_s=0.01)

    check_lm(client(server, api_key=KEY), deterministic=True, too_long="why " * 50_000)


@pytest.mark.parametrize("format", ["chat", "json", "xml"])
def test_a_predictor_in_each_format_is_answered_over_http(server: Server, format: FormatName) -> None:
    class Facts(lp.Signature):
        """Say what is known."""

        question: str = lp.InputField()
        year: Annotated[int, Field(ge=1900, le=1910)] = lp.OutputField()
        places: list[str] = lp.OutputField()
        sure: bool = lp.OutputField()
        kind: Literal["old", "new"] = lp.OutputField()
        pet: Pet = lp.OutputField()

    known = lp.Predict(Facts)
    known = known.with_params(PredictorParams(instruction="Say what is known.", format=format))
    with lp.using(lm=f"{server.url}#some-model"):
        facts = known(question="When?")

    assert 1900 <= facts.year <= 1910
    assert server.counts.total == 1
    assert ("response_format" in server.last["body"]) == (format == "json")


def test_an_outage_is_waited_for_by_the_layers_around_it(server: Server) -> None:
    server.set(scenes=[failing(429, "Slow down.", headers={"Retry-After": "0.1"}), Scene(cut=0)])

    with lp.using(lm=client(server)):
        assert lp.Predict("question -> answer")(question="Who?").answer.startswith("text ")

    assert server.counts.total == 3


def test_the_planted_task_is_solved_more_often_with_the_right_words() -> None:
    vague = lp.Predict("question -> answer")
    careful = vague.with_params(PredictorParams(instruction=f"Think {TWICE}."))
    with serving(answers="planted") as server:
        lm = client(server)
        scores = [
            lp.evaluate(p, planted_rows(60), lp.metrics.exact_match("answer"), lm=lm).score for p in (vague, careful)
        ]

    assert 0.2 < scores[0] < 0.6
    assert 0.5 < scores[1] < 0.9
    assert scores[1] - scores[0] > 0.2
