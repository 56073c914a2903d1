"""Commands for sessions whose owner is on another machine: on disk first, then carried out once.

The sender numbers them under a lock of the session's row, so that their order is that of their
commits. The owner takes what waits by its state and not by the last number that it has seen, which
would pass over one that was committed later.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from midflight.errors import Conflict, MidflightError, NotFound
from midflight.info import Outcome
from midflight.journal.database import AnyRow, Do
from midflight.journal.hosts import shared_time
from midflight.journal.policies import may_own
from midflight.journal.presence import TOLD, WORKERS, channel, reply
from midflight.journal.rows import from_json
from midflight.journal.schema import inbox, leases, sessions
from midflight.journal.waiting import is_understood
from midflight.lineage import UNKNOWN
from midflight.values import Who

WAIT_S = 90.0
"""How long a sender waits for what its command comes to; it stays in the inbox after that."""

MOST = 1_000
"""How many commands are taken at a time."""

KEPT_S = 600.0
"""How long an answer waits for one who asked and has gone; else it goes when it was read."""


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who gives a command, as its own process says; which person it is, the server says.

    ``inside`` are the sessions that this is a part of, and ``may_answer`` is what they may answer;
    see `midflight.authorization.Caller`.
    """

    who: Who
    inside: tuple[str, ...] = ()
    may_answer: str = ""


NOBODY = Sender(who=Who(role="agent", door="json"), inside=(UNKNOWN,))
"""Who may do nothing: the sender of a row that does not say who it is."""


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A command in the inbox of a session, taken by the host whose lease has this ``generation``.

    ``command`` is its JSON, ``given`` when it came, by the clock of this host. Or it is a question
    that this host is ``asked``.
    """

    session: str
    number: int
    id: str
    command: str
    sender: Sender
    given: float
    generation: int
    asked: bool = False


class CommandResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a command came to: an outcome, or an error as `MidflightError.plain` has it.

    Of a question it is the ``answer``.
    """

    outcome: Outcome | None = None
    error: dict[str, Any] | None = None
    answer: Any = None

    def get(self) -> Outcome:
        """Return the outcome. Raises the error."""
        if self.outcome is None:
            raise MidflightError.from_plain(self.error or {})
        return self.outcome


class Inbox:
    """The commands that wait in one journal. Every method may raise `StoreFailed`."""

    def __init__(self, read: Do, write: Do) -> None:
        """``read`` and ``write`` are those of the journal."""
        self._read = read
        self._write = write

    async def put(
        self,
        session: str,
        id: str,
        command: bytes,
        sender: Sender,
        *,
        reply_to: str | None = None,
        asked: str | None = None,
    ) -> None:
        """Have a session's owner carry out a command; on disk when this returns, and once by id.

        Or the host that is ``asked`` has a question to answer. ``reply_to`` is called when it is
        done; see `Presence.awaiting`. Raises `NotFound`, or `Conflict` for another command with
        this id.
        """
        digest = hashlib.blake2b(command, digest_size=16).hexdigest()
        new = {
            "session": session,
            "id": id,
            "command": command.decode(),
            "digest": digest,
            "sender": msgspec.json.encode(sender).decode(),
            "state": "waiting",
            "reply": reply_to,
            "asked": asked,
        }
        await self._write(lambda c: _put(c, new))

    async def result(self, session: str, id: str) -> CommandResult | None:
        """Return what a command came to; None while it waits. Raises `NotFound`."""
        found: CommandResult | None = await self._read(lambda c: _result(c, session, id))
        return found

    async def withdraw(self, session: str, id: str) -> bool:
        """Take a command back that nobody has carried out; tell whether that worked."""
        gone = delete(inbox).where(*_this(session, id), inbox.c.state != "done")
        done: bool = await self._write(lambda c: c.execute(gone).rowcount > 0)
        return done

    async def take(self, host: str, busy: Collection[str]) -> list[InboxEntry]:
        """Take what waits for the sessions of a host, in order, without those that are ``busy``.

        What was taken before and not finished waits again: its owner has died, or could not say
        what it came to.
        """

        def take(connection: Connection) -> list[InboxEntry]:
            commands = _take(connection, host, leases.c.session.not_in(busy))
            return [*commands, *_take_questions(connection, host)]

        found: list[InboxEntry] = await self._write(take)
        return found

    async def take_of(self, host: str, session: str) -> list[InboxEntry]:
        """Take the commands that wait for one session of a host."""
        which = leases.c.session == session
        found: list[InboxEntry] = await self._write(lambda c: _take(c, host, which))
        return found

    async def told_at_rest(self, labels: Collection[str]) -> list[str]:
        """Return sessions for workers with these labels that nobody has, and are told something."""
        found: list[str] = await self._read(lambda c: _told_at_rest(c, labels))
        return found

    async def forget(self, session: str, id: str) -> None:
        """Take away a question, with its answer."""
        gone = delete(inbox).where(*_this(session, id), inbox.c.asked.is_not(None))
        await self._write(lambda c: c.execute(gone))

    async def finish(self, entry: InboxEntry, result: CommandResult) -> None:
        """Say what came of a command, unless another owner has taken it meanwhile."""
        done = (
            update(inbox)
            .where(*_this(entry.session, entry.id))
            .where(inbox.c.generation == entry.generation)
            .values(state="done", command="", outcome=msgspec.json.encode(result).decode())
            .returning(inbox.c.reply)
        )

        def finish(connection: Connection) -> None:
            for to in connection.scalars(done).all():
                if to is not None and (address := reply(to)) is not None:
                    _call(connection, *address)

        await self._write(finish)


