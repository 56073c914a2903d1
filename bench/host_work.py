"""What sessions write: turns as an agent has them, and a journal that is full of such sessions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, insert

from midflight import Options
from midflight import events as e
from midflight.journal import Journal, stored
from midflight.journal.database import Database
from midflight.journal.schema import events, leases, messages, sessions

__all__ = ["LAST_WORDS", "LONG", "fill", "fill_waiting", "rows", "work", "writing"]

LAST_WORDS = "These are the last words."
LONG = "the-long-one"
"""The name and the id of the session that is attached to."""

STEPS = 10
AT_ONCE = 50

_PLACEHOLDER = "a-session"
_SAYS = "I have read the module; the check belongs in front of the query. " * 3
_COMMAND = {"command": "grep -rn validate src/shop/users.py | head -20"}
_OUTPUT = "src/shop/users.py:41:    validate(user)\n" * 8


def work(session: str, turns: int) -> Iterator[e.Event]:
    """Yield what a session writes in so many turns: 45 events in each."""
    seq = 0
    for turn in range(1, turns + 1):
        for event in _turn(turn):
            seq += 1
            yield e.stamp(event, seq=seq, session=session, turn=turn, time=time.time())


@contextlib.asynccontextmanager
async def writing(
    where: Path | str, sessions: int, turns: int
) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """Have sessions of a journal; yield what writes all that they say, and tells how long it took.

    They write as fast as they can, each event of one after that of the others.
    """
    async with Journal(where) as kept:
        await kept.host.register("")
        records, told = [], []
        for number in range(sessions):
            row, record = await kept.create(f"s-{number}", Options.build(agent="fake", cwd="/"))
            record.begin(lambda _: None, print)
            records.append(record)
            told.append(list(work(row.id, turns)))

        async def write() -> float:
            began = time.perf_counter()
            for together in zip(*told, strict=True):
                for record, event in zip(records, together, strict=True):
                    record.append(event)
            for record in records:
                await record.written()
            return time.perf_counter() - began

        yield write
        for record in records:
            await record.close()
        await kept.host.leave()


def rows(sessions: Iterable[str], turns: int) -> list[tuple[Any, ...]]:
    """Return the rows of the same events, for who writes them by hand."""
    told = [list(work(session, turns)) for session in sessions]
    return [
        (event.session, event.seq, event.type, event.time, e.encode(event).decode())
        for together in zip(*told, strict=True)
        for event in together
    ]


def _turn(turn: int) -> Iterator[e.Event]:
    message = f"message-{turn}"
    yield e.MessageAccepted(message=message, text="Validate the users, please", delivery="steer")
    yield e.TurnStarted(origin="message", messages=(message,))
    yield e.MessageStarted(message=message)
    for step in range(1, STEPS + 1):
        call = f"call-{turn}-{step}"
        yield e.Text(text=_SAYS)
        yield e.ToolStarted(call=call, name="Bash", kind="execute", title="grep", input=_COMMAND)
        yield e.ToolEnded(call=call, name="Bash", status="completed", output=_OUTPUT)
        yield e.Usage(cost_usd=0.01 * step, total_cost_usd=0.01 * step, estimated=True)
    yield e.MessageAnswered(message=message)
    yield e.TurnEnded(
        status="completed", reason="end_turn", text=_SAYS, steps=STEPS, messages=(message,)
    )


async def fill(folder: Path, count: int, turns: int, long: int) -> None:
    """Make a journal of so many sessions at rest, and one of ``long`` turns.

    The rows are written past the journal's own ways, which would take minutes.
    """
    async with Journal(folder):
        pass
    await asyncio.to_thread(_fill, folder / "journal.sqlite", count, turns, long)


def _fill(file: Path, count: int, turns: int, long: int) -> None:
    database = Database.at(file)
    try:
        template = _lines(turns)
        names = [f"session-{number}" for number in range(count)]
        for first in range(0, count, AT_ONCE):
            _add(database, names[first : first + AT_ONCE], template)
        _add(database, [LONG], _lines(long))
    finally:
        database.close()


def fill_waiting(url: str, label: str | None, count: int) -> None:
    """Add sessions that wait for a worker with this label, or without one: that are at rest."""
    database = Database.at(url)
    try:
        for first in range(0, count, 1_000):
            names = [f"waiting-{number}" for number in range(first, min(count, first + 1_000))]
            _add_waiting(database, names, label)
    finally:
        database.close()


def _add_waiting(database: Database, names: list[str], label: str | None) -> None:
    waits = {"label": label, "waiting_since": None if label is None else time.time()}
    said = e.MessageAccepted(message="m1", text="pong", delivery="steer")
    told = [e.stamp(said, seq=1, session=name, turn=None, time=time.time()) for name in names]
    message = {"id": "m1", "state": "accepted", "delivery": "steer", "handed": False}
    message |= {"turn": None, "reason": "", "said": 1}
    lines = [
        {"session": each.session, "seq": 1, "type": each.type, "time": each.time}
        | {"data": e.encode(each).decode()}
        for each in told
    ]

    def write(connection: Connection) -> None:
        rows = [_session(name, 1) | {"name": f"midflight/{name}"} | waits for name in names]
        connection.execute(insert(sessions), rows)
        connection.execute(
            insert(leases), [{"session": name, "host": None, "generation": 1} for name in names]
        )
        connection.execute(insert(events), lines)
        connection.execute(insert(messages), [{"session": name, **message} for name in names])

    database.write(write)


_Line = tuple[str, int, float, str]


def _lines(turns: int) -> list[_Line]:
    told = list(work(_PLACEHOLDER, turns))
    last: tuple[e.Event, ...] = (e.Text(text=LAST_WORDS), e.SessionEnded(reason="parked"))
    for event in last:
        told.append(
            e.stamp(event, seq=len(told) + 1, session=_PLACEHOLDER, turn=None, time=time.time())
        )
    return [(each.type, each.seq or 0, each.time, e.encode(each).decode()) for each in told]


def _add(database: Database, names: list[str], lines: list[_Line]) -> None:
    told = [
        (name, seq, kind, at, data.replace(_PLACEHOLDER, name))
        for name in names
        for kind, seq, at, data in lines
    ]
    said = [
        {"session": name, "id": f"message-{seq}", "said": seq, **_ANSWERED}
        for name in names
        for kind, seq, _, _ in lines
        if kind == "message.accepted"
    ]
    rows = [_session(name, len(lines)) for name in names]
    free = [{"session": name, "host": None, "generation": 1} for name in names]

    def write(connection: Connection) -> None:
        connection.execute(insert(sessions), rows)
        connection.execute(insert(leases), free)
        connection.execute(insert(messages), said)
        connection.exec_driver_sql(_ADD_EVENTS, told)

    database.write(write)


_ADD_EVENTS = "INSERT INTO events (session, seq, type, time, data) VALUES (?, ?, ?, ?, ?)"
_ANSWERED = {"state": "answered", "delivery": "steer", "handed": False, "turn": 1, "reason": ""}


def _session(name: str, seq: int) -> dict[str, Any]:
    options = stored(Options.build(agent="fake", cwd="/"))
    return {
        "id": name,
        "name": name,
        "agent": "fake",
        "cwd": "/",
        "parent": "",
        "model": "m-1",
        "created": time.time(),
        "updated": time.time(),
        "seq": seq,
        "status": "idle",
        "permission_mode": "default",
        "agent_session": name,
        "last": LAST_WORDS,
        "pending": "[]",
        "rules": "[]",
        "turns": 10,
        "total_cost_usd": 0.1,
        "options": msgspec.json.encode(options).decode(),
    }
