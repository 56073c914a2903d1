"""A session goes on where its folder is; any machine may read, close and remove it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import ELSEWHERE, HERE, Hosts
from tests.support.host import close, have, share_secrets
from tests.support.journal import sql

from midflight.address import Address
from midflight.client.client import Client
from midflight.errors import Conflict, NotFound
from midflight.host import Host
from midflight.session.session import Session
from midflight.testing import FakeModel
from midflight.worktrees import FarWorktree, SessionWorktrees

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


async def test_session_at_rest_is_resumed_on_its_own_machine_alone(
    begin: Begin, host: Host, open_host: Hosts, client: Client, tmp_path: Path
) -> None:
    _, session = await begin()
    await session.close("parked")
    await session.over()
    mine, theirs = await open_host(HERE), await open_host(ELSEWHERE)
    for other in (mine, theirs):
        share_secrets(host, other)

    with pytest.raises(Conflict, match=f"is at rest on {ELSEWHERE}, where its folder is"):
        await mine.session(session.id)
    found = await SessionWorktrees(client).of(await client.info(session.id), tmp_path)
    assert isinstance(found, FarWorktree)
    assert await client.neighbours() == []

    resumed = await theirs.session(session.id)
    await resumed.close("parked")
    await resumed.over()

    await close(mine, session.id)
    assert (await client.info(session.id)).status == "closed"
    await client.remove(session.id)
    with pytest.raises(NotFound):
        await client.info(session.id, exact=True)


async def test_session_of_an_older_midflight_is_resumed_anywhere(
    begin: Begin, host: Host, open_host: Hosts, server: Any
) -> None:
    _, session = await begin()
    await session.close("parked")
    await session.over()
    mine = await open_host(HERE)
    share_secrets(host, mine)
    sql(server, "UPDATE sessions SET machine = NULL")

    assert (await mine.session(session.id)).id == session.id


async def test_id_of_a_session_on_another_machine_is_that_session(
    begin: Begin,
    client: Client,
    open_host: Hosts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that begins it twice, from two machines, has it once."""
    model, _ = await begin(id="the-id")
    have(monkeypatch, model.env(tmp_path))

    async def start_host(*_: object, **__: object) -> Address:
        return Address.parse((await open_host(HERE)).address())

    monkeypatch.setattr("midflight.client.placement.start_host", start_host)
    options = {"agent": "fake", "cwd": str(tmp_path), "env": model.env(tmp_path)}

    again = await client.begin(None, options, id="the-id")

    assert (again.id, len(await client.sessions())) == ("the-id", 1)
