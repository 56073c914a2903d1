"""What is written about sessions: their making and removal, and their events in groups.

Beside the events themselves, what lists and look-ups need is kept, in the same transaction.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, select, update

from midflight import events as e
from midflight.errors import Conflict, InvalidInput, LeaseHeld, LeaseLost, StoreFailed
from midflight.info import RepositoryInfo
from midflight.journal.base import Summary
from midflight.journal.database import shut_writers_out
from midflight.journal.lease import is_owned, owner_of, owners
from midflight.journal.memory import MemoryLines, keep
from midflight.journal.people import full_name, person
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.schema import events, leases, messages, requests, sessions
from midflight.journal.stored_options import needs, stored
from midflight.options import Options
from midflight.wire import WIRE


class Handed(msgspec.Struct, frozen=True):
    """A message is about to be handed over, or was given ``back``."""

    message: str
    back: bool = False


Written = tuple[e.Event, str, str | None]
"""An event with its JSON, and with that of the images of a message that it accepts."""

Item = Written | Handed | MemoryLines | Summary
"""An event, where a message is, what the agent keeps, or a summary."""


_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session to be made; ``parent`` is the id of the one that dispatched it.

    ``label`` is that of the workers that may run it, None: it is for this machine. ``person`` is
    whose it is, nothing: of who makes it.
    """

    id: str
    name: str
    options: Options
    parent: str
    label: str | None = None
    person: str = ""


class Batch:
    """What one owner has to write about one session: in order, each kind by itself."""

    def __init__(self, session: str, host: str, generation: int) -> None:
        """Begin empty."""
        self.session = session
        self.host = host
        self.generation = generation
        self.events: list[Written] = []
        self.handed: list[Handed] = []
        self.kept: list[MemoryLines] = []
        self.summary: Summary | None = None
        self.size = 0

    def add(self, item: Item) -> None:
        """Add one more."""
        self.size += 1
        match item:
            case Handed():
                self.handed.append(item)
            case MemoryLines():
                self.kept.append(item)
            case Summary():
                self.summary = item
            case _:
                self.events.append(item)


# Sessions -----------------------------------------------------------------------------------


def create(connection: Connection, new: NewSession, here: ProcessIdentity) -> None:
    """Add a session that has no owner yet. Raises `LeaseHeld` or `Conflict` if there is one.

    Its name gets a number if another session of this person has it, so that a name is enough to
    know a session by.
    One that never got an event was never shown, and is replaced.
    """
    if not _ID.fullmatch(new.id):
        raise InvalidInput(
            f"{new.id!r} cannot be the id of a session", "letters, digits, - and _; 64 at most"
        )
    shut_writers_out(connection)
    for known in owners(connection, [new.id]):
        if is_owned(connection, known, here):
            raise LeaseHeld(new.id, owner_of(known))
        if known.seq:
            raise Conflict(f"there is a session with the id {new.id}", "use another id")
        remove(connection, new.id)
    options, now = new.options, time.time()
    kept = stored(options, new.label)
    columns = {
        "id": new.id,
        "name": _free(connection, full_name(new.person or person(connection), plain(new.name))),
        "agent": options.agent,
        "cwd": str(options.cwd),
        "options": msgspec.json.encode(kept).decode(),
        "parent": new.parent,
        "model": options.model or "",
        "permission_mode": options.permission_mode,
        "agent_session": options.resume or "",
        "status": "starting",
        "machine": here.machine,
        "label": new.label,
        "needs": needs(kept),
        "wire": None if new.label is None else WIRE,
    }
    if options.repo is not None:
        columns["repository"] = _json(RepositoryInfo(remote=options.repo, ref=options.ref or ""))
    zero = {"seq": 0, "last": "", "pending": "[]", "turns": 0, "total_cost_usd": 0.0}
    times = {"created": now, "updated": now}
    connection.execute(insert(sessions).values(**columns, **zero, **times))
    connection.execute(insert(leases).values(session=new.id, host=None, generation=0))


