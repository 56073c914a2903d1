"""A session that waits for a worker gets one, once, and is told all that was said meanwhile."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.events import PATIENCE_S, ended, of, read
from tests.support.journal import rows, sql
from tests.support.raw_http import call
from tests.worker.conftest import Begin, Workers

from midflight import commands as c
from midflight import events as e
from midflight.address import Address
from midflight.client.client import Client, connect
from midflight.environment import TOKEN_VARIABLE
from midflight.errors import AgentUnavailable, InvalidInput, InvalidOption, NotAllowed, NotFound
from midflight.host import Host
from midflight.host.recovery import recover
from midflight.journal import Journal
from midflight.lineage import SESSION_VARIABLE
from midflight.server.server import ServeOptions, serving
from midflight.testing import FakeAgent, ModelRequest, Text, ToolCall
from midflight.wire import WIRE
from midflight.worker import Worker

TOKEN = "a-token-for-tests-only"


def _echo(request: ModelRequest) -> Text:
    return Text(f"heard {request.last_user_text}")


async def test_session_waits_until_a_worker_with_its_label_comes(
    begin: Begin, client: Client, open_worker: Workers
) -> None:
    session = await begin(Text("done"))
    info = await client.info(session.id)
    assert (info.status, info.host) == ("waiting", None)
    assert info.waits_for == "a worker with the label gpu: there is none"
    await open_worker("other", labels=["cpu"])

    await open_worker("one")

    assert (await ended(session.first)).text == "done"
    assert (await client.info(session.id)).waits_for == ""


async def test_who_follows_a_session_that_waits_sees_it_begin(
    begin: Begin, open_worker: Workers
) -> None:
    session = await begin(Text("done"))
    told = session.events()
    async with asyncio.timeout(PATIENCE_S):
        waiting = [await anext(told), await anext(told)]

    await open_worker()

    assert [type(event) for event in waiting] == [e.MessageAccepted, e.SessionEnded]
    async with asyncio.timeout(PATIENCE_S):
        assert isinstance(await anext(told), e.SessionResumed)
        async for event in told:
            if isinstance(event, e.TurnEnded):
                break


async def test_who_begins_or_tells_a_session_that_waits_says_its_version(
    dispatch: Begin, client: Client, server: str
) -> None:
    """Which a worker has to speak that claims it."""
    session = await dispatch()
    wire = "SELECT wire FROM sessions"
    assert rows(server, wire) == [(WIRE,)]
    sql(server, "UPDATE sessions SET wire = NULL")  # as an older midflight has begun it

    await client.carry_out(session.id, c.Send(text="more"))

    assert rows(server, wire) == [(WIRE,)]


async def test_request_is_denied_at_once_where_nobody_attends_a_worker(
    dispatch: Begin, client: Client, open_worker: Workers
) -> None:
    """As on one machine: it is said with the session."""
    wanted = ToolCall("Bash", {"command": "touch made"})
    begun = await dispatch(wanted, Text("done"), attended=False, allowed_tools=[])
    await open_worker()

    async with await client.session(begun.id, attend=False) as session:
        events = await read(session)

    (resolved,) = of(e.PermissionResolved, events)
    assert (resolved.decision, resolved.by) == ("deny", "policy")


async def test_recovery_that_comes_late_takes_nothing_from_its_line(
    dispatch: Begin, client: Client, server: str, open_worker: Workers
) -> None:
    """Others may have recovered a session, and somebody said more to it, since it was looked at."""
    session = await dispatch(Text("done"))
    async with Journal(server) as journal, journal.host.briefly():
        row, record, past = await journal.take(session.id)  # as of a worker that died in a turn
        assert past.state is not None
        (message,) = past.state.outbox.waiting()
        cut = (
            e.SessionResumed(reason="waiting"),
            e.TurnStarted(origin="message", messages=(message.id,)),
            e.MessageStarted(message=message.id),
        )
        record.begin(lambda seq: None, lambda error: None)
        for seq, event in enumerate(cut, row.seq + 1):
            record.append(e.stamp(event, seq=seq, session=row.id, turn=1, time=time.time()))
        await record.close()
        await recover(*await journal.take(session.id))
        assert (await client.info(session.id)).status == "idle"
        await client.carry_out(session.id, c.Send(text="more"))

        await recover(*await journal.take(session.id))

        assert (await client.info(session.id)).status == "waiting"
    await open_worker()
    async with session, asyncio.timeout(PATIENCE_S):
        async for event in session.events(row.seq):
            if isinstance(event, e.TurnEnded) and event.text == "done":
                break


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sessions SET options = '7'",
        "UPDATE sessions SET options = jsonb_set(CAST(options AS jsonb), '{repo}', '7')",
        "UPDATE events SET data = '7'",
        "DELETE FROM events WHERE seq = 1",
    ],
)
async def test_session_that_is_damaged_does_not_keep_a_worker_busy(
    dispatch: Begin, client: Client, server: str, open_worker: Workers, damage: str
) -> None:
    damaged = await dispatch()
    sql(server, damage)
    async with await dispatch(Text("done")) as session:
        await open_worker()

        assert (await ended(session.first)).text == "done"
    info = await client.info(damaged.id)
    assert (info.status, info.host, info.waits_for) == ("idle", None, "")
    assert re.search("cannot be read|missing|failed", info.last)


async def test_idle_worker_is_called_and_need_not_look(
    begin: Begin, open_worker: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.worker.places.LOOK_AGAIN_S", PATIENCE_S * 10)
    await open_worker()

    session = await begin(Text("done"))

    assert (await ended(session.first)).text == "done"


async def test_call_that_was_lost_is_made_up_for(
    begin: Begin, open_worker: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.waiting.WORKERS", "nobody_listens")
    monkeypatch.setattr("midflight.worker.places.LOOK_AGAIN_S", 0.1)
    await open_worker()

    session = await begin(Text("done"))

    assert (await ended(session.first)).text == "done"


async def test_what_is_said_while_it_waits_is_heard_in_order(
    begin: Begin, client: Client, open_worker: Workers
) -> None:
    session = await begin(_echo, task="one")
    two = await session.send("two", delivery="queue")
    dropped = await session.send("three", delivery="queue")
    assert await dropped.cancel()
    four = await session.send("four", delivery="queue")
    await session.command(c.SetLimits(max_turns=7))

    await open_worker()

    said = [(await ended(each)).text for each in (session.first, two, four)]
    assert said == ["heard one", "heard two", "heard four"]
    assert (await client.info(session.id)).limits == {"max_turns": 7}


async def test_redirect_goes_before_what_waits(
    begin: Begin, client: Client, open_worker: Workers
) -> None:
    session = await begin(_echo, task="one")
    first = await session.redirect("instead")

    await open_worker()

    await ended(session.first)
    await ended(first)
    started = [each.message for each in of(e.MessageStarted, await client.history(session.id))]
    assert started[0] == first.id


async def test_message_that_is_sent_twice_is_one(begin: Begin, client: Client) -> None:
    session = await begin()
    for _ in range(2):
        await client.carry_out(session.id, c.Send(text="go on", id="m1"))

    said = of(e.MessageAccepted, await client.history(session.id))
    assert [each.text for each in said] == ["go", "go on"]


async def test_messages_of_many_senders_are_all_accepted(begin: Begin, client: Client) -> None:
    session = await begin()
    commands = [c.Send(text=f"{each}", id=f"m{each}") for each in range(20)]

    outcomes = await asyncio.gather(*(client.carry_out(session.id, one) for one in commands))

    assert sorted(one.number or 0 for one in outcomes) == list(range(2, 22))


async def test_session_that_was_stopped_while_it_waited_is_not_claimed(
    begin: Begin, client: Client, open_worker: Workers
) -> None:
    stopped = await begin(task="never")
    await client.carry_out(stopped.id, c.Close())
    removed = await begin(task="never")
    await client.remove(removed.id)
    other = await begin(Text("done"))

    await open_worker()

    assert (await ended(other.first)).text == "done"
    assert (await client.info(stopped.id, exact=True)).status == "closed"
    with pytest.raises(NotFound):
        await client.info(removed.id, exact=True)


async def test_same_id_twice_is_one_session_that_waits(
    client: Client, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path}
    first = await client.dispatch("go", id="k1", on="gpu", **options)
    again = await client.dispatch("go", id="k1", on="gpu", **options)

    assert first.id == again.id
    assert len(of(e.MessageAccepted, await client.history("k1"))) == 1
    async with Host(server, taking=True) as here:

        async def start_host(*_: object, **__: object) -> Address:
            return Address.parse(here.address())

        monkeypatch.setattr("midflight.client.placement.start_host", start_host)
        for other in ("cpu", None):
            with pytest.raises(InvalidInput, match="was begun with another task or other options"):
                await client.dispatch("go", id="k1", on=other, **options)


@pytest.mark.parametrize("label", ["", "a b", "-x", "a/b", "é", "x" * 65, "a\n", "'; DROP"])
async def test_label_with_strange_characters_is_refused(client: Client, label: str) -> None:
    with pytest.raises(InvalidOption, match="cannot be a label"):
        await client.dispatch("go", on=label)


async def test_what_fails_on_a_worker_names_it(
    begin: Begin, client: Client, open_worker: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is looked at there, and the agent is started there."""

    async def start(self: FakeAgent, memory: object = None) -> None:
        raise AgentUnavailable("it is not installed")

    monkeypatch.setattr(FakeAgent, "start", start)
    sessions = [await begin(cwd="/nowhere/at/all"), await begin()]

    await open_worker("one")

    told = []
    for session in sessions:
        assert (await ended(session.first)).status == "failed"
        told.append(of(e.Notice, await client.history(session.id))[-1].text)
        assert (await client.info(session.id)).status == "idle"
    assert "on the worker one: cwd: /nowhere/at/all does not exist" in told[0]
    assert "on the worker one: it is not installed" in told[1]


