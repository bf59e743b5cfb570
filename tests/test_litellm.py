"""The client of what litellm speaks to, against a real server in another process."""

import asyncio
import importlib.util
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Generator
from typing import Any

import pytest
from openai_server import Scene, Server, serving

import lmprog as lp
from lmprog import loop
from lmprog.lm.specs import from_spec
from lmprog.request import ToolCall, ToolSpec
from lmprog.secrets import HIDDEN
from lmprog.testing import check_lm

if importlib.util.find_spec("litellm") is None:
    pytest.skip("litellm is not installed: pip install 'lmprog[litellm]'", allow_module_level=True)

with warnings.catch_warnings(action="ignore"):
    from lmprog.lm.litellm import LiteLLM

pytestmark = pytest.mark.filterwarnings("ignore")
"""Warnings of litellm and what it uses: of deprecations, and of coroutines that it forgets when a call is cancelled."""

KEY = "sk-this-is-a-key-4711"
NUMBER = '{"properties":{"number":{"type":"integer"}},"required":["number"],"type":"object"}'
TOOL = ToolSpec("weather", "Tells the weather.", '{"properties":{"city":{"type":"string"}},"type":"object"}')


@pytest.fixture(scope="module")
def running() -> Generator[Server]:
    with serving(key=KEY) as server:
        yield server


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    running.reset()
    return running


def client(server: Server, **settings: Any) -> LiteLLM:
    given: dict[str, Any] = {"api_base": server.url, "api_key": KEY, **settings}
    return LiteLLM("openai/some-model", **given)


def ask(lm: lp.LM, text: str = "hello", **settings: Any) -> lp.Response:
    return loop.run(one(lm, lp.Request((lp.Message("user", text),), **settings)), instead="")


async def one(lm: lp.LM, request: lp.Request) -> lp.Response:
    return await lm(request)


def failing(status: int, message: str, **more: Any) -> Scene:
    headers = more.pop("headers", {})
    return Scene(status, {"error": {"message": message, **more}}, headers)


def test_a_call_is_one_request(server: Server) -> None:
    reply = ask(client(server, reasoning_effort="low"), temperature=0.5, max_tokens=9)

    assert (reply.text, reply.finish_reason, reply.usd) == ("re: hello", "stop", None)
    assert reply.prompt_tokens > 0
    assert reply.completion_tokens > 0
    assert server.counts.total == 1
    assert server.last["headers"]["authorization"] == f"Bearer {KEY}"
    assert server.last["body"] == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "reasoning_effort": "low",
    }


def test_a_model_with_a_known_price_tells_what_a_call_cost(server: Server) -> None:
    reply = ask(LiteLLM("openai/gpt-4o", api_base=server.url, api_key=KEY), "x" * 4000)

    assert reply.usd == pytest.approx((2.5 * reply.prompt_tokens + 10 * reply.completion_tokens) / 1e6)


def test_tools_and_schemas_are_sent_and_calls_come_back(server: Server) -> None:
    reply = ask(client(server), "Weather?", tools=(TOOL,))
    assert reply.tool_calls == (ToolCall("call_0", "weather", '{"city": "text 744"}'),)

    assert json.loads(ask(client(server), json_reply=True, schema=NUMBER).text) == {"number": 1}
    assert server.last["body"]["response_format"]["json_schema"]["strict"] is True


def test_the_name_tells_settings_apart_and_holds_no_key(server: Server) -> None:
    low, high = (client(server, reasoning_effort=effort) for effort in ("low", "high"))

    assert LiteLLM("openai/some-model", api_key=KEY).name == "litellm/openai/some-model"
    assert low.name != high.name
    assert client(server, api_key="another-key-0815").name == client(server).name
    assert repr(low) == "LiteLLM('openai/some-model')"
    assert from_spec("litellm/openai/some-model").name == "litellm/openai/some-model"


