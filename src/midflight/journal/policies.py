"""Who may write what in a journal on a server: the database itself holds to it, whoever asks.

A name says whose a session or a schedule is, a host says as which role it runs, and a lease names a
host: what may be written follows from these three. Policies stand in the schema and are installed
by its owner, whom they do not bind. What a role may do at all is granted to it, see `Kind`: a
person and a worker differ in nothing but that a worker may call `midflight_works()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from sqlalchemy import Boolean, ColumnElement, Connection, Table, literal_column, text, true

from midflight.errors import NotFound
from midflight.journal.schema import (
    events,
    hosts,
    inbox,
    leases,
    memory,
    meta,
    metadata,
    readers,
    schedule_runs,
    schedules,
    sessions,
)

POLICIES = 3
"""The version of what is installed; a host of an older midflight leaves those of a newer alone."""

Kind = Literal["person", "worker", "reader", "nobody"]
"""What a role can be: one may begin sessions and have its own, one have all those with a label,
one look at everything, and one nothing at all."""

KINDS: Sequence[Kind] = get_args(Kind)

_ME = "session_user::text"

# In brackets, so that it is asked once for each statement and not for each row.
_WORKS = (
    "(SELECT has_function_privilege(session_user, 'midflight_works()'::regprocedure, 'EXECUTE'))"
)

_OWN = f"split_part({{0}}.name, '/', 1) = {_ME}"
_FOR_WORKERS = f"({_WORKS} AND {{0}}.label IS NOT NULL)"
_MAY_OWN = f"({_OWN} OR {_FOR_WORKERS})".format("sessions")
_MAY_FIRE = f"({_OWN} OR {_FOR_WORKERS})".format("schedules")
_MINE = f"coalesce(hosts.role, {_ME}) = {_ME}"


def _exists(table: str, which: str) -> str:
    return f"EXISTS (SELECT FROM {table} WHERE {which})"


def _held(table: str) -> str:
    """Return what is true of a row of a session whose lease a host of this role has."""
    joined = "leases JOIN hosts ON hosts.id = leases.host"
    return _exists(joined, f"leases.session = {table}.session AND {_MINE}")


def _of_session(table: str, which: str) -> str:
    return _exists("sessions", f"sessions.id = {table}.session AND {which}")


def _all(*conditions: str) -> str:
    return " AND ".join(conditions)


_IS_MINE = _exists("hosts", f"hosts.id = leases.host AND {_MINE}")

# Or one row with the highest number that there is would keep all others out of the line.
_NEWEST = "(SELECT coalesce(max(i.number), 0) FROM inbox i WHERE i.session = inbox.session)"

_ASKED = _exists("hosts", f"hosts.id = inbox.asked AND {_MINE}")

# One who waits for the lock of a row, or reads it for sharing, needs to be let through as if to
# change it. So the first of two conditions is loose where others lock, and the second decides.
_BY_ACTION: dict[Table, dict[str, tuple[str, str]]] = {
    meta: {"UPDATE": ("true", "false")},
    hosts: {
        "INSERT": ("", f"role = {_ME}"),
        "UPDATE": (f"{_MINE} OR (labels IS NOT NULL AND NOT {_WORKS})", ""),
        "DELETE": (
            f"{_MINE} OR ({_WORKS} AND seen < extract(epoch FROM clock_timestamp()) - 60)",
            "",
        ),
    },
    sessions: {
        "INSERT": ("", _MAY_OWN),
        "UPDATE": (f"{_MAY_OWN} OR NOT {_WORKS}", _MAY_OWN),
        "DELETE": (_MAY_OWN, ""),
    },
    leases: {
        "INSERT": ("", _all("host IS NULL", _of_session("leases", _MAY_OWN))),
        "UPDATE": (
            "true",
            _all(_of_session("leases", _MAY_OWN), f"(host IS NULL OR {_IS_MINE})"),
        ),
    },
    events: {"INSERT": ("", _held("events"))},
    inbox: {
        "INSERT": (
            "",
            _all(
                f"person = {_ME}",
                "state = 'waiting' AND generation IS NULL AND outcome IS NULL",
                f"number <= 1 + {_NEWEST}",
                f"(NOT {_WORKS} OR {_of_session('inbox', _MAY_OWN)})",
            ),
        ),
        "UPDATE": (f"{_held('inbox')} OR {_ASKED}", ""),
        "DELETE": (f"person = {_ME} OR {_ASKED}", ""),
    },
    readers: {
        "INSERT": ("", f"role = {_ME}"),
        "UPDATE": (f"role = {_ME}", ""),
        "DELETE": (f"role = {_ME} OR {_held('readers')}", ""),
    },
    schedules: {
        "ALL": (_OWN.format("schedules"), ""),
        "UPDATE": (_FOR_WORKERS.format("schedules"), ""),
    },
    schedule_runs: {"ALL": (_exists("schedules", f"schedules.id = schedule AND {_MAY_FIRE}"), "")},
}
"""For each action on a table what has to be true of a row before it, and of the row after it."""

_READ: dict[Table, str] = {
    memory: _held("memory"),
    readers: f"role = {_ME} OR {_held('readers')}",
}
"""Who may read what not everybody may who is let in: what an agent remembers goes from one owner to
the next, and who knows of a stream could say on it what an agent seems to be saying."""

_KEPT: dict[Table, str] = {
    sessions: "id name agent options parent created",
    leases: "session",
    inbox: "session number id digest sender person given reply asked",
    readers: "id session",
    schedules: "id name cron zone machine label begins created",
    schedule_runs: "id schedule",
}
"""What of a row nobody changes: whose it is, and what it was made with."""

_DRAINED = "to_jsonb({0}) - '{{draining,drain_by}}'::text[]"
_CHANGED = {
    table: " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in names.split())
    for table, names in _KEPT.items()
} | {
    # Whoever works here may have a worker drained, and nothing else of it.
    hosts: f"coalesce(OLD.role, {_ME}) <> {_ME}"
    f" AND {_DRAINED.format('OLD')} IS DISTINCT FROM {_DRAINED.format('NEW')}"
}

_SAID_BY_SERVER: dict[Table, str] = {hosts: "role", inbox: "person", readers: "role"}
"""Columns that the server fills with the role that has logged in."""

_FUNCTIONS = """
    CREATE OR REPLACE FUNCTION midflight_works() RETURNS boolean
        LANGUAGE sql IMMUTABLE AS 'SELECT true';
    REVOKE ALL ON FUNCTION midflight_works() FROM PUBLIC;
    CREATE OR REPLACE FUNCTION midflight_keep() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF row_security_active(TG_RELID) THEN
                RAISE insufficient_privilege
                    USING MESSAGE = 'what a row of ' || TG_TABLE_NAME || ' was made with stays';
            END IF;
            RETURN NEW;
        END $$;
