"""What only the machine of a session can tell, or do, is asked there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import ELSEWHERE, Hosts
from tests.support.events import of, until
from tests.support.host import journal_of, result_in, service_of
from tests.support.journal import rows, silence, sql
from tests.support.raw_http import call
from tests.support.repo import Repo, own_home, repo

from midflight import events as e
from midflight import questions as q
from midflight.client.client import Client
from midflight.effects import CommandEffect
from midflight.errors import Conflict, HostGone, NotFound
from midflight.git.repository import Worktree
from midflight.host import Host
from midflight.host.answers import Answers
from midflight.journal.inbox import InboxEntry, Sender
from midflight.options import Options
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall
from midflight.values import Who
from midflight.worktrees import FarWorktree, SessionWorktrees

__all__ = ["own_home", "repo"]

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

TOKEN = "a-token-for-tests-only"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what hosts have been asked from other machines so far."""
    answer, answered = Answers.answer, list[str]()

    async def note(answers: Answers, entry: InboxEntry, *more: Any) -> Any:
        answered.append(type(q.decode(entry.command)).__name__)
        return await answer(answers, entry, *more)

    monkeypatch.setattr(Answers, "answer", note)
    return answered


async def test_effects_of_an_edited_input_are_told(
    begin: Begin, client: Client, tmp_path: Path
) -> None:
    _, session = await begin([ToolCall("Bash", {"command": "make"})], attended=True)
    await session.send("make it")
    asked = await until(session, e.PermissionRequested)

    told = await client.effects(session.id, asked.request, {"command": "make test"})

    assert told.effects == (CommandEffect(command="make test", cwd=str(tmp_path)),)
    with pytest.raises(NotFound, match="no-request"):
        await client.effects(session.id, "no-request", {})


async def test_agent_of_a_session_is_known(begin: Begin, client: Client, host: Host) -> None:
    _, session = await begin(attended=True)
    there = await service_of(host).agent(session.id)
    told = await client.agent(session.id)
    assert told.attended
    assert (told.capabilities, told.permission_mode) == (there.capabilities, there.permission_mode)


@pytest.fixture
async def apart(
    host: Host, repo: Repo, fake_model: Any, tmp_path: Path
) -> tuple[Session, Worktree]:
    """Return a session that works in a worktree, with a change in it."""
    tree, model = await repo.made(), await fake_model(lambda _: Text("merged"))
    options = Options.build(agent="fake", cwd=tree.folder, name="fix", env=model.env(tmp_path))
    session = await host.begin(None, options)
    repo.write("new", "by the session\n", at=tree.folder)
    return session, tree


Apart = tuple[Session, Worktree]


async def test_folder_is_looked_at_on_its_machine(
    apart: Apart, client: Client, server: str, answered: list[str]
) -> None:
    """The same path is another folder here."""
    session, _ = apart
    assert "+by the session" in (await client.diff(session.id)).diff
    assert (await client.diff(session.id, ["old"])).diff == ""
    assert await client.neighbours() == []  # whom a verb for a folder of this machine concerns
    options = ServeOptions(host="127.0.0.1", port=0, where=server)
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        address = running.urls[0].partition("://")[2]
        key = {"authorization": f"Bearer {TOKEN}"}
        _, changes = await call(address, f"/sessions/{session.id}/diff", **key)
        _, row = await call(address, f"/sessions/{session.id}/worktree", **key)
    assert "+by the session" in changes["diff"]
    assert (row["worktree"], row["uncommitted"]) == ("fix", 1)
    assert answered == ["AskDiff", "AskDiff", "AskDiff", "AskWorktree"]
    assert rows(server, "SELECT id FROM inbox") == []  # what was read is not kept


