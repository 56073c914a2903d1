"""What MCP dispatches to workers: where, from which commit, and what may be named."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.journal.conftest import server
from tests.mcp.conftest import OpenTools
from tests.support.repo import Repo, own_home, remote, repo

from midflight.client.client import connect
from midflight.lineage import SESSION_VARIABLE
from midflight.mcp.bounds import DispatchBounds

__all__ = ["own_home", "remote", "repo", "server"]


async def test_dispatch_names_a_label_and_what_is_checked_out(
    server: str,
    open_tools: OpenTools,
    repo: Repo,
    remote: Repo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beginning with the server's own folder, with what is changed there, or with an address."""
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", server)
    monkeypatch.chdir(repo.folder)
    head = repo.git("rev-parse", "HEAD")
    repo.write("old", "two\n")
    bounds = DispatchBounds(dirs=(repo.folder,), repos=(str(remote.folder),))
    tools = await open_tools(dirs=bounds.dirs, repos=bounds.repos)
    given = {"task": "fix it", "agent": "fake", "on": "gpu"}
    one = await tools.ask("dispatch", **given)
    [note] = one["notes"]
    assert note.startswith(f"it begins with {head[:10]}, without what is not committed (files: 1)")
    assert one["status"] == "waiting"
    assert one["next"] == "it waits for a worker with the label gpu: there is none"
    two = await tools.ask("dispatch", **given, repo=".", with_changes=True)
    three = await tools.ask("dispatch", **given, repo=str(remote.folder), ref="main", cwd="api")

    async with connect(server) as client:
        infos = [await client.info(each["session"]) for each in (one, two, three)]
        options = [(await client.agent(info.id)).options or {} for info in infos]
    assert {info.label for info in infos} == {"gpu"}
    assert {each["repo"] for each in options} == {str(remote.folder)}
    [pushed] = remote.snapshots()
    assert remote.git("show", f"{pushed}:old") == "two"
    assert options[1]["ref"] == remote.git("rev-parse", pushed)
    assert (options[0]["ref"], options[2]["ref"], options[2]["cwd"]) == (head, "main", "api")

    assert "not among those that may be worked in" in await tools.refused(
        "dispatch", **given, repo="/elsewhere.git"
    )
    assert "outside of the folders" in await tools.refused(
        "dispatch", **given, repo=str(repo.folder.parent)
    )
    assert "leave ref out" in await tools.refused("dispatch", **given, with_changes=True, ref="x")
    assert "leave it or on out" in await tools.refused("dispatch", **given, worktree=True)
    assert "cannot be a label" in await tools.refused("dispatch", **{**given, "on": "a b"})


async def test_repository_without_a_label_is_refused(
    open_tools: OpenTools, repo: Repo, remote: Repo
) -> None:
    """And one that no worker can have, because the journal is a file, is not pushed."""
    tools = await open_tools(dirs=(repo.folder,))
    told = await tools.refused("dispatch", task="x", agent="fake", repo=".")
    assert "name their label by on, or use worktree" in told
    repo.commit("more", "x")
    assert "this one is a file" in await tools.refused(
        "dispatch", task="x", agent="fake", on="gpu", repo=str(repo.folder)
    )
    assert remote.snapshots() == []


async def test_agent_of_a_session_begins_none_elsewhere(
    open_tools: OpenTools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SESSION_VARIABLE, "s")
    tools = await open_tools()
    told = await tools.refused("dispatch", task="x", agent="fake", on="gpu", cwd=str(tmp_path))
    assert told.splitlines() == [
        "not_allowed: an agent begins sessions on its own machine",
        "leave on out",
    ]
