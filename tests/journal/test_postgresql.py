"""How a journal is kept on a server: its connections, and how hosts of other machines are seen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import text
from sqlalchemy.engine import make_url
from tests.faults.manifest import fault
from tests.journal.conftest import Become, Hosts
from tests.support.events import PATIENCE_S
from tests.support.journal import Program, begin, rows, sql

from midflight._util.aio import TaskSet
from midflight.errors import LeaseHeld, StoreFailed, StoreRefused
from midflight.journal import Journal, migrations
from midflight.journal.database import Database
from midflight.journal.people import check_person
from midflight.journal.postgresql import NOTICE_A_CUT, parameters
from midflight.journal.process_identity import ProcessIdentity


@pytest.fixture
def judged_by_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have hosts judged by their locks: a beat holds for long, and a server is never new."""
    monkeypatch.setattr("midflight.journal.hosts.TTL_S", 3600)
    monkeypatch.setattr("midflight.journal.hosts.RETAKE_S", 0)


@contextlib.asynccontextmanager
async def over_tcp(server: Path) -> AsyncIterator[int]:
    """Pass on what comes to a port of loopback; yield the port."""
    tasks = TaskSet()

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asking = await asyncio.open_unix_connection(server / ".s.PGSQL.5432")
        await asyncio.gather(one_way(reader, asking), one_way(answers, writer))

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.start(pass_on(reader, writer))

    listener = await asyncio.start_server(start, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await tasks.join(PATIENCE_S)


# Connections --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        ("postgresql://ada@db.example/team", "require"),
        ("postgresql://ada@db.example/team?sslmode=prefer", "require"),
        ("postgresql://ada@db.example/team?sslmode=verify-full", "verify-full"),
        ("postgresql://ada@localhost/team", None),
        ("postgresql://ada@127.0.0.1/team?sslmode=disable", "disable"),
        ("postgresql://ada@[::1]/team", None),
        ("postgresql://ada@/team?host=/run/postgresql", None),
        ("postgresql://ada@/team", None),
        ("postgresql://ada@db.example/team?hostaddr=127.0.0.1", None),
        ("postgresql://ada@/team?host=127.0.0.1,db.example", "require"),
    ],
)
def test_connection_to_another_machine_is_encrypted(address: str, mode: str | None) -> None:
    assert parameters(make_url(address)).get("sslmode") == mode


@pytest.mark.parametrize("mode", ["disable", "allow"])
async def test_journal_is_not_reached_openly_on_another_machine(mode: str, tmp_path: Path) -> None:
    journal = Journal(f"postgresql://ada@db.example/team?sslmode={mode}", state=tmp_path)

    with pytest.raises(StoreRefused, match="is not encrypted") as refused:
        await journal.open()

    assert "sslmode=require" in refused.value.hint


def test_server_that_the_environment_names_is_no_way_around_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert parameters(make_url("postgresql:///team"))["sslmode"] == "require"

    monkeypatch.setenv("PGSSLMODE", "disable")
    with pytest.raises(StoreRefused, match="is not encrypted"):
        parameters(make_url("postgresql:///team"))


async def test_server_without_tls_is_named_with_what_to_do(
    postgresql: Path, tmp_path: Path
) -> None:
    async with over_tcp(postgresql) as port:
        address = f"postgresql://midflight@127.0.0.1:{port}/postgres?sslmode=require"
        with pytest.raises(StoreFailed, match="does not support SSL") as failed:
            await Journal(address, state=tmp_path).open()
    assert "ssl = on" in failed.value.hint


async def test_every_connection_notices_a_cut_and_leaves_no_locks(
    postgresql: Path, tmp_path: Path
) -> None:
    """The system's own view of the socket, and the server's of the session."""

    def look(connection: Any) -> tuple[list[int], str]:
        file = os.dup(connection.connection.dbapi_connection.pgconn.socket)
        with socket.socket(fileno=file) as ours:
            seen = [
                ours.getsockopt(level, option)
                for level, option in (
                    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                )
            ]
        name = "idle_in_transaction_session_timeout"
        return seen, str(connection.scalar(text(f"SHOW {name}")))

    async with over_tcp(postgresql) as port:
        database = Database.at(f"postgresql://midflight@127.0.0.1:{port}/postgres")
        try:
            for use in (database.read, database.write):
                seen, idle = await asyncio.to_thread(use, look)
                assert (seen, idle) == ([*NOTICE_A_CUT.values()], "5s")
        finally:
            await asyncio.to_thread(database.close)