def tell(connection: Connection, session: str) -> None:
    """Note that something is said to a session, which who claims it has to understand."""
    needed = func.coalesce(sessions.c.wire, 0) < WIRE
    query = update(sessions).where(sessions.c.id == session, needed)
    connection.execute(query.values(wire=WIRE))


def _free(connection: Connection, name: str) -> str:
    like = sessions.c.name.startswith(name, autoescape=True)
    taken = set(connection.scalars(select(sessions.c.name).where(like)))
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def remove(connection: Connection, session: str) -> None:
    """Delete a session with all that belongs to it."""
    connection.execute(delete(sessions).where(sessions.c.id == session))


def set_aside(connection: Connection, session: str, why: str) -> None:
    """Have lists show of a session only why it cannot be resumed."""
    shown = {"status": "idle", "pending": "[]", "last": plain(why), "waiting_since": None}
    connection.execute(update(sessions).where(sessions.c.id == session).values(**shown))


# Events -------------------------------------------------------------------------------------


def append(connection: Connection, batches: Collection[Batch]) -> dict[Batch, StoreFailed]:
    """Write what the owners of sessions have to write; return what may not be, and why."""
    found = {row.session: row for row in owners(connection, [one.session for one in batches])}
    refused: dict[Batch, StoreFailed] = {}
    for batch in batches:
        row = found.get(batch.session)
        if row is None or (row.host, row.generation) != (batch.host, batch.generation):
            refused[batch] = LeaseLost(
                f"session {batch.session} now belongs to {owner_of(row)}",
                "midflight attach",
            )
        elif batch.events and batch.events[0][0].seq != row.seq + 1:
            refused[batch] = StoreFailed(
                f"session {batch.session} has {row.seq} events on disk; "
                f"number {batch.events[0][0].seq} cannot follow",
                "resume the session: it continues from what is on disk",
            )
    machines = {session: row.machine for session, row in found.items()}
    _write(connection, [batch for batch in batches if batch not in refused], machines)
    return refused


def _write(connection: Connection, batches: Iterable[Batch], machines: Mapping[str, str]) -> None:
    """Write batches; ``machines`` are those of their owners, by session."""
    now = time.time()
    rows = _Rows()
    kept: list[tuple[str, MemoryLines]] = []
    for batch in batches:
        kept += [(batch.session, one) for one in batch.kept]
        for written in batch.events:
            rows.take_in(batch.session, *written)
        rows.handed += [
            {"s": batch.session, "i": one.message, "handed": not one.back} for one in batch.handed
        ]
        if batch.events:
            seq = batch.events[-1][0].seq
            rows.newest.append({"s": batch.session, "seq": seq, "updated": now})
        if batch.summary is not None:
            rows.summaries.append(_summary(batch.session, batch.summary, now))
            if batch.summary.repository is not None:
                rows.places.append(_place(batch.session, batch.summary))
            if batch.summary.kept is not None:
                kept_on = machines[batch.session] if batch.summary.kept else None
                rows.keeps.append({"s": batch.session, "kept_on": kept_on})
    for statement, values in (
        (_ADD_EVENTS, rows.events),
        (_FORGET_MESSAGES, rows.messages),  # an id may come again when its message is long over
        (_ADD_MESSAGES, rows.messages),
        (_MESSAGE, rows.changes),
        (_MESSAGE, rows.handed),
        (_MOVE_ON, rows.moves),
        (_FORGET_REQUESTS, rows.requests),
        (_ADD_REQUESTS, rows.requests),
        (_RESOLVE, rows.resolved),
        (_SUMMARISE, rows.survived),
        (_SUMMARISE, rows.newest),
        (_SUMMARISE, rows.summaries),
        (_SUMMARISE, rows.places),
        (_SUMMARISE, rows.keeps),
    ):
        if values:
            connection.execute(statement, values)
    keep(connection, kept)


