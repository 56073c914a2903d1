"""Migrates a journal, and stops at a point of it until it is killed; prints that it is there."""

from __future__ import annotations

import sys
from pathlib import Path

from sqlalchemy import Connection, text

from midflight.journal import JournalLocation
from midflight.journal.database import Database
from midflight.journal.migrations import prepare

POINT = sys.argv[2]


def reach(point: str) -> None:
    """Wait here, if this is the point."""
    if point == POINT:
        sys.stdout.write(f"{point}\n")
        sys.stdout.flush()
        sys.stdin.readline()


def first(connection: Connection) -> None:
    """Change the tables and the rows."""
    reach("before anything")
    connection.execute(text("ALTER TABLE sessions ADD COLUMN extra TEXT DEFAULT '' NOT NULL"))
    reach("between two changes")
    connection.execute(text("UPDATE sessions SET extra = 'new', name = 'renamed'"))
    connection.execute(text("DELETE FROM events"))
    reach("before the commit")


def second(connection: Connection) -> None:
    """Change them again."""
    reach("after the first version")
    connection.execute(text("DROP TABLE requests"))
    reach("before the second commit")


location = JournalLocation(Path(sys.argv[1]))
prepare(Database.at(location.journal), location, {1: first, 2: second}, 3)
reach("at the end")
