"""Hosts that are sick are in nobody's way, and no host holds on to a folder."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.deleted_folder import in_deleted_folder
from tests.support.raw_http import call
from tests.support.sick_host import SICK, sick_host

from midflight.address import Address
from midflight.client.client import connect
from midflight.client.placement import Placement
from midflight.client.spawn import start_host
from midflight.environment import HostKind
from midflight.host import Host
from midflight.info import SessionInfo
from midflight.journal import Journal
from midflight.journal.choice import choose
from midflight.session.session import Session
from midflight.testing import FakeModel, Text

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


@pytest.fixture
def healthy(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return the host that a client gets when it starts one; none that hangs is waited for."""

    async def start(*_: object, **__: object) -> Address:
        return Address.parse(host.address())

    monkeypatch.setattr("midflight.client.placement.start_host", start)
    monkeypatch.setattr("midflight.client.placement.KNOWS_S", 0.1)
    return host


@fault("D7")
@pytest.mark.parametrize("kind", SICK)
async def test_dispatch_works_beside_a_sick_host(
    healthy: Host,
    state: Path,
    tmp_path: Path,
    fake_model: Callable[..., Awaitable[FakeModel]],
    kind: str,
) -> None:
    model = await fake_model(Text("done"))
    async with sick_host(state, kind) as asked, connect(state) as client:
        options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
        async with await client.dispatch("do it", **options) as session:
            assert session.first is not None
            assert (await session.first.result()).text == "done"
        assert asked


@fault("D7")
async def test_task_that_a_host_takes_and_does_not_accept_goes_elsewhere(
    healthy: Host,
    state: Path,
    tmp_path: Path,
    fake_model: Callable[..., Awaitable[FakeModel]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = await fake_model(Text("done"))
    options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    accepted = Placement._accepted  # noqa: SLF001

    async def accept(self: Placement, address: Address, path: str, body: bytes) -> SessionInfo:
        slow = 30.0 if str(address) == healthy.address() else 0.1
        monkeypatch.setattr("midflight.client.placement.ACCEPT_S", slow)
        return await accepted(self, address, path, body)

    monkeypatch.setattr(Placement, "_accepted", accept)
    async with sick_host(state, "hangs then") as asked, connect(state) as client:
        async with await client.dispatch("do it", **options) as session:
            assert session.first is not None
            assert (await session.first.result()).text == "done"
        assert [line.split()[1] for line in asked if b"POST" in line] == [
            b"/sessions?warm",
            b"/sessions",
        ]


@fault("D7")
@pytest.mark.parametrize("kind", SICK)
async def test_a_session_at_rest_is_commanded_beside_a_sick_host(
    healthy: Host, begin: Begin, state: Path, kind: str
) -> None:
    _, session = await begin(Text("one"), Text("two"), task="first")
    assert session.first is not None
    await session.first.result()
    await session.close("parked")
    async with (
        sick_host(state, kind),
        connect(state) as client,
        await client.session(session.id) as remote,
    ):
        assert (await (await remote.send("second")).result()).text == "two"


@fault("D7")
async def test_a_host_without_a_warm_agent_is_not_asked_for_one(
    host: Host, state: Path, fake_model: Callable[..., Awaitable[FakeModel]], tmp_path: Path
) -> None:
    model = await fake_model()
    async with Journal(state) as journal:
        [row] = await journal.hosts()
    asked = f"/healthz?warm&takes={HostKind(os.environ, None).mark(row.id)}"
    assert (await call(host.address(), asked))[1]["warm"] is False
    await host.keep_warm(agent="fake", cwd="/", env=model.env(tmp_path))
    assert (await call(host.address(), asked))[1]["warm"] is True
    assert (await call(host.address(), "/healthz?warm"))[1]["warm"] is False


@fault("D7")
async def test_a_host_in_the_background_stands_in_the_root(state: Path, tmp_path: Path) -> None:
    with in_deleted_folder(tmp_path):
        await start_host(choose(state))
    async with connect(state) as client:
        (row,) = await client.hosts()
    process = psutil.Process(row.pid)
    try:
        assert process.cwd() == "/"
    finally:
        os.kill(row.pid, signal.SIGTERM)
        await asyncio.to_thread(process.wait, 20)
