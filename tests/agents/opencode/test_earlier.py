"""Conversations that OpenCode has kept: what is read of its database, and of what is none."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from midflight.agents.opencode import earlier
from midflight.agents.shared.earlier import SAID
from midflight.errors import AgentFailed

TABLES = """
CREATE TABLE session (id TEXT PRIMARY KEY, parent_id TEXT, directory TEXT, title TEXT,
    time_updated INTEGER, time_archived INTEGER);
CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INTEGER, data TEXT);
CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_created INTEGER,
    data TEXT);
"""
"""The columns that are read, of those that version 1.18.33 has."""

CWD = Path("/srv/my project")


class Kept:
    """A database of the user's."""

    def __init__(self, home: Path) -> None:
        self.env = {"HOME": str(home)}
        self.path = home / ".local" / "share" / "opencode" / "opencode.db"
        self.path.parent.mkdir(parents=True)
        self.number = 0
        with sqlite3.connect(self.path) as database:
            database.executescript(TABLES)

    def session(self, name: str, age_s: float, folder: Path = CWD, **more: str) -> None:
        row = {"parent_id": None, "time_archived": None} | more
        at = int((time.time() - age_s) * 1000)
        values = (name, row["parent_id"], str(folder), f"title of {name}", at, row["time_archived"])
        with sqlite3.connect(self.path) as database:
            database.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)", values)

    def says(self, session: str, role: str, *parts: dict[str, object]) -> None:
        with sqlite3.connect(self.path) as database:
            self.number += 1
            message = f"msg_{self.number:05}"
            data = json.dumps({"role": role})
            values = (message, session, self.number, data)
            database.execute("INSERT INTO message VALUES (?, ?, ?, ?)", values)
            for at, part in enumerate(parts):
                row = (f"prt_{self.number:05}_{at}", message, session, self.number)
                database.execute(
                    "INSERT INTO part VALUES (?, ?, ?, ?, ?)", (*row, json.dumps(part))
                )


def text(said: str, **more: object) -> dict[str, object]:
    return {"type": "text", "text": said, **more}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_conversations_of_the_folder_come_newest_first(kept: Kept) -> None:
    kept.session("ses_old", 5000)
    kept.says("ses_old", "user", {"type": "file"}, text("first of all"))
    kept.says("ses_old", "user", text("then"))
    kept.session("ses_new", 10)
    kept.session("ses_child", 1, parent_id="ses_new")
    kept.session("ses_archived", 1, time_archived="1")
    kept.session("ses_elsewhere", 1, Path("/work"))
    kept.session("--help", 1)
    found = earlier.conversations(CWD, kept.env)
    assert [(each.id, each.first) for each in found] == [
        ("ses_new", "title of ses_new"),
        ("ses_old", "first of all"),
    ]
    assert [bool(each.open) for each in found] == [True, False]
    assert found[0].open.startswith("it was written 1")


def test_what_was_said_last_is_told_in_its_order(kept: Kept) -> None:
    kept.session("ses_a", 10)
    for n in range(SAID):
        kept.says("ses_a", "user", text(f"number {n}"))
    kept.says("ses_a", "assistant", text("Looking."), {"type": "tool"}, text("put in", synthetic=1))
    kept.says("ses_a", "assistant", text("Done.\x1b[2J"), text(""))
    told = earlier.said(CWD, kept.env, "ses_a")
    assert told[-3:] == [
        (True, f"number {SAID - 1}"),
        (False, "Looking."),
        (False, "Done.\x1b[2J"),
    ]
    assert len(told) <= SAID
    assert earlier.said(CWD, kept.env, "ses_none") == []


def test_where_opencode_was_never_used_there_is_nothing(tmp_path: Path) -> None:
    assert earlier.conversations(CWD, {"HOME": str(tmp_path)}) == []


def test_data_folder_of_the_environment_is_the_one(kept: Kept, tmp_path: Path) -> None:
    kept.session("ses_a", 10)
    place = {"HOME": "/nowhere", "XDG_DATA_HOME": str(tmp_path / ".local" / "share")}
    assert [each.id for each in earlier.conversations(CWD, place)] == ["ses_a"]


@pytest.mark.parametrize("content", [b"no database at all, but long enough" * 99, b""])
def test_database_of_another_form_is_an_error_that_names_it(kept: Kept, content: bytes) -> None:
    kept.path.write_bytes(content)
    with pytest.raises(AgentFailed, match=r"opencode\.db cannot be read: "):
        earlier.conversations(CWD, kept.env)
    assert kept.path.read_bytes() == content


def test_broken_row_is_an_error_too(kept: Kept) -> None:
    kept.session("ses_a", 10)
    kept.says("ses_a", "user", text("x"))
    with sqlite3.connect(kept.path) as database:
        database.execute("UPDATE part SET data = '{'")
    with pytest.raises(AgentFailed, match="cannot be read"):
        earlier.conversations(CWD, kept.env)