# The keys of a row that are columns are set; "s" and "i" tell which row is meant.
_ADD_EVENTS = insert(events)
_ADD_MESSAGES = insert(messages)
_ADD_REQUESTS = insert(requests)
_FORGET_MESSAGES = delete(messages).where(
    messages.c.session == bindparam("session"), messages.c.id == bindparam("id")
)
_FORGET_REQUESTS = delete(requests).where(
    requests.c.session == bindparam("session"), requests.c.id == bindparam("id")
)
_MESSAGE = update(messages).where(
    messages.c.session == bindparam("s"), messages.c.id == bindparam("i")
)
_MOVE_ON = _MESSAGE.values(
    handed=False,
    images=None,  # the agent has them, or will never
    turn=func.coalesce(bindparam("in_turn", type_=Integer), messages.c.turn),
)
_RESOLVE = update(requests).where(
    requests.c.session == bindparam("s"), requests.c.id == bindparam("i")
)
_SUMMARISE = update(sessions).where(sessions.c.id == bindparam("s"))
_Row = dict[str, Any]


class _Rows:
    """What a group changes, by statement. Each list is in the order of the events."""

    def __init__(self) -> None:
        self.events: list[_Row] = []
        self.messages: list[_Row] = []
        self.changes: list[_Row] = []
        self.handed: list[_Row] = []
        self.moves: list[_Row] = []
        self.requests: list[_Row] = []
        self.resolved: list[_Row] = []
        self.survived: list[_Row] = []
        self.newest: list[_Row] = []
        self.summaries: list[_Row] = []
        self.places: list[_Row] = []
        self.keeps: list[_Row] = []

    def take_in(self, session: str, event: e.Event, data: str, images: str | None) -> None:
        """Add what one event changes."""
        seq = event.seq
        self.events.append(
            {"session": session, "seq": seq, "type": event.type, "time": event.time, "data": data}
        )
        match event:
            case e.MessageAccepted(message=message, delivery=delivery):
                new = {"state": "accepted", "handed": False, "turn": None, "reason": ""}
                new |= {"delivery": delivery, "said": seq, "images": images}
                self.messages.append({"session": session, "id": message, **new})
            case e.MessageChanged(message=message, delivery=delivery):
                self.changes.append({"s": session, "i": message, "delivery": delivery, "said": seq})
            case (
                e.MessageStarted(message=message)
                | e.MessageSteered(message=message)
                | e.MessageAnswered(message=message)
                | e.MessageCancelled(message=message)
                | e.MessageFailed(message=message)
            ):
                state, reason = event.type.partition(".")[2], getattr(event, "reason", "")
                self.moves.append(
                    {"s": session, "i": message, "state": state, "reason": reason}
                    | {"in_turn": event.turn}
                )
            case e.TurnEnded(reason=reason) if reason != "host_died":
                self.survived.append({"s": session, "lost": None})
            case e.PermissionRequested(request=request) | e.QuestionRequested(request=request):
                self.requests.append(
                    {"session": session, "id": request, "state": "pending", "by": "", "asked": seq}
                )
            case e.PermissionResolved(request=request, decision=decision, by=by):
                self.resolved.append({"s": session, "i": request, "state": decision, "by": by})
            case e.QuestionResolved(request=request, answers=answers, by=by):
                state = "answered" if answers else "declined"
                self.resolved.append({"s": session, "i": request, "state": state, "by": by})


def _summary(session: str, summary: Summary, now: float) -> _Row:
    row = msgspec.structs.asdict(summary)
    del row["cwd"], row["repository"], row["kept"]
    row |= {name: msgspec.json.encode(row[name]).decode() for name in ("pending", "rules")}
    if summary.limits is not None:
        row["limits"] = msgspec.json.encode(summary.limits).decode()
    row["unpriced"] = summary.total_cost_usd is None
    row["total_cost_usd"] = row.pop("known_usd")  # older hosts read it, and know no null
    texts = {key: plain(value) for key, value in row.items() if isinstance(value, str)}
    return {"s": session, "updated": now, **row, **texts}


def _place(session: str, summary: Summary) -> _Row:
    """Return where a session with a repository works, which only its own host knows."""
    return {"s": session, "cwd": plain(summary.cwd), "repository": _json(summary.repository)}


def _json(value: object) -> str:
    return plain(msgspec.json.encode(value).decode())


def plain(text: str) -> str:
    """Return text that every database takes: PostgreSQL knows no NUL, and none half a character."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
