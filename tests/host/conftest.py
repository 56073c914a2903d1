from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.environment import TOKEN_VARIABLE
from midflight.host import Host
from midflight.options import Options
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel

TOKEN = "a-token-for-tests-only"

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Hosts = Callable[..., Awaitable[Host]]


@pytest.fixture(autouse=True)
def patient(patience: None) -> None:
    """Bound each test."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the journal's folder, which does not exist yet."""
    return tmp_path / "state"


@pytest.fixture
async def fake_model() -> AsyncIterator[Callable[..., Awaitable[FakeModel]]]:
    """Start fake models for one test; their scripts must be played to the end."""
    async with AsyncExitStack() as stack:

        async def start(*steps: Any) -> FakeModel:
            script = steps[0] if len(steps) == 1 and callable(steps[0]) else steps
            return await stack.enter_async_context(FakeModel(script))

        yield start


@pytest.fixture
async def open_host(state: Path, fake_model: object, no_agent_left: None) -> AsyncIterator[Hosts]:
    """Return a function that makes hosts of this process on one journal."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Host:
            return await stack.enter_async_context(Host(state, **options))

        yield start


@pytest.fixture
async def host(open_host: Hosts) -> Host:
    """Return a host of this process."""
    return await open_host()


@pytest.fixture
def begin(host: Host, fake_model: Callable[..., Awaitable[FakeModel]], tmp_path: Path) -> Begin:
    """Return a function from steps and options to a fake model and a live session of the host."""

    async def start(
        *steps: Any, task: str | None = None, id: str | None = None, **options: Any
    ) -> tuple[FakeModel, Session]:
        model = await fake_model(*steps)
        built = Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path), **options)
        return model, await host.begin(task, built, id)

    return start


@pytest.fixture
async def client(host: Host, state: Path) -> AsyncIterator[Client]:
    """Return a client of the host, which is in this process but knows nothing of it."""
    async with connect(state) as client:
        yield client


@pytest.fixture
async def attach_over_http(
    host: Host, state: Path
) -> AsyncIterator[Callable[..., Awaitable[RemoteSession]]]:
    """Return a function from a session of the host to the same session over a server's port."""
    async with AsyncExitStack() as stack:

        async def enter(session: Session) -> RemoteSession:
            options = ServeOptions(host="127.0.0.1", port=0, where=state)
            running = await stack.enter_async_context(serving(options, {TOKEN_VARIABLE: TOKEN}))
            client = await stack.enter_async_context(connect(running.urls[0], token=TOKEN))
            return await stack.enter_async_context(await client.session(session.id))

        yield enter


@pytest.fixture
async def attach(client: Client) -> AsyncIterator[Callable[..., Awaitable[RemoteSession]]]:
    """Return a function from a session of the host to the same session over its socket."""
    async with AsyncExitStack() as stack:

        async def enter(session: Session, **options: Any) -> RemoteSession:
            return await stack.enter_async_context(await client.session(session.id, **options))

        yield enter
