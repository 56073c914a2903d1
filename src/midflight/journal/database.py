"""The connection to the database, and what its errors mean."""

from __future__ import annotations

import os
import shlex
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Row, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from midflight._util.database_url import FORM, PASSWORDS, DatabaseUrl
from midflight._util.redact import Redactor
from midflight.errors import InvalidOption, StoreFailed, StoreRefused
from midflight.journal import postgresql
from midflight.journal.schema import meta

T = TypeVar("T")

AnyRow = Row[*tuple[Any, ...]]

Do = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
"""Does a job in a transaction of its own, and returns what it returns."""

BUSY_S = 10.0
"""How long one writer waits for another one."""

CLOSE_S = 3.0
"""How long a reader may take that is not needed any more; a disk may hang for good."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_HINTS = {
    sqlite3.SQLITE_FULL: "make room on its disk; the session can be resumed then",
    sqlite3.SQLITE_IOERR: "look at its disk; the session can be resumed when it works again",
    sqlite3.SQLITE_READONLY: "make it writable; the session can be resumed then",
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
}

ROLE_MAY_NOT = (
    "what is somebody else's stays theirs; what a role may do at all: midflight journal grant"
)

_REACH = "look whether it is up, and at the host and port of the URL, or at PGHOST and the like"
_REFUSED = {
    "authentication failed": f"look at the role's name and its password: {PASSWORDS}",
    "no password supplied": PASSWORDS,
    "certificate": "have its certificate as ~/.postgresql/root.crt, or name it by sslrootcert=",
    "pg_hba.conf": "who administers it lets this role in from this machine there",
    'database "': "look at the database's name at the end of the URL",
}
"""What to do where a server did not let somebody in, by the words of libpq."""


def shut_writers_out(connection: Connection) -> None:
    """Let no other writer in, on a server too, until the transaction ends."""
    connection.execute(select(meta.c.version).with_for_update())


class Database:
    """One journal's database: ``write`` and ``read`` open transactions of the two kinds."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        *,
        file: Path | None = None,
        server: Mapping[str, Any] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        """``name`` is what errors call it. It is a SQLite ``file``, or on a ``server``.

        The latter is what a connection to it is made with. ``secrets`` are blanked out in errors.
        """
        self.engine = engine
        self._clean = Redactor(os.environ, secrets)
        self.name = name
        self.file = file
        self.server = server
        self._writing = engine.execution_options(writes=True)
        # On a server a reader that takes its time would be in an idle transaction.
        alone = {"isolation_level": "AUTOCOMMIT"} if server is not None else {}
        self._reading = engine.execution_options(**alone)
        self._inode: int | None = None
        self._reads = 0
        self._read_less = threading.Condition()

    @classmethod
    def at(cls, where: Path | str) -> Database:
        """Return the database at a file, which exists, or at the URL of a server."""
        if isinstance(where, Path):
            return cls(_sqlite(where), str(where), file=where)
        try:
            url = DatabaseUrl.parse(where)
            server = postgresql.parameters(make_url(url.whole))
            engine = postgresql.engine(make_url(url.whole), server)
        except ValueError as error:
            raise InvalidOption("journal", str(error), FORM) from None
        except ArgumentError:  # its words repeat the URL
            raise InvalidOption("journal", "its hosts and ports cannot be read", FORM) from None
        except ImportError as error:
            raise InvalidOption(
                "journal", str(error).splitlines()[0], "pip install 'midflight[cluster]'"
            ) from error
        return cls(engine, url.shown, server=server, secrets=url.secrets)

    def write(self, job: Callable[[Connection], T]) -> T:
        """Do a job in one transaction that no other writer can come between. Raises as it does."""
        self._check_there()
        with self._writing.begin() as connection:
            return job(connection)

    def read(self, job: Callable[[Connection], T]) -> T:
        """Do a job that only reads. Raises `StoreFailed`, or what the job raises."""
        with self._read_less:
            self._reads += 1
        try:
            with self._reading.connect() as connection:
                return job(connection)
        except DBAPIError as error:
            raise self.failure(error) from error
        finally:
            with self._read_less:
                self._reads -= 1
                self._read_less.notify_all()

    def _check_there(self) -> None:
        """SQLite would keep writing to a file that was removed, and no reader could open it."""
        if self.file is None:
            return
        try:
            inode = self.file.stat().st_ino
        except OSError as error:
            raise StoreFailed(
                f"{self.file} is gone: {error.strerror}",
                "put it back if it was moved; then start again",
            ) from error
        if self._inode is None:
            self._inode = inode
        elif self._inode != inode:
            raise StoreFailed(
                f"{self.file} was replaced by another file",
                "start again, with the file that is to be used in its place",
            )

    def failure(self, error: Exception) -> StoreFailed:
        """Return the error to raise for one of the database. Values never become part of it."""
        cause = getattr(error, "orig", None) or error
        text = self._clean(" ".join(str(cause).split()) or type(cause).__name__)
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            return StoreRefused(
                f"{self.name} is damaged: {text}",
                f"what can be read is saved by: sqlite3 {shlex.quote(self.name)} .recover | "
                f"sqlite3 {shlex.quote(self.name + '.recovered')}",
            )
        if getattr(cause, "sqlstate", None) in postgresql.NOT_ALLOWED:
            return StoreFailed(f"{self.name} does not let this role do that: {text}", ROLE_MAY_NOT)
        if postgresql.NO_TLS in text:
            return StoreFailed(f"{self.name} cannot be used: {text}", postgresql.START_TLS)
        if self.server is not None and not getattr(cause, "sqlstate", None):  # it has not said this
            hints = (hint for words, hint in _REFUSED.items() if words in text)
            return StoreFailed(f"{self.name} cannot be reached: {text}", next(hints, _REACH))
        return StoreFailed(f"{self.name} cannot be used: {text}", _HINTS.get(code, ""))

    def close(self) -> None:
        """Close all connections; those of readers whose callers have left are waited for."""
        with self._read_less:
            self._read_less.wait_for(lambda: self._reads == 0, CLOSE_S)
        self.engine.dispose()


def _sqlite(file: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(file))}?mode=rw",  # never make an empty one in place of a lost one
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    engine = create_engine(
        "sqlite+pysqlite://", creator=connect, poolclass=QueuePool, hide_parameters=True
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that begins as a reader could find at its first write that it is too late.
        options: Any = connection.get_execution_options()
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine
