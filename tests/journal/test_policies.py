"""Who may write what in a journal on a server: what the database refuses, whatever is asked."""
# ruff: noqa: S608 - statements that somebody could write by hand

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.journal.conftest import Become, Role
from tests.support.journal import add, begin, rows, silence, sql
from tests.support.schedules import daily

from midflight import commands as c
from midflight import events as e
from midflight.errors import Conflict, MidflightError, StoreFailed, StoreRefused
from midflight.info import decode
from midflight.journal import Journal, Offer, restored
from midflight.journal.inbox import Sender
from midflight.journal.policies import KINDS, POLICIES, Kind, policies
from midflight.journal.readers import Stream
from midflight.journal.schema import metadata
from midflight.lineage import UNKNOWN
from midflight.values import Who

Join = Callable[..., Awaitable[Journal]]

NOW = "extract(epoch FROM clock_timestamp())"
REFUSED = "does not let this role do that"


@pytest.fixture
async def join(role: Role, tmp_path: Path) -> AsyncIterator[Join]:
    """Return a function that opens the journal as a role, as a host if it may be one."""
    async with contextlib.AsyncExitStack() as stack:

        async def one(name: str, kind: Kind = "person") -> Journal:
            journal = Journal(role(name, kind), state=tmp_path / "sockets")
            await stack.enter_async_context(journal)
            if kind != "reader":
                await journal.host.register("/a.sock")
            return journal

        yield one


def changed(url: str, statement: str) -> int | None:
    """Do what somebody has written by hand; return how many rows it changed, None: refused."""
    import psycopg

    with contextlib.closing(psycopg.connect(url, autocommit=True)) as connection:
        try:
            return connection.execute(statement.encode()).rowcount
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
            return None


def test_every_table_says_who_may_write_it() -> None:
    assert all(policies(table) for table in metadata.sorted_tables)


async def test_reader_sees_everything_and_writes_nothing(join: Join, role: Role) -> None:
    ada = await join("ada")
    record = await begin(ada)
    eve = await join("eve", "reader")
    assert [row.name for row in await eve.sessions()] == ["ada/fix"]
    assert len(await eve.events(record.session)) == 1

    with pytest.raises(StoreFailed, match=REFUSED):
        await eve.host.register("/a.sock")

    for table in metadata.sorted_tables:
        for statement in (
            f"INSERT INTO {table.name} DEFAULT VALUES",
            f"UPDATE {table.name} SET {next(iter(table.c)).name} = NULL",
            f"DELETE FROM {table.name}",
            f"TRUNCATE {table.name} CASCADE",
            f"SELECT * FROM {table.name} FOR UPDATE",
        ):
            assert changed(role("eve"), statement) is None, statement


