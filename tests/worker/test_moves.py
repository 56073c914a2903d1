"""A session goes on at another worker: when that is asked for, and when its own is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.support.events import PATIENCE_S, ended
from tests.support.host import have, journal_of
from tests.support.journal import rows, silence, sql
from tests.worker.conftest import Workers

from midflight import commands as c
from midflight import events as e
from midflight.client.client import Client
from midflight.client.session import RemoteSession
from midflight.errors import Conflict, HostGone
from midflight.rules.host_lost import GO_ON
from midflight.rules.turns import CUT_OFF
from midflight.state.session import MOST_LOST
from midflight.testing import FakeModel, Text, Wait
from midflight.testing.fake.agent import FakeAgent
from midflight.worker import Worker

E = TypeVar("E", bound=e.Event)

Play = Callable[..., Awaitable[tuple[FakeModel, RemoteSession]]]


@pytest.fixture
async def play(
    client: Client,
    fake_model: Callable[..., Awaitable[FakeModel]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Play]:
    """Return a function from steps to their model, and a session that waits for a worker."""
    async with AsyncExitStack() as stack:

        async def start(*steps: Any, **options: Any) -> tuple[FakeModel, RemoteSession]:
            model = await fake_model(*steps)
            have(monkeypatch, model.env(tmp_path))
            chosen = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path), **options}
            session = await client.dispatch("go", on="gpu", **chosen)
            return model, await stack.enter_async_context(session)

        yield start


async def machine_of(client: Client, session: str) -> str:
    """Return the machine of a session's host, once it has one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            info = await client.info(session, exact=True)
            for host in await client.hosts():
                if info.host and host.address == info.host:
                    return host.machine


async def written(client: Client, session: RemoteSession, kind: type[E]) -> E:
    """Return the first event of a kind, once it is in the journal."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for event in await client.history(session.id):
                if isinstance(event, kind):
                    return event


async def die(worker: Worker, server: str) -> None:
    """Have a worker look as if it had been killed: it does nothing by itself any more."""
    await worker._tasks.close()  # noqa: SLF001 - which nothing else stops
    await journal_of(worker)._writer.do(lambda _: None)  # noqa: SLF001 - a beat may be on its way
    silence(server, journal_of(worker).host.id)


async def test_worker_that_is_drained_ends_its_turn_and_lets_go(
    play: Play, client: Client, open_worker: Workers
) -> None:
    model, session = await play([Wait("on"), Text("one")], Text("two"))
    first = await open_worker("one")
    await model.reached("on")
    other = await session.send("go on", delivery="queue")
    await first.drain(900)
    await open_worker("two")
    model.signal("on")

    assert (await ended(session.first)).text == "one"
    assert (await ended(other)).text == "two"
    assert await machine_of(client, session.id) == "two"
    async with asyncio.timeout(PATIENCE_S):
        await first.drained.wait()


async def test_turn_that_outlasts_a_drain_is_stopped_and_says_so(
    play: Play, open_worker: Workers
) -> None:
    model, session = await play([Wait("on"), Text("one")])
    first = await open_worker("one")
    await model.reached("on")

    await first.drain(0)

    result = await ended(session.first)
    assert (result.status, result.reason) == ("interrupted", "interrupted")
    model.signal("on")


async def test_drain_that_is_taken_back_is_none(play: Play, open_worker: Workers) -> None:
    model, session = await play([Wait("on"), Text("one")], Text("two"))
    only = await open_worker("one")
    await model.reached("on")
    journal = journal_of(only)
    await only.drain(900)
    async with asyncio.timeout(PATIENCE_S):
        while not only._places._draining:  # noqa: SLF001 - nothing else shows it
            await journal.hosts()

    await journal.drain(journal.host.id or "", None)
    other = await session.send("go on", delivery="queue")
    model.signal("on")

    assert (await ended(other)).text == "two"


async def test_session_moves_when_its_turn_has_ended(
    play: Play, client: Client, open_worker: Workers
) -> None:
    model, session = await play([Wait("on"), Text("one")], Text("two"))
    await open_worker("one")
    await open_worker("two", labels=["cpu"])
    await model.reached("on")
    other = await session.send("go on", delivery="queue")

    await client.carry_out(session.id, c.Relocate(on="cpu"))
    model.signal("on")

    assert (await ended(session.first)).text == "one"
    assert (await ended(other)).text == "two"
    assert await machine_of(client, session.id) == "two"
    assert model.requests[1].last_user_text == "go on"  # it is told nothing of its move


async def test_move_at_once_stops_the_turn_and_keeps_what_waits(
    play: Play, client: Client, open_worker: Workers
) -> None:
    model, session = await play([Wait("on")], Text("two"))
    await open_worker("one")
    await open_worker("two", labels=["cpu"])
    await model.reached("on")
    other = await session.send("go on", delivery="queue")

    await client.carry_out(session.id, c.Relocate(on="cpu", at_once=True))

    assert (await ended(session.first)).status == "interrupted"
    model.signal("on")
    assert (await ended(other)).text == "two"
    assert await machine_of(client, session.id) == "two"


async def test_session_at_rest_moves_without_a_worker(
    play: Play, client: Client, open_worker: Workers
) -> None:
    _, session = await play(Text("one"))

    await client.carry_out(session.id, c.Relocate(on="cpu"))

    assert "the label cpu: there is none" in (await client.info(session.id)).waits_for
    await open_worker("two", labels=["cpu"])
    assert (await ended(session.first)).text == "one"


async def test_agent_that_cannot_move_keeps_its_session_there(
    play: Play, client: Client, open_worker: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeAgent, "capabilities", {**FakeAgent.capabilities, "relocate": "not"})
    model, session = await play([Wait("on"), Text("one")], Text("two"))
    first = await open_worker("one")
    await model.reached("on")
    other = await session.send("go on", delivery="queue")
    kept = "stays on one, which alone has what its agent remembers"
    with pytest.raises(Conflict, match=kept):
        await client.carry_out(session.id, c.Relocate(on="cpu", at_once=True))

    await open_worker("two")
    await first.drain(900)
    model.signal("on")
    assert (await ended(session.first)).text == "one"
    async with asyncio.timeout(PATIENCE_S):
        await first.drained.wait()
    with pytest.raises(Conflict, match=kept):
        await client.carry_out(session.id, c.Relocate(on="cpu"))
    said = "gpu on its machine one, which alone has what its agent remembers: "
    assert said in (await client.info(session.id)).waits_for

    await first.__aexit__(None, None, None)
    await open_worker("one")
    assert (await ended(other)).text == "two"
    assert await machine_of(client, session.id) == "one"


async def test_kept_session_of_a_lost_worker_waits_for_its_machine(
    play: Play,
    client: Client,
    open_worker: Workers,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who ends what was cut there leaves it to that machine, also where it is to go on at once."""
    monkeypatch.setattr(FakeAgent, "capabilities", {**FakeAgent.capabilities, "relocate": "not"})
    model, session = await play([Wait("on")], Text("done"), on_host_lost="resume")
    first = await open_worker("one")
    await model.reached("on")
    await open_worker("two")

    await die(first, server)

    assert (await ended(session.first)).reason == "host_died"
    model.signal("on")
    async with asyncio.timeout(PATIENCE_S):
        while not (said := (await client.info(session.id)).waits_for):
            pass  # who has written that gives it back
    assert "on its machine one, which alone has what its agent remembers" in said
    await open_worker("one")
    assert (await written(client, session, e.MessageAnswered)).turn == 2
    assert await machine_of(client, session.id) == "one"


