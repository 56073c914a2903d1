from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.journal.conftest import Hosts
from tests.support.events import texts
from tests.support.journal import PROGRAMS, Program, add, begin, options, rows, silence, sql
from tests.support.program import unwatched

from midflight import events as e
from midflight.errors import LeaseHeld, LeaseLost, NotFound
from midflight.journal import TTL_S, Journal


async def _lose_beat(where: str, journal: Journal) -> None:
    """Let a host look as if it had hung for a while."""
    assert journal.host.id is not None
    silence(where, journal.host.id)
    assert {host.id: host.alive for host in await journal.hosts()}[journal.host.id] is False


@fault("D4")
async def test_refused_taker_learns_the_process_of_the_owner(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    record = await begin(journal)
    other = await open_host(where, "/b.sock")

    with pytest.raises(LeaseHeld, match=r"/a\.sock") as held:
        await other.take(record.session)

    assert f"process {os.getpid()}" in held.value.owner
    assert journal.host.id is not None
    assert journal.host.id in held.value.owner


async def test_session_that_was_given_back_is_free(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    record = await begin(journal)
    other = await open_host(where)
    await record.close()

    row, taken, _ = await other.take(record.session)

    assert (row.host, taken.generation) == (other.host.id, 2)


async def test_host_that_leaves_is_forgotten(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    record = await begin(journal)
    other = await open_host(where)

    await journal.host.leave()

    await other.take(record.session)
    assert [host.id for host in await other.hosts()] == [other.host.id]


async def test_host_that_was_not_heard_to_leave_comes_again(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    """Its database was away at that moment; what it had is free when it comes."""
    record = await begin(journal)
    other = await open_host(where)
    journal.host.id = None

    async with journal.host.briefly():
        await other.take(record.session)
        assert {host.id for host in await other.hosts()} == {journal.host.id, other.host.id}


@fault("D4")
async def test_session_of_a_killed_host_is_free_at_once(tmp_path: Path, open_host: Hosts) -> None:
    folder = tmp_path / "state"
    program = await Program.start("writer.py", folder, "the-session")
    await program.line()
    other = await open_host(folder)
    with pytest.raises(LeaseHeld, match=f"process {program.process.pid}"):
        await other.take("the-session")
    assert await other.orphaned() == []

    program.process.kill()
    await program.process.wait()

    assert await other.orphaned() == ["the-session"]
    row, record, past = await other.take("the-session")
    assert (row.host, record.generation) == (other.host.id, 2)
    add(record, e.Text(text="taken over"))
    await record.written()
    assert texts(await other.events("the-session", after=len(past.events))) == ["taken over"]
    assert await other.orphaned() == []
    await program.rest()


@fault("D4")
async def test_reused_process_id_is_not_the_host(tmp_path: Path, open_host: Hosts) -> None:
    folder = tmp_path / "state"
    journal = await open_host(folder)
    record = await begin(journal)
    other = await open_host(folder)

    sql(folder, "UPDATE hosts SET born = born - 1")  # our own id, but born at another time

    await other.take(record.session)


@fault("D4")
async def test_host_of_an_earlier_boot_is_dead(tmp_path: Path, open_host: Hosts) -> None:
    folder = tmp_path / "state"
    journal = await open_host(folder)
    record = await begin(journal)
    other = await open_host(folder)

    sql(folder, "UPDATE hosts SET boot = 'earlier'")

    await other.take(record.session)


async def test_host_of_another_container_is_judged_by_its_beat_alone(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    record = await begin(journal)
    other = await open_host(where)
    sql(where, "UPDATE hosts SET space = 'another', pid = 1, born = 0")

    with pytest.raises(LeaseHeld):
        await other.take(record.session)
    await _lose_beat(where, journal)
    await other.take(record.session)


async def test_server_judges_hosts_of_other_machines_by_its_own_clock(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    if not where.startswith("postgresql"):
        pytest.skip("a file is used by one machine")
    record = await begin(journal)
    other = await open_host(where)
    sql(where, "UPDATE hosts SET boot = 'elsewhere', beat = 0")

    with pytest.raises(LeaseHeld):
        await other.take(record.session)
    sql(where, "UPDATE hosts SET seen = seen - 16")
    await other.take(record.session)


async def test_host_that_beats_lives_on(where: str, journal: Journal, open_host: Hosts) -> None:
    record = await begin(journal)
    other = await open_host(where)
    await _lose_beat(where, journal)
    before = journal.host.valid_until

    await journal.host.beat()

    with pytest.raises(LeaseHeld):
        await other.take(record.session)
    assert before < journal.host.valid_until <= time.monotonic() + TTL_S


async def test_forgotten_host_fails_with_lease_lost(where: str, journal: Journal) -> None:
    sql(where, "DELETE FROM hosts")

    with pytest.raises(LeaseLost, match="declared this one dead"):
        await journal.host.beat()
    with pytest.raises(LeaseLost, match="declared this one dead"):
        await journal.create("fix", options())


async def test_host_that_takes_a_session_lives(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    await _lose_beat(where, journal)

    record = await begin(journal)

    other = await open_host(where)
    with pytest.raises(LeaseHeld):
        await other.take(record.session)


@fault("D4")
async def test_zombie_of_a_killed_host_is_dead(tmp_path: Path, open_host: Hosts) -> None:
    folder = tmp_path / "state"
    with _zombie("writer.py", folder, "the-session"):
        other = await open_host(folder)
        await other.take("the-session")


def _zombie(name: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a program, kill it when it has said something, and leave it as it is."""
    command = [sys.executable, str(PROGRAMS / name), *map(str, arguments)]
    process = subprocess.Popen(command, env=unwatched(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


@fault("N8")
@pytest.mark.parametrize("jump", [-1e9, 1e9])
async def test_clock_that_jumps_takes_no_session_from_its_owner(
    tmp_path: Path, open_host: Hosts, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    journal = await open_host(tmp_path / "state")
    record = await begin(journal)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    other = await open_host(tmp_path / "state")

    with pytest.raises(LeaseHeld):
        await other.take(record.session)
    await journal.host.beat()
    add(record, e.Text(text="on"))
    await record.written()

    assert [event.seq for event in await other.events(record.session)] == [1, 2]
    assert all(host.alive for host in await journal.hosts())


async def test_dead_host_is_forgotten_when_it_owns_nothing_any_more(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    assert journal.host.id is not None
    record = await begin(journal)
    await journal.create("never begun", options())
    other = await open_host(where)
    assert not await other.forget(journal.host.id)
    await _lose_beat(where, journal)
    await other.host.beat()
    assert not await other.forget(journal.host.id)

    _, taken, _ = await other.take(record.session)

    assert await other.forget(journal.host.id)
    assert [host.id for host in await other.hosts()] == [other.host.id]
    assert rows(where, "SELECT id FROM sessions") == [(taken.session,)]


async def test_unknown_session_cannot_be_taken(journal: Journal) -> None:
    with pytest.raises(NotFound, match="'nobody'"):
        await journal.take("nobody")


async def test_failed_session_is_orphaned_until_it_is_taken_again(
    where: str, journal: Journal
) -> None:
    record = await begin(journal)
    add(record, e.Text(text="x"))
    await record.written()
    sql(where, "UPDATE sessions SET seq = 1")
    add(record, e.Text(text="cannot follow"))
    await record.close()  # as where the disk is full, the lease may stay
    sql(where, "UPDATE leases SET host = :host", host=journal.host.id)
    sql(where, "UPDATE sessions SET seq = 2")

    assert await journal.orphaned() == [record.session]
    await journal.take(record.session)
    assert await journal.orphaned() == []


async def test_wait_for_a_silent_host_ends_when_it_is_known_as_dead(
    tmp_path: Path, open_host: Hosts
) -> None:
    program = await Program.start("writer.py", tmp_path / "state", "the-session")
    await program.line()
    other = await open_host(tmp_path / "state")
    waiting = asyncio.ensure_future(other.host_gone("the-session"))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done

    await program.kill()

    async with asyncio.timeout(60):
        await waiting
    assert (await other.find("the-session")).address is None
