"""The names of sessions, from a file by SQLite itself: a shell waits for them at each Tab."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from urllib.parse import quote

from midflight.errors import MidflightError
from midflight.journal.choice import JournalAddress
from midflight.journal.location import default_folder

MOST = 1_000

LOCKED_S = 0.05
"""How long a journal that is locked is waited for."""

SERVER_S = 3.0
"""How long a server is waited for."""


def newest_names(journal: JournalAddress) -> list[str]:
    """Return the names of the newest sessions; none where they cannot be read."""
    if journal.url is not None:
        return _on_server(journal.url.whole)
    with contextlib.suppress(MidflightError, OSError, sqlite3.Error):
        if (journal.folder or default_folder()).is_dir():
            file = journal.location.journal
            where = f"file:{quote(str(file))}?mode=ro"
            with contextlib.closing(sqlite3.connect(where, uri=True, timeout=LOCKED_S)) as found:
                query = "SELECT name FROM sessions WHERE seq > 0 ORDER BY created DESC LIMIT ?"
                return [name for (name,) in found.execute(query, (MOST,))]
    return []


def _on_server(url: str) -> list[str]:
    """Return them from a database, in a thread that is left alone if it takes its time."""
    names: list[str] = []

    def look() -> None:
        from midflight.journal.database import Database
        from midflight.journal.lease import ProcessIdentity
        from midflight.journal.queries import list_sessions

        with contextlib.suppress(MidflightError):
            database, here = Database.at(url), ProcessIdentity.find()
            rows = database.read(lambda c: list_sessions(c, here, limit=MOST))
            names.extend(row.name for row in rows)
            database.close()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(SERVER_S)
    return names