"""


def policies(table: Table) -> dict[str, tuple[str, str]]:
    """Return what has to be true, before and after, for each action on a table of the journal.

    A table that belongs to sessions, and says nothing else here, is written by who has their lease.
    """
    if table in _BY_ACTION:
        return _BY_ACTION[table]
    assert "session" in table.c, f"{table.name} says nothing of who may write it"  # noqa: S101
    return {"ALL": (_held(table.name), "")}


def may_own(connection: Connection) -> ColumnElement[bool]:
    """Return what is true of a session that this role may have; of all in a file."""
    if connection.dialect.name == "sqlite":
        return true()
    return literal_column(f"((SELECT NOT row_security_active('sessions')) OR {_MAY_OWN})", Boolean)


def may_fire(connection: Connection) -> ColumnElement[bool]:
    """Return what is true of a schedule for workers that this role may fire; of all in a file."""
    if connection.dialect.name == "sqlite":
        return true()
    return literal_column(
        f"((SELECT NOT row_security_active('schedules')) OR {_MAY_FIRE})", Boolean
    )


def works() -> ColumnElement[bool]:
    """Return what is true of a host on a server whose role is a worker's."""
    return literal_column(
        "EXISTS (SELECT FROM pg_roles WHERE rolname = hosts.role AND has_function_privilege("
        "pg_roles.oid, 'midflight_works()'::regprocedure, 'EXECUTE'))",
        Boolean,
    )


