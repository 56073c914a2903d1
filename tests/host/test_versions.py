"""Hosts outlive an upgrade: those of other versions, and what they have left in the journal."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.events import so_far, until
from tests.support.journal import begin as begin_in_journal
from tests.support.journal import rows, sql
from tests.support.raw_http import call
from tests.support.sick_host import sick_host

from midflight import commands as c
from midflight import events as e
from midflight.client.client import connect
from midflight.client.placement import Placement
from midflight.client.session import RemoteSession
from midflight.errors import Conflict, InvalidInput
from midflight.host import Host
from midflight.info import AgentInfo
from midflight.journal import Journal, JournalLocation, SessionRow
from midflight.session.session import Session
from midflight.testing import FakeModel, Text
from midflight.wire import WIRE

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GOLDEN_ID = "0123456789abcdef"

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Hosts = Callable[..., Awaitable[Host]]
Attach = Callable[..., Awaitable[RemoteSession]]


@pytest.fixture
def of_version_1(state: Path) -> Path:
    """Return the folder of the journal that a host of version 1 of the wire has left."""
    location = JournalLocation(state)
    location.check_journal()
    connection = sqlite3.connect(location.journal)
    connection.executescript((GOLDEN / "wire-1-journal.sql").read_text(encoding="utf-8"))
    connection.close()
    return state


async def test_host_tells_its_version(host: Host, state: Path) -> None:
    assert (await call(host.address(), "/healthz"))[1]["wire"] == WIRE
    async with Journal(state) as journal:
        (known,) = await journal.hosts()
    assert (known.wire, known.older) == (WIRE, "")


@pytest.mark.parametrize("older", [False, True])
async def test_mode_is_known_with_the_notice_of_its_change(
    begin: Begin, attach: Attach, monkeypatch: pytest.MonkeyPatch, *, older: bool
) -> None:
    """A host tells it in its stream, for nobody to ask at each notice; an older one is asked."""
    asked = 0
    ask = Placement.agent

    async def count(self: Placement, session: SessionRow) -> AgentInfo:
        nonlocal asked
        asked += 1
        return await ask(self, session)

    monkeypatch.setattr(Placement, "agent", count)
    if older:
        monkeypatch.setattr("midflight.host.http.app._comment", lambda _: b"")
    _, session = await begin()
    remote = await attach(session)
    await session.set_permission_mode("plan")
    async for event in remote.events():
        if isinstance(event, e.Notice) and "plan" in event.text:
            break
    assert (remote.permission_mode, remote.capabilities) == ("plan", session.capabilities)
    assert (asked > 0) == older


async def test_journal_of_version_1_is_resumed_with_its_rules(
    of_version_1: Path, open_host: Hosts
) -> None:
    async with Journal(of_version_1) as journal:
        (left,) = await journal.hosts()
        info = await journal.info(GOLDEN_ID)
        assert (left.wire, left.alive) == (1, False)
        assert info.rules == ("Bash(: one)",)
        assert rows(of_version_1, "SELECT rules FROM sessions") == [(None,)]
        assert {
            event.who for event in await journal.events(GOLDEN_ID) if hasattr(event, "who")
        } == {None}
    host = await open_host()
    session = await host.session(GOLDEN_ID)
    assert (session.rules, session.pending) == (("Bash(: one)",), ())
    await session.revoke("Bash(: one)")
    async with Journal(of_version_1) as journal:
        while (await journal.info(GOLDEN_ID)).rules:
            pass
    assert rows(of_version_1, "SELECT rules FROM sessions") == [("[]",)]


async def test_host_of_version_1_goes_on_writing(of_version_1: Path) -> None:
    """It names the columns that it knows."""
    async with Journal(of_version_1):
        pass
    sql(
        of_version_1,
        "INSERT INTO hosts (id, machine, boot, space, pid, born, address, beat, seen, started)"
        " SELECT 'h', machine, boot, space, pid, born, address, beat, seen, started FROM hosts",
    )
    sql(of_version_1, "UPDATE sessions SET turns = 3, pending = '[]' WHERE id = :id", id=GOLDEN_ID)
    async with Journal(of_version_1) as journal:
        assert [host.wire for host in await journal.hosts()] == [1, 1]
        assert (await journal.info(GOLDEN_ID)).turns == 3


@pytest.mark.parametrize("command", [c.Revoke(rule="Bash(ls)"), c.SetLimits(max_turns=5)])
@pytest.mark.parametrize("wire", [WIRE, None], ids=["same", "older"])
async def test_error_of_an_older_host_names_it_and_what_ends_it(
    state: Path, wire: int | None, command: c.Command
) -> None:
    async with Journal(state) as journal:
        await journal.host.register("")
        session = (await begin_in_journal(journal)).session
        await journal.host.leave()
    async with sick_host(state, "refuses"), connect(state) as client:
        sql(state, "UPDATE hosts SET wire = :wire", wire=wire)
        with pytest.raises(Conflict if wire is None else InvalidInput) as refused:
            await client.carry_out(session, command)
    assert ("does not know this yet" in refused.value.message) == (wire is None)
    named = f"process {os.getpid()} on" in refused.value.hint
    ends = f"`kill {os.getpid()}` there ends it" in refused.value.hint
    assert (named, ends) == (wire is None, wire is None)


async def test_what_a_newer_host_has_written_is_read_and_resumed(
    begin: Begin, open_host: Hosts, host: Host, state: Path
) -> None:
    _, session = await begin(Text("one"))
    await session.send("go")
    await until(session, e.TurnEnded)
    (text,) = [event async for event in so_far(session) if isinstance(event, e.Text)]
    newer = json.loads(e.encode(text)) | {"type": "novel", "words": ["one"]}
    await host.__aexit__(None, None, None)
    changed = {"data": json.dumps(newer), "seq": text.seq}
    sql(state, "UPDATE events SET data = :data WHERE seq = :seq", **changed)
    await open_host()
    async with connect(state) as client, await client.session(session.id) as remote:
        (raw,) = [event async for event in so_far(remote) if isinstance(event, e.Raw)]
        assert (raw.seq, raw.data) == (text.seq, newer)


async def test_field_that_the_host_does_not_know_is_refused_by_name(
    host: Host, begin: Begin
) -> None:
    _, session = await begin(Text("one"))
    path = f"/sessions/{session.id}/commands"
    status, told = await call(
        host.address(), path, "POST", {"type": "send", "text": "x", "colour": "red"}
    )
    assert (status, "send has no field 'colour'" in told["message"]) == (422, True)
    status, told = await call(
        host.address(), "/sessions", "POST", {"task": "x", "cwd": "/", "colour": "red"}
    )
    assert (status, "colour" in told["message"]) == (422, True)
    status, told = await call(host.address(), path, "POST", {"type": "set_colour", "to": "red"})
    assert (status, "set_colour" in told["message"]) == (422, True)
    assert session.last_seq == 0
    await session.send("play the script")
    await until(session, e.TurnEnded)
