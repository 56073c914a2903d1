"""What the tests of the journal share."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

import sqlalchemy
from tests.support.program import unwatched

from midflight import Options
from midflight import events as e
from midflight.journal import TTL_S, Journal, JournalRecord, SessionRow
from midflight.journal.database import Database

__all__ = [
    "PROGRAMS",
    "Program",
    "add",
    "begin",
    "options",
    "rows",
    "silence",
    "sql",
    "text",
    "waiting_session",
]

SILENT_S = 16
"""Longer than a host may be silent."""

PROGRAMS = Path(__file__).parent / "programs"


def options(**given: Any) -> Options:
    """Return options that do no harm."""
    return Options.build(**{"agent": "fake", "cwd": Path("/"), **given})


def waiting_session(**given: Any) -> SessionRow:
    """Return one as lists show it, that waits for the label gpu."""
    texts = {"name": "s", "agent": "fake", "model": "", "cwd": "/", "parent": "", "last": ""}
    fields: dict[str, Any] = {**texts, "permission_mode": "", "agent_session": "", "status": "idle"}
    fields |= {"options": {"env": [], "mcp_servers": {}}, "pending": (), "turns": 0, "seq": 1}
    fields |= {"total_cost_usd": 0.0, "known_usd": 0.0, "created": 0.0, "updated": 0.0}
    fields |= {"host": None, "address": None, "label": "gpu", "waiting_since": 1.0}
    return SessionRow(id="s", **{**fields, **given})


def text(record: JournalRecord, said: str = "hello") -> e.Event:
    """Return the next event of a session: a text."""
    return e.Text(text=said, seq=record.last_seq + 1, session=record.session, time=1.0)


def add(record: JournalRecord, *events: e.Event) -> None:
    """Give events their place in a session and have them written."""
    for event in events:
        seq = record.last_seq + 1
        record.append(e.stamp(event, seq=seq, session=record.session, turn=event.turn, time=1.0))


async def begin(journal: Journal, name: str = "fix", **given: Any) -> JournalRecord:
    """Make a session with one event."""
    _, record = await journal.create(name, options(**given))
    record.begin(lambda seq: None, lambda error: None)
    record.append(text(record))
    await record.written()
    return record


def sql(where: str | Path, statement: str, **values: Any) -> None:
    """Change the database behind the journal's back."""
    database = _database(where)
    try:
        database.write(lambda connection: connection.execute(sqlalchemy.text(statement), values))
    finally:
        database.close()


def silence(where: str | Path, host: str | None) -> None:
    """Let a host look as if it had hung for longer than it may."""
    assert TTL_S < SILENT_S
    statement = "UPDATE hosts SET beat = beat - :long, seen = seen - :long WHERE id = :host"
    sql(where, statement, long=SILENT_S, host=host)


def rows(where: str | Path, query: str) -> list[tuple[Any, ...]]:
    """Return what is in the database."""
    database = _database(where)
    try:
        return database.read(
            lambda connection: [tuple(row) for row in connection.exec_driver_sql(query)]
        )
    finally:
        database.close()


def _database(where: str | Path) -> Database:
    url = isinstance(where, str) and "://" in where
    return Database.at(str(where) if url else Path(where) / "journal.sqlite")


def check_whole(folder: Path) -> dict[str, int]:
    """Check that the file is sound and each session gapless; return the newest event of each."""
    connection = sqlite3.connect(folder / "journal.sqlite")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        found = connection.execute(
            "SELECT sessions.id, sessions.seq, count(events.seq), coalesce(max(events.seq), 0)"
            " FROM sessions LEFT JOIN events ON events.session = sessions.id GROUP BY sessions.id"
        ).fetchall()
        for session, seq, count, newest in found:
            assert seq == count == newest, session
        return {session: seq for session, seq, _, _ in found}
    finally:
        connection.close()


class Program:
    """One of the programs of the tests, as a process of its own that can be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, name: str, *arguments: str | Path) -> Program:
        """Start it."""
        command = [sys.executable, str(PROGRAMS / name), *map(str, arguments)]
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                env=unwatched(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )

    async def line(self) -> str:
        """Return the next line that it prints; empty when it has ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            return (await self.process.stdout.readline()).decode().strip()

    async def say(self, line: str) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def rest(self) -> list[str]:
        """Return what it prints until it ends."""
        async with asyncio.timeout(60):
            out, _ = await self.process.communicate()
        return out.decode().splitlines()

    async def kill(self) -> list[str]:
        """End it as a power cut would; return what it had printed."""
        self.process.kill()
        return await self.rest()
