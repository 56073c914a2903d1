"""``midflight worktree``, and sessions that begin in a worktree of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.conftest import Begin, Say, Start
from tests.faults.manifest import fault
from tests.support.repo import Repo, own_home, repo

from midflight import events as e
from midflight.agents import create
from midflight.agents.base import Agent
from midflight.errors import Conflict, HostGone
from midflight.git.discard import discard
from midflight.git.repository import Worktree
from midflight.host import Host
from midflight.lineage import SESSION_VARIABLE
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, ScriptedModel, Silence, Text, ToolCall
from midflight.worktrees import own_worktree

__all__ = ["own_home", "repo"]  # fixtures

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_agent_left", "patience", "own_home", "here"),
]

Work = Callable[..., Awaitable[tuple[Worktree, Session, FakeModel]]]


@pytest.fixture
def here(state: None, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the repository."""
    monkeypatch.chdir(repo.folder)


@pytest.fixture
async def work(begin: Begin, repo: Repo) -> Work:
    """Return a function that has a session work in a worktree, to the end of its turn."""

    async def start(*steps: Any, name: str = "fix") -> tuple[Worktree, Session, FakeModel]:
        tree = await repo.made(name)
        model, session = await begin(*(steps or [Text("done")]), name=name, cwd=tree.folder)
        async for event in session.events():
            if isinstance(event, e.TurnEnded):
                break
        return tree, session, model

    return start


# Looking ------------------------------------------------------------------------------------


