"""The command line in a team's journal, as people whose roles may no more than they have to."""

from __future__ import annotations

import platform
import re
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.journal.conftest import Role, role, server
from tests.support.journal import rows
from tests.support.program import Done, Program
from tests.support.raw_http import call

from midflight.host import Host
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, ScriptedModel, Text, ToolCall

__all__ = ["role", "server"]

pytestmark = pytest.mark.anyio

Say = Callable[..., Coroutine[Any, Any, Done]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

TOKEN = "a-token-for-tests-only"
WRITE = ToolCall("Write", {"file_path": "new", "content": "new"})


@pytest.fixture
def ada(role: Role, state: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have every command use the team's journal as a person."""
    url = role("ada")
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", url)
    return url


@pytest.fixture
async def host(ada: str) -> Any:
    """Return a host of this person."""
    async with Host(ada) as host:
        yield host


async def test_every_verb_works_as_a_plain_person(begin: Begin, say: Say, ada: str) -> None:
    """And none as the owner of the tables, whose rights are not needed."""
    _, session = await begin(WRITE, Text("done"), Text("more"), name="own")
    for words, said in (
        (("ls",), "own"),
        (("show", "own"), f"  machine  {platform.node()}\n"),
        (("logs", "own"), "make it"),
        (("limits", "own", "--max-turns", "9"), "9"),
        (("queue", "own", "later"), ""),
        (("queue", "own", "--list"), "later"),
        (("queue", "own", "--cancel", "2"), ""),
        (("answer", "own", "allow", "--wait"), ""),
        (("send", "own", "more", "--wait"), "more"),
        (("interrupt", "own"), ""),
        (("stop", "own"), ""),
        (("schedule", "0 7 * * *", "--", "run", "every morning", "--name", "morning"), ""),
        (("schedule",), "morning"),
        (("schedule", "pause", "morning"), ""),
        (("schedule", "remove", "morning"), ""),
        (("rm", "own"), ""),
    ):
        done = await say(*words)
        assert (done.code, said in done.out) == (0, True), (words, done)
    assert session.status == "closed"

    async with serving(
        ServeOptions(host="127.0.0.1", port=0, where=ada), {"MIDFLIGHT_TOKEN": TOKEN}
    ) as running:
        address = running.urls[0].partition("://")[2]
        status, found = await call(address, "/sessions", authorization=f"Bearer {TOKEN}")
    assert (status, found) == (200, [])


async def test_run_begins_a_session_as_a_plain_person(
    fake_midflight: Callable[..., Awaitable[Program]],
    model: Callable[..., Awaitable[ScriptedModel]],
    role: Role,
    server: str,
) -> None:
    url = role("ada")
    program = await fake_midflight(
        await model(Text("All done.")), "run", "tidy up", MIDFLIGHT_JOURNAL=url
    )
    done = await program.done()
    assert (done.code, "All done." in done.out) == (0, True), done
    assert rows(server, "SELECT name, status FROM sessions") == [("ada/tidy-up", "closed")]


async def test_role_that_only_looks_has_a_doctor_that_says_so(
    say: Say, role: Role, state: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no agent, and nothing of it is broken."""
    monkeypatch.setenv("PATH", "")
    done = await say("doctor", "--journal", role("auditor", "reader"))
    assert (done.code, "journal   read only" in done.out) == (0, True), done
    assert "MIDFLIGHT_JOURNAL" not in done.out


async def test_owner_says_what_a_role_is_to_be(
    say: Say, role: Role, server: str, state: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", server)
    role("ada", "nobody")
    grant = ("journal", "grant", "ada", "--as")

    shown = await say(*grant, "reader", "--print")
    assert shown.code == 0
    assert re.fullmatch(r"(REVOKE .*;\n|ALTER .*;\n|GRANT .*;\n)+", shown.out)
    done = await say(*grant, "person")
    assert (done.code, done.out) == (0, "ada is a person now\n")

    monkeypatch.setenv("MIDFLIGHT_JOURNAL", role("ada"))
    assert (await say("ls")).code == 0
    refused = await say("journal", "grant", "bob", "--as", "worker")
    assert refused.code != 0
    assert "no role 'bob'" in refused.err
    refused = await say(*grant, "worker")
    assert (refused.code, "does not let this role do that" in refused.err) == (1, True)


async def test_journal_in_a_file_has_no_roles(
    say: Say, state: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", str(tmp_path / "own"))
    refused = await say("journal", "grant", "ada", "--as", "person")
    assert "a journal in a file has no roles" in refused.err
