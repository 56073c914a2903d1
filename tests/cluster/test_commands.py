"""What becomes of a command to a session on another machine when not all goes well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.cluster.conftest import HERE, Hosts
from tests.support.events import of, until
from tests.support.host import have, journal_of, result_in
from tests.support.journal import silence, sql

from midflight import commands as c
from midflight import events as e
from midflight.address import Address
from midflight.client.client import Client
from midflight.errors import NotAllowed, NotFound, StoreFailed
from midflight.host import Host
from midflight.journal.inbox import CommandResult, Inbox, Sender
from midflight.session.session import Session
from midflight.testing import FakeModel, Text
from midflight.values import Who
from midflight.who import here

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


async def test_owner_knows_who_has_sent_a_message(begin: Begin, client: Client) -> None:
    _, session = await begin(Text("done"))

    await client.carry_out(session.id, c.Send(text="go", id="m1"))

    (accepted,) = of(e.MessageAccepted, await client.history(session.id))
    assert accepted.message == "m1"
    assert accepted.who == replace(here("command"), person="midflight")


async def test_command_whose_call_was_lost_is_found(
    begin: Begin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.inbox.channel", lambda host: "nobody_listens")
    _, session = await begin(Text("done"))

    outcome = await client.carry_out(session.id, c.Send(text="go"))

    assert outcome.number == 1


async def test_sender_is_called_when_its_command_is_done(
    begin: Begin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it would not look by itself before its patience ends."""
    monkeypatch.setattr("midflight.client.inbox.FIRST_LOOK_S", 1e6)
    monkeypatch.setattr("midflight.client.inbox.LOOK_S", 1e6)
    monkeypatch.setattr("midflight.client.inbox.OWNER_S", 1e6)
    _, session = await begin(Text("done"))

    outcome = await client.carry_out(session.id, c.Send(text="go"))

    assert outcome.number == 1


async def test_command_whose_reply_was_lost_has_its_outcome(
    begin: Begin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.inbox.reply", lambda to: None)
    _, session = await begin(Text("done"))

    outcome = await client.carry_out(session.id, c.Send(text="go"))

    assert outcome.number == 1


async def test_sender_waits_on_when_its_connection_fails(
    begin: Begin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is on disk: who sent it again would say it twice."""
    look, failures = Inbox.result, [StoreFailed("the server is gone"), StoreFailed("still")]

    async def fail(inbox: Inbox, session: str, id: str) -> CommandResult | None:
        if failures:
            raise failures.pop()
        return await look(inbox, session, id)

    monkeypatch.setattr(Inbox, "result", fail)
    _, session = await begin(Text("done"))

    outcome = await client.carry_out(session.id, c.Send(text="go"))

    assert (outcome.number, failures) == (1, [])


async def test_sender_gets_an_outcome_that_could_not_be_written_at_first(
    begin: Begin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner lives on, and nobody else would take the command again."""
    finish, failures = Inbox.finish, [StoreFailed("the disk is full")]

    async def fail(inbox: Inbox, *given: Any) -> None:
        if failures:
            raise failures.pop()
        await finish(inbox, *given)

    monkeypatch.setattr(Inbox, "finish", fail)
    monkeypatch.setattr("midflight.host.inbox.LOOK_AGAIN_S", 0.1)
    _, session = await begin(Text("done"))

    outcome = await client.carry_out(session.id, c.Send(text="go"))

    assert (outcome.number, failures) == (1, [])


async def test_number_of_a_command_can_be_that_of_another_one(begin: Begin, client: Client) -> None:
    """Programs count theirs from 1 up; only messages are known by their ids."""
    _, session = await begin()
    for limit in (3, 3, 5):
        await client.carry_out(session.id, c.SetLimits(max_turns=limit, id="1"))

    assert (await client.info(session.id)).limits == {"max_turns": 5}


async def test_agent_gets_no_further_by_an_inbox_than_by_a_socket(begin: Begin, host: Host) -> None:
    """Whoever has written it there: what an agent may do is looked at by the owner as well."""
    _, session = await begin()
    agent = Sender(who=Who(role="agent", door="mcp"), inside=(session.id,))
    journal = journal_of(host)
    command = c.encode(c.SetLimits(max_turns=100))

    await journal.inbox.put(session.id, "k1", command, agent)

    with pytest.raises(NotAllowed):
        (await result_in(journal, session.id, "k1")).get()


async def test_error_that_comes_too_late_for_its_sender_is_a_notice(
    begin: Begin, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.host.inbox.WAIT_S", -1.0)
    _, session = await begin()
    command = c.encode(c.Cancel(message="no-such-message"))

    await journal_of(host).inbox.put(
        session.id, "k1", command, Sender(who=Who(role="user", door="command"))
    )

    notice = await until(session, e.Notice)
    assert (notice.level, notice.command) == ("error", "k1")


async def test_message_for_an_owner_that_dies_is_carried_out_here_once(
    server: str,
    begin: Begin,
    host: Host,
    client: Client,
    open_host: Hosts,
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The owner has taken it, and hangs; it is taken back, and the next host gets it.

    An older midflight has begun the session: another one would be resumed where its folder is.
    """
    model, session = await begin(lambda _: Text("done"), task="begin")
    have(monkeypatch, model.env(tmp_path))
    taken = asyncio.Event()

    async def hang(*_: Any) -> None:
        taken.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(host._inbox, "_carry_out", hang)  # noqa: SLF001 - it is to hang

    async def start_host(*_: object, **__: object) -> Address:
        return Address.parse((await open_host(HERE)).address())

    monkeypatch.setattr("midflight.client.placement.start_host", start_host)
    sending = asyncio.ensure_future(client.carry_out(session.id, c.Send(text="go", id="m1")))
    await taken.wait()
    host._tasks.cancel()  # noqa: SLF001 - it does not beat any more
    sql(server, "UPDATE sessions SET machine = NULL")
    silence(server, journal_of(host).host.id)

    outcome = await sending

    assert outcome.message == "m1"
    said = of(e.MessageAccepted, await client.history(session.id))
    assert [one.text for one in said] == ["begin", "go"]


async def test_session_on_another_machine_is_removed(begin: Begin, client: Client) -> None:
    _, session = await begin()

    await client.remove(session.id)

    with pytest.raises(NotFound):
        await client.info(session.id, exact=True)