def unprotected(connection: Connection) -> list[Table]:
    """Return the tables without the policies of this version, or of a newer one."""
    found = connection.execute(
        text("""
            SELECT relname, relrowsecurity, (SELECT coalesce(policies, 0) FROM meta) AS version
            FROM pg_class WHERE oid = ANY (SELECT to_regclass(one) FROM unnest(:names ::text[]) one)
        """),
        {"names": [table.name for table in metadata.sorted_tables]},
    )
    return [
        metadata.tables[row.relname]
        for row in found
        if row.version < POLICIES or (row.version == POLICIES and not row.relrowsecurity)
    ]


def prepare(connection: Connection) -> None:
    """Make what the policies call."""
    connection.exec_driver_sql(_FUNCTIONS)


def protect(connection: Connection, table: Table) -> None:
    """Install the policies of a table in place of those that are there; its owner can."""
    run = connection.exec_driver_sql
    name = table.name
    there = text("SELECT polname FROM pg_policy WHERE polrelid = to_regclass(:table)")
    for old in connection.scalars(there, {"table": name}).all():
        run(f'DROP POLICY "{old}" ON {name}')
    run(f"CREATE POLICY midflight_read ON {name} FOR SELECT USING ({_READ.get(table, 'true')})")
    for action, (before, after) in policies(table).items():
        using = f" USING ({before})" if before else ""
        check = f" WITH CHECK ({after})" if after else ""
        run(f"CREATE POLICY midflight_{action.lower()} ON {name} FOR {action}{using}{check}")
    run(f"DROP TRIGGER IF EXISTS midflight_keep ON {name}")
    if changed := _CHANGED.get(table):
        run(
            f"CREATE TRIGGER midflight_keep BEFORE UPDATE ON {name} FOR EACH ROW"
            f" WHEN ({changed}) EXECUTE FUNCTION midflight_keep()"
        )
    if column := _SAID_BY_SERVER.get(table):
        run(f"ALTER TABLE {name} ALTER COLUMN {column} SET DEFAULT session_user::text")
    run(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")


def grant(connection: Connection, role: str, kind: Kind, *, only_show: bool) -> list[str]:
    """Make a role what it is to be; return the statements. Raises `NotFound` for one unknown."""
    where = text(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass(:t)"
    )
    statements = grants(role, kind, str(connection.scalar(where, {"t": meta.name})))
    known = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :r"), {"r": role})
    if only_show:
        return statements
    if not known:
        raise NotFound(
            f"the database has no role {role!r}",
            f"who administers it makes one: CREATE ROLE {_quoted(role)} LOGIN PASSWORD '…'",
        )
    for statement in statements:
        connection.exec_driver_sql(statement)
    return statements


def grants(role: str, kind: Kind, schema: str) -> list[str]:
    """Return the statements that make a role what it is to be, whatever it was before.

    They are for the owner of the tables, and hold for tables that come later too.
    """
    to, place = _quoted(role), _quoted(schema)
    works = f"FUNCTION {place}.midflight_works()"
    default = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {place}"
    made = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {place} FROM {to}",
        f"{default} REVOKE ALL ON TABLES FROM {to}",
        f"REVOKE ALL ON {works} FROM {to}",
    ]
    if kind == "nobody":
        return [*made, f"REVOKE ALL ON SCHEMA {place} FROM {to}"]
    verbs = "SELECT" if kind == "reader" else "SELECT, INSERT, UPDATE, DELETE"
    made += [
        f"GRANT USAGE ON SCHEMA {place} TO {to}",
        f"GRANT {verbs} ON ALL TABLES IN SCHEMA {place} TO {to}",
        f"{default} GRANT {verbs} ON TABLES TO {to}",
    ]
    return [*made, f"GRANT EXECUTE ON {works} TO {to}"] if kind == "worker" else made


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