async def test_what_a_folder_runs_is_not_agreed_to_from_elsewhere(client: Client) -> None:
    with pytest.raises(InvalidOption, match="agreed to on the worker's own machine"):
        await client.dispatch("go", on="gpu", trust=True)


async def test_agent_is_no_worker_and_begins_nothing_elsewhere(
    server: str, begin: Begin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await begin()
    monkeypatch.setenv(SESSION_VARIABLE, session.id)

    with pytest.raises(NotAllowed, match="an agent is no worker"):
        Worker(server, labels=["gpu"])
    async with connect(server) as inside:
        with pytest.raises(NotAllowed, match="on its own machine"):
            await inside.dispatch("go", on="gpu", agent="fake")


async def test_task_over_http_waits_for_a_worker(server: str, tmp_path: Path) -> None:
    options = ServeOptions(host="127.0.0.1", port=0, where=server)
    wanted = {"task": "go", "agent": "fake", "cwd": str(tmp_path), "on": "gpu"}
    async with serving(options, {TOKEN_VARIABLE: TOKEN}) as running:
        address = running.urls[0].partition("://")[2]
        key = {"authorization": f"Bearer {TOKEN}"}
        status, info = await call(address, "/sessions", "POST", wanted, **key)
        assert (status, info["status"]) == (201, "waiting")
        assert info["waits_for"] == "a worker with the label gpu: there is none"
        for wrong in ({"on": 1}, {"worktree": True}):
            status, problem = await call(address, "/sessions", "POST", wanted | wrong, **key)
            assert (status, problem["code"]) == (422, "invalid_option")
