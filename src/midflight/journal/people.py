"""Whose sessions are whose in a journal that several people share.

A person is the role that has logged in to the database: its server tells, and nobody can say it of
himself. The name of a session begins with it in the tables, ``ada/fix-the-tests``, so that no two
people are in each other's way; ada herself sees and says it without. A file is one person's.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, text, true

from midflight.errors import StoreRefused
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.schema import sessions

_PERSON = "midflight_person"


def person(connection: Connection) -> str:
    """Return who this is, asked once of each connection; nothing for a file."""
    if connection.dialect.name == "sqlite":
        return ""
    if _PERSON not in connection.info:
        connection.info[_PERSON] = connection.execute(
            text("SELECT session_user::text")
        ).scalar_one()
    return str(connection.info[_PERSON])


def check_person(connection: Connection) -> None:
    """Raise `StoreRefused` for a role whose name would end in the middle of a session's."""
    if "/" in (me := person(connection)):
        raise StoreRefused(
            f"the role {me!r} cannot use a journal: names of sessions have a / behind the person",
            "log in as a role without one",
        )


def full_name(person: str, name: str) -> str:
    """Return the name of a person's new session as the tables have it: one ``/``, behind theirs."""
    return f"{person}/{name.replace('/', '-')}" if person else name


def shown_name(person: str, name: str) -> str:
    """Return a name of the tables as this person sees it."""
    return name.removeprefix(f"{person}/") if person else name


def is_own(person: str, name: str) -> bool:
    """Tell whether a name of the tables is of this person's; all are in a file."""
    return not person or name.startswith(f"{person}/")


def begun_by(person: str, table: Table = sessions) -> ColumnElement[bool]:
    """Return what is true of a person's rows, on any machine; of all in a file."""
    return table.c.name.startswith(f"{person}/", autoescape=True) if person else true()


def begun_here(person: str, here: ProcessIdentity, table: Table = sessions) -> ColumnElement[bool]:
    """Return what is true of what a person has begun on this machine; of all in a file.

    A file is used by one machine, whose name may change.
    """
    return begun_by(person, table) & (table.c.machine == here.machine) if person else true()
