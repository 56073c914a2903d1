from __future__ import annotations

from pathlib import Path

import pytest
from tests.mcp.conftest import OpenTools
from tests.support.fake_host import OpenHost
from tests.support.repo import Repo, own_home, repo

from midflight import events as e
from midflight.git.discard import discard
from midflight.git.repository import Worktree
from midflight.host import Host
from midflight.mcp.results import LEAD, WorktreeResult, as_text
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Silence, Text

__all__ = ["own_home", "repo"]  # fixtures

pytestmark = pytest.mark.usefixtures("own_home")


async def begin(host: Host, model: FakeModel, tree: Worktree, home: Path) -> Session:
    """Begin a session in a worktree, and wait for the end of its turn."""
    options = Options.build(
        agent="fake", cwd=tree.folder, env=model.env(home), name=tree.name, attended=True
    )
    session = await host.begin("do it", options)
    async for event in session.events():
        if isinstance(event, e.TurnEnded):
            break
    return session


@pytest.mark.parametrize(("usual", "said"), [(False, {"worktree": True}), (True, {})])
async def test_dispatch_makes_a_worktree_for_a_session(
    open_host: OpenHost, open_tools: OpenTools, repo: Repo, usual: bool, said: dict[str, bool]
) -> None:
    _, host = await open_host(Text("done"))
    tree = await repo.made("fix-it")
    await host.keep_warm(agent="fake", cwd=tree.folder)  # a fake one is in this process only
    await discard(tree)
    tools = await open_tools(worktree=usual)
    begun = await tools.ask("dispatch", task="fix it", agent="fake", cwd=str(repo.folder), **said)
    assert (begun["session"], begun["branch"]) == ("fix-it", "midflight/fix-it")
    await tools.wait()
    (line,) = (await tools.ask("sessions"))["sessions"]
    assert (line["branch"], line["cwd"]) == ("midflight/fix-it", str(tree.folder))


async def test_dispatch_without_a_worktree_works_on_the_files_as_they_are(
    open_host: OpenHost, open_tools: OpenTools, repo: Repo
) -> None:
    _, host = await open_host(Text("done"))
    await host.keep_warm(agent="fake", cwd=repo.folder)
    tools = await open_tools(worktree=True)
    begun = await tools.ask(
        "dispatch", task="look", agent="fake", cwd=str(repo.folder), worktree=False
    )
    assert "branch" not in begun
    assert repo.branches() == ["main"]
    await tools.wait()


async def test_worktree_of_a_session_that_does_not_begin_is_taken_back(
    open_host: OpenHost, open_tools: OpenTools, repo: Repo, tmp_path: Path
) -> None:
    await open_host()
    tools = await open_tools()
    error = await tools.refused(
        "dispatch", task="x", agent="fake", cwd=str(repo.folder), worktree=True, model="\x1b"
    )
    assert "model" in error
    assert repo.branches() == ["main"]
    error = await tools.refused(
        "dispatch", task="x", agent="fake", cwd=str(tmp_path / "work"), worktree=True
    )
    assert "is in no git repository" in error


async def test_worktree_is_shown_merged_and_discarded(
    open_host: OpenHost, open_tools: OpenTools, repo: Repo, tmp_path: Path
) -> None:
    model, host = await open_host(Text("done"))
    tree = await repo.made("fix")
    repo.write("new", "b\n", at=tree.folder)
    session = await begin(host, model, tree, tmp_path)
    tools = await open_tools()
    repo.commit("others", "not a part of it\n")
    diff = await tools.ask("diff", session="fix")
    assert "+b" in diff["untrusted_diff"]
    assert "others" not in diff["untrusted_files"]
    merged = await tools.ask("worktree", action="merge")
    assert (merged["branch"], merged["into"]) == ("midflight/fix", "main")
    assert repo.git("rev-parse", "main").startswith(merged["commit"])
    again = await tools.ask("worktree", action="merge")
    assert "had been merged before" in again["next"]
    repo.git("remote", "add", "origin", "https://localhost/none")
    ready = await tools.ask("worktree", action="branch")
    assert ready["next"] == "to publish it: git push -u origin midflight/fix"
    repo.write("later", "c\n", at=tree.folder)
    thrown = await tools.ask("worktree", action="discard")
    assert thrown["next"] == f"to get it back: git branch fix {thrown['snapshot']}"
    assert repo.git("show", f"{thrown['snapshot']}:later") == "c"
    assert session.status == "closed"
    assert "the folder of session fix is gone" in await tools.refused("worktree", action="merge")


async def test_conflict_goes_to_the_session_as_a_message(
    open_host: OpenHost, open_tools: OpenTools, repo: Repo, tmp_path: Path
) -> None:
    model, host = await open_host(Text("done"), Text("resolved"))
    tree = await repo.made("fix")
    repo.write("old", "theirs\n", at=tree.folder)
    await begin(host, model, tree, tmp_path)
    repo.commit("old", "ours\n")
    tools = await open_tools()
    result = await tools.ask("worktree", session="fix", action="merge")
    assert (result["untrusted_conflicts"], "commit" in result) == (["old"], False)
    assert result["next"] == "it was told to resolve them: wait for it, then merge again"
    report = await tools.wait(sessions=["fix"])
    assert report["untrusted_new"].endswith("resolved")
    assert model.requests[-1].last_user_text == (
        "Your branch midflight/fix conflicts with main in: old. Merge main into your branch in"
        " your folder, resolve the conflicts, commit, and say when it is done."
    )


async def test_worktree_of_a_busy_session_is_left_alone(
    open_host: OpenHost, open_tools: OpenTools, repo: Repo, tmp_path: Path
) -> None:
    model, host = await open_host(Text("done"), Silence())
    tree = await repo.made("fix")
    session = await begin(host, model, tree, tmp_path)
    await session.send("go on")
    tools = await open_tools()
    for action in ("merge", "branch", "discard"):
        error = await tools.refused("worktree", session="fix", action=action)
        assert "session fix is at work in the worktree (running)" in error
    assert tree.folder.is_dir()
    await session.interrupt()


async def test_agent_cannot_take_over_its_own_work(
    open_host: OpenHost,
    open_tools: OpenTools,
    repo: Repo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, host = await open_host(Text("done"))
    tree = await repo.made("fix")
    repo.write("new", "b\n", at=tree.folder)
    session = await begin(host, model, tree, tmp_path)
    monkeypatch.setenv("MIDFLIGHT_SESSION", session.id)
    tools = await open_tools()
    for action in ("merge", "branch", "discard"):
        error = await tools.refused("worktree", session="fix", action=action)
        assert "cannot give commands to its own session" in error
    assert repo.git("log", "--format=%s", tree.branch) == "change old"


async def test_session_without_a_worktree_has_nothing_to_merge(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    await open_host(Text("done"))
    tools = await open_tools()
    await tools.dispatch("fix it")
    await tools.wait()
    assert "has no worktree of its own" in await tools.refused("worktree", action="merge")


def test_worktree_result_reads_as_text_too() -> None:
    conflict = WorktreeResult(
        session="fix", action="merge", branch="b", into="main", untrusted_conflicts=["x", "y"]
    )
    assert as_text(conflict) == f"fix · b · conflicts · with main\n{LEAD}x\ny"
    merged = WorktreeResult(session="fix", action="merge", branch="b", into="main", commit="1a2b")
    assert as_text(merged) == "fix · b · merged · into main · 1a2b"
    gone = WorktreeResult(
        session="fix", action="discard", branch="b", commit="1a", snapshot="r", next="n"
    )
    assert as_text(gone) == "fix · b · discarded · 1a\nr\nn"
