"""Disks that fill up, files that are damaged, hosts that are killed in the middle of it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event
from tests.faults.manifest import fault
from tests.journal.conftest import Hosts
from tests.support.events import texts
from tests.support.journal import Program, add, begin, check_whole, options, sql

from midflight import events as e
from midflight.errors import StoreFailed, StoreRefused
from midflight.journal import Journal, JournalLocation
from midflight.journal.database import Database
from midflight.journal.migrations import prepare

KILLS = 15


@fault("D1")
async def test_full_disk_ends_a_session_safely_until_there_is_room(
    tmp_path: Path,
) -> None:
    program = await Program.start("full_disk.py", tmp_path / "state")
    lines = await program.rest()

    assert program.process.returncode == 0
    assert lines[0] == "failed was told"
    assert lines[1].startswith("StoreFailed: ")
    assert "journal.sqlite cannot be used: " in lines[1]
    written, shown, on_disk, idle_stopped = lines[2].split()
    assert int(written) == int(shown) == int(on_disk) > 3
    assert idle_stopped == "False"
    assert lines[3] == f"went on with {int(written) + 1}"
    assert check_whole(tmp_path / "state") == {"full": int(written) + 1, "idle": 1}


@fault("D1")
async def test_full_database_is_named_and_other_sessions_continue(
    tmp_path: Path, open_host: Hosts
) -> None:
    connections: list[sqlite3.Connection] = []

    @event.listens_for(Engine, "connect")
    def remember(connection: sqlite3.Connection, record: object) -> None:
        connections.append(connection)

    try:
        journal = await open_host(tmp_path / "state")
        full, other = await begin(journal), await begin(journal)
        for connection in connections:
            connection.execute("PRAGMA max_page_count=1")  # as many as there are

        add(full, e.Text(text="x" * 100_000))

        with pytest.raises(StoreFailed, match="database or disk is full") as failed:
            await full.written()
        assert "make room" in failed.value.hint
        assert texts(await journal.events(full.session)) == ["hello"]
        for connection in connections:
            connection.execute("PRAGMA max_page_count=1000000")
        add(other, e.Text(text="y" * 100_000))
        await other.written()
        await full.close()
        _, again, _ = await journal.take(full.session)
        add(again, e.Text(text="on"))
        await again.written()
    finally:
        event.remove(Engine, "connect", remember)


@fault("D1")
async def test_write_to_a_locked_file_fails_after_a_bounded_time(
    tmp_path: Path, open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.database.BUSY_S", 0.1)
    journal = await open_host(tmp_path / "state")
    record, other = await begin(journal), await begin(journal)
    blocker = sqlite3.connect(tmp_path / "state" / "journal.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    add(record, e.Text(text="x"))
    async with asyncio.timeout(60):
        with pytest.raises(StoreFailed, match="locked"):
            await record.written()

    blocker.execute("ROLLBACK")
    blocker.close()
    add(other, e.Text(text="y"))
    await other.written()


@fault("D5")
def test_commit_reaches_the_disk_before_it_returns(tmp_path: Path) -> None:
    location = JournalLocation(tmp_path / "state")
    database = Database.at(location.journal)
    prepare(database, location)

    def asked(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert database.write(asked) == ["wal", 2, 1]  # 2 is FULL: without it a power cut takes some
    database.close()


@fault("D3")
@pytest.mark.parametrize("content", [b"hello", b"SQLite format 3\0" + bytes(200), bytes(4096)])
async def test_file_that_is_no_journal_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "journal.sqlite"
    file.touch(mode=0o600)
    file.write_bytes(content)

    with pytest.raises(StoreRefused, match="not a journal of midflight") as refused:
        await Journal(tmp_path).open()

    assert str(file) in refused.value.message
    assert file.read_bytes() == content


@fault("D3")
async def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    file.touch(mode=0o600)
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE sessions (id)")
    connection.commit()
    connection.close()
    content = file.read_bytes()

    with pytest.raises(StoreRefused, match="not a journal of midflight"):
        await Journal(tmp_path).open()

    assert file.read_bytes() == content


@fault("D3")
async def test_damaged_page_ends_all_writing_and_spares_the_readable(
    tmp_path: Path, open_host: Hosts
) -> None:
    folder = tmp_path / "state"
    async with Journal(folder) as first:
        await first.host.register("")
        sound = await begin(first, "sound")
        broken = await begin(first, "broken")
        add(broken, *(e.Text(text=f"{n}" * 3000) for n in range(30)))
        await broken.close()
        await sound.close()
    file = folder / "journal.sqlite"
    page = _page_with(file, b"9" * 3000)
    _overwrite(file, page, b"\xff" * 4096)
    journal = await open_host(folder)

    with pytest.raises(StoreRefused, match="damaged") as refused:
        await journal.events(broken.session)
    assert str(file) in refused.value.message
    assert f"sqlite3 {file} .recover" in refused.value.hint
    assert texts(await journal.events(sound.session)) == ["hello"]

    with pytest.raises(StoreRefused, match="damaged"):
        await journal.remove(broken.session)
    with pytest.raises(StoreRefused, match="damaged"):
        await journal.create("another", options())
    assert texts(await journal.events(sound.session)) == ["hello"]


def _page_with(file: Path, text: bytes) -> int:
    """Return where the first page begins that holds a text."""
    return file.read_bytes().index(text) // 4096 * 4096


def _overwrite(file: Path, where: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(where)
        opened.write(data)


@fault("D3")
async def test_unreadable_event_is_named_and_spares_other_sessions(
    where: str, journal: Journal
) -> None:
    torn, sound = await begin(journal), await begin(journal)
    sql(where, 'UPDATE events SET data = \'{"type":"te\' WHERE session = :it', it=torn.session)

    with pytest.raises(StoreRefused, match=f"event 1 of session {torn.session}"):
        await journal.events(torn.session)

    assert texts(await journal.events(sound.session)) == ["hello"]


@fault("D3")
@pytest.mark.parametrize(
    ("lost", "what"),
    [
        (1, "event 1 of session the-id is missing"),
        (2, "event 2 of session the-id is missing"),
        (3, "event 3 of session the-id is missing"),
    ],
)
async def test_missing_event_is_named_when_the_session_is_taken(
    where: str, journal: Journal, lost: int, what: str
) -> None:
    _, record = await journal.create("fix", options(), id="the-id")
    add(record, *(e.Text(text="x") for _ in range(3)))
    await record.close()
    sql(where, "DELETE FROM events WHERE seq = :lost", lost=lost)

    with pytest.raises(StoreRefused, match=what):
        await journal.past("the-id")
    with pytest.raises(StoreRefused, match=what):
        await journal.take("the-id")

    assert (await journal.find("the-id")).host is None


@fault("D3")
async def test_event_that_cannot_follow_is_named_when_the_session_is_taken(
    where: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.history.WHOLE", 0)  # of what is older some is left out
    _, record = await journal.create("fix", options(), id="the-id")
    accepted = e.MessageAccepted(message="m", text="x", delivery="queue")
    started = e.TurnStarted(turn=1, messages=("m",), origin="message")
    add(record, accepted, started, e.MessageStarted(message="m", turn=1))
    add(record, e.TurnEnded(turn=1, status="completed", reason="end_turn"))
    await record.close()
    sql(where, "DELETE FROM events WHERE seq = 1")

    with pytest.raises(StoreRefused, match="event 3 of session the-id does not follow"):
        await journal.past("the-id")


@fault("D3")
async def test_write_ahead_log_that_was_cut_loses_only_its_end(
    tmp_path: Path, open_host: Hosts
) -> None:
    program = await Program.start("writer.py", tmp_path / "killed", "the-session")
    for _ in range(5):
        await program.line()
    await program.kill()

    for tenths in (0, 3, 6, 9):
        folder = tmp_path / f"cut-{tenths}"
        shutil.copytree(tmp_path / "killed", folder)
        _cut(folder / "journal.sqlite-wal", tenths / 10)
        (folder / "journal.sqlite-shm").unlink()
        journal = await open_host(folder)
        for row in await journal.sessions():
            _, record, past = await journal.take(row.id)
            assert [one.seq for one in past.events] == list(range(1, record.last_seq + 1))
            add(record, e.Text(text="on"))
            await record.written()
        await journal.close()
        check_whole(folder)


def _cut(file: Path, left: float) -> None:
    with file.open("r+b") as opened:
        opened.truncate(int(file.stat().st_size * left))


@fault("D5")
async def test_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    sessions = ["one", "two", "three"]
    chance = random.Random(5)  # noqa: S311 - any moments will do
    known = dict.fromkeys(sessions, 0)
    program = await Program.start("writer.py", folder, "--fork", *sessions)
    for _ in range(KILLS):
        await program.say("again")
        pid = int((await program.line()).removeprefix("pid "))
        for _ in range(chance.randrange(20)):
            _note(known, await program.line())
        os.kill(pid, signal.SIGKILL)
        while (line := await program.line()) != "ended":
            _note(known, line)

        on_disk = check_whole(folder) if any(known.values()) else {}

        assert all(on_disk.get(session, 0) >= seq for session, seq in known.items())
    await program.kill()
    assert min(known.values()) > 0


def _note(known: dict[str, int], line: str) -> None:
    session, seq = line.split()
    known[session] = max(known[session], int(seq))


@fault("D5")
async def test_kill_before_the_first_event_leaves_no_session(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    await journal.create("fix", options(), id="the-id")
    sql(where, "UPDATE hosts SET boot = 'earlier', seen = 0")
    other = await open_host(where)

    assert await other.orphaned() == []
    assert await other.sessions(status="idle") == []
    row, record = await other.create("fix", options(), id="the-id")

    assert (row.name, record.last_seq, record.generation) == ("fix", 0, 1)
