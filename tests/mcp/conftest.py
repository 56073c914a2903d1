from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from tests.support.fake_host import open_host, state
from tests.support.mcp_tools import Tools

from midflight.authorization import AnswerScope
from midflight.client.client import connect
from midflight.mcp.bounds import DispatchBounds
from midflight.mcp.handlers import Handlers
from midflight.mcp.server import make_server

__all__ = ["OpenTools", "open_host", "open_tools", "state"]

OpenTools = Callable[..., Awaitable[Tools]]


@pytest.fixture
async def open_tools(tmp_path: Path, patience: None) -> AsyncIterator[OpenTools]:
    """Return a function that makes a server of this process, and the official client of it."""
    async with AsyncExitStack() as stack:

        async def start(*, may_answer: AnswerScope = False, **bounds: Any) -> Tools:
            client = await stack.enter_async_context(connect(may_answer=may_answer))
            handlers = Handlers(client, DispatchBounds(**{"dirs": (tmp_path,), **bounds}))
            stack.push_async_callback(handlers.close)

            async def own(_: object) -> Handlers:
                return handlers

            server = make_server(own, answers=handlers.answers)
            official = await stack.enter_async_context(Client(server))
            return Tools(official, tmp_path / "work")

        yield start
