"""The tables of the journal, the same for SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    func,
    text,
)

SCHEMA_VERSION = 1
"""The version of the tables. A new column that may be null needs no other one: an older host, which
may go on for days, does not see it."""

OLDEST_WRITER = 1
"""The version from which on a host may still write these tables, beside newer ones."""

MOST_CHARS = 32 * 1024 * 1024
"""So much is read of a text that a row has beside the events: more than the longest command."""

MOST_NUMBER = 1e11
"""A number that is larger is no moment that a calendar has, and no sum of money."""


class Number(TypeDecorator[float]):
    """A number that is read as 0 where it is none, or is none that means anything."""

    impl = Double
    cache_ok = True

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        """Read it: whoever may write a row has written it."""
        return value if value is None or abs(value) < MOST_NUMBER else 0.0  # NaN is not less


class Line(TypeDecorator[str]):
    """A text of which no more is read than `MOST_CHARS`, however much a row has of it."""

    impl = Text
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Read it: JSON that was cut cannot be read, and so counts as nothing."""
        return func.substr(column, 1, MOST_CHARS, type_=self)


metadata = MetaData()

# `oldest` is the version from which on a host may still write, null: none but `version` itself.
# `policies` says which `midflight.journal.policies` are installed, null: none.
meta = Table(
    "meta",
    metadata,
    Column("version", Integer, nullable=False),
    Column("oldest", Integer),
    Column("policies", Integer),
)