@pytest.mark.parametrize("said", ["x", "7", "[7]", '{"env": 7}', "null", "[" * 5_000])
async def test_row_that_cannot_be_read_is_in_nobodys_way(join: Join, role: Role, said: str) -> None:
    ada, bob, worker = await join("ada"), await join("bob"), await join("big", "worker")
    theirs, session = (await begin(bob)).session, (await begin(ada)).session
    made = "id, name, options, pending, label, waiting_since, seq, updated, status, turns"
    zero = "parent, agent, cwd, model, permission_mode, agent_session, last"
    statements = (
        f"UPDATE hosts SET labels = '{said}', variables = '{said}', servers = '{said}'",
        (
            f"UPDATE sessions SET pending = '{said}', rules = '{said}', limits = '{said}',"
            f" repository = '{said}', needs = '{said}', label = 'gpu', waiting_since = 1"
            f" WHERE id = '{session}'"
        ),
        (
            f"INSERT INTO sessions ({made}, {zero}, created, total_cost_usd)"
            f" VALUES ('odd', 'ada/odd', '{said}', '{said}', 'gpu', 0, 1, 0, 'idle', 0,"
            " '', '', '', '', '', '', '', 0, 0)"
        ),
        "INSERT INTO leases VALUES ('odd', NULL, 0)",
        (
            "INSERT INTO inbox (session, number, id, command, digest, sender, given, state)"
            f" VALUES ('{theirs}', 1, 'x', '', '', '{said}', 0, 'waiting')"
        ),
    )
    for statement in statements:
        assert changed(role("ada"), statement), statement

    assert {row.id for row in await bob.sessions()} == {theirs, session, "odd"}
    assert len(await bob.infos(await bob.sessions())) == 3
    assert len(await bob.hosts()) == 3
    assert await worker.orphaned() == []
    (entry,) = await bob.inbox.take(bob.host.id or "", ())
    assert (entry.sender.who.role, entry.sender.inside) == ("agent", (UNKNOWN,))
    offer = Offer(labels=("gpu",), capacity=1, version="", work="")
    claimed = await worker.claim(offer)
    assert claimed is not None
    assert claimed[0].id == "odd"
    with pytest.raises(StoreRefused, match="cannot be read"):
        restored(claimed[0].options)


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e300"])
async def test_number_that_means_nothing_is_in_nobodys_way(
    join: Join, role: Role, number: str
) -> None:
    ada, bob = await join("ada"), await join("bob")
    record = await begin(ada)
    moments = ("created", "updated", "turn_started", "waiting_since", "total_cost_usd")
    for table, columns in (("sessions", moments), ("hosts", ("seen", "beat", "started"))):
        values = ", ".join(f"{column} = '{number}'" for column in columns)
        if table == "sessions":  # what one was made with stays: it is written when it is made
            values = values.partition(", ")[2]
        assert changed(role("ada"), f"UPDATE {table} SET {values}"), table
    kept = "name, agent, cwd, options, parent, updated, seq, status, model, permission_mode"
    made = (
        f"INSERT INTO sessions (id, {kept}, agent_session, last, pending, turns, total_cost_usd,"
        f" created) SELECT 'odd', 'ada/odd', {kept.partition(', ')[2]}, agent_session, last,"
        f" pending, turns, total_cost_usd, '{number}' FROM sessions WHERE id = '{record.session}'"
    )
    assert changed(role("ada"), made)
    assert changed(role("ada"), "INSERT INTO leases VALUES ('odd', NULL, 0)")

    infos = await bob.infos(await bob.sessions())
    assert len(infos) == 2
    for each in infos:
        assert decode(msgspec.json.encode(each)) == each  # JSON has no word for such a number
        assert {each.created, each.updated, each.total_cost_usd} <= {0.0, each.created}
    (host,) = [host for host in await bob.hosts() if host.id == ada.host.id]
    assert (host.alive, host.started) == (False, 0.0)


async def test_worker_starts_whatever_a_person_says_of_folders(join: Join, role: Role) -> None:
    ada, eve = await join("ada"), await join("big", "worker")
    listed = "labels = '[\"gpu\"]', work = '/elsewhere'"
    assert changed(role("ada"), f"UPDATE hosts SET {listed} WHERE id = '{ada.host.id}'")
    other = await join("other", "worker")
    offer = Offer(labels=("gpu",), capacity=1, version="", work="/srv")
    await other.host.leave()
    await other.host.register("/a.sock", offer=offer)

    assert changed(role("big"), f"UPDATE hosts SET {listed} WHERE id = '{eve.host.id}'")
    await other.host.leave()
    with pytest.raises(Conflict, match="in /elsewhere, and this one would in /srv"):
        await other.host.register("/a.sock", offer=offer)