@pytest.mark.parametrize(
    ("scene", "error", "why"),
    [
        (failing(429, "Slow down.", headers={"Retry-After": "7"}), lp.UnavailableError, "Slow down"),
        (failing(500, "boom"), lp.UnavailableError, "boom"),
        (failing(503, "overloaded"), lp.UnavailableError, "overloaded"),
        (Scene(cut=0), lp.UnavailableError, "Connection error"),
        (Scene(cut=-10), lp.UnavailableError, "Connection error"),
        (failing(400, "This model's maximum context length is 5 tokens."), lp.ContextError, "Use fewer demos"),
        (failing(429, "You exceeded your current quota.", code="insufficient_quota"), lp.LMError, "settled with the provider"),
        (failing(404, "The model does not exist."), lp.LMError, "Check the model 'openai/some-model'"),
        (failing(400, "Invalid value"), lp.LMError, "answered 400: .*Invalid value"),
        (failing(401, f"Incorrect API key provided: {KEY}"), lp.AuthError, re.escape(f"provided: {HIDDEN}")),
    ],
)  # fmt: skip
def test_failures_are_told_apart_and_never_retried_here(
    server: Server, scene: Scene, error: type[lp.LMError], why: str
) -> None:
    server.set(scenes=[scene])

    with pytest.raises(lp.LMError, match=why) as raised:
        ask(client(server))

    assert type(raised.value) is error
    assert KEY not in str(raised.value)
    assert server.counts.total == 1
    if scene.headers:
        assert isinstance(raised.value, lp.UnavailableError)
        assert raised.value.retry_after_s == 7.0


def test_a_missing_key_is_named(server: Server) -> None:
    with pytest.raises(lp.AuthError, match="OPENAI_API_KEY"):
        ask(LiteLLM("openai/some-model", api_base=server.url))


def test_a_refusal_of_the_content_is_about_one_row_and_no_error(server: Server) -> None:
    server.set(scenes=[failing(400, "The prompt triggered the content management policy.", code="content_filter")])

    assert ask(client(server)).finish_reason == "other"


def test_a_setting_that_is_refused_is_left_out_from_then_on(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "lmprog.lm")
    server.set(refuses=["temperature", "response_format"])
    lm = client(server)

    for text in ("one", "two"):
        ask(lm, text, json_reply=True, schema=NUMBER)

    assert server.counts.total == 2 + 2
    assert not {"temperature", "response_format"} & server.last["body"].keys()
    assert len(caplog.records) == 2


def test_a_model_of_no_provider_is_refused_when_it_is_named() -> None:
    with pytest.raises(lp.LMError, match=r"knows no provider for 'nonsense'.*Write PROVIDER/MODEL"):
        LiteLLM("nonsense")


def test_adapters_are_refused(server: Server) -> None:
    with pytest.raises(lp.CapabilityError, match="takes no adapters"):
        ask(client(server), weights="ab" * 32)


def test_it_keeps_what_every_lm_keeps(server: Server) -> None:
    server.set(context_tokens=20_000)

    check_lm(client(server), deterministic=True, too_long="why " * 50_000)


def test_it_can_be_asked_from_any_event_loop(server: Server) -> None:
    lm = client(server)

    texts = [asyncio.run(one(lm, lp.Request((lp.Message("user", "hello"),)))).text for _ in range(2)]

    assert texts == ["re: hello"] * 2


def test_nothing_is_printed(server: Server) -> None:
    code = f"""if True:
        import lmprog as lp
        from lmprog.lm.litellm import LiteLLM
        from lmprog.loop import run
        async def one(key):
            return (await LiteLLM("openai/m", api_base={server.url!r}, api_key=key)(lp.Request((lp.Message("user", "hi"),)))).text
        print(run(one({KEY!r}), instead=""))
        try:
            run(one("a-wrong-key-000"), instead="")
        except lp.AuthError:
            print("refused")
    """

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("re: hi\nrefused\n", "")


def test_without_litellm_the_error_says_how_to_get_it() -> None:
    code = """if True:
        import sys
        sys.modules["litellm"] = None
        from lmprog.lm.specs import from_spec
        try:
            from_spec("litellm/openai/m")
        except Exception as error:
            print(type(error).__name__, error)
    """

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("LMError this LM needs litellm")
    assert "pip install 'lmprog[litellm]'" in done.stdout
