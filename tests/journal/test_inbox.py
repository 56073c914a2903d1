"""Commands on disk, for a session whose owner is on another machine."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace
from tests.faults.manifest import fault
from tests.journal.conftest import Hosts
from tests.support.events import PATIENCE_S
from tests.support.journal import begin, rows, silence, sql

from midflight import commands as c
from midflight.errors import Conflict, NotFound
from midflight.info import Outcome
from midflight.journal import Journal
from midflight.journal.inbox import CommandResult, Sender
from midflight.values import Who

SENDER = Sender(who=Who(role="user", door="command"), inside=("a", "~b"), may_answer="questions")


async def _put(journal: Journal, session: str, id: str, text: str = "hello") -> None:
    command = c.Send(text=text, id=id)
    await journal.inbox.put(session, id, c.encode(command), SENDER)


async def _take(journal: Journal, *busy: str) -> list[str]:
    assert journal.host.id is not None
    return [entry.id for entry in await journal.inbox.take(journal.host.id, busy)]


async def test_owner_takes_what_was_said_as_it_was_said(journal: Journal) -> None:
    session = (await begin(journal)).session
    await _put(journal, session, "m1", "odd: \0 \U0001f600 ' \" \\")

    (entry,) = await journal.inbox.take(journal.host.id or "", ())

    command = c.decode(entry.command)
    assert command == c.Send(text="odd: \0 \U0001f600 ' \" \\", id="m1")
    assert (entry.session, entry.id) == (session, "m1")
    person = entry.sender.who.person  # as the server says, which a file has none of
    assert entry.sender == replace(SENDER, who=replace(SENDER.who, person=person))
    assert await journal.inbox.result(session, "m1") is None


@pytest.mark.parametrize("off", [-3600, 3600])
async def test_sender_s_clock_may_be_an_hour_off(
    server: str, open_host: Hosts, off: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own clock a sender's command would be old at once, and its answer forgotten."""
    journal = await open_host(server)
    session, right = (await begin(journal)).session, time.time
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: right() + off)
        await _put(journal, session, "m1")
        await journal.inbox.put(session, "q1", b"{}", SENDER, asked=journal.host.id)
    command, question = await journal.inbox.take(journal.host.id or "", ())
    assert abs(right() - command.given) < abs(off) / 2
    assert abs(right() - question.given) < abs(off) / 2

    await journal.inbox.finish(question, CommandResult(answer={}))
    await journal.inbox.put(session, "q2", b"{}", SENDER, asked=journal.host.id)
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: right() + off)
        await journal.inbox.take(journal.host.id or "", {session})
    assert await journal.inbox.result(session, "q1") is not None


async def test_sender_learns_what_the_command_has_come_to(journal: Journal) -> None:
    session = (await begin(journal)).session
    assert journal.host.id is not None
    await _put(journal, session, "m1")
    await _put(journal, session, "m2")
    done, refused = await journal.inbox.take(journal.host.id, ())

    outcome = Outcome(seq=7, message="m1", number=1, state="accepted")
    await journal.inbox.finish(done, CommandResult(outcome=outcome))
    error = Conflict("too late", "send it again")
    await journal.inbox.finish(refused, CommandResult(error=error.plain()))

    results = [await journal.inbox.result(session, one) for one in ("m1", "m2")]
    assert results[0] is not None
    assert results[0].get() == outcome
    assert results[1] is not None
    with pytest.raises(Conflict, match="too late") as raised:
        results[1].get()
    assert raised.value.hint == "send it again"
    assert await _take(journal) == []


@pytest.mark.parametrize("to", ["", "nobody", ":", "x" * 9_000, "a" * 32 + ":'", "a" * 32])
async def test_reply_to_no_address_keeps_nobody_from_the_outcome(journal: Journal, to: str) -> None:
    """Whoever may write the table says where to reply to; it would name a channel."""
    session = (await begin(journal)).session
    command = c.encode(c.Send(text="hello", id="m1"))
    await journal.inbox.put(session, "m1", command, SENDER, reply_to=to)
    (entry,) = await journal.inbox.take(journal.host.id or "", ())

    await journal.inbox.finish(entry, CommandResult(outcome=Outcome(seq=2)))

    assert await journal.inbox.result(session, "m1") == CommandResult(outcome=Outcome(seq=2))


