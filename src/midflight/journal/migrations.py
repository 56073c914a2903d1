"""From an empty database, or one of an earlier version, to the tables of this version.

Migrations go forward only. Each is one transaction with the new version's number in it, so that a
kill leaves one version or the other, whole. A SQLite file is copied first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from midflight._util.file_lock import lock_in_thread
from midflight.errors import StoreFailed, StoreRefused
from midflight.journal.database import BUSY_S, Database
from midflight.journal.lease import ProcessIdentity, list_hosts
from midflight.journal.location import APPLICATION, JournalLocation
from midflight.journal.schema import SCHEMA_VERSION, meta, metadata, sessions
from midflight.journal.stored_options import scrubbed

Step = Callable[[Connection], None]
"""Changes the tables of one version to those of the next."""

STEPS: Mapping[int, Step] = {}
"""For each version before this one, the step to the next."""

_SERVER_LOCK = 0x6D666C74


def prepare(
    database: Database,
    location: JournalLocation | None,
    steps: Mapping[int, Step] = STEPS,
    version: int = SCHEMA_VERSION,
) -> None:
    """Bring a database to ``version``. Several processes may do this at once.

    Raises `StoreRefused` (and changes nothing) if it is newer, or if it is older and a host still
    uses it. ``location`` is where a SQLite file lies.
    """
    try:
        if location is None:
            _bring(database, None, steps, version)
            _scrub(database)
            return
        with _alone(location):
            location.check_journal()
            _make_file_ours(location.journal)
            _bring(database, location, steps, version)
            _scrub(database)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise database.failure(error) from error


def _bring(
    database: Database, location: JournalLocation | None, steps: Mapping[int, Step], version: int
) -> None:
    found = database.write(lambda connection: _found(connection, version))
    if found > version:
        raise StoreRefused(
            f"{database.name} was written by a newer midflight (its version is {found}, "
            f"ours {version})",
            "upgrade midflight",
        )
    if found < version:
        database.write(_check_unused)
    if found < version and location is not None:
        _back_up(
            location.journal, location.folder / f"{location.journal.name}.v{found}.bak", location
        )
    while found < version:
        found = database.write(functools.partial(_advance, step=steps[found], version=found))


def _found(connection: Connection, version: int) -> int:
    """Return the version of the tables, which are made if there are none."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SERVER_LOCK})
    if not inspect(connection).has_table(meta.name):
        metadata.create_all(connection, checkfirst=False)  # tables of others must not become ours
        connection.execute(insert(meta).values(version=version))
    found = int(connection.execute(select(meta.c.version)).scalar_one())
    if found <= version:
        _add_what_is_new(connection)
    return found


def _add_what_is_new(connection: Connection) -> None:
    """Add what has come since; a host that does not know it is not disturbed.

    Raises `StoreRefused` where a table of others has the name of one.
    """
    names = [table.name for table in metadata.sorted_tables]
    known = inspect(connection).get_multi_columns(filter_names=names)
    there_are = {name for _, name in known}
    for missing in (name for name in names if name not in there_are):
        metadata.tables[missing].create(connection)
    for (_, table), columns in known.items():
        there = {column["name"] for column in columns}
        for column in metadata.tables[table].columns:
            if column.name not in there:
                if not column.nullable:
                    raise StoreRefused(
                        f"the table {table} there is not midflight's",
                        "give midflight a database, or a schema, of its own",
                    )
                kind = column.type.compile(connection.dialect)
                connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column.name} {kind}"))
        for index in metadata.tables[table].indexes:
            if not {column.name for column in index.columns} <= there:
                index.create(connection)


def _check_unused(connection: Connection) -> None:
    """A host of the version before would keep writing to tables that it does not know."""
    for host in list_hosts(connection, ProcessIdentity.find()):
        if host.alive:
            raise StoreRefused(
                f"an older midflight still uses the journal: process {host.pid} on {host.machine}",
                f"try again when it has ended, or end it: kill {host.pid}",
            )


def _scrub(database: Database) -> None:
    """Take out of stored options what is not stored any more, since it may be secret.

    No version of the tables says whether that has been done: a host of an earlier midflight, which
    may still be at work, stores it.
    """
    has_servers = sessions.c.options.like('%"mcp_servers":{"%')
    found = database.read(
        lambda c: c.execute(select(sessions.c.id, sessions.c.options).where(has_servers)).all()
    )
    changed = {row.options: new for row in found if (new := scrubbed(row.options)) is not None}
    if not changed:
        return

    def write(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        for old, new in changed.items():
            same = sessions.c.options == old
            connection.execute(update(sessions).where(same).values(options=new))

    database.write(write)
    if database.file is not None:  # or else it would stay in the log of writes for a while
        with contextlib.closing(sqlite3.connect(database.file, timeout=BUSY_S)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _advance(connection: Connection, step: Step, version: int) -> int:
    """Do one step, unless another process did it meanwhile. Return the version reached."""
    found = int(connection.execute(select(meta.c.version).with_for_update()).scalar_one())
    if found == version:
        step(connection)
        connection.execute(update(meta).values(version=version + 1))
    return max(found, version + 1)


def _make_file_ours(file: Path) -> None:
    """Mark a new file as a journal, then let readers and a writer in at the same time."""
    with contextlib.closing(sqlite3.connect(file, timeout=BUSY_S)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            # Before the write-ahead log is in use, so that the mark is in the file's own header.
            connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute("PRAGMA journal_mode=WAL")


def _back_up(file: Path, copy: Path, location: JournalLocation) -> None:
    """Write a copy beside the file, under its name only when it is whole and on disk."""
    half = copy.with_name(copy.name + ".part")
    half.unlink(missing_ok=True)
    os.close(location.open_file(half))
    with (
        contextlib.closing(sqlite3.connect(file)) as source,
        contextlib.closing(sqlite3.connect(half)) as target,
    ):
        source.backup(target)
    half.replace(copy)
    folder = os.open(location.folder, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name has to outlive a power cut as what was copied does
    finally:
        os.close(folder)


@contextlib.contextmanager
def _alone(location: JournalLocation) -> Iterator[None]:
    """Keep other processes from making or migrating the journal meanwhile."""
    file = location.open_file(location.lock)
    try:
        try:
            lock_in_thread(file, BUSY_S)
        except TimeoutError:
            raise StoreFailed(
                f"{location.journal} is being prepared by another process", "try again"
            ) from None
        yield
    finally:
        os.close(file)
