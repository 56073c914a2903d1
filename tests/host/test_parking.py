"""Sessions that nobody uses cost nothing, and agents that are kept ready are used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from tests.support.host import is_warm, journal_of, post, table_of

from midflight import events as e
from midflight.agents import create
from midflight.agents.base import Agent
from midflight.client.client import connect
from midflight.errors import AgentFailed, Conflict
from midflight.host import Host
from midflight.options import Options
from midflight.testing import FakeModel, Text, ToolCall, Usage, Wait

Hosts = Callable[..., Awaitable[Host]]
Models = Callable[..., Awaitable[FakeModel]]


class Counted:
    """Makes agents, and knows how many."""

    def __init__(self) -> None:
        self.made: list[Agent] = []

    def __call__(self, options: Options) -> Agent:
        agent = create(options)
        self.made.append(agent)
        return agent


def given(model: FakeModel, folder: Path, **more: Any) -> dict[str, Any]:
    return {"agent": "fake", "cwd": folder, "env": model.env(folder), **more}


async def test_quiet_session_is_parked_and_resumed_by_a_message(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model = await fake_model([Text("one")], [Text("two")])
    host = await open_host(park_after=0.01)
    session = await host.dispatch("this", **given(model, tmp_path))
    await session.over()
    (row,) = await journal_of(host).sessions()
    assert (row.status, row.host, row.turns) == ("idle", None, 1)
    again = await host.session(session.id)
    message = await again.send("and that")
    result = await message.result()
    assert (result.status, result.text, message.turn) == ("completed", "two", 2)
    assert again.agent_session == session.agent_session


async def test_changed_limits_hold_after_a_rest_and_in_lists(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model = await fake_model([Text("one"), Usage(100_000, 0)], Text("two"))
    host = await open_host(park_after=0.01)
    session = await host.dispatch("this", **given(model, tmp_path, max_budget_usd=0.2, max_turns=9))
    await session.over()
    again = await host.session(session.id)
    await again.set_limits(max_budget_usd=5.0, max_turns=None)
    await again.over()
    info = await journal_of(host).info(session.id)
    assert info.limits == {"max_budget_usd": 5.0}
    once_more = await host.session(session.id)
    assert once_more.limits == {"max_budget_usd": 5.0}
    assert (await (await once_more.send("and that")).result()).status == "completed"


async def test_session_that_is_read_is_parked_when_its_reader_leaves(
    open_host: Hosts, fake_model: Models, tmp_path: Path, state: Path
) -> None:
    model = await fake_model([Wait("it is read"), Text("one")])
    host = await open_host(park_after=0.2)
    session = await host.dispatch("this", **given(model, tmp_path))
    async with connect(state) as client, await client.session(session.id):
        model.signal("it is read")
        while session.idle_since is None:
            await asyncio.to_thread(lambda: None)
        while asyncio.get_running_loop().time() < session.idle_since + 0.3:
            await asyncio.to_thread(lambda: None)
        table_of(host).changed.set()
        assert not session.closing
    await session.over()


async def test_session_that_a_person_attends_here_is_parked_when_they_leave(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    write = ToolCall("Write", {"file_path": "new.txt", "content": "x"})
    model = await fake_model([Wait("they are here"), write], Text("one"))
    host = await open_host(park_after=0.05)
    session = await host.dispatch("this", **given(model, tmp_path))
    with host.attending(session.id):
        model.signal("they are here")
        async for event in session.stream():
            if isinstance(event, e.PermissionRequested):
                assert event.deadline is None
                await session.answer(event)
        while session.idle_since is None:
            await asyncio.to_thread(lambda: None)
        while asyncio.get_running_loop().time() < session.idle_since + 0.1:
            await asyncio.to_thread(lambda: None)
        table_of(host).changed.set()
        assert not session.closing
    await session.over()


async def test_parked_sessions_cost_no_task_thread_timer_or_descriptor(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model = await fake_model(lambda _: [Text("done")])
    host = await open_host(park_after=0.01)
    process, loop = psutil.Process(), asyncio.get_running_loop()

    async def rest() -> tuple[int, ...]:
        session = await host.dispatch("this", **given(model, tmp_path))
        await session.over()
        while host.live():
            await asyncio.to_thread(lambda: None)
        timers = len([one for one in loop._scheduled if not one.cancelled()])  # type: ignore[attr-defined]  # noqa: SLF001
        return (len(asyncio.all_tasks()), threading.active_count(), timers, process.num_fds())

    first = [await rest() for _ in range(8)]  # until threads and connections are there
    later = [await rest() for _ in range(20)]
    most, least = map(max, zip(*first, strict=True)), map(min, zip(*later, strict=True))
    assert all(now <= before for before, now in zip(most, least, strict=True)), (first, later)


async def test_task_takes_the_warm_agent_and_the_next_one_is_started(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model, counted = await fake_model(lambda _: [Text("done")]), Counted()
    host = await open_host(agent=counted)
    await host.keep_warm(**given(model, tmp_path))
    (ready,) = counted.made
    session = await host.dispatch("this", **given(model, tmp_path))
    assert session.first is not None
    assert (await session.first.result()).text == "done"
    assert model.agents[0] is ready
    while not is_warm(host, **given(model, tmp_path)):  # it is made first, and then started
        await asyncio.to_thread(lambda: None)
    assert len(counted.made) == 2


async def test_warm_agent_that_died_is_replaced(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model, counted = await fake_model(lambda _: [Text("done")]), Counted()
    host = await open_host(agent=counted)
    await host.keep_warm(**given(model, tmp_path))
    await model.agents[0].die()
    while is_warm(host, **given(model, tmp_path)):
        await asyncio.to_thread(lambda: None)

    session = await host.dispatch("this", **given(model, tmp_path))

    assert session.first is not None
    assert (await session.first.result()).text == "done"
    while not is_warm(host, **given(model, tmp_path)):
        await asyncio.to_thread(lambda: None)


async def test_task_with_other_options_does_not_get_the_warm_agent(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model, counted = await fake_model(lambda _: [Text("done")]), Counted()
    host = await open_host(agent=counted)
    await host.keep_warm(**given(model, tmp_path))
    session = await host.dispatch("this", **given(model, tmp_path, max_turns=3))
    assert session.first is not None
    await session.first.result()
    assert len(counted.made) == 2
    assert model.agents == counted.made  # the one that was ready was started first
    assert is_warm(host, **given(model, tmp_path))


async def test_warm_agent_that_was_not_needed_ends_with_its_host(
    fake_model: Models, tmp_path: Path, state: Path
) -> None:
    model, counted = await fake_model(lambda _: [Text("done")]), Counted()
    async with Host(state, agent=counted) as host:
        await host.keep_warm(**given(model, tmp_path))
    with pytest.raises(AgentFailed, match="not running"):
        await counted.made[0].interrupt()


async def test_host_without_a_warm_agent_refuses_a_caller_that_wants_one(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model = await fake_model(lambda _: [])
    host = await open_host()
    task = {"task": "x", "agent": "fake", "cwd": str(tmp_path), "env": model.env(tmp_path)}
    with pytest.raises(Conflict, match="no agent is ready"):
        await post(host, "/sessions?warm", msgspec.json.encode(task))
