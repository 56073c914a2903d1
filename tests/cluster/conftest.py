"""Two machines with one journal: what is made in this process is on the one that it says it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.host.conftest import attach, begin, fake_model, patient
from tests.journal.conftest import Become, become, server

from midflight.client.client import Client, connect
from midflight.host import Host

__all__ = ["attach", "become", "begin", "fake_model", "patient", "server"]

HERE, ELSEWHERE = "here", "elsewhere"

Hosts = Callable[..., Awaitable[Host]]


@pytest.fixture
async def open_host(server: str, become: Become, no_agent_left: None) -> AsyncIterator[Hosts]:
    """Return a function that makes hosts, on another machine if not told otherwise."""
    async with AsyncExitStack() as stack:

        async def start(machine: str = ELSEWHERE, **options: Any) -> Host:
            become(machine)
            host = await stack.enter_async_context(Host(server, **options))
            if machine == ELSEWHERE:
                await asyncio.to_thread(Path(host.address()).unlink)  # nobody dials in there
            become(HERE)
            return host

        yield start


@pytest.fixture
async def host(open_host: Hosts) -> Host:
    """Return a host on another machine."""
    return await open_host()


@pytest.fixture
async def client(host: Host, server: str) -> AsyncIterator[Client]:
    """Return a client on this machine."""
    async with connect(server, door="command") as client:
        yield client
