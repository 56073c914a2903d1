"""What a colleague says to a session that nobody has is written by a worker, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.journal.conftest import Become, Role, role
from tests.support.events import PATIENCE_S, of
from tests.support.journal import rows, sql
from tests.worker.conftest import HERE, Begin, Workers

from midflight import commands as c
from midflight import events as e
from midflight.client.client import Client, connect
from midflight.errors import NotAllowed, StoreRefused
from midflight.info import SessionInfo
from midflight.journal import Journal, Offer
from midflight.testing import ModelRequest, Text

__all__ = ["role"]

OPEN = "SELECT count(*) FROM inbox WHERE state <> 'done' AND asked IS NULL"  # readers ask


@pytest.fixture
async def client(role: Role, become: Become) -> AsyncIterator[Client]:
    """Return a client of the person who begins the sessions."""
    become(HERE)
    async with connect(role("ada"), door="command") as client:
        yield client


@pytest.fixture
async def bob(role: Role, become: Become) -> AsyncIterator[Client]:
    """Return a client of a colleague."""
    become(HERE)
    async with connect(role("bob"), door="command") as client:
        yield client


async def _until(client: Client, session: str, status: str) -> SessionInfo:
    """Wait until a session is at rest with a status: who had it may still be about to leave."""
    async with asyncio.timeout(PATIENCE_S):
        while (info := await client.info(session)).status != status or info.host is not None:
            pass  # each look takes the server's time
        return info


async def test_commands_of_a_colleague_at_rest_are_carried_out_once(
    begin: Begin, bob: Client, open_worker: Workers, role: Role, server: str
) -> None:
    """By workers that could not even run the session, of which two look at the same time."""
    heard = list[str]()

    def answer(request: ModelRequest) -> Text:
        heard.append(request.last_user_text)
        return Text("done")

    session = await begin(answer)
    works = role("works", "worker")
    for machine in ("one", "two"):  # without the variables that it needs
        await open_worker(machine, where=works, labels=["gpu", "cpu"], variables=())

    said = [c.Send(text=f"say {number}", id=f"m{number}") for number in range(4)]
    for outcome in await asyncio.gather(*(bob.carry_out(session.id, one) for one in said)):
        assert outcome.state == "accepted"
    await bob.carry_out(session.id, c.Cancel(message="m3"))
    await bob.carry_out(session.id, c.Edit(message="m2", text="changed"))
    await bob.carry_out(session.id, c.SetLimits(max_turns=50))
    await bob.carry_out(session.id, c.Relocate(on="cpu"))

    info = await _until(bob, session.id, "waiting")
    assert info.waits_for.startswith("a worker with the label cpu that offers")
    events = await bob.history(session.id)
    accepted = of(e.MessageAccepted, events)[1:]
    assert sorted(one.message for one in accepted) == ["m0", "m1", "m2", "m3"]
    assert {one.who and one.who.person for one in accepted} == {"bob"}
    assert [one.message for one in of(e.MessageCancelled, events)] == ["m3"]
    assert rows(server, OPEN) == [(0,)]
    await open_worker("three", where=works, labels=["cpu"])
    async with asyncio.timeout(PATIENCE_S):
        async for event in session.events():
            if isinstance(event, e.MessageAnswered) and event.message == "m2":
                break
    assert "changed" in "".join(heard)


async def test_colleague_closes_a_session_at_rest_and_wakes_it_again(
    dispatch: Begin, bob: Client, open_worker: Workers, role: Role, server: str
) -> None:
    session = await dispatch()
    await open_worker(where=role("works", "worker"), variables=())

    await bob.carry_out(session.id, c.Close())
    await _until(bob, session.id, "closed")
    await bob.carry_out(session.id, c.Send(text="more"))

    await _until(bob, session.id, "waiting")
    assert rows(server, OPEN) == [(0,)]


async def test_colleague_is_told_that_no_worker_is_there(
    dispatch: Begin, bob: Client, role: Role, become: Become, server: str
) -> None:
    """At once, or when the one that was there has ended before it took the message."""
    session = await dispatch()
    offer = Offer(labels=("gpu",), capacity=1, version="0", work="/work")
    become("one")
    async with Journal(role("works", "worker")) as worker:
        staying = asyncio.ensure_future(worker.host.stay())
        await worker.host.register("", offer=offer)
        sending = asyncio.ensure_future(bob.carry_out(session.id, c.Send(text="more")))
        async with asyncio.timeout(PATIENCE_S):
            while rows(server, OPEN) == [(0,)]:
                await bob.info(session.id)  # which lets the sender go on
        await worker.host.leave()
        staying.cancel()
        sentence = "is ada's, and at rest: no worker with the label gpu is there"
        with pytest.raises(NotAllowed, match=sentence):
            await sending
    with pytest.raises(NotAllowed, match=sentence) as refused:
        await bob.carry_out(session.id, c.Send(text="more"))
    assert refused.value.hint == "ada can do this, or a worker: midflight worker --label gpu"
    assert rows(server, "SELECT count(*) FROM inbox") == [(0,)]


async def test_colleague_is_told_that_a_session_at_rest_is_damaged(
    dispatch: Begin, bob: Client, open_worker: Workers, role: Role, server: str
) -> None:
    session = await dispatch()
    sql(server, "UPDATE events SET data = '7'")
    await open_worker(where=role("works", "worker"), variables=())

    with pytest.raises(StoreRefused):
        await bob.carry_out(session.id, c.Send(text="more"))

    assert rows(server, OPEN) == [(0,)]
