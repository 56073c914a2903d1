"""Several people share a journal on a server: none is in the way of another one's names."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.journal.conftest import Role
from tests.support.journal import add, begin, rows
from tests.support.schedules import Begins, Clock, daily

from midflight import events as e
from midflight.errors import Conflict, NotFound
from midflight.journal import Journal
from midflight.journal.base import Summary
from midflight.journal.process_identity import MACHINE_VARIABLE
from midflight.schedules.firing import Firing

Join = Callable[..., Awaitable[Journal]]


@pytest.fixture
async def join(role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Join]:
    """Return a function that opens the journal as a person, on a machine, as a host."""
    async with contextlib.AsyncExitStack() as stack:

        async def one(person: str, machine: str = "desk") -> Journal:
            monkeypatch.setenv(MACHINE_VARIABLE, machine)
            journal = Journal(role(person), state=tmp_path / "sockets")
            await stack.enter_async_context(journal)
            await journal.host.register("/a.sock")
            return journal

        yield one


async def test_each_person_has_names_of_their_own(join: Join, server: str) -> None:
    ada, bob = await join("ada"), await join("bob")
    hers = (await begin(ada, "validation")).session
    his = (await begin(bob, "validation")).session
    second = (await begin(ada, "validation")).session
    assert {row.name for row in await ada.sessions()} == {
        "validation",
        "validation-2",
        "bob/validation",
    }
    assert {row.name for row in await bob.sessions()} == {
        "validation",
        "ada/validation",
        "ada/validation-2",
    }
    for text, found in (
        *(("validation", hers), ("ada/validation", hers), ("bob/validation", his)),
        *(("validation-", second), ("bob/v", his), (his, his), (hers[:12], hers)),
    ):
        assert (await ada.find(text)).id == found, text
    assert (await bob.find("val")).id == his
    assert (await bob.info(hers)).name == "ada/validation"
    with pytest.raises(NotFound):
        await bob.find(hers[:12])
    with pytest.raises(Conflict) as several:
        await bob.find("ada/")
    assert several.value.hint == "ada/validation, ada/validation-2"


async def test_name_cannot_pass_for_another_persons(join: Join, server: str) -> None:
    ada, other = await join("ada"), await join("b%_b")
    await begin(ada, "b%_b/deploy")
    his = (await begin(other, "deploy")).session
    stored = {name for (name,) in rows(server, "SELECT name FROM sessions")}
    assert stored == {"ada/b%_b-deploy", "b%_b/deploy"}
    assert (await ada.find("b%_b/deploy")).id == his
    assert (await other.find(cwd="/")).id == his


async def test_latest_session_is_of_this_person_machine_and_folder(join: Join) -> None:
    desk, lap, bob = await join("ada"), await join("ada", "lap"), await join("bob")
    mine = (await begin(desk, cwd=Path("/"))).session
    await begin(desk, cwd=Path("/usr"))
    there = (await begin(lap, cwd=Path("/"))).session
    await begin(bob, cwd=Path("/"))
    assert (await desk.find(cwd="/")).id == mine
    assert (await lap.find(cwd="/")).id == there
    with pytest.raises(NotFound):
        await lap.find(cwd="/usr")


async def test_what_others_began_is_neither_woken_nor_offered(join: Join) -> None:
    """A message that waits for a usage limit's reset would go on at somebody else's cost."""
    ada, bob = await join("ada"), await join("bob")
    for journal in (ada, bob):
        record = await begin(journal)
        add(record, e.MessageAccepted(message="m", text="typed here", delivery="steer"))
        record.note(Summary(status="waiting"))
        await record.close()
        (own,) = await journal.waiting_for_reset()
        assert own == record.session
        assert [said.session for said in await journal.said("/", 10)] == [own]


async def test_schedule_is_fired_by_who_has_made_it_and_there(join: Join) -> None:
    """Another person's account, and another machine's folders, are not what it was made for."""
    ada, bob, away = await join("ada"), await join("bob"), await join("ada", "laptop")
    await ada.schedules.add(daily())
    begins = Begins()

    for other in (bob, away):
        firing = Firing(other, begins, Clock())
        await firing.look()
        await firing.settled()
        assert await other.schedules.all() == []
        with pytest.raises(NotFound):
            await other.schedules.find("morning")
    assert begins.runs == []

    await bob.schedules.add(daily())
    firing = Firing(ada, begins, Clock())
    await firing.look()
    await firing.settled()
    [schedule] = await ada.schedules.all()
    assert (schedule.name, len(begins.runs)) == ("morning", 1)