async def test_more_than_midflight_keeps_is_not_read(
    join: Join, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has had a session may have filled a disk with it: who has it next would be next."""
    ada = await join("ada")
    record = await begin(ada)
    record.remember("a", ["x" * 500])
    assert await record.recall() == {"a": ("x" * 500,)}
    monkeypatch.setattr("midflight.journal.memory.MOST_BYTES", 600)
    with pytest.raises(StoreRefused, match="midflight keeps less"):
        await record.recall()

    monkeypatch.setattr("midflight.journal.history.MOST_PAST_BYTES", 10)
    with pytest.raises(StoreRefused, match="more events than any could have"):
        await ada.past(record.session)

    monkeypatch.setattr("midflight.journal.schema.MOST_CHARS", 1)
    (row,) = await ada.sessions()
    assert (len(row.agent), row.options) == (1, {})


async def test_role_that_nothing_was_granted_to_is_told_what_to_do(role: Role) -> None:
    with pytest.raises(StoreFailed, match=REFUSED) as refused:
        await Journal(role("mallory", "nobody")).open()
    assert "midflight journal grant" in refused.value.hint


async def test_role_whose_name_could_pass_for_anothers_session_is_refused(role: Role) -> None:
    with pytest.raises(StoreRefused, match="the role 'ada/x' cannot use a journal"):
        await Journal(role("ada/x")).open()
    assert (
        changed(
            role("ada/x"),
            "INSERT INTO schedules VALUES"
            " ('s', 'ada/x/y', '* * * * *', 'UTC', 'desk', '{}', false, 0, 0)",
        )
        is None
    )


async def test_person_writes_nothing_of_a_colleague(join: Join, role: Role, server: str) -> None:
    """What a condition lets nobody see changes nothing; what it refuses is an error."""
    ada, bob = await join("ada"), await join("bob")
    record = await begin(ada)
    add(record, e.MessageAccepted(message="m", text="go", delivery="steer"))
    add(record, e.QuestionRequested(request="q", questions=()))
    await ada.schedules.add(daily())
    mine = await begin(bob, "mine")
    before = {
        table.name: rows(server, f"SELECT * FROM {table.name} ORDER BY 1, 2")
        for table in metadata.sorted_tables
    }

    session, hers, his = f"'{record.session}'", f"'{ada.host.id}'", f"'{bob.host.id}'"
    for statement in (
        f"UPDATE leases SET host = {his} WHERE session = {session}",
        f"UPDATE leases SET host = NULL WHERE session = {session}",
        f"UPDATE leases SET session = '{mine.session}' WHERE session = {session}",
        f"UPDATE leases SET host = {hers} WHERE session = '{mine.session}'",
        f"DELETE FROM leases WHERE session = {session}",
        f"INSERT INTO events VALUES ({session}, 9, 'text', 0, '{{}}')",
        f"UPDATE events SET data = '{{}}' WHERE session = {session}",
        f"DELETE FROM events WHERE session = {session}",
        f"UPDATE events SET session = {session}, seq = 9 WHERE session = '{mine.session}'",
        f"UPDATE messages SET text = 'x' WHERE session = {session}".replace("text", "reason"),
        f"DELETE FROM requests WHERE session = {session}",
        f"UPDATE sessions SET status = 'closed' WHERE id = {session}",
        f"UPDATE sessions SET name = 'bob/x' WHERE id = {session}",
        f"UPDATE sessions SET label = 'gpu' WHERE id = {session}",
        f"UPDATE sessions SET name = 'ada/x' WHERE id = '{mine.session}'",
        f"UPDATE sessions SET options = '{{}}' WHERE id = '{mine.session}'",
        f"DELETE FROM sessions WHERE id = {session}",
        f"DELETE FROM hosts WHERE id = {hers}",
        f"UPDATE hosts SET address = '/x.sock' WHERE id = {hers}",
        f"UPDATE hosts SET role = 'ada' WHERE id = {his}",
        "UPDATE schedules SET due = 0",
        "UPDATE schedules SET begins = '{}', name = 'bob/x'",
        "DELETE FROM schedules",
        (
            "INSERT INTO schedules SELECT 's', 'ada/x', cron, zone, machine, begins, false, 0, 0"
            " FROM schedules"
        ),
        "INSERT INTO schedule_runs SELECT 'r', id, 0, 'starting', false, 0, '', '' FROM schedules",
        "UPDATE meta SET version = 99",
        "DELETE FROM meta",
    ):
        assert not changed(role("bob"), statement), statement

    after = {
        table.name: rows(server, f"SELECT * FROM {table.name} ORDER BY 1, 2")
        for table in metadata.sorted_tables
    }
    assert after == before
    add(record, e.Text(text="on"))
    await record.written()
    assert changed(role("bob"), f"DELETE FROM hosts WHERE id = {his}") == 1, "as a check of this"


async def test_what_an_agent_remembers_is_for_the_owner_alone(join: Join, role: Role) -> None:
    """Nothing but the next owner needs it; it has more in it than the events."""
    ada = await join("ada")
    record = await begin(ada)
    record.remember("a", ["1"])
    assert await record.recall() == {"a": ("1",)}
    await join("eve", "reader")

    for name, kind in (("bob", "person"), ("eve", "reader")):
        assert rows(role(name, kind), "SELECT * FROM memory") == []
    assert not changed(role("bob"), "UPDATE memory SET line = '2'")
    assert not changed(role("bob"), f"INSERT INTO memory VALUES ('{record.session}', 'b', 1, '')")

    await record.close()
    await ada.remove(record.session)


async def test_stream_is_known_to_who_reads_it_and_to_who_tells_it(join: Join, role: Role) -> None:
    """Whoever knows its channel can make up on it what an agent seems to be saying."""
    ada, bob = await join("ada"), await join("bob")
    session = (await begin(ada)).session
    assert bob.presence is not None
    stream = Stream("f" * 32, session, bob.presence.reader, 1, attends=False)
    await bob.readers.join(stream, "")

    seen = {
        name: len(rows(role(name, kind), "SELECT * FROM readers"))
        for name, kind in (("ada", "person"), ("bob", "person"), ("eve", "reader"), ("w", "worker"))
    }
    assert seen == {"ada": 1, "bob": 1, "eve": 0, "w": 0}
    assert bob.presence.id not in stream.reader


async def test_session_of_a_colleague_is_neither_taken_nor_removed(
    join: Join, role: Role, server: str
) -> None:
    ada, bob = await join("ada"), await join("bob")
    record = await begin(ada)
    await record.close()
    for attempt in (bob.take(record.session), bob.remove(record.session)):
        with pytest.raises(StoreFailed, match=REFUSED) as refused:
            await attempt
        assert "somebody else's" in refused.value.hint
    _, record, _ = await ada.take(record.session)
    await record.close()


async def test_what_a_colleague_left_open_is_the_colleagues_to_recover(
    join: Join, server: str
) -> None:
    ada, bob = await join("ada"), await join("bob")
    record = await begin(ada)
    silence(server, ada.host.id)

    assert await bob.orphaned() == []
    assert not await bob.forget(str(ada.host.id))

    again = await join("ada")
    assert await again.orphaned() == [record.session]


async def test_command_bears_the_name_that_the_database_knows(
    join: Join, role: Role, server: str
) -> None:
    ada, bob = await join("ada"), await join("bob")
    session = (await begin(ada)).session
    liar = Sender(who=Who(role="user", door="command", person="ada"))
    await bob.inbox.put(session, "m1", c.encode(c.Send(text="go", id="m1")), liar)

    (entry,) = await ada.inbox.take(str(ada.host.id), ())
    assert entry.sender.who == Who(role="user", door="command", person="bob")

    row = "'m2', '{}', '', '{}', 0"
    for columns, values in (
        ("person, state", "'ada', 'waiting'"),
        ("state", "'done'"),
        ("state, outcome", "'waiting', '{}'"),
        ("state, generation", "'waiting', 1"),
        ("state", "'waiting'"),  # with a number that is not the next
    ):
        statement = (
            f"INSERT INTO inbox (session, number, id, command, digest, sender, given, {columns})"
            f" VALUES ('{session}', 9, {row}, {values})"
        )
        assert changed(role("bob"), statement) is None, statement
    for statement in (
        "UPDATE inbox SET command = '{}'",
        "UPDATE inbox SET state = 'done'",
    ):
        assert not changed(role("bob"), statement), statement
    assert changed(role("ada"), "UPDATE inbox SET person = 'ada'") is None
    assert not changed(role("ada"), "DELETE FROM inbox"), "it is bob's to take back"
    assert await bob.inbox.withdraw(session, "m1")


async def test_worker_has_what_has_a_label_and_nothing_else(
    join: Join, role: Role, server: str
) -> None:
    """A laptop's sessions are commanded by no machine that runs everybody's agents."""
    ada, worker = await join("ada"), await join("w1", "worker")
    own, queued = await begin(ada, "own"), await begin(ada, "queued")
    await own.close()
    await queued.close()
    await ada.schedules.add(daily())
    await ada.schedules.add(daily("for-workers", on="gpu"))
    sql(server, "UPDATE sessions SET label = 'gpu' WHERE id = :id", id=queued.session)
    sender = Sender(who=Who(role="program", door="json"))

    _, record, _ = await worker.take(queued.session)
    add(record, e.Text(text="on the worker"))
    await record.written()
    await record.close()

    with pytest.raises(StoreFailed, match=REFUSED):
        await worker.take(own.session)
    with pytest.raises(MidflightError):
        await worker.inbox.put(own.session, "k", b"{}", sender)
    for statement in (
        f"UPDATE sessions SET label = 'gpu' WHERE id = '{own.session}'",
        f"UPDATE sessions SET label = NULL WHERE id = '{queued.session}'",
        (
            f"INSERT INTO inbox (session, number, id, command, digest, sender, given, state)"
            f" VALUES ('{own.session}', 9, 'm', '', '', '', 0, 'waiting')"
        ),
        (
            "INSERT INTO schedules VALUES"
            " ('s', 'ada/y', '* * * * *', 'UTC', 'desk', '{}', false, 0, 0, 'gpu')"
        ),
        "UPDATE schedules SET due = 0 WHERE label IS NULL",
        "UPDATE schedules SET label = NULL WHERE label = 'gpu'",
        "UPDATE schedules SET begins = '{}' WHERE label = 'gpu'",
        "DELETE FROM schedules",
        (
            "INSERT INTO schedule_runs SELECT 'r', id, 0, 'starting', false, 0, '', ''"
            " FROM schedules WHERE label IS NULL"
        ),
        (
            "INSERT INTO sessions SELECT 'x', 'ada/x', agent, cwd, options, parent, created,"
            " updated, seq, status, model, permission_mode, agent_session, last, pending, turns,"
            f" total_cost_usd FROM sessions WHERE id = '{own.session}'"
        ),
        f"DELETE FROM hosts WHERE id = '{ada.host.id}'",
    ):
        assert not changed(role("w1"), statement), statement
    assert changed(role("w1"), "UPDATE schedules SET due = 0 WHERE label = 'gpu'") == 1
    sql(server, "UPDATE hosts SET labels = '[\"gpu\"]' WHERE id = :id", id=worker.host.id)
    drain = f"UPDATE hosts SET draining = true WHERE id = '{worker.host.id}'"
    assert changed(role("ada"), drain) == 1, "a person may have a worker drained"
    assert changed(role("ada"), drain.replace("draining = true", "address = '/x'")) is None
    silence(server, ada.host.id)
    assert not changed(role("w1"), f"DELETE FROM hosts WHERE id = '{ada.host.id}'")
    sql(server, f"UPDATE hosts SET seen = {NOW} - 61 WHERE id = :host", host=ada.host.id)
    assert changed(role("w1"), f"DELETE FROM hosts WHERE id = '{ada.host.id}'") == 1


async def test_worker_of_a_person_is_for_that_person_alone(join: Join) -> None:
    ada, w1 = await join("ada"), await join("w1", "worker")
    assert {host.id: host.for_all for host in await ada.hosts()} == {
        ada.host.id: False,
        w1.host.id: True,
    }


async def test_host_of_another_role_is_reached_by_the_database_alone(
    join: Join, become: Become
) -> None:
    """On one machine too: its socket is another user's, or what its row says is not true."""
    become("here")
    ada, bob = await join("ada"), await join("bob")
    assert {host.id: host.far for host in await ada.hosts()} == {
        ada.host.id: False,
        bob.host.id: True,
    }


async def test_kind_of_a_role_can_be_changed_and_taken_back(
    role: Role, server: str, tmp_path: Path
) -> None:
    url = role("ada")
    async with Journal(server, state=tmp_path / "owner") as owner:
        for kind in KINDS:
            reads, writes = kind != "nobody", kind in {"person", "worker"}
            await owner.grant("ada", kind)
            assert (changed(url, "SELECT * FROM meta") is not None) == reads, kind
            assert (changed(url, "DELETE FROM schedules") is not None) == writes, kind


async def test_table_that_comes_later_is_granted_and_protected_too(
    join: Join, role: Role, server: str, tmp_path: Path
) -> None:
    ada = await join("ada")
    sql(server, "DROP TABLE requests")

    async with Journal(server, state=tmp_path / "owner"):
        pass

    record = await begin(ada)
    add(record, e.QuestionRequested(request="q", questions=()))
    await record.written()
    assert changed(role("bob"), "DELETE FROM requests") == 0


async def test_journal_that_was_made_before_gets_the_policies(
    join: Join, role: Role, server: str, tmp_path: Path
) -> None:
    """By its owner alone; who lives in it meanwhile goes on."""
    ada = await join("ada")
    record = await begin(ada)
    role("bob")
    for table in metadata.sorted_tables:
        sql(server, f"ALTER TABLE {table.name} DISABLE ROW LEVEL SECURITY")
    sql(server, "UPDATE hosts SET role = NULL")
    sql(server, "ALTER TABLE meta DROP COLUMN policies")
    assert changed(role("bob"), "DELETE FROM hosts WHERE false") == 0
    with pytest.raises(StoreRefused, match="has not all that this midflight needs") as refused:
        await join("bob")
    assert "midflight, open it once" in refused.value.hint

    async with Journal(server, state=tmp_path / "owner"):
        pass

    await ada.host.beat()
    add(record, e.Text(text="on"))
    await record.written()
    assert changed(role("bob"), f"DELETE FROM sessions WHERE id = '{record.session}'") == 0
    assert json.dumps(rows(server, "SELECT policies FROM meta")) == f"[[{POLICIES}]]"
    assert time.monotonic() < ada.host.valid_until
