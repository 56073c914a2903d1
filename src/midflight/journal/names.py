"""The names of sessions and schedules, from a file by SQLite itself: a shell waits for them."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from midflight.errors import MidflightError
from midflight.journal.choice import JournalAddress
from midflight.journal.location import default_folder

if TYPE_CHECKING:  # both are slow to load
    from sqlalchemy import Connection

    from midflight.journal.process_identity import ProcessIdentity

MOST = 1_000

LOCKED_S = 0.05
"""How long a journal that is locked is waited for."""

SERVER_S = 3.0
"""How long a server is waited for."""


def newest_names(journal: JournalAddress) -> list[str]:
    """Return the names of the newest sessions; none where they cannot be read."""
    if journal.url is not None:
        return _on_server(journal.url.whole, _newest)
    return _in_file(
        journal, "SELECT name FROM sessions WHERE seq > 0 ORDER BY created DESC LIMIT ?"
    )


def schedule_names(journal: JournalAddress) -> list[str]:
    """Return the names of the schedules; none where they cannot be read."""
    if journal.url is not None:
        return _on_server(journal.url.whole, _schedules)
    return _in_file(journal, "SELECT name FROM schedules ORDER BY name LIMIT ?")


def _in_file(journal: JournalAddress, query: str) -> list[str]:
    with contextlib.suppress(MidflightError, OSError, sqlite3.Error):
        if (journal.folder or default_folder()).is_dir():
            file = journal.location.journal
            where = f"file:{quote(str(file))}?mode=ro"
            with contextlib.closing(sqlite3.connect(where, uri=True, timeout=LOCKED_S)) as found:
                return [name for (name,) in found.execute(query, (MOST,))]
    return []


def _newest(connection: Connection, here: ProcessIdentity) -> list[str]:
    from midflight.journal.queries import list_sessions

    return [row.name for row in list_sessions(connection, here, limit=MOST)]


def _schedules(connection: Connection, here: ProcessIdentity) -> list[str]:
    from midflight.journal.schedules import list_schedules

    return [schedule.name for schedule in list_schedules(connection, here)]


def _on_server(url: str, ask: Callable[[Connection, ProcessIdentity], list[str]]) -> list[str]:
    """Return them from a database, in a thread that is left alone if it takes its time."""
    names: list[str] = []

    def look() -> None:
        from midflight.journal.database import Database
        from midflight.journal.process_identity import ProcessIdentity

        with contextlib.suppress(MidflightError):
            database, here = Database.at(url), ProcessIdentity.find()
            names.extend(database.read(lambda c: ask(c, here)))
            database.close()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(SERVER_S)
    return names
