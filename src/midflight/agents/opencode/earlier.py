"""Conversations of OpenCode with a person: read from the database that it keeps them in.

Its server would tell them too, and takes seconds to start; and it loads what the folder has it run.
The form is that of version 1.18. Nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from midflight.agents.shared.earlier import FIRST_CHARS, LISTED, SAID, SAID_CHARS, Earlier, Said
from midflight.errors import AgentFailed

BUSY_S = 2.0
"""How long the database may be locked."""

OPEN_S = 120.0
"""A conversation that was written so lately may go on elsewhere: nothing says who has it open."""

_ID = re.compile(r"ses_\w{1,100}")

_LIST = """
SELECT s.id, s.title, s.time_updated / 1000.0, (
    SELECT substr(json_extract(p.data, '$.text'), 1, :chars)
    FROM part p JOIN message m ON m.id = p.message_id
    WHERE p.session_id = s.id AND json_extract(m.data, '$.role') = 'user'
        AND json_extract(p.data, '$.type') = 'text'
    ORDER BY p.time_created, p.id LIMIT 1)
FROM session s WHERE s.directory = :folder AND s.parent_id IS NULL AND s.time_archived IS NULL
ORDER BY s.time_updated DESC LIMIT :count
"""
_SAID = """
SELECT json_extract(m.data, '$.role'), substr(json_extract(p.data, '$.text'), 1, :chars)
FROM part p JOIN message m ON m.id = p.message_id
WHERE p.session_id = :conversation AND json_extract(p.data, '$.type') = 'text'
    AND json_extract(p.data, '$.synthetic') IS NOT 1
ORDER BY p.time_created DESC, p.id DESC LIMIT :count
"""


def conversations(cwd: Path, env: Mapping[str, str]) -> list[Earlier]:
    """Return the conversations of a folder, the newest first. Raises `AgentFailed`."""
    rows = _rows(env, _LIST, folder=str(cwd), chars=FIRST_CHARS, count=LISTED)
    return [
        Earlier(
            agent="opencode",
            id=str(id_),
            first=str(first or title),
            updated=float(updated),
            open=_open(time.time() - float(updated)),
        )
        for id_, title, updated, first in rows
        if _ID.fullmatch(str(id_))
    ]


def said(cwd: Path, env: Mapping[str, str], conversation: str) -> list[Said]:
    """Return what was said last, the oldest of it first. Raises `AgentFailed`."""
    del cwd  # an id is one of all folders
    rows = _rows(env, _SAID, conversation=conversation, chars=SAID_CHARS, count=SAID)
    texts = [Said(role == "user", str(text or "").strip()) for role, text in rows]
    return [each for each in texts[::-1] if each.text]


def _open(age_s: float) -> str:
    return f"it was written {max(0, age_s):.0f} seconds ago" if age_s < OPEN_S else ""


def _rows(env: Mapping[str, str], query: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return what a query finds; nothing where there is no database."""
    data = env.get("XDG_DATA_HOME") or Path(env.get("HOME") or Path.home()) / ".local" / "share"
    path = Path(data) / "opencode" / "opencode.db"
    if not path.is_file():
        return []
    place = f"file:{quote(os.fsencode(path))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=BUSY_S)) as database:
            return database.execute(query, values).fetchall()
    except (sqlite3.Error, OverflowError) as error:
        raise AgentFailed(f"{path} cannot be read: {error}", "opencode session list") from None
