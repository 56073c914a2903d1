"""A dump of the journal's database has what is needed to go on elsewhere."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import psycopg
import pytest
from tests.journal.conftest import Role
from tests.support.journal import add, begin, silence
from tests.support.postgresql import need_postgresql

from midflight import events as e
from midflight.errors import StoreFailed
from midflight.journal import Journal
from midflight.journal.inbox import Sender
from midflight.values import Who


def _run(program: str, *arguments: str) -> None:
    command = [need_postgresql(program), "-U", "midflight", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_sessions_go_on_from_a_dump_in_another_database(
    postgresql: Path, server: str, role: Role, tmp_path: Path
) -> None:
    """It is taken by the owner while a host writes; roles, and what is whose, come with it."""
    schema, place = server.rpartition("%3D")[2], str(postgresql)
    async with Journal(role("ada"), state=tmp_path / "s") as ada:
        await ada.host.register("/a.sock")
        record = await begin(ada)
        add(record, e.MessageAccepted(message="m", text="go", delivery="steer"))
        await record.written()
        told = Sender(who=Who(role="user", door="command"))
        await ada.inbox.put(record.session, "k", b"{}", told)
        dump = str(tmp_path / "team.dump")
        _run("pg_dump", "-h", place, "-Fc", "-n", schema, "-f", dump, "postgres")
        add(record, e.Text(text="after the dump"))
        await record.written()
        host = ada.host.id
        await ada.host.leave()

    _run("createdb", "-h", place, "-O", "midflight", schema)
    try:
        _run("pg_restore", "-h", place, "-d", schema, dump)
        silence(server.replace("/postgres?", f"/{schema}?"), host)  # as time does
        anew = role("ada").replace("/postgres?", f"/{schema}?")
        async with Journal(anew, state=tmp_path / "t") as again:
            await again.host.register("/b.sock")
            row, taken, past = await again.take(record.session)
            assert (row.name, row.seq, len(past.events)) == ("fix", 2, 2)
            assert [entry.id for entry in await again.inbox.take(str(again.host.id), ())] == ["k"]
            add(taken, e.Text(text="on"))
            await taken.written()
            await taken.close()
        bobs = role("bob").replace("/postgres?", f"/{schema}?")
        with pytest.raises(StoreFailed, match="does not let this role"):
            await Journal(bobs, state=tmp_path / "t").open()  # who came after the dump
    finally:
        with contextlib.closing(psycopg.connect(server, autocommit=True)) as owner:
            owner.execute(f"DROP DATABASE {schema} WITH (FORCE)".encode())
