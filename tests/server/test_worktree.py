"""The worktree of a session is merged, handed over and discarded over HTTP as by the command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.server.conftest import Server
from tests.support.repo import Repo, own_home, repo

from midflight.host import Host
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Silence

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

__all__ = ["own_home", "repo"]


async def does(server: Server, action: str, **fields: Any) -> tuple[int, Any]:
    """Have something done with the worktree of the session ``fix``."""
    return await server.call("/sessions/fix/worktree", "POST", {"action": action, **fields})


async def test_worktree_is_merged_handed_over_and_discarded_over_http(
    server: Server, host: Host, fake_model: Any, repo: Repo, tmp_path: Path
) -> None:
    tree = await repo.made()
    env = (await fake_model()).env(tmp_path)
    await host.begin(None, Options.build(agent="fake", cwd=tree.folder, name="fix", env=env))
    repo.write("new", "by the agent\n", at=tree.folder)
    _, row = await server.call("/sessions/fix/worktree")
    assert (row["worktree"], row["origin"], row["commits"], row["uncommitted"]) == (
        *("fix", "main"),
        *(0, 1),
    )
    status, merged = await does(server, "merge")
    assert (status, merged["into"], merged["new"]) == (200, "main", True)
    assert (repo.folder / "new").read_text() == "by the agent\n"

    repo.commit("old", "two\n")
    repo.write("old", "three\n", at=tree.folder)
    _, merged = await does(server, "merge", tell=False)
    assert (merged["conflicts"], merged["told"]) == (["old"], False)
    assert (repo.folder / "old").read_text() == "two\n"

    _, ready = await does(server, "branch", name="fix/old")
    assert ready["branch"] == "fix/old"
    assert {"fix/old", tree.branch} <= set(repo.branches())
    status, problem = await does(server, "discard", name="fix/old")
    assert (status, problem["code"]) == (422, "invalid_input")

    status, discarded = await does(server, "discard")
    assert (status, tree.folder.exists()) == (200, False)
    assert discarded["snapshot"] == ""  # another branch has all of it
    assert (await server.call("/sessions/fix/worktree"))[0] == 409


async def test_worktree_of_a_session_at_work_stays_as_it_is(
    server: Server, host: Host, fake_model: Any, repo: Repo, tmp_path: Path
) -> None:
    tree = await repo.made()
    env = (await fake_model([Silence()])).env(tmp_path)
    await host.begin("go", Options.build(agent="fake", cwd=tree.folder, name="fix", env=env))
    status, problem = await does(server, "discard")
    assert (status, problem["code"]) == (409, "conflict")
    assert "at work" in problem["message"]
    assert tree.folder.exists()


async def test_session_without_a_worktree_of_its_own_has_none(server: Server, begin: Begin) -> None:
    await begin(name="fix")
    assert await server.call("/sessions/fix/worktree") == (200, b"null")
    assert (await does(server, "merge"))[0] == 409
