"""Schedules for workers: whoever fires them, on any machine, and their sessions wait."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.host.conftest import state
from tests.journal.conftest import Become, Role, role
from tests.support.events import of
from tests.worker.conftest import HERE, Workers

from midflight import events as e
from midflight.agents import create
from midflight.agents.base import Agent
from midflight.client.client import Client, connect
from midflight.client.scheduled import RunStarter
from midflight.errors import InvalidOption, NotFound
from midflight.info import ScheduleInfo
from midflight.journal import Journal, Offer, SessionRow
from midflight.options import Options
from midflight.schedules.firing import Firing
from midflight.schedules.making import scheduled
from midflight.testing import FakeModel, Text

__all__ = ["role", "state"]


def _due(name: str, folder: Path, on: str | None = "gpu") -> ScheduleInfo:
    """Return a schedule whose run is due."""
    options = {"agent": "fake", "cwd": folder}
    new = scheduled("0 7 * * *", "UTC", "go", options, name=name, then=["more"], on=on)
    return msgspec.structs.replace(new, next=time.time() - 1)


async def test_worker_fires_what_is_for_workers_and_nothing_else(
    server: str,
    become: Become,
    client: Client,
    open_worker: Workers,
    fake_model: Callable[..., Awaitable[FakeModel]],
    *,
    tmp_path: Path,
) -> None:
    model = await fake_model(Text("done"), Text("more done"))

    def make(options: Options) -> Agent:
        return create(msgspec.structs.replace(options, env=model.env(tmp_path)))

    become(HERE)
    async with Journal(server) as journal:
        await journal.schedules.add(_due("elsewhere", tmp_path))
        await journal.schedules.add(_due("here", tmp_path, on=None))
        assert not await journal.schedules.is_fired("gpu")

        await open_worker(HERE, near=True, agent=make)
        await model.request(2)

        begun = [info for info in await client.sessions() if info.label == "gpu"]
        assert [info.name.rpartition("-20")[0] for info in begun] == ["elsewhere"]
        assert len(await client.sessions()) == 1
        assert await journal.schedules.is_fired("gpu")
        assert not await journal.schedules.is_fired()


async def test_schedule_for_workers_is_known_on_every_machine(
    server: str, become: Become, tmp_path: Path
) -> None:
    become("one")
    async with Journal(server) as journal:
        await journal.schedules.add(_due("elsewhere", tmp_path))
        await journal.schedules.add(_due("here", tmp_path, on=None))
    become("two")
    async with Journal(server) as journal:
        found = await journal.schedules.find("elsewhere")
        assert (found.on, found.next is not None) == ("gpu", True)
        with pytest.raises(NotFound):
            await journal.schedules.find("here")


async def test_worker_of_another_role_fires_it_as_its_makers(
    role: Role, become: Become, tmp_path: Path
) -> None:
    """What is for one machine is fired by nobody else, nor by another person."""
    become("laptop")
    async with Journal(role("ada")) as ada, Journal(role("builder", "worker")) as builder:
        for name, on in (("elsewhere", "gpu"), ("here", None)):
            await ada.schedules.add(_due(name, tmp_path, on=on))
        become("big")
        bob = await _fired(role("bob"))
        assert await ada.sessions() == bob == []
        assert not await ada.schedules.is_fired("gpu")
        offer = Offer(labels=("linux",), capacity=1, version="1", work="/")
        await builder.host.register("/a.sock", fires=True, offer=offer)
        assert await ada.schedules.is_fired("gpu")

        await _fired(role("builder", "worker"))

        [info] = await ada.infos(await ada.sessions())
        assert (info.name.rpartition("-20")[0], info.label) == ("elsewhere", "gpu")
        [schedule] = [each for each in await ada.schedules.all() if each.on]
        assert schedule.last is not None
        assert (schedule.last.state, schedule.last.session) == ("begun", info.name)
        said = of(e.MessageAccepted, await ada.events(info.id))
        assert [one.text for one in said] == ["go", "more"]
        assert {one.who.person for one in said if one.who} == {"ada"}
        assert await builder.schedules.all() == []


async def _fired(journal: str) -> list[SessionRow]:
    """Fire what is for workers as a role; return its sessions."""
    async with Journal(journal) as own, connect(journal) as client:
        await own.host.register("")
        firing = Firing(own, RunStarter(client), for_workers=True)
        await firing.look()
        await firing.settled()
        await own.host.leave()
        return await own.sessions()


async def test_schedule_for_workers_needs_a_shared_journal(state: Path, tmp_path: Path) -> None:
    async with Journal(state) as journal:
        with pytest.raises(InvalidOption, match="this one is a file"):
            await journal.schedules.add(_due("elsewhere", tmp_path))
    for label, worktree in (("a b", False), ("gpu", True)):
        with pytest.raises(InvalidOption):
            scheduled("0 7 * * *", "UTC", "go", {"cwd": tmp_path}, on=label, worktree=worktree)
