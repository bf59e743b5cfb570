"""Tools of MCP servers: real servers in processes of their own, spoken to over standard input and over HTTP."""

import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

import lmprog as lp
from lmprog.errors import UnavailableError
from lmprog.strategies.react import ReAct
from lmprog.testing import Answer, Asked, ScriptedLM
from lmprog.tools import AnyTool

if importlib.util.find_spec("mcp") is None:
    pytest.skip("MCP servers need the extra mcp: pip install 'lmprog[mcp]'", allow_module_level=True)

from lmprog.tools.mcp import mcp_tools

SERVER = '''
import logging
import os
import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

logging.disable()
server = MCPServer("sums")


@server.tool()
def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


@server.tool(name="divide-by")
def divide(a: float, b: float) -> float:
    """Divides."""
    if b == 0:
        raise ToolError("no division by zero")
    return a / b


@server.tool()
def words() -> list[str]:
    return ["one", "two"]


@server.tool()
def variable(name: str) -> str:
    return os.environ.get(name, "unset")


@server.tool()
def stop() -> str:
    """Ends the server."""
    os._exit(3)


if len(sys.argv) > 1:
    server.run("streamable-http", port=int(sys.argv[1]))
else:
    server.run()
'''


class Ask(lp.Signature):
    """Answer the question."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("server") / "server.py"
    file.write_text(SERVER)
    return [sys.executable, str(file)]


@pytest.fixture(scope="module")
def tools(command: list[str]) -> Generator[dict[str, AnyTool]]:
    """Those of one server, for the tests that do not end it."""
    with mcp_tools(command) as found:
        yield {tool.name: tool for tool in found}


@pytest.fixture(scope="module")
def url(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    port = free_port()
    process = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/mcp"
    try:
        wait_for(address)
        yield address
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urlopen(address)
        except HTTPError:  # it answers, though not to a request without a body
            return
        except URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {address}")


def called(tool: AnyTool, **arguments: object) -> str:
    return asyncio.run(tool.acall(arguments))


def test_each_tool_of_a_server_has_its_description_and_schema(tools: dict[str, AnyTool]) -> None:
    assert list(tools) == ["add", "divide_by", "words", "variable", "stop"]
    assert tools["add"].description == "Adds two numbers."
    schema = json.loads(tools["add"].parameters)
    assert schema["required"] == ["a"]
    assert {name: said["type"] for name, said in schema["properties"].items()} == {"a": "integer", "b": "integer"}


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("add", {"a": 2, "b": 3}, "5"),
        ("add", {"a": 2}, "3"),
        ("divide_by", {"a": 1, "b": 4}, "0.25"),
        ("words", {}, "one\ntwo"),
    ],
)
def test_a_call_gives_what_the_server_says(
    tools: dict[str, AnyTool], name: str, arguments: dict[str, Any], said: str
) -> None:
    assert called(tools[name], **arguments) == said


def test_what_the_server_calls_an_error_is_raised_with_its_words(tools: dict[str, AnyTool]) -> None:
    with pytest.raises(RuntimeError, match="no division by zero"):
        called(tools["divide_by"], a=1, b=0)
    with pytest.raises(RuntimeError, match="valid integer"):
        called(tools["add"], a="many")


def test_many_calls_at_once_are_each_answered(tools: dict[str, AnyTool]) -> None:
    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(tools["add"].acall({"a": number, "b": number}) for number in range(40)))

    assert asyncio.run(all_of_them()) == [str(2 * number) for number in range(40)]


def test_an_agent_calls_them_and_reads_errors_as_observations(tools: dict[str, AnyTool]) -> None:
    def script(asked: Asked) -> Answer:
        if "next_tool_name" not in asked.outputs:
            return {"reasoning": "", "answer": "?"}
        said = [turn["observation"] for turn in json.loads(asked.inputs["trajectory"])]
        calls = [("divide_by", {"a": 1, "b": 0}), ("add", {"a": 20, "b": 22}), ("finish", {"answer": " | ".join(said)})]
        name, arguments = calls[len(said)]
        return {"next_thought": "", "next_tool_name": name, "next_tool_args": arguments}

    with lp.using(lm=ScriptedLM(script)):
        answer = ReAct(Ask, tools=list(tools.values()))(question="?").answer

    error = "Error: `divide_by` raised RuntimeError: Error executing tool divide-by: no division by zero"
    assert answer == f"{error} | 42"


def test_a_server_gets_the_variables_given_to_it_and_no_key_of_this_process(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")

    with mcp_tools(command, env={"COLOUR": "blue"}) as tools:
        (variable,) = [tool for tool in tools if tool.name == "variable"]

        assert called(variable, name="COLOUR") == "blue"
        assert called(variable, name="OPENAI_API_KEY") == "unset"


def test_a_server_that_ends_is_missed_at_the_next_call_and_never_an_observation(command: list[str]) -> None:
    def script(asked: Asked) -> Answer:
        return {"next_thought": "", "next_tool_name": "stop", "next_tool_args": {}}

    with mcp_tools(command) as tools, lp.using(lm=ScriptedLM(script)):
        with pytest.raises(UnavailableError, match=r"the MCP server .* is gone: it closed the connection"):
            ReAct(Ask, tools=tools)(question="?")
        with pytest.raises(UnavailableError):
            called(tools[0], a=1)


def test_after_the_block_the_server_is_gone(command: list[str]) -> None:
    with mcp_tools(command) as tools:
        assert called(tools[0], a=1) == "2"

    with pytest.raises(UnavailableError, match="its block has ended"):
        called(tools[0], a=1)


def test_in_async_code_the_block_is_async(command: list[str]) -> None:
    async def cell() -> str:
        async with mcp_tools(" ".join(command)) as tools:
            return await tools[0].acall({"a": 1})

    assert asyncio.run(cell()) == "2"


def test_a_server_is_spoken_to_over_http(url: str) -> None:
    with mcp_tools(url, headers={"Authorization": "Bearer secret-4711-secret"}) as tools:
        assert [tool.name for tool in tools][:2] == ["add", "divide_by"]
        assert called(tools[0], a=40, b=2) == "42"


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (["/no/such/program"], "cannot be reached: FileNotFoundError: .*Check the command"),
        ([sys.executable, "-c", "1"], "cannot be reached: MCPError: Connection closed. Check the command"),
        ("http://127.0.0.1:9/mcp", "cannot be reached: .*Check the URL"),
        ("", "no MCP server is named: write its command"),
        ([], "no MCP server is named"),
    ],
)
def test_a_server_that_is_not_there_is_said_at_once(server: Any, why: str) -> None:
    with pytest.raises(lp.InputError, match=why), mcp_tools(server, timeout_s=20):
        raise AssertionError("the block was entered")


def test_a_server_that_says_nothing_is_given_up() -> None:
    with (
        pytest.raises(lp.InputError, match=r"it did not answer within 0\.5 seconds"),
        mcp_tools([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.5),
    ):
        raise AssertionError("the block was entered")


def test_settings_that_belong_to_the_other_kind_of_server_are_refused(command: list[str]) -> None:
    with pytest.raises(lp.InputError, match="`env` is for an MCP server that is started by a command"):
        mcp_tools("http://localhost:1/mcp", env={"A": "b"})
    with pytest.raises(lp.InputError, match="`headers` for one with a URL"):
        mcp_tools(command, headers={"A": "b"})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"server": "python 'server.py"}, r"cannot be read \(No closing quotation\). Write it as a list"),
        (
            {"server": "http://localhost/mcp", "headers": {"X-Key": "hidden-key-1234\n"}},
            "'X-Key' is no text of one line",
        ),
        ({"server": "python server.py", "timeout_s": 0}, "timeout_s=0: write how many seconds"),
    ],
)
def test_settings_that_no_server_could_have_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(lp.InputError, match=why) as raised:
        mcp_tools(**settings)

    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("said", [["--api-key", "hidden-key-1234"], ["--api-key=hidden-key-1234"]])
def test_a_key_in_the_command_of_a_server_is_not_shown(said: list[str]) -> None:
    assert repr(mcp_tools(["no-such-program", *said, "--fast"])).endswith("*** --fast")


def test_an_artifact_holds_the_schemas_of_a_servers_tools(tools: dict[str, AnyTool], tmp_path: Path) -> None:
    path = lp.save(ReAct(Ask, tools=[tools["add"]]), tmp_path / "a.lmprog")

    lp.load(path, program=ReAct(Ask, tools=[tools["add"]]))
    with pytest.raises(lp.ArtifactError, match="`step` has the tool `words`"):
        lp.load(path, program=ReAct(Ask, tools=[tools["words"]]))