async def test_opening_looks_at_what_is_there_in_no_transaction(
    open_host: Hosts, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no time for one that is under way for seconds could not open the journal."""
    await open_host(server)  # which makes the tables
    during = []

    def look(connection: Any) -> None:
        check_person(connection)
        during.append(connection.connection.dbapi_connection.info.transaction_status)

    monkeypatch.setattr(migrations, "check_person", look)
    await open_host(server)
    assert during == [TransactionStatus.IDLE]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('FATAL:  password authentication failed for user "ada"', "its password: put it into ~/.p"),
        ("fe_sendauth: no password supplied", "put it into ~/.pgpass"),
        ("SSL error: certificate verify failed", "~/.postgresql/root.crt"),
        ('FATAL:  database "tea" does not exist', "the database's name"),
        ('no pg_hba.conf entry for host "h", user "u", database "d"', "administers it"),
        ("Connection refused", "the host and port of the URL"),
        ("FATAL:  the database system is starting up", "whether it is up"),
    ],
)
def test_server_that_lets_nobody_in_has_a_hint_for_each_reason(said: str, hint: str) -> None:
    with contextlib.closing(Database.at("postgresql://ada@127.0.0.1/team")) as database:
        assert hint in database.failure(OSError(said)).hint


# Hosts of other machines --------------------------------------------------------------------


@contextlib.asynccontextmanager
async def staying(journal: Journal) -> AsyncIterator[None]:
    """Let the server see a host, and its beat tell of it, as a host does."""

    async def beat() -> None:
        while True:
            await journal.host.until_beat()
            await journal.host.beat()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journal.host.stay()), group.create_task(beat())]
        yield
        for task in tasks:
            task.cancel()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so that only a server can be asked for."""
    async with asyncio.timeout(PATIENCE_S):
        while not await true():
            pass


LOCKS = """
    SELECT id, pg_locks.pid FROM hosts
    JOIN pg_locks ON (classid::bigint << 32 | objid::bigint) = lock WHERE objsubid = 1
"""


async def until_locked(server: str, host: str | None, *, by_another_than: int = 0) -> int:
    """Wait until a host has said that it holds its lock, and does; return by which connection."""
    found: list[int] = []

    async def held() -> bool:
        locks = await asyncio.to_thread(rows, server, LOCKS)
        found[:] = [pid for one, pid in locks if (one, pid) != (host, by_another_than)]
        return bool(found)

    await until(held)
    return found[0]


async def is_alive(journal: Journal, host: str | None) -> bool:
    return {one.id: one.alive for one in await journal.hosts()}[host or ""]


@fault("D4")
async def test_host_killed_on_another_machine_is_dead_before_a_beat_is_due(
    server: str, open_host: Hosts, tmp_path: Path, become: Become, judged_by_locks: None
) -> None:
    """Its server has its lock back; that it has beaten would do for another hour."""
    become("elsewhere")
    program = await Program.start("present.py", server, tmp_path / "there")
    host = await program.line()
    become("here")
    other = await open_host(server)
    await until_locked(server, host)
    assert await is_alive(other, host)

    await program.kill()

    await until(lambda: _is_dead(other, host))


async def _is_dead(journal: Journal, host: str) -> bool:
    return not await is_alive(journal, host)


async def test_host_whose_connection_is_ended_takes_its_lock_again(
    server: str, open_host: Hosts, become: Become, judged_by_locks: None
) -> None:
    become("elsewhere")
    journal = await open_host(server)
    become("here")
    other = await open_host(server)
    record = await begin(journal)
    async with staying(journal):
        first = await until_locked(server, journal.host.id)

        sql(server, "SELECT pg_terminate_backend(:pid)", pid=first)

        await until_locked(server, journal.host.id, by_another_than=first)
        with pytest.raises(LeaseHeld):
            await other.take(record.session)


@pytest.mark.parametrize("seen", ["Infinity", "1e300", "NaN"])
async def test_host_that_is_said_to_be_seen_in_times_to_come_is_dead(
    server: str, open_host: Hosts, become: Become, seen: str
) -> None:
    """Whoever may write the row says when: it would be there for good."""
    become("elsewhere")
    journal = await open_host(server)
    become("here")
    other = await open_host(server)

    sql(
        server,
        "UPDATE hosts SET lock = NULL, seen = :seen WHERE id = :id",
        seen=float(seen),
        id=journal.host.id,
    )

    assert not await is_alive(other, journal.host.id)


async def test_server_that_has_just_started_is_not_asked_for_locks(
    server: str, open_host: Hosts, become: Become, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No host has one then, although all of them may live."""
    monkeypatch.setattr("midflight.journal.hosts.TTL_S", 3600)
    become("elsewhere")
    journal = await open_host(server)
    become("here")
    other = await open_host(server)
    sql(server, "UPDATE hosts SET lock = 1 WHERE id = :host", host=journal.host.id)

    monkeypatch.setattr("midflight.journal.hosts.RETAKE_S", 3600 * 24)
    assert await is_alive(other, journal.host.id)
    monkeypatch.setattr("midflight.journal.hosts.RETAKE_S", 0)
    assert not await is_alive(other, journal.host.id)


async def test_hosts_of_two_machines_are_far_from_each_other(
    server: str, open_host: Hosts, become: Become, judged_by_locks: None
) -> None:
    """Also where both have the same kernel and so the same boot, as containers have."""
    become("elsewhere")
    journal = await open_host(server)
    record = await begin(journal)
    become("here")
    other = await open_host(server)

    far = {host.id: (host.machine, host.far) for host in await other.hosts()}

    assert far == {journal.host.id: ("elsewhere", True), other.host.id: ("here", False)}
    assert (await other.find(record.session)).far
    assert not (await journal.find(record.session)).far


async def test_host_is_known_by_what_it_is_given(tmp_path: Path, open_host: Hosts) -> None:
    """A program may know better than the system which machine it is."""
    here = ProcessIdentity(machine="a", boot="b", space="c", pid=1, born=0.0)
    async with Journal(tmp_path / "state", here=here) as journal:
        await journal.host.register("/a.sock")
        found = rows(tmp_path / "state", "SELECT machine, boot, space, pid, born FROM hosts")
    assert found == [("a", "b", "c", 1, 0.0)]


@pytest.fixture
async def pooled(
    request: pytest.FixtureRequest, postgresql: Path, server: str
) -> AsyncIterator[str]:
    """Return where the journal is behind pgbouncer, in the mode that is asked for."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    folder = postgresql / f"pooler-{request.param}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    schema = server.rpartition("%3D")[2]
    (folder / "ini").write_text(
        f"[databases]\npostgres = host={postgresql} user=midflight"
        f" connect_query='SET search_path = {schema}'\n"
        f"[pgbouncer]\nlisten_addr =\nunix_socket_dir = {folder}\nauth_type = any\n"
        f"pool_mode = {request.param}\nserver_reset_query =\n"
    )
    user: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    process = await asyncio.create_subprocess_exec(
        program, folder / "ini", stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, **user
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread((folder / ".s.PGSQL.6432").exists):
                pass
        yield f"postgresql://midflight@/postgres?host={folder}&port=6432"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("pooled", ["session", "transaction"], indirect=True)
async def test_pooler_that_lends_by_the_transaction_is_refused(
    pooled: str, open_host: Hosts, request: pytest.FixtureRequest
) -> None:
    """What a host holds and hears would be some other client's."""
    if "[session]" in request.node.name:
        record = await begin(await open_host(pooled))
        await record.close()
    else:
        with pytest.raises(StoreRefused, match="lends connections out by the transaction") as no:
            await open_host(pooled)
        assert "session" in no.value.hint
