"""The names of sessions, read by SQLite itself: a shell waits for them at each Tab."""

from __future__ import annotations

import contextlib
import sqlite3
from urllib.parse import quote

from midflight.errors import MidflightError
from midflight.journal.location import JournalLocation, default_folder

MOST = 1_000

LOCKED_S = 0.05
"""How long a journal that is locked is waited for."""


def newest_names() -> list[str]:
    """Return the names of the user's newest sessions; none where they cannot be read."""
    with contextlib.suppress(MidflightError, OSError, sqlite3.Error):
        if default_folder().is_dir():
            file = JournalLocation().journal
            where = f"file:{quote(str(file))}?mode=ro"
            with contextlib.closing(sqlite3.connect(where, uri=True, timeout=LOCKED_S)) as journal:
                query = "SELECT name FROM sessions WHERE seq > 0 ORDER BY created DESC LIMIT ?"
                return [name for (name,) in journal.execute(query, (MOST,))]
    return []
