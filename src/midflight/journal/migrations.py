"""From an empty database, or one of an earlier version, to the tables of this version.

Migrations go forward only. Each is one transaction with the new version's number in it, so that a
kill leaves one version or the other, whole. A SQLite file is copied first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Column, Connection, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from midflight._util.file_lock import lock_in_thread
from midflight.errors import StoreFailed, StoreRefused
from midflight.journal import policies
from midflight.journal.database import BUSY_S, Database
from midflight.journal.hosts import list_hosts
from midflight.journal.location import APPLICATION, JournalLocation
from midflight.journal.people import check_person
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.schema import OLDEST_WRITER, SCHEMA_VERSION, meta, metadata, sessions
from midflight.journal.stored_options import scrubbed

T = TypeVar("T")

Step = Callable[[Connection], Any]
"""Changes the tables of one version to those of the next."""

STEPS: Mapping[int, Step] = {}
"""For each version before this one, the step to the next."""

WAIT_FOR_TABLE_S = 1
"""How long a change waits for those who use a table, with all behind it who want it too."""

PAUSE_S = 0.2
"""For how long they go on before it tries again."""

IDLE_S = 30
"""For how long a process may do nothing in the middle of a change: a busy machine gives it no time.
"""

_SERVER_LOCK = 0x6D666C74

_LOCKED = "55P03"
"""PostgreSQL's code for a lock that was not to be had in time."""


def prepare(
    database: Database,
    location: JournalLocation | None,
    steps: Mapping[int, Step] = STEPS,
    version: int = SCHEMA_VERSION,
    oldest: int = OLDEST_WRITER,
) -> None:
    """Bring a database to ``version``. Several processes may do this at once.

    Raises `StoreRefused` (and changes nothing) if it is newer and not for hosts of this version any
    more, or if a host still uses it that is older than ``oldest``, from which on they may still
    write. ``location`` is where a SQLite file lies.
    """
    try:
        if location is None:
            _bring(database, None, steps, version, oldest)
            return
        with _alone(location):
            location.check_journal()
            _make_file_ours(location.journal)
            _bring(database, location, steps, version, oldest)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise database.failure(error) from error


class _Found(NamedTuple):
    """What is there: the version of the tables, None without any, and what is to be added to them.

    ``oldest`` is the version from which on hosts may write them. ``owner`` is the role that they
    belong to, and ``ours`` says that this is it.
    """

    version: int | None
    oldest: int
    owner: str
    ours: bool
    changes: Sequence[Step]


def _bring(
    database: Database,
    location: JournalLocation | None,
    steps: Mapping[int, Step],
    version: int,
    oldest: int,
) -> None:
    # A server ends a transaction of a process that has no time for it; looking needs none.
    use = database.write if database.server is None else database.read
    there = use(lambda connection: _look(connection, version))
    if there.version is None:
        _change(database, lambda connection: _make(connection, version, oldest))
        there = use(lambda connection: _look(connection, version))
    found = there.version or version
    if found > version:
        if version < there.oldest:
            raise StoreRefused(
                f"{database.name} was written by a newer midflight (its version is {found}, "
                f"ours {version})",
                "upgrade midflight",
            )
        return
    if (there.changes or found < version) and not there.ours:
        raise StoreRefused(
            f"{database.name} has not all that this midflight needs",
            f"have the owner of its tables, {there.owner}, open it once: midflight doctor",
        )
    for change in there.changes:
        _change(database, change)
    if found < version:
        database.write(lambda connection: _check_unused(connection, oldest))
    if found < version and location is not None:
        _back_up(
            location.journal, location.folder / f"{location.journal.name}.v{found}.bak", location
        )
    while found < version:
        step = functools.partial(_advance, step=steps[found], version=found, oldest=oldest)
        found = _change(database, step)
    if there.ours:
        _protect(database)
        _scrub(database)


def _look(connection: Connection, version: int) -> _Found:
    """Find out what is there. Raises `StoreRefused` for a role that can be no person."""
    server = connection.dialect.name != "sqlite"
    if server:
        check_person(connection)
    if not inspect(connection).has_table(meta.name):
        return _Found(None, 0, "", ours=True, changes=())
    known = {column["name"] for column in inspect(connection).get_columns(meta.name)}
    found = int(connection.execute(select(meta.c.version)).scalar_one())
    oldest = connection.scalar(select(meta.c.oldest)) if meta.c.oldest.name in known else None
    owner, ours = connection.execute(_OWNER).one() if server else ("", True)
    changes = _changes(connection) if found <= version else ()
    return _Found(found, found if oldest is None else oldest, owner, ours=ours, changes=changes)


