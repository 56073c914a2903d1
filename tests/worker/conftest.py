"""Workers of this process, each on a machine of its own, and a client on yet another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.host.conftest import fake_model, patient
from tests.journal.conftest import Become, become, server
from tests.support.host import have

from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.testing import FakeModel
from midflight.testing.model.environment import env_for
from midflight.worker import Worker

__all__ = ["become", "fake_model", "patient", "server"]

HERE = "here"

Workers = Callable[..., Awaitable[Worker]]
Begin = Callable[..., Awaitable[RemoteSession]]


@pytest.fixture
async def open_worker(
    server: str,
    become: Become,
    no_agent_left: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Workers]:
    """Return a function that makes workers, each on a machine of its own.

    They offer what an agent needs for a scripted model; `begin` says what it is.
    """
    offered = env_for("", tmp_path)
    have(monkeypatch, offered)
    async with AsyncExitStack() as stack:

        async def start(
            machine: str = "one", *, near: bool = False, where: str = server, **options: Any
        ) -> Worker:
            become(machine)
            worker = Worker(where, **{"labels": ["gpu"], "variables": offered, **options})
            await stack.enter_async_context(worker)
            if not near:
                await asyncio.to_thread(Path(worker.address()).unlink)  # nobody dials in there
            become(HERE)
            return worker

        yield start


@pytest.fixture
async def client(server: str, become: Become) -> AsyncIterator[Client]:
    """Return a client on a machine without workers."""
    become(HERE)
    async with connect(server, door="command") as client:
        yield client


@pytest.fixture
def models() -> dict[str, FakeModel]:
    """Return the model of each session that was begun, by its id."""
    return {}


@pytest.fixture
def dispatch(
    client: Client,
    models: dict[str, FakeModel],
    fake_model: Callable[..., Awaitable[FakeModel]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Begin:
    """Return a function from steps to a session that waits for a worker."""

    async def start(
        *steps: Any, task: str = "go", on: str = "gpu", **options: Any
    ) -> RemoteSession:
        model = await fake_model(*steps)
        have(monkeypatch, model.env(tmp_path))  # its names are stored, and no values
        chosen = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path), **options}
        session = await client.dispatch(task, on=on, **chosen)
        models[session.id] = model
        return session

    return start


@pytest.fixture
async def begin(dispatch: Begin) -> AsyncIterator[Begin]:
    """Return the same for one that is followed from here."""
    async with AsyncExitStack() as stack:

        async def start(*steps: Any, **options: Any) -> RemoteSession:
            return await stack.enter_async_context(await dispatch(*steps, **options))

        yield start
