"""The tools of MCP over HTTP: behind the guard, and each client with what its model has seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from tests.faults.manifest import fault
from tests.host.test_shared_host import one_environment, started
from tests.server.conftest import TOKEN, Server
from tests.support.mcp_tools import Tools, text_of

from midflight import events as e
from midflight.host import Host
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Wait

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

__all__ = ["one_environment", "started"]

WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})
START: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    },
}
BOTH = "application/json, text/event-stream"


@contextlib.asynccontextmanager
async def tools_of(server: Server, folder: Path, name: str = "x") -> AsyncIterator[Tools]:
    """Connect as a client that has the token."""
    headers = {"authorization": f"Bearer {TOKEN}", "midflight-client": name}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=100) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with Client(transport) as client:
            yield Tools(client, folder)


async def test_tools_work_over_http(server: Server, begin: Begin, tmp_path: Path) -> None:
    _, session = await begin([WRITE], Text("done"), name="fix")
    message = await session.send("write")
    async with tools_of(server, tmp_path) as tools:
        listing = await tools.ask("sessions")
        assert [each["session"] for each in listing["sessions"]] == ["fix"]
        report = (await tools.ask("wait", sessions=["fix"]))["sessions"][0]
        asked = report["asks"][0]["request"]
        await tools.ask("answer", session="fix", request=asked, decision="allow")
    assert (await message.result()).text == "done"
    (resolved,) = [
        event async for event in _durable(session) if isinstance(event, e.PermissionResolved)
    ]
    assert resolved.who is not None
    assert (resolved.who.role, resolved.who.door) == ("program", "mcp")


async def _durable(session: Session) -> AsyncIterator[e.Event]:
    async for event in session.events():
        yield event
        if event.seq == session.last_seq:
            return


async def test_client_answers_nothing_that_another_one_was_shown(
    server: Server, begin: Begin, tmp_path: Path
) -> None:
    _, session = await begin([WRITE], Text("done"), name="fix")
    message = await session.send("write")
    async with tools_of(server, tmp_path, "one") as one, tools_of(server, tmp_path, "two") as two:
        report = (await one.ask("wait", sessions=["fix"]))["sessions"][0]
        asked = report["asks"][0]["request"]
        refusal = await two.refused("answer", session="fix", request=asked, decision="allow")
        assert "say which" in refusal
        await one.ask("answer", session="fix", request=asked, decision="deny")
    await message.result()


@fault("N8")
async def test_client_that_leaves_while_a_tool_waits_takes_nothing_with_it(
    server: Server, begin: Begin, tmp_path: Path
) -> None:
    model, session = await begin([Wait("go"), WRITE], Text("done"), name="fix")
    message = await session.send("write")
    await model.reached("go")
    async with tools_of(server, tmp_path) as tools:
        waiting = asyncio.create_task(tools.ask("wait", sessions=["fix"]))
        await tools.ask("sessions")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    model.signal("go")
    async with tools_of(server, tmp_path) as tools:
        report = (await tools.ask("wait", sessions=["fix"]))["sessions"][0]
        asked = report["asks"][0]["request"]
        await tools.ask("answer", session="fix", request=asked, decision="allow")
    assert (await message.result()).text == "done"


async def test_client_dispatches_only_what_the_user_has_listed(
    server: Server, tmp_path: Path
) -> None:
    async with tools_of(server, tmp_path) as tools:
        result = await tools.call("dispatch", task="x", agent="acp:/bin/sh", cwd=str(tmp_path))
        assert result.is_error
        assert "not_allowed" in text_of(result)


@fault("S1", "S2", "S3")
async def test_protocol_is_behind_the_guard(server: Server) -> None:
    call = {"content_type": "application/json", "accept": BOTH}
    assert (await server.call("/mcp", "POST", START, **call))[0] == 200
    for wrong, status in (
        ({"authorization": ""}, 401),
        ({"host": "evil.com"}, 421),
        ({"origin": "http://evil.com"}, 403),
        ({"content_type": "text/plain"}, 400),
    ):
        assert (await server.call("/mcp", "POST", START, **{**call, **wrong}))[0] == status
    assert (await server.call("/mcp", "POST", b"x" * (5 * 2**20), **call))[0] == 413
    assert (await server.call("/mcp", "POST", START, mcp_session_id="unknown", **call))[0] == 404
    assert (await server.call("/mcp", "PUT", START, **call))[0] == 405


@fault("N7")
async def test_end_of_the_server_ends_the_protocols_streams(
    host: Host, state: Path, tmp_path: Path
) -> None:
    options = ServeOptions(host="127.0.0.1", port=0, where=state)
    async with contextlib.AsyncExitStack() as stack:
        running = serving(options, {"MIDFLIGHT_TOKEN": TOKEN})
        server = Server(await running.__aenter__())
        with contextlib.suppress(Exception):  # its stream ends under it
            tools = await stack.enter_async_context(tools_of(server, tmp_path))
            await tools.ask("sessions")
        await running.__aexit__(None, None, None)
        with pytest.raises(OSError, match="Connect"):
            await server.call("/sessions")