_OWNER = text("""
    SELECT relowner::regrole::text, pg_has_role(relowner, 'USAGE') FROM pg_class
    WHERE oid = to_regclass('meta')
""")


def _make(connection: Connection, version: int, oldest: int) -> None:
    if not inspect(connection).has_table(meta.name):  # or else another process was faster
        metadata.create_all(connection, checkfirst=False)  # tables of others must not become ours
        connection.execute(insert(meta).values(version=version, oldest=oldest))


def _change(database: Database, change: Callable[[Connection], T]) -> T:
    """Change the tables in a transaction, alone among those who do. Raises `StoreFailed`.

    On a server whoever wants a table waits behind one that waits to change it, as beats do. So it
    waits for a moment only, and lets the others go on before it tries again.
    """
    if database.server is None:
        return database.write(change)

    def alone(connection: Connection) -> T:
        connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_TABLE_S}s'"))
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SERVER_LOCK})
        return change(connection)

    until = time.monotonic() + BUSY_S
    while True:
        try:
            return database.write(alone)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") != _LOCKED:
                raise
            if time.monotonic() > until:
                raise StoreFailed(
                    f"{database.name} is being prepared by another process, or kept busy by one",
                    "try again; a dump, for example, keeps its tables until it is done",
                ) from error
        time.sleep(PAUSE_S)


def _changes(connection: Connection) -> list[Step]:
    """Return what has to be done to add what has come since; older hosts are not disturbed.

    Each is for a transaction of its own: on a server several tables that are changed in one could
    wait for those who write, and these for them. Raises `StoreRefused` where a table of others has
    the name of one.
    """
    names = [table.name for table in metadata.sorted_tables]
    known = inspect(connection).get_multi_columns(filter_names=names)
    there_are = {name for _, name in known}
    changes: list[Step] = [
        functools.partial(metadata.tables[missing].create, checkfirst=True)
        for missing in names
        if missing not in there_are
    ]
    server = connection.dialect.name != "sqlite"
    for (_, table), columns in known.items():
        there = {column["name"] for column in columns}
        missing_columns = [c for c in metadata.tables[table].columns if c.name not in there]
        for column in missing_columns:
            if not column.nullable:
                raise StoreRefused(
                    f"the table {table} there is not midflight's",
                    "give midflight a database, or a schema, of its own",
                )
        if missing_columns:
            changes.append(functools.partial(_add_columns, columns=missing_columns))
    # Who finds the tables of today asks what a policy asks, see `policies.may_own`.
    return [policies.prepare, *changes] if server and changes else changes


def _add_columns(connection: Connection, columns: Sequence[Column[Any]]) -> None:
    """Add columns to a table, with the indexes that they are in."""
    server = connection.dialect.name != "sqlite"
    unless = "IF NOT EXISTS " if server else ""  # another process may be faster
    for column in columns:
        kind = column.type.compile(connection.dialect)
        add = f"ALTER TABLE {column.table.name} ADD COLUMN {unless}{column.name} {kind}"
        connection.execute(text(add))
    for index in columns[0].table.indexes:
        if not {*index.columns}.isdisjoint(columns):
            index.create(connection, checkfirst=True)


def _protect(database: Database) -> None:
    """Have a server hold to who may write what; see `policies`."""
    if database.server is None or not (tables := database.read(policies.unprotected)):
        return
    _change(database, policies.prepare)
    for table in tables:
        _change(database, functools.partial(policies.protect, table=table))
    done = update(meta).values(policies=policies.POLICIES)
    _change(database, lambda connection: connection.execute(done))


def _check_unused(connection: Connection, oldest: int) -> None:
    """A host that is too old would keep writing to tables that it does not know."""
    for host in list_hosts(connection, ProcessIdentity.find()):
        if host.alive and host.writes < oldest:
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


def _advance(connection: Connection, step: Step, version: int, oldest: int) -> int:
    """Do one step, unless another process did it meanwhile. Return the version reached."""
    found = int(connection.execute(select(meta.c.version).with_for_update()).scalar_one())
    if found == version:
        step(connection)
        connection.execute(update(meta).values(version=version + 1, oldest=oldest))
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
