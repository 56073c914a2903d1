from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from tests.faults.manifest import fault
from tests.journal.conftest import Hosts
from tests.support.events import texts
from tests.support.journal import Program, add, begin, check_whole, rows, sql

from midflight import events as e
from midflight.errors import StoreFailed, StoreRefused
from midflight.journal import Journal, JournalLocation, JournalRecord, restored
from midflight.journal.database import Database
from midflight.journal.migrations import STEPS, Step, prepare
from midflight.journal.schema import SCHEMA_VERSION
from midflight.journal.stored_options import scrubbed

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GOLDEN_ID = "0123456789abcdef"


def _golden(folder: Path, version: int = 1) -> Path:
    """Make the journal that a version has left behind; return its folder."""
    location = JournalLocation(folder)
    location.check_journal()
    connection = sqlite3.connect(location.journal)
    connection.executescript((GOLDEN / f"journal-v{version}.sql").read_text(encoding="utf-8"))
    connection.close()
    return folder


def _columns(folder: Path) -> set[tuple[str, str, str, bool]]:
    """Return each column: its table, its name, its type, and whether it must have a value."""
    query = (
        'SELECT t.name, c.name, c.type, c."notnull" FROM sqlite_master t, pragma_table_info(t.name)'
        " c WHERE t.type = 'table'"
    )
    return {(table, name, kind, bool(needed)) for table, name, kind, needed in rows(folder, query)}


def _tables(folder: Path) -> list[tuple[str]]:
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    return rows(folder, query)


def _migrate(folder: Path, steps: dict[int, Step], version: int, oldest: int = 1) -> None:
    location = JournalLocation(folder)
    database = Database.at(location.journal)
    try:
        prepare(database, location, steps, version, oldest)
    finally:
        database.close()