async def test_worktree_is_merged_and_discarded_where_it_is(
    apart: Apart, client: Client, repo: Repo, answered: list[str]
) -> None:
    session, tree = apart
    worktrees, here = SessionWorktrees(client), repo.folder
    found = await worktrees.of(await client.info(session.id), here)
    assert isinstance(found, FarWorktree)
    assert "+by the session" in (await found.diff()).diff

    merged = await found.do("merge", tell=True)
    assert (merged.into, merged.told, (here / "new").exists()) == ("main", False, True)
    repo.commit("old", "two\n")
    repo.write("old", "three\n", at=tree.folder)
    merged = await found.do("merge", tell=True)
    assert (merged.conflicts, merged.told) == (["old"], True)
    (told,) = of(e.MessageAccepted, await client.history(session.id))
    assert told.text.startswith(f"Your branch {tree.branch} conflicts with main in: old.")
    await until(session, e.TurnEnded)

    assert (await found.do("branch", name="fix/old")).branch == "fix/old"
    await found.do("discard")
    assert not tree.folder.exists()
    assert (await client.info(session.id)).status == "closed"
    assert answered[0] == "AskWorktreeDiff"
    assert answered[1:] == ["DoWorktree"] * 4
    with pytest.raises(Conflict, match="the folder of session fix is gone"):
        await found.row()


async def test_session_at_rest_is_answered_for_by_any_host_there(
    apart: Apart, client: Client, open_host: Hosts, host: Host, server: str
) -> None:
    session, _ = apart
    await session.close("parked")
    await session.over()
    other = await open_host(ELSEWHERE)
    for one in (host, other):
        assert "+by the session" in (await client.diff(session.id)).diff
        one._tasks.cancel()  # noqa: SLF001 - it does not beat any more
        silence(server, journal_of(one).host.id)

    with pytest.raises(Conflict, match=f"is at rest on {ELSEWHERE}, and no host is up there"):
        await client.diff(session.id)


async def test_folder_of_a_session_of_workers_is_not_looked_for_at_rest(
    begin: Begin, client: Client, server: str
) -> None:
    """Which of them has it is not known."""
    _, session = await begin()
    await session.close("parked")
    await session.over()
    sql(server, "UPDATE sessions SET label = 'gpu'")

    with pytest.raises(Conflict, match="is at rest on workers with the label gpu"):
        await client.diff(session.id)


async def test_agent_gets_no_answer_about_what_it_has_not_begun(begin: Begin, host: Host) -> None:
    """Whoever has written it there, past the process that would have refused."""
    _, session = await begin()
    journal = journal_of(host)
    agent = Sender(who=Who(role="agent", door="mcp"), inside=("another",))
    for number, question in enumerate((q.AskDiff(), q.AskAgent(), q.DoWorktree(action="merge"))):
        await journal.inbox.put(
            session.id, f"q{number}", q.encode(question), agent, asked=journal.host.id
        )
        result = await result_in(journal, session.id, f"q{number}")
        assert (result.answer, (result.error or {})["code"]) == (None, "not_allowed")


@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 9_000, b'{"asks": "nothing"}'], ids=len)
async def test_question_that_is_none_is_an_error(begin: Begin, host: Host, text: bytes) -> None:
    _, session = await begin()
    journal = journal_of(host)
    me = Sender(who=Who(role="user", door="command"))
    await journal.inbox.put(session.id, "q1", text, me, asked=journal.host.id)
    result = await result_in(journal, session.id, "q1")
    assert (result.error or {})["code"] == "invalid_input"


async def test_answer_that_is_too_long_is_an_error(
    apart: Apart, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = apart
    assert (await client.diff(session.id)).left_out == 0
    monkeypatch.setattr("midflight.questions.MAX_DIFF_CHARS", 20)
    cut = await client.diff(session.id)
    assert (len(cut.diff), cut.left_out > 0) == (20, True)
    monkeypatch.setattr("midflight.questions.MAX_ANSWER_BYTES", 20)
    with pytest.raises(Conflict, match="too long"):
        await client.diff(session.id)


async def test_asker_of_a_host_that_dies_is_told(
    begin: Begin, client: Client, host: Host, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = await begin()
    asked = asyncio.Event()

    async def hang(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Answers, "answer", hang)
    asking = asyncio.ensure_future(client.diff(session.id))
    await asked.wait()
    host._tasks.cancel()  # noqa: SLF001 - it does not beat any more
    silence(server, journal_of(host).host.id)

    with pytest.raises(HostGone, match="has ended"):
        await asking
    assert rows(server, "SELECT id FROM inbox") == []
