"""Where a session may be resumed: at home.

One with a label is at home on no machine: workers that have the label resume it. Any machine may
read, close and remove it: that needs no folder. A file is used by one machine, whose name may
change; and of a session that an older midflight has begun it is not known.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, or_, true, update

from midflight.errors import Conflict, LeaseHeld
from midflight.journal.lease import is_owned, owner_of, owners
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.rows import SessionRow
from midflight.journal.schema import sessions


def at_home(here: ProcessIdentity, *, server: bool) -> ColumnElement[bool]:
    """Return what is true of a session that may be resumed on this machine, without a label."""
    if not server:
        return true()
    begun_here = or_(sessions.c.machine == here.machine, sessions.c.machine.is_(None))
    return sessions.c.label.is_(None) & begun_here


def check_movable(row: SessionRow) -> None:
    """Raise `Conflict` for a session that could not go on at another machine."""
    problem = row.repository.problem if row.repository is not None else ""
    if row.label is None and row.repository is None:
        raise Conflict(
            f"the folder of session {row.name} is on {row.machine or 'its own machine'} alone",
            "one that can move is begun with --repo, or with --on LABEL",
        )
    if row.kept_on is not None:
        raise Conflict(row.stays, problem or "its next message has it go on there")
    if problem:  # of which an older midflight has not written where
        raise Conflict(
            f"the newest work of session {row.name} is on its machine alone: it was not pushed",
            problem,
        )


def relocate(
    connection: Connection, row: SessionRow, label: str, here: ProcessIdentity, host: str | None
) -> None:
    """Have a session go on at workers with another label.

    Raises `LeaseHeld` where another host than this one has it: that one has to let it go.
    """
    for owner in owners(connection, [row.id]):
        if owner.host != host and is_owned(connection, owner, here):
            raise LeaseHeld(row.id, owner_of(owner))
    connection.execute(update(sessions).where(sessions.c.id == row.id).values(label=label))
