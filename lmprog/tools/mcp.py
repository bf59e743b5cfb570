"""Tools of MCP servers: programs, here or elsewhere, that speak the Model Context Protocol."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, TextIO, cast

from lmprog import loop
from lmprog.errors import InputError, UnavailableError
from lmprog.request import canonical_json
from lmprog.secrets import checked_headers, keep_secret, keep_secrets_in, keep_secrets_of, names_a_secret, redact
from lmprog.tools import AnyTool, Tool

try:
    import httpx2
    import mcp_types as types
    from mcp import Client, MCPError, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client
except ImportError as error:
    raise InputError(f"tools of MCP servers need {error.name}, which is missing: pip install 'lmprog[mcp]'") from error

TIMEOUT_S = 60.0
_LONGEST_NAME = 64
"""Of a tool that providers take; servers may have names twice as long."""


class MCPTools:
    """The tools of an MCP server, while the block runs: `with lp.mcp_tools("uvx mcp-server-time") as tools:`, or `async with`.

    The server is a command, as a text or a list, which is started and spoken to over its standard input and output; or the
    URL of one that speaks streamable HTTP. `env` are further environment variables of a command, which gets few of this
    process's and none of its keys; `headers` go with each request to a URL. A call that takes longer than `timeout_s` fails.

    Each tool of the server becomes an `lp.Tool` with the server's description and schema, under its name with underscores
    for what no name may hold, cut at 64 characters. What the server says to be an error is raised as RuntimeError, which ReAct shows to the LM.
    InputError where there is no such server, UnavailableError once it is gone.
    """

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = server if isinstance(server, str) and server.startswith(("http://", "https://")) else ""
        self._command = [] if self._url else _words(server) if isinstance(server, str) else list(server)
        if not self._url and not self._command:
            raise InputError(
                'no MCP server is named: write its command, `lp.mcp_tools("python server.py")`, or its URL.'
            )
        if (env and self._url) or (headers and not self._url):
            raise InputError(
                "`env` is for an MCP server that is started by a command, and `headers` for one with a URL."
            )
        if not isinstance(cast("object", timeout_s), (int, float)) or not timeout_s > 0:
            raise InputError(f"timeout_s={timeout_s!r}: write how many seconds a call may take, such as timeout_s=60.")
        self._env, self._headers, self._timeout_s = dict(env or {}), dict(checked_headers(headers or {})), timeout_s
        keep_secrets_in(self._headers)
        keep_secrets_of(self._command)
        for name, value in self._env.items():
            if names_a_secret(name):
                keep_secret(value)
        self._serving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def __repr__(self) -> str:
        return redact(self._url.partition("?")[0] or shlex.join(self._command))

    def __enter__(self) -> list[AnyTool]:
        return loop.run(self._open(), instead="async with lp.mcp_tools(...) as tools:")

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        loop.run(self._close(), instead="async with lp.mcp_tools(...) as tools:")

    async def __aenter__(self) -> list[AnyTool]:
        return await loop.hop(self._open())

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        await loop.hop(self._close())

    async def _open(self) -> list[AnyTool]:
        """Connect, on the shared loop: there the calls are made."""
        if self._serving is not None:
            raise InputError(f"the MCP server {self!r} is connected already: write another `lp.mcp_tools(...)`.")
        self._closing = asyncio.Event()
        opened: asyncio.Future[list[AnyTool]] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(opened))
        either: list[asyncio.Future[Any]] = [self._serving, opened]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=self._timeout_s)
        if opened.done():
            return opened.result()
        ended = self._serving.done()
        why = _reason(self._serving.exception()) if ended else f"it did not answer within {self._timeout_s:g} seconds"
        await self._close()
        raise InputError(
            f"the MCP server {self!r} cannot be reached: {why}. Check {'the URL' if self._url else 'the command'}."
        )

    async def _serve(self, opened: "asyncio.Future[list[AnyTool]]") -> None:
        """Hold the connection from one task from its beginning to its end, as the client's cancel scopes want it."""
        async with AsyncExitStack() as stack:
            transport = await self._transport(stack)
            client = await stack.enter_async_context(Client(transport, read_timeout_seconds=self._timeout_s))
            opened.set_result([self._tool(client, one) for one in await _listed(client)])
            await self._closing.wait()

    async def _transport(self, stack: AsyncExitStack) -> AbstractAsyncContextManager[Any]:
        if not self._url:
            parameters = StdioServerParameters(command=self._command[0], args=self._command[1:], env=self._env)
            return stdio_client(parameters, errlog=_errors(stack))
        client = httpx2.AsyncClient(headers=self._headers, timeout=httpx2.Timeout(self._timeout_s))
        return streamable_http_client(self._url, http_client=await stack.enter_async_context(client))

    async def _close(self) -> None:
        serving, self._serving = self._serving, None
        if serving is None:
            return
        self._closing.set()
        _, unfinished = await asyncio.wait([serving], timeout=self._timeout_s)
        for task in unfinished:
            task.cancel()
        await asyncio.wait([serving])
        if not serving.cancelled():
            serving.exception()  # which is told where the connection was needed, and else of no interest

    def _tool(self, client: Client, told: types.Tool) -> AnyTool:
        async def call(**arguments: object) -> str:
            return await loop.hop(self._call(client, told.name, arguments))

        name = re.sub(r"[^A-Za-z0-9_]", "_", told.name)
        about, schema = told.description or told.title or "", told.input_schema
        name = name if name[:1].isalpha() else f"_{name}"
        return Tool(call, name=name[:_LONGEST_NAME], description=about, schema=schema)

    async def _call(self, client: Client, name: str, arguments: dict[str, object]) -> str:
        if self._serving is None or self._serving.done():
            raise self._gone("its block has ended" if self._serving is None else _reason(self._serving.exception()))
        try:
            result = await client.call_tool(name, arguments)
        except MCPError as error:
            if error.code == types.CONNECTION_CLOSED:
                raise self._gone("it closed the connection") from None
            raise RuntimeError(error.message) from None
        text = "\n".join(map(_text, result.content))
        if not result.content and result.structured_content is not None:
            text = canonical_json(result.structured_content)
        if result.is_error:
            raise RuntimeError(text)
        return text

    def _gone(self, why: str) -> UnavailableError:
        return UnavailableError(f"the MCP server {self!r} is gone: {why}.")


mcp_tools = MCPTools


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise InputError(
            f"the command {command!r} cannot be read ({error}). Write it as a list of its words."
        ) from None


async def _listed(client: Client) -> list[types.Tool]:
    found = await client.list_tools()
    tools = list(found.tools)
    while found.next_cursor:
        found = await client.list_tools(cursor=found.next_cursor)
        tools += found.tools
    return tools


def _text(block: types.ContentBlock) -> str:
    """Return a part of an answer as text; of what is none, that it was there."""
    match block:
        case types.TextContent():
            return block.text
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return text
        case types.EmbeddedResource():
            return f"(a resource: {block.resource.uri})"
        case types.ResourceLink():
            return f"(a link: {block.uri})"
        case _:
            return f"({block.type}, {block.mime_type})"


def _errors(stack: AsyncExitStack) -> TextIO:
    """Return where a server's words on its standard error go: to that of this process, where it has one."""
    try:
        if sys.__stderr__ is not None:
            sys.__stderr__.fileno()
            return sys.__stderr__
    except (OSError, ValueError):  # a notebook's, or one that was closed
        pass
    return stack.enter_context(open(os.devnull, "w"))


def _reason(error: BaseException | None) -> str:
    """Return in words what ended a connection: of a group, its first error."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return redact(f"{type(error).__name__}: {error}") if error else "it ended"
