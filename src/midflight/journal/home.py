"""Where a session may be resumed: at home, which is the machine where its folder is.

One with a label is at home on no machine: workers that have the label resume it. Any machine may
read, close and remove it: that needs no folder. A file is used by one machine, whose name may
change; and of a session that an older midflight has begun it is not known.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, true

from midflight.journal.lease import ProcessIdentity
from midflight.journal.schema import sessions


def at_home(here: ProcessIdentity, *, server: bool) -> ColumnElement[bool]:
    """Return what is true of a session that may be resumed on this machine, without a label."""
    if not server:
        return true()
    begun_here = or_(sessions.c.machine == here.machine, sessions.c.machine.is_(None))
    return sessions.c.label.is_(None) & begun_here