# Processes that own sessions. `beat` counts from the boot, as all clocks of one boot do; `seen` is
# the same moment by the wall clock, for hosts on other machines. Birth counts from the boot too.
# `wire` is null for one of version 1 of the wire. `lock` is the advisory lock that a host holds on
# a server for as long as its process lives; null while it holds none. `fires` is the person
# whose schedules it fires, nothing in a file; null where it fires none. A worker has `labels`, as
# JSON, and a `capacity`; it claims nothing while it is `draining`, and ends what still runs at
# `drain_by`, by the server's clock. `version` is midflight's, `work` its folder for checkouts.
# `variables` and `servers`, as JSON, are what sessions may need of it: names, never values. `role`
# is the one that the server says it has logged in as; null in a file, and of a host of an older
# midflight. `writes` is the version of the tables that it writes, null: the first.
hosts = Table(
    "hosts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("machine", Line, nullable=False),
    Column("boot", Line, nullable=False),
    Column("space", Line, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("born", Number, nullable=False),
    Column("address", Line, nullable=False),
    Column("beat", Number, nullable=False),
    Column("seen", Number, nullable=False),
    Column("started", Number, nullable=False),
    Column("wire", Integer),
    Column("lock", BigInteger),
    Column("fires", Line),
    Column("labels", Line),
    Column("capacity", Integer),
    Column("version", Line),
    Column("work", Line),
    Column("draining", Boolean),
    Column("role", Line),
    Column("writes", Integer),
    Column("drain_by", Number),
    Column("variables", Line),
    Column("servers", Line),
)

# `seq` is the newest event; the rest is what lists show. `rules` is null where only a host of
# version 1 of the wire has written. `unpriced` says that `total_cost_usd` is only what is known of
# it; null is no. `limits` are those in force, null where they have not been changed. `machine` is
# where it was begun; `turn_started` is null where no turn runs. On a server `name` begins with the
# person's: see `people`. `label` is that of the workers that may run it; null: the machine where
# its folder is. `waiting_since` is since when something said to it waits for a place there.
# `repository` has as JSON what its folder is a checkout of; null where it is none. `needs` tells
# what it needs of a worker, as `stored_options.needs` writes it; null: nothing. `lost` is how many
# hosts in a row have died with it, since a turn has ended otherwise; null is none. `wire` is the
# newest version of those who have begun it, or said something to it while nobody had it: a worker
# claims none that is above its own. Null: any does. `kept_on` is the machine that alone has its
# newest work, or what its agent remembers: no other one may claim it.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("agent", Line, nullable=False),
    Column("cwd", Line, nullable=False),
    Column("options", Line, nullable=False),
    Column("parent", Line, nullable=False),
    Column("created", Number, nullable=False),
    Column("updated", Number, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("status", Line, nullable=False),
    Column("model", Line, nullable=False),
    Column("permission_mode", Line, nullable=False),
    Column("agent_session", Line, nullable=False),
    Column("last", Line, nullable=False),
    Column("pending", Line, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("total_cost_usd", Number, nullable=False),
    Column("rules", Line),
    Column("unpriced", Boolean),
    Column("limits", Line),
    Column("machine", Line),
    Column("turn_started", Number),
    Column("label", Line),
    Column("waiting_since", Number),
    Column("repository", Line),
    Column("needs", Line),
    Column("lost", Integer),
    Column("wire", Integer),
    Column("kept_on", Line),
)


def _partial(index: Index, condition: str) -> None:
    """Have an index hold those rows alone that a condition is true of.

    The database's dialect is told when the index is made: each that is named is loaded, and
    PostgreSQL's takes a fifth of the start of a program that needs none.
    """

    @event.listens_for(index, "before_create")
    def tell(index: Index, connection: Connection, **_: object) -> None:
        index.dialect_options[connection.dialect.name]["where"] = text(condition)


_partial(
    Index("sessions_waiting", sessions.c.label, sessions.c.waiting_since),
    "waiting_since IS NOT NULL",
)


def _session() -> Column[str]:
    return Column("session", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False)


# Who may write a session. The generation grows with each new owner; no host, no owner.
leases = Table(
    "leases",
    metadata,
    _session(),
    Column("host", Text, index=True),
    Column("generation", Integer, nullable=False),
    PrimaryKeyConstraint("session"),
)

# `data` is the event as JSON, with everything that is in the other columns.
events = Table(
    "events",
    metadata,
    _session(),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("time", Number, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("session", "seq"),
)

# `said` is the event that has the message's text as it is now. `images` are those that the agent
# has not read yet, as JSON.
messages = Table(
    "messages",
    metadata,
    _session(),
    Column("id", Text, nullable=False),
    Column("state", Line, nullable=False),
    Column("delivery", Line, nullable=False),
    Column("handed", Boolean, nullable=False),
    Column("turn", Integer),
    Column("reason", Line, nullable=False),
    Column("said", BigInteger, nullable=False),
    Column("images", Line),
    PrimaryKeyConstraint("session", "id"),
)

# `asked` is the event with the request; `state` is pending, or the decision that stands.
requests = Table(
    "requests",
    metadata,
    _session(),
    Column("id", Text, nullable=False),
    Column("state", Line, nullable=False),
    Column("by", Line, nullable=False),
    Column("asked", BigInteger, nullable=False),
    PrimaryKeyConstraint("session", "id"),
)

# What was said to a session on another machine than its owner's, in the order of the numbers.
# `state` is waiting, taken, by the owner whose lease has this `generation`, or done: then `outcome`
# has what it came to as JSON, and `command` nothing any more. `digest` is the command's, to know
# another one with the same id by. `sender` says as JSON who has given it, `person` is the role that
# has, as the server says, and `given` is when; `reply` is where that one listens, null if it does
# not. A question, which needs no owner, names the host that is `asked`; null for a command.
inbox = Table(
    "inbox",
    metadata,
    _session(),
    Column("number", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("command", Line, nullable=False),
    Column("digest", Line, nullable=False),
    Column("sender", Line, nullable=False),
    Column("given", Number, nullable=False),
    Column("state", Line, nullable=False),
    Column("generation", Integer),
    Column("outcome", Line),
    Column("reply", Line),
    Column("asked", Line),
    Column("person", Line),
    PrimaryKeyConstraint("session", "number"),
    UniqueConstraint("session", "id"),
)
_partial(Index("inbox_open", inbox.c.session), "state <> 'done'")

# Streams that processes on other machines read of sessions. `reader` is the process, called on its
# own channel; `after` is what it had read when it asked, and `seen` when it told last that it is
# there; `role` is whom it has logged in as. A row means nothing once its process holds its lock no
# more.
readers = Table(
    "readers",
    metadata,
    Column("id", Text, primary_key=True),
    _session(),
    Column("reader", Text, nullable=False, index=True),
    Column("after", BigInteger, nullable=False),
    Column("attends", Boolean, nullable=False),
    Column("seen", Number, nullable=False),
    Column("role", Line),
)

# What an agent keeps of a session's conversation, for the machine that resumes it: lines in their
# order, in parts that its driver names. There is some on servers only.
memory = Table(
    "memory",
    metadata,
    _session(),
    Column("part", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("line", Text, nullable=False),
    PrimaryKeyConstraint("session", "part", "number"),
)

# Tasks that begin by themselves. `begins` is what with, as JSON. `due` is when the next one does,
# null while it is paused: who moves it on has that run to begin. `name`, `machine` and `label` are
# as those of sessions: one with a label is fired on any machine of its person.
schedules = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("cron", Line, nullable=False),
    Column("zone", Line, nullable=False),
    Column("machine", Line, nullable=False),
    Column("begins", Line, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("due", Number),
    Column("created", Number, nullable=False),
    Column("label", Line),
)

# What has become of each run; its id is that of its session. `holder` is the host that has it to
# begin while it is starting.
schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "schedule", Text, ForeignKey("schedules.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("due", Number, nullable=False),
    Column("state", Line, nullable=False),
    Column("by_hand", Boolean, nullable=False),
    Column("missed", Integer, nullable=False),
    Column("note", Line, nullable=False),
    Column("holder", Line, nullable=False),
)