async def test_session_whose_worker_is_lost_goes_on_elsewhere(
    play: Play, client: Client, open_worker: Workers, server: str
) -> None:
    """It is told that it was cut, and what it was asked; its turn has ended as always."""
    model, session = await play([Wait("on")], [Wait("again"), Text("done")], on_host_lost="resume")
    first = await open_worker("one")
    await model.reached("on")
    await open_worker("two")

    await die(first, server)

    await model.reached("again")
    assert (await ended(session.first)).reason == "host_died"
    model.signal("on")
    model.signal("again")
    assert model.requests[1].last_user_text == f"{CUT_OFF}\n\n{GO_ON}\n\ngo"
    assert (await written(client, session, e.MessageAnswered)).turn == 2
    assert rows(server, "SELECT lost FROM sessions") == [(None,)]


async def test_session_that_kills_its_workers_is_not_given_to_others(
    play: Play, client: Client, open_worker: Workers, server: str
) -> None:
    model, session = await play([Wait("on")], Text("done"), Text("again"), on_host_lost="resume")
    first = await open_worker("one")
    await model.reached("on")
    sql(server, "UPDATE sessions SET lost = :lost", lost=MOST_LOST - 1)
    second = await open_worker("two")

    await die(first, server)

    notice = await written(client, session, e.Notice)
    assert "3 hosts in a row have died" in notice.text
    async with asyncio.timeout(PATIENCE_S):
        while not (said := (await client.info(session.id)).waits_for):
            pass  # who has written that gives it back
    assert said.startswith("a message: 3 hosts in a row")
    assert second.live() == []
    model.signal("on")
    again = await session.send("try again", delivery="queue")
    assert (await ended(again)).text == "again"
    assert [each.last_user_text for each in model.requests][1:] == [
        f"{CUT_OFF}\n\n{GO_ON}\n\ngo",
        "try again",
    ]


async def test_session_gets_a_variable_from_a_worker_that_offers_it(
    play: Play, client: Client, open_worker: Workers
) -> None:
    """Another one may have it too: that is no reason to give it away."""
    _, session = await play(Text("one"))
    await open_worker("one", variables=["HOME"])

    assert "that offers ANTHROPIC_API_KEY" in (await client.info(session.id)).waits_for

    await open_worker("two")
    assert (await ended(session.first)).text == "one"
    assert await machine_of(client, session.id) == "two"


async def test_worker_that_let_a_session_go_leaves_it_to_the_next(
    play: Play, client: Client, open_worker: Workers
) -> None:
    """A message that had been given to it at that moment is given to who has the session then."""
    _, session = await play(Text("one"), Text("two"))
    first = await open_worker("one")
    assert (await ended(session.first)).text == "one"

    await client.carry_out(session.id, c.Relocate(on="other", at_once=True))

    with pytest.raises(HostGone, match="is for workers with the label other"):
        await first.session(session.id)
    message = await session.send("go on")
    await open_worker("two", labels=["other"])
    assert (await ended(message)).text == "two"
