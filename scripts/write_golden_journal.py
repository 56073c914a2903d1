"""Writes the journal of this version, as SQL, for the tests of later ones.

To be run once for each new version of the tables: `python scripts/write_golden_journal.py`. The
files of earlier versions stay as they are.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path

from midflight import Options
from midflight import events as e
from midflight.journal import Journal
from midflight.journal.base import Summary
from midflight.journal.schema import SCHEMA_VERSION

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
ID = "0123456789abcdef"

EVENTS: list[e.Event] = [
    e.SessionStarted(agent="fake", agent_session="conversation", model="small"),
    e.MessageAccepted(message="m1", text="do it", delivery="steer"),
    e.TurnStarted(turn=1, origin="message", messages=("m1",)),
    e.MessageStarted(turn=1, message="m1"),
    e.PermissionRequested(turn=1, request="p1", call="c1", name="Bash", input={"command": "ls"}),
    e.PermissionResolved(turn=1, request="p1", decision="deny", by="user", reason="no"),
    e.Text(turn=1, text="quotes ' and \" and \\ and \U0001f600 and \0"),
    e.MessageAccepted(message="m2", text="and this", delivery="queue"),
    e.MessageChanged(message="m2", text="and that", delivery="queue"),
    e.QuestionRequested(turn=1, request="q1", questions=()),
]


async def write(folder: Path) -> None:
    """Make a journal with one session that was cut in the middle."""
    async with Journal(folder) as journal:
        await journal.host.register("")
        options = Options.build(agent="fake", cwd="/", env={"TOKEN": "secret"}, max_turns=3)
        _, holding = await journal.create("golden", options, id=ID, parent="orchestrator")
        for seq, event in enumerate(EVENTS, 1):
            holding.append(e.stamp(event, seq=seq, session=ID, turn=event.turn, time=1.0))
        holding.handed("m2")
        holding.note(
            Summary(
                status="waiting",
                turns=1,
                total_cost_usd=0.25,
                model="small",
                permission_mode="default",
                agent_session="conversation",
                last="asks",
                pending=("q1",),
            )
        )
        await holding.written()


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(write(Path(folder)))
        connection = sqlite3.connect(Path(folder) / "journal.sqlite")
        connection.execute("UPDATE sessions SET created = 1.0, updated = 2.0")
        connection.execute("UPDATE leases SET host = 'host'")
        connection.execute(
            "UPDATE hosts SET id = 'host', machine = 'machine', boot = 'boot', space = 'space',"
            " pid = 1, born = 0.5, address = '/a.sock', beat = 1.0, seen = 1.0, started = 1.0"
        )
        connection.commit()
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        lines = [f"PRAGMA application_id={mark};", *connection.iterdump()]
        connection.close()
    file = GOLDEN / f"journal-v{SCHEMA_VERSION}.sql"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(file)


if __name__ == "__main__":
    main()