@fault("S19")
async def test_an_agent_sees_no_session_in_a_worktree_that_it_may_not_read(
    work: Work, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, boss, _ = await work()
    await work(name="other")
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    listed = json.loads((await say("worktree", "ls", "--json")).out)
    assert [each["sessions"] for each in listed] == [{"fix": "idle"}, {}]
    done = await say("worktree", "diff", "other")
    assert (done.code, "reads only what it has begun" in done.err) == (1, True)
    assert (await say("worktree", "diff", "fix")).code == 0


async def test_the_list_shows_what_there_is_to_merge(work: Work, say: Say, repo: Repo) -> None:
    assert "No worktrees yet" in (await say("worktree", "ls")).out
    fix, _, _ = await work()
    repo.commit("a", "a\n", at=fix.folder)
    repo.write("b", "b\n", at=fix.folder)
    repo.write("c", "c\n", at=fix.folder)
    await repo.made("left-over")
    away = await repo.made("other")
    repo.git("switch", "-q", "--detach", at=away.folder)
    lines = (await say("worktree", "ls")).out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["NAME", "fix", "left-over", "other"]
    assert "main  1 commit, 2 files not committed" in lines[1]
    assert "fix (idle)" in lines[1]
    assert lines[1].endswith(str(fix.folder))
    assert "none" in lines[2]
    assert "is on no branch" in lines[3]
    listed = json.loads((await say("worktree", "ls", "--json")).out)
    assert (listed[0]["commits"], listed[0]["uncommitted"]) == (1, 2)
    assert listed[0]["sessions"] == {"fix": "idle"}
    assert "  branch   midflight/fix\n" in (await say("show", "fix")).out


async def test_a_folder_that_was_deleted_is_listed_and_tidied_up(
    say: Say, repo: Repo, tmp_path: Path
) -> None:
    tree = await repo.made()
    repo.commit("a", "a\n", at=tree.folder)
    tree.folder.rename(tmp_path / "away")
    assert "its folder is gone" in (await say("worktree", "ls")).out
    assert "its branch: git diff ...midflight/fix" in (await say("worktree", "diff", "fix")).err
    assert "refs/midflight/snapshots/fix-" in (await say("worktree", "discard", "fix")).out


def _break_link(tree: Worktree) -> None:
    (tree.folder / ".git").write_text("gitdir: /nowhere\n")


def _break_index(tree: Worktree) -> None:
    (tree.repository.common / "worktrees" / tree.folder.name / "index").write_text("junk")


def _break_head(tree: Worktree) -> None:
    (tree.repository.common / "worktrees" / tree.folder.name / "HEAD").write_text("junk\n")


def _break_branch(tree: Worktree) -> None:
    (tree.repository.common / "refs" / "heads" / tree.branch).write_text("0" * 39 + "1\n")


def _break_entry(tree: Worktree) -> None:
    shutil.rmtree(tree.repository.common / "worktrees" / tree.folder.name)


@pytest.mark.parametrize(
    "damage", [_break_link, _break_index, _break_head, _break_branch, _break_entry]
)
async def test_a_damaged_worktree_does_not_hide_the_others(
    say: Say, repo: Repo, damage: Callable[[Worktree], None]
) -> None:
    await repo.made("good")
    damage(await repo.made("hurt"))
    done = await say("worktree", "ls")
    good, *hurt = done.out.splitlines()[1:]
    assert (done.code, done.err) == (0, "")
    assert "none" in good
    assert all("damaged: " in line for line in hurt)
    rows = json.loads((await say("worktree", "ls", "--json")).out)
    assert [bool(row["damaged"]) for row in rows] == [False, True][: len(rows)]
    for verb in ("diff", "merge"):
        assert (await say("worktree", verb, "good")).code == 0
        assert "mistake in midflight" not in (await say("worktree", verb, "hurt")).err


async def test_a_diff_shows_what_a_merge_would_bring(work: Work, say: Say, repo: Repo) -> None:
    tree, _, _ = await work()
    repo.write("new", "b\n\x1b[2J\n", at=tree.folder)
    done = await say("worktree", "diff")
    assert (done.code, "+b\n" in done.out, "\x1b" in done.out) == (0, True, False)
    told = json.loads((await say("worktree", "diff", "--json")).out)
    assert (told["commit"], "new" in told["files"]) == (tree.base, True)


async def test_without_a_name_it_is_the_worktree_here_or_the_newest(
    work: Work, say: Say, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await say("worktree", "merge")
    assert (done.code, "no session has a worktree of this" in done.err) == (4, True)
    one, _, _ = await work(name="one")
    two, _, _ = await work(name="two")
    for tree in (one, two):
        repo.write(tree.name, "x\n", at=tree.folder)
    assert "+++ b/two" in (await say("worktree", "diff")).out
    monkeypatch.chdir(one.folder)
    assert "+++ b/one" in (await say("worktree", "diff")).out


async def test_an_unknown_worktree_is_an_error(
    begin: Begin, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(Text("done"), name="plain")
    done = await say("worktree", "merge", "plain")
    assert (done.code, "session plain has no worktree of its own" in done.err) == (1, True)
    done = await say("worktree", "merge", "nobody")
    assert (done.code, "no session and no worktree here is called" in done.err) == (4, True)
    assert (await say("worktree", "merge", "--as", "x")).code == 2
    monkeypatch.chdir(tmp_path)
    assert "is in no git repository" in (await say("worktree", "ls")).err


async def test_a_shell_completes_what_can_be_done_and_with_what(work: Work, say: Say) -> None:
    await work()
    assert (await say("__complete", "worktree", "d")).out.split() == ["diff", "discard"]
    assert (await say("__complete", "worktree", "merge", "")).out.split() == ["fix"]


# Taking over --------------------------------------------------------------------------------


async def test_work_is_merged_published_and_thrown_away(work: Work, say: Say, repo: Repo) -> None:
    tree, session, _ = await work()
    repo.write("new", "b\n", at=tree.folder)
    done = await say("worktree", "merge", "fix")
    head = repo.git("rev-parse", "HEAD")[:10]
    assert done.out == (
        f"merged midflight/fix into main ({head}) in {repo.folder}\n"
        "To throw the worktree away: midflight worktree discard fix\n"
    )
    assert "has all of midflight/fix already" in (await say("worktree", "merge", "fix")).out
    repo.git("remote", "add", "origin", "https://localhost/none")
    done = await say("worktree", "branch", "fix", "--as", "feature/new")
    assert done.out.splitlines()[0].startswith("feature/new has all of it (")
    assert done.out.splitlines()[1] == "To publish it: git push -u origin feature/new"
    repo.write("later", "c\n", at=tree.folder)
    first, second, third = (await say("worktree", "discard", "fix")).out.splitlines()
    assert first == "threw away the worktree fix and its branch midflight/fix"
    snapshot = second.removeprefix("What was only there is in ")
    assert third == f"To get it back: git branch fix {snapshot}"
    repo.git(*third.partition("git ")[2].split())
    assert repo.git("show", "fix:later") == "c"
    assert session.status == "closed"
    await repo.made("empty")
    assert "Nothing is lost" in (await say("worktree", "discard", "empty")).out


async def test_a_conflict_is_shown_and_goes_to_the_session(
    work: Work, say: Say, repo: Repo
) -> None:
    tree, session, model = await work(Text("done"), Text("resolved"))
    repo.write("old", "theirs\n", at=tree.folder)
    repo.commit("old", "ours\n")
    done = await say("worktree", "merge", "fix", "--no-message")
    assert (done.code, done.out.splitlines()[2]) == (
        1,
        f"To resolve it: git -C {tree.folder} merge main",
    )
    assert len(model.requests) == 1
    done = await say("worktree", "merge", "fix")
    assert done.code == 1
    assert done.out == (
        "midflight/fix conflicts with main in: old\n"
        f"Nothing was changed in {repo.folder}.\n"
        "fix was told to merge main into its branch. To follow it: midflight attach fix\n"
        "When it is resolved: midflight worktree merge fix\n"
    )
    async for event in session.events():
        if isinstance(event, e.TurnEnded) and event.turn == 2:
            break
    assert "conflicts with main in: old." in model.requests[-1].last_user_text
    told = json.loads((await say("worktree", "merge", "fix", "--no-message", "--json")).out)
    assert (told["conflicts"], told["told"]) == (["old"], False)


async def test_nothing_is_taken_from_a_session_at_work(work: Work, say: Say, repo: Repo) -> None:
    tree, session, _ = await work(Text("done"), Silence())
    await session.send("go on")
    for action in ("merge", "branch", "discard"):
        done = await say("worktree", action, "fix")
        assert "session fix is at work in the worktree (running)" in done.err
        assert "hint: wait for it, or midflight interrupt fix" in done.err
    assert tree.folder.is_dir()
    await session.interrupt()


async def test_removing_a_session_leaves_its_worktree_and_reports_it(
    work: Work, say: Say, repo: Repo
) -> None:
    tree, _, _ = await work()
    done = await say("rm", "fix")
    assert done.out == "removed fix\nits worktree stays: midflight worktree discard fix\n"
    assert tree.folder.is_dir()
    assert "threw away" in (await say("worktree", "discard", "fix")).out


# Beginning ----------------------------------------------------------------------------------


async def test_a_background_session_gets_a_worktree_and_the_same_sub_folder(
    say: Say, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("sub/file", "a\n")
    repo.write("old", "not committed\n")
    tree = await repo.made("Fix-it")
    async with FakeModel([Text("done")]) as model:
        known = model.env(tmp_path)

        def make(options: Options) -> Agent:
            return create(msgspec.structs.replace(options, env={**options.env, **known}))

        async with Host(agent=make) as host:
            await host.keep_warm(agent="fake", cwd=tree.folder / "sub")
            await discard(tree)
            monkeypatch.chdir(repo.folder / "sub")
            done = await say(
                *("run", "-d", "--worktree", "--agent", "fake", "--name", "Fix it", "do it")
            )
            (session,) = host.live()
            async for event in session.events():
                if isinstance(event, e.TurnEnded):
                    break
    assert done.err == (
        f"midflight: it works on the branch midflight/fix-it, in {tree.folder}\n"
        "midflight: it begins with the last commit, without what is not committed\n"
    )
    assert done.out == (
        "Fix it\nTo follow it: midflight attach 'Fix it'\n"
        "To take over its work: midflight worktree merge 'Fix it'\n"
    )
    assert session.options.cwd == tree.folder / "sub"


async def test_what_a_run_has_done_in_its_worktree_is_merged(
    fake_midflight: Start,
    model: Callable[..., Awaitable[ScriptedModel]],
    project: Path,
    tmp_path: Path,
) -> None:
    mine = Repo(project)
    mine.git("init", "-q", "-b", "main")
    mine.git("config", "user.name", "Pat")
    mine.git("config", "user.email", "pat@example.org")
    mine.commit("old", "one\n")
    write = ToolCall("Bash", {"command": "echo two > old"})
    scripted = await model([write], Text("It is done."))
    data = {"XDG_DATA_HOME": str(tmp_path / "data")}
    given = ("run", "--worktree", "--allow", "Bash", "--name", "fix", "do it")
    done = await (await fake_midflight(scripted, *given, **data)).done()
    assert (done.code, "It is done." in done.out) == (0, True)
    assert "it works on the branch midflight/fix, in" in done.err
    assert done.err.endswith("To take over its work: midflight worktree merge fix\n")
    assert (project / "old").read_text() == "one\n"
    done = await (await fake_midflight(scripted, "worktree", "merge", **data)).done()
    assert "merged midflight/fix into main" in done.out
    assert (project / "old").read_text() == "two\n"


async def test_a_worktree_whose_session_does_not_begin_is_taken_back(
    midflight: Start, model: Callable[..., Awaitable[ScriptedModel]], repo: Repo
) -> None:
    given = ("run", "--worktree", "--agent", "acp:/does/not/exist", "--cwd", str(repo.folder), "x")
    done = await (await midflight(await model(), *given)).done()
    assert (done.code, "works on the branch midflight/x" in done.err) == (1, True)
    assert repo.branches() == ["main"]


async def test_no_worktree_is_made_where_it_makes_no_sense(
    say: Say, repo: Repo, tmp_path: Path
) -> None:
    done = await say("run", "-d", "--worktree", "--resume", "x", "do it")
    assert (done.code, "--worktree is a new one" in done.err) == (2, True)
    done = await say("run", "-d", "--worktree", "--cwd", str(tmp_path), "do it")
    assert (done.code, "is in no git repository" in done.err) == (1, True)
    assert repo.branches() == ["main"]


async def test_a_session_of_a_gone_worktree_has_no_part_in_its_namesake(
    work: Work, say: Say, repo: Repo
) -> None:
    tree, session, _ = await work()
    await session.close()
    await discard(tree)
    again = await repo.made("fix")
    assert again.folder == tree.folder
    said = await say("worktree", "discard", "fix")
    assert said.code == 1
    assert "another one has its folder" in said.err
    assert again.folder.exists()


async def test_a_worktree_stays_if_its_session_may_have_begun(
    repo: Repo,
) -> None:
    options: dict[str, Any] = {"cwd": repo.folder, "name": "fix"}
    with pytest.raises(HostGone):
        async with own_worktree("fix it", options):
            raise HostGone("it does not answer")
    with pytest.raises(Conflict):
        async with own_worktree("fix it", options):
            raise Conflict("it cannot begin")
    assert repo.branches() == ["main", "midflight/fix"]
