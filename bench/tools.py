"""Measures the tools of ``midflight mcp``: what a call adds to the verb, and what a model reads.

The raw side is the verb itself, through `midflight.connect()`, on the same session and host.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types

from bench.base import Samples, Size
from midflight import commands as c
from midflight.client.client import Client, connect
from midflight.host import Host
from midflight.mcp.tools import definitions
from midflight.testing import FakeModel, Text

__all__ = ["PROBES"]

CHARACTERS_A_TOKEN = 4
"""A rule of thumb for English text and JSON; each model has a tokenizer of its own."""

LISTED = 20
NEWS = 3_000
"""How much an agent has said: as much as the tools return at once."""

MIDFLIGHT = str(Path(sys.executable).with_name("midflight"))


@asynccontextmanager
async def scene(state: Path, sessions: int) -> AsyncIterator[Client]:
    """Have a host with so many sessions that have had a turn each; yield a client."""
    async with FakeModel(lambda _: Text("x" * NEWS)) as model, Host(state) as host:
        for number in range(sessions):
            session = await host.dispatch(
                "go", agent="fake", env=model.env(state), name=f"session-{number}"
            )
            async for _ in session.stream():
                pass
        async with connect(state) as client:
            yield client


# The state folder of the program that is started here.
STATE = Path("state-of-tools").absolute()


async def tools(side: str, size: Size) -> Samples:
    """Call after call: interrupt a session that is idle, which does nothing, and list all."""
    os.environ["XDG_STATE_HOME"] = str(STATE)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            scene(STATE / "midflight", min(LISTED, size.listed))
        )
        if side == "raw":
            return await timed(size, directly(client))
        # The client of the SDK takes a second to load: only the side that has one waits for it.
        from mcp.client.client import Client as McpClient
        from mcp.client.stdio import StdioServerParameters, stdio_client

        server = StdioServerParameters(command=MIDFLIGHT, args=["mcp"], env=dict(os.environ))
        spoken = await stack.enter_async_context(McpClient(stdio_client(server)))

        async def call(tool: str, **given: Any) -> types.CallToolResult:
            result = await spoken.call_tool(tool, given)
            assert isinstance(result, types.CallToolResult)
            assert not result.is_error, result
            return result

        said = await call("wait", sessions=["session-0"], timeout_s=0)
        samples = await timed(
            size,
            {
                "interrupt": lambda: call("interrupt", session="session-0"),
                "sessions": lambda: call("sessions"),
            },
        )
        return samples | {
            "tokens_tools": [sum(map(told, definitions(may_answer=True)))],
            "tokens_report": [cost(await call("interrupt", session="session-0"))],
            "tokens_wait": [cost(said)],
            "tokens_sessions": [cost(await call("sessions"))],
        }


def directly(client: Client) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return the verbs that the tools carry out."""

    async def interrupt() -> None:
        info = await client.info("session-0")
        await client.carry_out(info.id, c.Interrupt())
        await client.info("session-0")

    return {"interrupt": interrupt, "sessions": client.sessions}


async def timed(size: Size, calls: dict[str, Callable[[], Awaitable[object]]]) -> Samples:
    """Return how long each call takes, again and again; the first one of each does not count."""
    samples: Samples = {}
    for key, call in calls.items():
        await call()
        samples[key] = []
        for _ in range(size.live):
            began = time.perf_counter()
            await call()
            samples[key].append(time.perf_counter() - began)
    return samples


def told(tool: types.Tool) -> float:
    """Return the tokens of a tool as agents tell a model of it; of what it returns they do not."""
    return tokens(json.dumps([tool.name, tool.description, tool.input_schema]))


def cost(result: types.CallToolResult) -> float:
    """Return the tokens of the longer one of a result's two forms: clients show either."""
    said = "".join(part.text for part in result.content if isinstance(part, types.TextContent))
    return max(tokens(said), tokens(json.dumps(result.structured_content)))


def tokens(text: str) -> float:
    """Return about how many tokens a text has."""
    return len(text) / CHARACTERS_A_TOKEN


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {"tools": tools}