def _add_column(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE sessions ADD COLUMN extra TEXT"))


def _add_another(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE sessions ADD COLUMN another TEXT"))


def _fail(connection: Connection) -> None:
    connection.execute(text("DELETE FROM sessions"))
    connection.execute(text("ALTER TABLE sessions ADD COLUMN half TEXT"))
    connection.execute(text("this is not SQL"))


def test_every_version_has_a_golden_file_and_a_step_to_the_next() -> None:
    files = {file.stem for file in GOLDEN.glob("journal-v*.sql")}
    assert files == {f"journal-v{version}" for version in range(1, SCHEMA_VERSION + 1)}
    assert list(STEPS) == list(range(1, SCHEMA_VERSION))


async def test_tables_only_gain_columns_without_a_new_version(tmp_path: Path) -> None:
    """Where they may be null: a host of an older midflight goes on writing without them.

    A table that is new may have others: it does not know that one.
    """
    golden = _golden(tmp_path / "golden", SCHEMA_VERSION)
    before = _columns(golden)
    for folder in (tmp_path / "new", golden):
        async with Journal(folder):
            pass

    assert _columns(golden) == _columns(tmp_path / "new")
    gained = _columns(golden) - before
    assert before < _columns(golden)
    known = {table for table, *_ in before}
    assert not any(required for table, _, _, required in gained if table in known)


async def test_table_of_others_is_refused_and_left_as_it_is(where: str, open_host: Hosts) -> None:
    """One that has the name of a table that midflight has had since."""
    await (await open_host(where)).close()
    sql(where, "DROP TABLE schedule_runs")
    sql(where, "DROP TABLE schedules")
    sql(where, "CREATE TABLE schedules (id TEXT PRIMARY KEY, theirs TEXT)")
    sql(where, "INSERT INTO schedules VALUES ('a', 'b')")

    with pytest.raises(StoreRefused, match="the table schedules there is not midflight's"):
        await open_host(where)

    assert rows(where, "SELECT * FROM schedules") == [("a", "b")]


@fault("D6")
@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
async def test_journal_of_each_version_is_migrated_and_used(
    tmp_path: Path, open_host: Hosts, version: int
) -> None:
    folder = _golden(tmp_path / "state", version)
    journal = await open_host(folder)

    assert await journal.orphaned() == [GOLDEN_ID]
    row, record, past = await journal.take(GOLDEN_ID)

    assert (row.name, row.agent, row.model, row.turns) == ("golden", "fake", "small", 1)
    assert (row.total_cost_usd, row.agent_session) == (0.25, "conversation")
    assert (row.parent, row.created, row.updated) == ("orchestrator", 1.0, 2.0)
    assert [event.seq for event in past.events] == list(range(1, 11))
    assert [event.type for event in past.events[:2]] == ["session.started", "message.accepted"]
    assert texts(past.events) == ["quotes ' and \" and \\ and \U0001f600 and \0"]
    assert past.handed == {"m2"}
    assert rows(folder, "SELECT id, state FROM requests") == [("p1", "deny"), ("q1", "pending")]
    options, missing = restored(row.options)
    assert (options.max_turns, missing) == (3, ("TOKEN",))
    add(record, e.Text(text="on"))
    await record.written()
    await journal.close()
    assert check_whole(folder) == {GOLDEN_ID: 11}


@fault("S20")
async def test_what_an_older_journal_kept_of_mcp_servers_is_taken_out(tmp_path: Path) -> None:
    """Out of its files too; the rest stays as it was."""
    folder = _golden(tmp_path / "state")
    secret = "s3cret-0123456789"
    servers = {
        "local": {"command": "server", "args": ["--token", secret], "env": ["KEY"]},
        "older": {"command": "server", "env": {"KEY": secret}},
        "far": {"type": "http", "url": f"https://x/{secret}", "withheld": ["oauth"]},
    }
    async with Journal(folder):
        pass
    before = rows(folder, "SELECT * FROM sessions")
    connection = sqlite3.connect(folder / "journal.sqlite")
    with connection:
        connection.execute(
            "UPDATE sessions SET options = json_set(options, '$.mcp_servers', json(?))",
            [json.dumps(servers)],
        )
    connection.close()
    assert secret in _bytes(folder)

    async with Journal(folder) as journal:
        found = await journal.find(GOLDEN_ID, exact=True)
        assert secret not in _bytes(folder)

    assert found.options["mcp_servers"] == {
        "local": {"command": "server", "env": ["KEY"], "withheld": ["args"]},
        "older": {"command": "server", "env": ["KEY"]},
        "far": {"type": "http", "withheld": ["oauth", "url"]},
    }
    assert restored(found.options)[1] == (
        *("local.args", "local.env.KEY", "older.env.KEY", "far.oauth", "far.url", "TOKEN"),
    )
    options = found.options | {"mcp_servers": {}}
    (row,) = rows(folder, "SELECT * FROM sessions")
    assert [each for each in row if each not in before[0]] == [row[4]]
    assert json.loads(before[0][4]) == options
    assert scrubbed(row[4]) is None


@fault("S20")
async def test_secrets_of_mcp_servers_are_taken_out_of_every_database(
    where: str, tmp_path: Path, open_host: Hosts
) -> None:
    """Of those sessions alone that have any, while a host is at work."""
    secret = "s3cret-0123456789"
    servers = {
        "local": {"command": "server", "args": ["--token", secret], "env": {"KEY": secret}},
        "percent": {"type": "http", "url": f"https://x/{secret}?a=%s&b=:name"},
    }
    host = await open_host(where)
    plain = await begin(host, "plain")
    older = await begin(host, "older")
    kept = (await host.find(older.session, exact=True)).options
    before = await host.find(plain.session, exact=True)
    changed = json.dumps(kept | {"mcp_servers": servers}, separators=(",", ":"))
    sql(where, "UPDATE sessions SET options = :o WHERE id = :i", o=changed, i=older.session)
    assert secret in str(rows(where, "SELECT options FROM sessions"))

    for _ in range(2):  # twice is as once
        async with Journal(where, state=tmp_path / "sockets") as journal:
            found = await journal.find(older.session, exact=True)
        assert secret not in str(rows(where, "SELECT options FROM sessions"))
        assert found.options == kept | {
            "mcp_servers": {
                "local": {"command": "server", "env": ["KEY"], "withheld": ["args"]},
                "percent": {"type": "http", "withheld": ["url"]},
            }
        }
        assert await host.find(plain.session, exact=True) == before
    add(older, e.Text(text="it goes on"))
    await older.written()


def _bytes(folder: Path) -> str:
    """Return all that is on disk of a journal."""
    return "".join(file.read_bytes().decode("latin-1") for file in folder.glob("journal.sqlite*"))


@fault("D6")
def test_migration_keeps_a_private_copy_of_the_old_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _golden(tmp_path / "state")
    _migrate(folder, {}, 1)  # it has the columns of today
    before = rows(folder, "SELECT * FROM sessions")
    reached: list[tuple[int, bool]] = []  # the disk: which file, and whether the copy was there

    def fsync(file: int) -> None:
        reached.append((os.fstat(file).st_ino, (folder / "journal.sqlite.v1.bak").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    _migrate(folder, {1: _add_column}, 2)

    assert reached == [(folder.stat().st_ino, True)]

    assert rows(folder, "SELECT version FROM meta") == [(2,)]
    assert [row[:-1] for row in rows(folder, "SELECT * FROM sessions")] == before
    copy = folder / "journal.sqlite.v1.bak"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT * FROM sessions").fetchall() == before
    assert connection.execute("SELECT version FROM meta").fetchall() == [(1,)]
    connection.close()
    assert not list(folder.glob("*.part"))


@fault("D6")
async def test_journal_is_not_migrated_under_a_host_that_is_too_old(
    tmp_path: Path, open_host: Hosts
) -> None:
    folder = _golden(tmp_path / "state")
    journal = await open_host(folder)

    with pytest.raises(StoreRefused, match=f"older midflight .* process {os.getpid()}"):
        _migrate(folder, {1: _add_column}, 2, oldest=2)

    assert rows(folder, "SELECT version FROM meta") == [(1,)]
    assert not list(folder.glob("*.bak"))
    await journal.host.leave()
    _migrate(folder, {1: _add_column}, 2)
    assert rows(folder, "SELECT version FROM meta") == [(2,)]


def _bring(where: str, tmp_path: Path, steps: dict[int, Step], version: int, oldest: int) -> None:
    """Migrate a journal wherever it is."""
    if "://" not in where:
        _migrate(Path(where), steps, version, oldest)
        return
    with contextlib.closing(Database.at(where)) as database:
        prepare(database, None, steps, version, oldest)


@fault("D6")
async def test_older_host_goes_on_while_a_newer_one_migrates(
    where: str, tmp_path: Path, open_host: Hosts
) -> None:
    """Under load, and nothing is lost; one that is too old for the tables is refused then."""
    journals = [await open_host(where) for _ in range(3)]
    records = [await begin(journal) for journal in journals for _ in range(5)]
    migrated = asyncio.Event()

    async def write(record: JournalRecord) -> None:
        while not migrated.is_set():
            add(record, *[e.Text(text="x")] * 5)
            await record.written()

    async with asyncio.TaskGroup() as group:
        for record in records:
            group.create_task(write(record))
        await asyncio.to_thread(_bring, where, tmp_path, {1: _add_column}, 2, 1)
        for journal in journals:
            await journal.host.beat()
        again = await open_host(where)
        records.append(await begin(again))
        migrated.set()

    assert rows(where, "SELECT version, oldest FROM meta") == [(2, 1)]
    for record in records:
        stored = [seq for _, seq in rows(where, _SEQS.format(record.session))]
        assert stored == list(range(1, record.last_seq + 1))

    with pytest.raises(StoreRefused, match="an older midflight still uses the journal"):
        _bring(where, tmp_path, {2: _add_another}, 3, 2)
    for journal in (*journals, again):
        await journal.host.leave()
    _bring(where, tmp_path, {2: _add_another}, 3, 2)
    with pytest.raises(StoreRefused, match="its version is 3, ours 1"):
        await open_host(where)


_SEQS = "SELECT session, seq FROM events WHERE session = '{}' ORDER BY seq"


async def test_who_keeps_the_tables_is_waited_for_no_longer_than_it_may_be(
    server: str, open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is, where nothing has to be made."""
    import psycopg

    host = await open_host(server)
    record = await begin(host)
    monkeypatch.setattr("midflight.journal.migrations.BUSY_S", 0.1)
    for kept in ("SELECT pg_advisory_xact_lock(1835428980)", "LOCK schedules IN ACCESS SHARE MODE"):
        sql(server, "ALTER TABLE schedules DROP COLUMN IF EXISTS due")
        with contextlib.closing(psycopg.connect(server)) as keeper:
            keeper.execute(kept.encode())
            with pytest.raises(StoreFailed, match="is being prepared by another process"):
                await open_host(server)
            add(record, e.Text(text="meanwhile"))
            await record.written()
    await (await open_host(server)).close()
    with contextlib.closing(psycopg.connect(server)) as keeper:
        keeper.execute(b"SELECT pg_advisory_xact_lock(1835428980)")
        await open_host(server)


@fault("D6")
def test_failed_step_leaves_the_version_before_it_whole(tmp_path: Path) -> None:
    folder = _golden(tmp_path / "state")
    _migrate(folder, {}, 1)  # it has the columns of today
    before = _tables(folder)

    with pytest.raises(StoreFailed, match="syntax error"):
        _migrate(folder, {1: _fail}, 2)

    assert _tables(folder) == before
    assert check_whole(folder) == {GOLDEN_ID: 10}

    with pytest.raises(StoreFailed):
        _migrate(folder, {1: _add_column, 2: _fail}, 3)

    assert rows(folder, "SELECT version FROM meta") == [(2,)]
    assert "extra" in "".join(table for (table,) in _tables(folder))
    assert check_whole(folder) == {GOLDEN_ID: 10}


@fault("D5", "D6")
@pytest.mark.parametrize(
    ("point", "version"),
    [
        ("before anything", 1),
        ("between two changes", 1),
        ("before the commit", 1),
        ("after the first version", 2),
        ("before the second commit", 2),
        ("at the end", 3),
    ],
)
async def test_kill_during_a_migration_leaves_one_version_whole(
    tmp_path: Path, point: str, version: int
) -> None:
    folder = _golden(tmp_path / "state")
    program = await Program.start("migrating.py", folder, point)
    assert await program.line() == point

    await program.kill()

    assert rows(folder, "SELECT version FROM meta") == [(version,)]
    tables = " ".join(table for (table,) in _tables(folder))
    assert ("extra" in tables) == (version >= 2)
    assert ("requests" in tables) == (version < 3)
    assert rows(folder, "SELECT name FROM sessions") == [("golden" if version == 1 else "renamed",)]
    assert len(rows(folder, "SELECT seq FROM events")) == (10 if version == 1 else 0)


@fault("D5", "D6")
async def test_migration_that_was_cut_is_done_by_the_next_program(tmp_path: Path) -> None:
    folder = _golden(tmp_path / "state")
    program = await Program.start("migrating.py", folder, "after the first version")
    await program.line()
    await program.kill()

    again = await Program.start("migrating.py", folder, "at the end")
    assert await again.line() == "at the end"
    await again.kill()
    assert rows(folder, "SELECT version FROM meta") == [(3,)]


@fault("D6")
async def test_newer_journal_is_refused_and_left_as_it_is(where: str, open_host: Hosts) -> None:
    journal = await open_host(where)
    await begin(journal)
    await journal.host.leave()
    await journal.close()
    sql(where, "UPDATE meta SET version = 99, oldest = 99")
    before = _files(Path(where))

    with pytest.raises(StoreRefused, match="version is 99, ours 1") as refused:
        await open_host(where)

    assert refused.value.hint == "upgrade midflight"
    assert rows(where, "SELECT version FROM meta") == [(99,)]
    assert _files(Path(where)) == before


def _files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, if there is one."""
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


async def test_journal_that_several_processes_make_is_made_once(
    where: str, open_host: Hosts
) -> None:
    journals = await asyncio.gather(*(open_host(where, f"/{n}") for n in range(6)))

    assert rows(where, "SELECT version FROM meta") == [(SCHEMA_VERSION,)]
    assert len(await journals[0].hosts()) == 6


async def test_process_that_prepares_a_journal_too_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _golden(tmp_path / "state")
    program = await Program.start("migrating.py", folder, "before anything")
    await program.line()
    monkeypatch.setattr("midflight.journal.migrations.BUSY_S", 0.1)

    with pytest.raises(StoreFailed, match="being prepared by another process"):
        await Journal(folder).open()

    await program.kill()
    async with Journal(folder):
        pass