async def test_question_is_taken_by_the_host_that_is_asked_and_no_other(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    """It needs no owner; its answer goes when it was read."""
    record = await begin(journal)
    other = await open_host(where)
    await record.close()
    await journal.inbox.put(record.session, "q1", b"{}", SENDER, asked=other.host.id)
    assert await journal.inbox.take(journal.host.id or "", ()) == []

    (entry,) = await other.inbox.take(other.host.id or "", ())
    assert (entry.id, entry.asked) == ("q1", True)
    assert await other.inbox.take(other.host.id or "", ()) == []
    await other.inbox.finish(entry, CommandResult(answer={"found": [1]}))
    assert await journal.inbox.result(record.session, "q1") == CommandResult(answer={"found": [1]})

    await journal.inbox.forget(record.session, "q1")
    assert rows(where, "SELECT id FROM inbox") == []


async def test_answer_that_nobody_reads_goes_with_time(where: str, journal: Journal) -> None:
    session = (await begin(journal)).session
    for number in range(2):
        await journal.inbox.put(session, f"q{number}", b"{}", SENDER, asked=journal.host.id)
        (entry,) = await journal.inbox.take(journal.host.id or "", ())
        await journal.inbox.finish(entry, CommandResult(answer=number))
        sql(where, "UPDATE inbox SET given = given - 10000")

    assert rows(where, "SELECT id FROM inbox") == [("q1",)]


async def test_same_id_twice_is_one_command(where: str, journal: Journal) -> None:
    """Also after it was carried out, when its text is not kept any more."""
    session = (await begin(journal)).session
    assert journal.host.id is not None
    await _put(journal, session, "m1")
    await _put(journal, session, "m1")
    (entry,) = await journal.inbox.take(journal.host.id, ())
    await journal.inbox.finish(entry, CommandResult(outcome=Outcome(seq=2)))

    await _put(journal, session, "m1")
    with pytest.raises(Conflict, match="m1 was another command"):
        await _put(journal, session, "m1", "another text")

    assert await _take(journal) == []
    assert rows(where, "SELECT id, state, command FROM inbox") == [("m1", "done", "")]


async def test_commands_of_many_senders_are_taken_in_one_order(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    """That of their numbers, which have no gap: none was passed over, none came twice."""
    sessions = [(await begin(journal)).session for _ in range(2)]
    senders = [await open_host(where) for _ in range(3)]

    async def send(sender: Journal, session: str, name: str) -> None:
        for number in range(5):
            await _put(sender, session, f"{name}-{number}")

    taken: list[tuple[str, int, str]] = []

    async def take() -> None:
        while len(taken) < 30:
            found = await journal.inbox.take(journal.host.id or "", ())
            taken.extend((entry.session, entry.number, entry.id) for entry in found)
            for entry in found:
                await journal.inbox.finish(entry, CommandResult(outcome=Outcome(seq=1)))

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        group.create_task(take())
        for name, sender in enumerate(senders):
            for session in sessions:
                group.create_task(send(sender, session, f"s{name}"))

    for session in sessions:
        mine = [(number, command) for one, number, command in taken if one == session]
        assert [number for number, _ in mine] == list(range(1, 16))
        for name in range(3):
            said = [command for _, command in mine if command.startswith(f"s{name}")]
            assert said == [f"s{name}-{number}" for number in range(5)]


async def test_busy_session_is_left_alone(journal: Journal) -> None:
    first, second = [(await begin(journal)).session for _ in range(2)]
    await _put(journal, first, "m1")
    await _put(journal, second, "m2")

    assert await _take(journal, first) == ["m2"]
    assert await _take(journal, second) == ["m1"]


async def test_what_was_taken_and_not_finished_is_taken_again(journal: Journal) -> None:
    """Its owner may not even know that it has it: the answer of the server was lost."""
    await _put(journal, (await begin(journal)).session, "m1")
    assert await _take(journal) == ["m1"]

    assert await _take(journal) == ["m1"]


@fault("D4")
async def test_what_a_dead_owner_has_taken_is_taken_by_the_next(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    """The late one does not settle it any more."""
    assert journal.host.id is not None
    session = (await begin(journal)).session
    await _put(journal, session, "m1")
    (late,) = await journal.inbox.take(journal.host.id, ())
    assert await _take(journal, session) == []
    other = await open_host(where)
    assert await _take(other) == []
    silence(where, journal.host.id)

    await other.take(session)

    (entry,) = await other.inbox.take(other.host.id or "", ())
    assert (entry.id, entry.generation) == ("m1", late.generation + 1)
    await journal.inbox.finish(late, CommandResult(outcome=Outcome(seq=9)))
    assert await other.inbox.result(session, "m1") is None


async def test_command_that_nobody_has_carried_out_is_taken_back(journal: Journal) -> None:
    assert journal.host.id is not None
    session = (await begin(journal)).session
    await _put(journal, session, "m1")
    await _put(journal, session, "m2")
    (_, done) = await journal.inbox.take(journal.host.id, ())
    await journal.inbox.finish(done, CommandResult(outcome=Outcome(seq=2)))

    assert await journal.inbox.withdraw(session, "m1")
    assert not await journal.inbox.withdraw(session, "m2")

    with pytest.raises(NotFound):
        await journal.inbox.result(session, "m1")


async def test_session_that_is_not_there_has_no_inbox(journal: Journal) -> None:
    session = (await begin(journal)).session
    await _put(journal, session, "m1")
    with pytest.raises(NotFound, match="'nobody'"):
        await _put(journal, "nobody", "m1")