def _this(session: str, id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return inbox.c.session == session, inbox.c.id == id


def _put(connection: Connection, new: dict[str, Any]) -> None:
    session, id = new["session"], new["id"]  # noqa: A001 - as everywhere
    row = sessions.c.id == session
    if connection.execute(select(sessions.c.id).where(row).with_for_update(key_share=True)).first():
        known = connection.scalar(select(inbox.c.digest).where(*_this(session, id)))
        if known is None:
            _add(connection, new)
        elif known != new["digest"]:
            raise Conflict(f"{id} was another command before", "give it another id")
        return
    raise NotFound(f"no session has the id {session!r}", "midflight ls shows all of them")


def _add(connection: Connection, new: dict[str, Any]) -> None:
    line = select(func.max(inbox.c.number)).where(inbox.c.session == new["session"])
    newest = connection.scalar(line) or 0
    number, given = newest + 1, shared_time(connection)
    connection.execute(insert(inbox).values(**new, number=number, given=given))
    owner = select(leases.c.host).where(leases.c.session == new["session"])
    host = new["asked"] or connection.scalar(owner)
    _call(connection, *((WORKERS, TOLD) if host is None else (channel(host), "")))


def _call(connection: Connection, to: str, what: str) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_catalog.pg_notify(to, what)))


def _result(connection: Connection, session: str, id: str) -> CommandResult | None:
    row = connection.execute(
        select(inbox.c.state, inbox.c.outcome).where(*_this(session, id))
    ).first()
    if row is None:
        raise NotFound("the session was removed before it got the command")
    return from_json(row.outcome, CommandResult, CommandResult()) if row.state == "done" else None


def _sender(row: AnyRow) -> Sender:
    """Return who has given a command; the row was made by whom the server names."""
    sender = from_json(row.sender, Sender, NOBODY)
    return replace(sender, who=replace(sender.who, person=row.person or ""))


_TAKE = (
    update(inbox)
    .where(inbox.c.session == bindparam("s"), inbox.c.number == bindparam("n"))
    .values(state="taken", generation=bindparam("g"))
)


def _told_at_rest(connection: Connection, labels: Collection[str]) -> list[str]:
    """Look as `waiting.oldest` does."""
    query = (
        select(inbox.c.session)
        .distinct()
        .join(leases, leases.c.session == inbox.c.session)
        .join(sessions, sessions.c.id == inbox.c.session)
        .where(inbox.c.state != "done", inbox.c.asked.is_(None), leases.c.host.is_(None))
        .where(sessions.c.label.in_(labels), may_own(connection))
        .where(is_understood())
        .limit(MOST)
    )
    return list(connection.scalars(query))


def _take(connection: Connection, host: str, which: ColumnElement[bool]) -> list[InboxEntry]:
    query = (
        select(inbox, leases.c.generation.label("mine"))
        .join(leases, leases.c.session == inbox.c.session)
        .where(leases.c.host == host, which, inbox.c.state != "done")
        .where(inbox.c.asked.is_(None))
        .order_by(inbox.c.session, inbox.c.number)
        .limit(MOST)
        .with_for_update(of=inbox, skip_locked=True)
    )
    found = connection.execute(query).all()
    if found:
        values = [{"s": row.session, "n": row.number, "g": row.mine} for row in found]
        connection.execute(_TAKE, values)
    return _entries(connection, found)


def _take_questions(connection: Connection, host: str) -> list[InboxEntry]:
    """Take what a host is asked; who would ask another one has gone by then."""
    query = (
        select(inbox, literal(0).label("mine"))
        .where(inbox.c.asked == host, inbox.c.state == "waiting")
        .order_by(inbox.c.given)
        .limit(MOST)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(query).all()
    if found:
        old = (inbox.c.state == "done") & (inbox.c.given < shared_time(connection) - KEPT_S)
        connection.execute(delete(inbox).where(inbox.c.asked.is_not(None), old))
        values = [{"s": row.session, "n": row.number, "g": 0} for row in found]
        connection.execute(_TAKE, values)
    return _entries(connection, found)


def _entries(connection: Connection, found: Sequence[AnyRow]) -> list[InboxEntry]:
    ahead = time.time() - shared_time(connection) if found else 0.0
    return [
        InboxEntry(
            session=row.session,
            number=row.number,
            id=row.id,
            command=row.command,
            sender=_sender(row),
            given=row.given + ahead,
            generation=row.mine,
            asked=row.asked is not None,
        )
        for row in found
    ]
