from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from midflight.journal import Journal
from midflight.journal.database import Database
from midflight.journal.migrations import prepare
from midflight.journal.policies import Kind, grants
from midflight.journal.process_identity import MACHINE_VARIABLE


@pytest.fixture
def server(postgresql: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return where a journal is to be on a server: a place without tables."""
    import psycopg

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # where its sockets are

    name = f"test_{uuid.uuid4().hex}"  # a schema of our own: cheaper than a database of our own
    administer = f"host={postgresql} user=midflight dbname=postgres"
    with contextlib.closing(psycopg.connect(administer, autocommit=True)) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield f"postgresql://midflight@/postgres?host={postgresql}&options=-csearch_path%3D{name}"
        connection.execute(f"DROP SCHEMA {name} CASCADE")


Role = Callable[..., str]


@pytest.fixture
def role(postgresql: Path, server: str) -> Iterator[Role]:
    """Return a function that makes a role of a kind, and returns its URL of the journal."""
    import psycopg

    schema = server.rpartition("%3D")[2]
    administer = f"host={postgresql} user=midflight dbname=postgres options=-csearch_path={schema}"
    made: set[str] = set()
    with contextlib.closing(psycopg.connect(administer, autocommit=True)) as owner:

        def make(name: str, kind: Kind = "person") -> str:
            if name not in made:
                made.add(name)
                owner.execute(f'CREATE ROLE "{name}" LOGIN'.encode())
                with contextlib.closing(Database.at(server)) as database:
                    prepare(database, None)
                for statement in grants(name, kind, schema):
                    owner.execute(statement.encode())
            return server.replace("midflight@", f"{quote(name, safe='')}@")

        yield make
        for name in made:
            owner.execute(f'DROP OWNED BY "{name}"'.encode())
            owner.execute(f'DROP ROLE "{name}"'.encode())


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a journal is to be: a new folder, or a place without tables."""
    if request.param == "sqlite":
        return str(tmp_path / "state")
    return str(request.getfixturevalue("server"))


Become = Callable[[str], None]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Become:
    """Return a function after which what is made in this process is on the machine of that name."""
    return lambda machine: monkeypatch.setenv(MACHINE_VARIABLE, machine)


Hosts = Callable[..., Awaitable[Journal]]


@pytest.fixture
async def open_host(tmp_path: Path) -> AsyncIterator[Hosts]:
    """Return a function that opens a journal and registers it as a host of its own."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(where: str | Path, address: str = "/a.sock") -> Journal:
            journal = await stack.enter_async_context(Journal(where, state=tmp_path / "sockets"))
            await journal.host.register(address)
            return journal

        yield open_one


@pytest.fixture
async def journal(where: str, open_host: Hosts) -> Journal:
    """Return an open journal, whose process is a host."""
    return await open_host(where)
