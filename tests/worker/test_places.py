"""A place is a turn that runs, and who has waited longest gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.events import ended, of
from tests.support.host import have
from tests.worker.conftest import Begin, Workers

from midflight import events as e
from midflight.client.client import Client
from midflight.session.session import Session
from midflight.testing import FakeModel, ModelRequest, Text, Wait


async def test_one_place_is_one_turn_at_a_time_and_nobody_starves(
    begin: Begin, open_worker: Workers
) -> None:
    live: list[Session] = []
    turns: list[tuple[str, int]] = []

    def answer(request: ModelRequest) -> Text:
        turns.append((request.last_user_text, sum(session.engaged for session in live)))
        return Text("done")

    waiting = []
    for name in "abc":
        session = await begin(answer, task=f"{name}1")
        waiting += [session.first]
        for number in (2, 3):
            waiting.append(await session.send(f"{name}{number}", delivery="queue"))

    await open_worker(capacity=1, on_session=live.append)

    await asyncio.gather(*map(ended, waiting))
    assert [said for said, _ in turns] == [f"{name}{turn}" for turn in (1, 2, 3) for name in "abc"]
    assert {at_a_time for _, at_a_time in turns} == {1}


async def test_places_are_over_all_labels(
    begin: Begin, models: dict[str, FakeModel], open_worker: Workers
) -> None:
    live: list[Session] = []
    at_a_time: list[int] = []

    def answer(_: ModelRequest) -> list[Text | Wait]:
        at_a_time.append(sum(session.engaged for session in live))
        return [Wait("go on"), Text("done")]

    labels = ("gpu", "cpu", "gpu", "cpu", "gpu")
    sessions = [await begin(answer, task=f"{n}", on=on) for n, on in enumerate(labels)]

    await open_worker(labels=["gpu", "cpu"], capacity=2, on_session=live.append)

    model = models[sessions[-1].id]  # all of them ask that one
    await model.request(2)
    model.signal("go on")
    await asyncio.gather(*(ended(session.first) for session in sessions))
    assert max(at_a_time) == 2


async def test_message_to_an_idle_session_on_a_full_worker_waits(
    begin: Begin, client: Client, models: dict[str, FakeModel], open_worker: Workers
) -> None:
    await open_worker(capacity=1)
    idle = await begin(lambda _: Text("done"))
    await ended(idle.first)
    busy = await begin([Wait("go on"), Text("done")], Text("heard"), name="talk")
    await models[busy.id].reached("go on")

    more = await idle.send("more")
    steered = await busy.send("and that", delivery="steer")  # which takes no place, and keeps one

    full = "a place: the only place of 1 worker with the label gpu is taken by talk"
    while (await client.info(idle.id)).waits_for != full:
        pass  # the test's own time ends it
    assert more.state == "accepted"
    models[busy.id].signal("go on")
    assert (await ended(more)).text == "done"
    assert (await ended(busy.first)).text in {"done", "heard"}
    assert (await ended(steered)).text == "heard"


async def test_idle_session_with_a_free_place_keeps_its_agent(
    begin: Begin, client: Client, open_worker: Workers
) -> None:
    await open_worker(capacity=2)
    session = await begin(lambda _: Text("done"))
    await ended(session.first)

    await ended(await session.send("more"))

    assert len(of(e.SessionResumed, await client.history(session.id))) == 1  # for the first turn


async def test_redirect_keeps_the_place_of_the_turn_that_it_stops(
    begin: Begin, models: dict[str, FakeModel], open_worker: Workers
) -> None:
    await open_worker(capacity=1)
    session = await begin([Wait("never"), Text("done")], Text("instead"))
    await models[session.id].reached("never")
    other = await begin(Text("later"))

    new = await session.redirect("that")

    assert (await ended(new)).text == "instead"
    assert (await ended(other.first)).text == "later"


async def test_no_more_sessions_are_quiet_with_an_agent_than_there_are_places(
    client: Client,
    open_worker: Workers,
    fake_model: Callable[..., Awaitable[FakeModel]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model = await fake_model(Text("done"), Text("done"))
    have(monkeypatch, model.env(tmp_path))
    options = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    worker = await open_worker(capacity=1)
    begun = []
    for task in ("first", "second"):  # nobody follows them
        begun.append((await client.begin(task, options, on="gpu")).id)
        await model.request(len(begun))

    while (await client.info(begun[0])).host is not None or len(worker.live()) != 1:
        pass  # the test's own time ends it

    assert [session.id for session in worker.live()] == [begun[1]]
    assert (await client.info(begun[0])).status == "idle"
