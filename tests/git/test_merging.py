from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict, InvalidInput
from midflight.git.merge import hand_over, merge
from midflight.git.repository import Checkout, Worktree


def log(repo: Repo, *arguments: str) -> list[str]:
    return repo.git("log", "--format=%an|%s", *arguments).splitlines()


async def test_merge_takes_along_what_is_not_committed(repo: Repo) -> None:
    tree = await repo.made()
    repo.commit("committed", "a\n", at=tree.folder)
    repo.write("new/file", "b\n", at=tree.folder)
    repo.write("old", "two\n", at=tree.folder)
    done = await merge(tree, "Fix the tests")
    assert (done.into, done.new, done.conflicts) == (
        Checkout(repo.folder, "main", gone=False),
        True,
        [],
    )
    assert done.commit == repo.git("rev-parse", "main")
    assert (repo.folder / "new" / "file").read_text() == "b\n"
    assert (repo.folder / "old").read_text() == "two\n"
    assert log(repo, "--first-parent")[0] == "Pat|Merge branch 'midflight/fix' into main"
    assert log(repo, "-2", tree.branch) == ["Pat|Fix the tests", "Pat|change committed"]
    assert repo.git("status", "--porcelain") == ""


async def test_merge_of_what_is_there_already_changes_nothing(repo: Repo) -> None:
    tree = await repo.made()
    before = repo.git("rev-parse", "HEAD")
    done = await merge(tree, "fix")
    assert (done.new, done.commit, repo.git("rev-parse", "HEAD")) == (False, before, before)


async def test_author_is_midflight_where_git_has_no_identity(repo: Repo) -> None:
    tree = await repo.made()
    repo.git("config", "--unset", "user.name")
    repo.git("config", "--unset", "user.email")
    repo.write("new", "b\n", at=tree.folder)
    await merge(tree, "fix")
    assert repo.git("log", "-1", "--format=%an <%ae>") == "midflight <midflight@localhost>"


async def test_author_can_be_named_by_the_environment(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Robin")
    await merge(tree, "fix")
    assert log(repo, "-1", tree.branch) == ["Robin|fix"]


async def test_conflict_leaves_the_users_checkout_as_it_was(repo: Repo) -> None:
    repo.commit("other", "x\n")
    tree = await repo.made()
    repo.write("old", "theirs\n", at=tree.folder)
    repo.write("käse", "new\n", at=tree.folder)
    before = repo.commit("old", "ours\n")
    repo.write("other", "not committed\n")
    repo.write("mine", "not known to git\n")
    done = await merge(tree, "fix")
    assert (done.conflicts, done.into.branch, done.new) == (["old"], "main", False)
    assert repo.git("rev-parse", "HEAD") == before
    assert (repo.folder / "old").read_text() == "ours\n"
    assert repo.git("status", "--porcelain").splitlines() == ["M other", "?? mine"]
    assert not (repo.folder / "käse").exists()
    assert not (repo.folder / ".git" / "MERGE_HEAD").exists()


async def test_conflict_that_git_remembers_is_not_resolved_silently(
    repo: Repo,
) -> None:
    """Git's `rerere` would resolve it as it was resolved once."""
    repo.git("config", "rerere.enabled", "true")
    repo.git("config", "rerere.autoUpdate", "true")
    tree = await repo.made()
    repo.commit("old", "theirs\n", at=tree.folder)
    before = repo.commit("old", "ours\n")
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", tree.branch)
    repo.commit("old", "both\n")
    repo.git("reset", "-q", "--hard", before)
    assert (await merge(tree, "fix")).conflicts == ["old"]


async def test_merge_works_after_the_worktree_resolved_the_conflict(repo: Repo) -> None:
    tree = await repo.made()
    repo.write("old", "theirs\n", at=tree.folder)
    repo.commit("old", "ours\n")
    assert (await merge(tree, "fix")).conflicts
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "main", at=tree.folder)
    with pytest.raises(Conflict, match="is not finished; it conflicts in old"):
        await merge(await repo.seen(), "fix")
    repo.write("old", "both\n", at=tree.folder)
    repo.git("add", "old", at=tree.folder)  # and its merge is concluded by the next one of ours
    done = await merge(await repo.seen(), "fix")
    assert (done.new, (repo.folder / "old").read_text()) == (True, "both\n")


async def test_merge_overwrites_nothing_that_the_user_changed(repo: Repo) -> None:
    tree = await repo.made()
    repo.write("old", "theirs\n", at=tree.folder)
    repo.write("new", "theirs\n", at=tree.folder)
    repo.write("old", "mine\n")
    repo.write("new", "mine\n")
    with pytest.raises(Conflict, match=r"would be overwritten by merge: old") as caught:
        await merge(tree, "fix")
    assert caught.value.hint.startswith(
        f"commit or put away what is not committed in {repo.folder}"
    )
    assert ((repo.folder / "old").read_text(), (repo.folder / "new").read_text()) == (
        "mine\n",
        "mine\n",
    )
    assert not (repo.folder / ".git" / "MERGE_HEAD").exists()


async def test_merge_that_the_user_has_begun_is_not_touched(repo: Repo) -> None:
    tree = await repo.made()
    repo.write("new", "theirs\n", at=tree.folder)
    repo.git("switch", "-qc", "other")
    repo.commit("old", "other\n")
    repo.git("switch", "-q", "main")
    repo.commit("old", "main\n")
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "other")
    with pytest.raises(Conflict, match="a merge is under way"):
        await merge(tree, "fix")
    assert (repo.folder / ".git" / "MERGE_HEAD").exists()
    assert "<<<<<<<" in (repo.folder / "old").read_text()


async def test_two_merges_at_once_are_both_made(repo: Repo) -> None:
    one, two = await repo.made("one"), await repo.made("two")
    repo.write("1", "1\n", at=one.folder)
    repo.write("2", "2\n", at=two.folder)
    done = await asyncio.gather(merge(one, "one"), merge(two, "two"))
    assert all(each.new for each in done)
    assert (repo.folder / "1").exists()
    assert (repo.folder / "2").exists()


async def test_merge_goes_to_the_checkout_of_the_origin(repo: Repo) -> None:
    outer = await repo.made("outer")
    inner = await repo.made("inner", at=outer.folder)
    repo.write("new", "b\n", at=inner.folder)
    assert (await merge(inner, "inner")).into == Checkout(outer.folder, outer.branch, gone=False)
    assert (outer.folder / "new").exists()
    assert not (repo.folder / "new").exists()


async def test_merge_goes_to_the_main_checkout_if_no_other_has_the_origin(
    repo: Repo,
) -> None:
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    repo.git("switch", "-qc", "feature")
    assert (await merge(tree, "fix")).into.branch == "feature"
    assert "change old" in log(repo, "main")[0]


async def test_merge_into_a_detached_head_is_refused(repo: Repo) -> None:
    repo.git("switch", "-q", "--detach")
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    with pytest.raises(Conflict, match="is on no branch that something could be merged") as caught:
        await merge(tree, "fix")
    assert caught.value.hint == f"git -C {repo.folder} switch BRANCH, and merge again"


@pytest.mark.parametrize("away", [["-qc", "feature"], ["-q", "--detach"]])
async def test_worktree_on_another_branch_is_an_error_with_the_remedy(
    repo: Repo, away: list[str]
) -> None:
    tree = await repo.made()
    repo.git("switch", *away, at=tree.folder)
    repo.commit("new", "b\n", at=tree.folder)
    with pytest.raises(Conflict, match=f"and not on {tree.branch}") as caught:
        await merge(await repo.seen(), "fix")
    remedy = caught.value.hint.partition(" makes ")[0]
    repo.git(*remedy.split()[1:])
    assert (await merge(await repo.seen(), "fix")).new
    assert (repo.folder / "new").exists()


async def test_repository_inside_is_not_committed_as_a_mere_link(repo: Repo) -> None:
    tree = await repo.made()
    nested = tree.folder / "lib"
    nested.mkdir()
    repo.git("init", "-q", at=nested)
    with pytest.raises(Conflict, match=r"lib in .* is a repository of its own"):
        await merge(tree, "fix")
    repo.write(".git/info/exclude", "lib\n")
    assert not (await merge(tree, "fix")).new


async def test_deleted_folder_is_an_error_and_its_branch_stays(repo: Repo, tmp_path: Path) -> None:
    tree = await repo.made()
    repo.commit("new", "b\n", at=tree.folder)
    tree.folder.rename(tmp_path / "away")
    with pytest.raises(Conflict, match="is gone") as caught:
        await merge(await repo.seen(), "fix")
    remedy = caught.value.hint.partition(": ")[2]
    repo.git(*remedy.split()[1:])
    assert (repo.folder / "new").exists()


@pytest.mark.parametrize("where", ["worktree", "main"])
async def test_locked_index_is_an_error_with_the_remedy(repo: Repo, where: str) -> None:
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    at = tree.folder if where == "worktree" else repo.folder
    lock = at / repo.git("rev-parse", "--git-path", "index.lock", at=at)
    lock.touch()
    with pytest.raises(Conflict, match="another git is at work in") as caught:
        await merge(tree, "fix")
    assert caught.value.hint == f"if none is, remove {lock}"
    lock.unlink()
    assert (await merge(tree, "fix")).new


async def test_cancelled_merge_is_still_brought_to_its_end(repo: Repo, tmp_path: Path) -> None:
    tree = await repo.made()
    repo.write("old", "theirs\n", at=tree.folder)
    repo.commit("old", "ours\n")
    reached, go = tmp_path / "reached", tmp_path / "go"
    os.mkfifo(reached)
    os.mkfifo(go)
    repo.git("config", "--global", "merge.slow.driver", f"echo > {reached}; cat {go}; exit 1")
    repo.write(".git/info/attributes", "old merge=slow\n")
    task = asyncio.create_task(merge(tree, "fix"))
    async with asyncio.timeout(60):
        await (await asyncio.create_subprocess_exec("cat", str(reached))).wait()
        task.cancel()
        await (await asyncio.create_subprocess_exec("cp", "/dev/null", str(go))).wait()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert repo.git("status", "--porcelain") == ""
    assert not (repo.folder / ".git" / "MERGE_HEAD").exists()


# Handing over -------------------------------------------------------------------------------


async def test_hand_over_commits_all_and_returns_how_to_publish(repo: Repo) -> None:
    repo.git("remote", "add", "fork", "https://localhost/none")
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    ready = await hand_over(tree, "fix")
    assert (ready.branch, ready.command) == (tree.branch, "git push -u fork midflight/fix")
    assert ready.commit == repo.git("rev-parse", tree.branch)
    assert repo.git("show", f"{tree.branch}:new") == "b"
    assert repo.git("branch", "--show-current") == "main"


async def test_hand_over_under_another_name_moves_it_along(repo: Repo) -> None:
    tree = await repo.made()
    ready = await hand_over(tree, "fix", "feature/sauce")
    assert (ready.branch, ready.command) == ("feature/sauce", "")
    repo.write("new", "b\n", at=tree.folder)
    ready = await hand_over(tree, "fix", "feature/sauce")
    assert repo.git("rev-parse", "feature/sauce") == ready.commit
    repo.commit("old", "ours\n")
    before = repo.git("rev-parse", "main")
    with pytest.raises(Conflict, match="the branch main has commits that are not in this one"):
        await hand_over(tree, "fix", "main")
    assert repo.git("rev-parse", "main") == before


async def test_branch_that_is_checked_out_is_not_moved(repo: Repo) -> None:
    tree: Worktree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    with pytest.raises(Conflict, match="main"):
        await hand_over(tree, "fix", "main")
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    "name", ["-f", "a..b", "@{-1}", "a b", "x.lock", "HEAD~1", "@", "HEAD", "a\0b"]
)
async def test_impossible_branch_name_is_refused(repo: Repo, name: str) -> None:
    tree = await repo.made()
    with pytest.raises(InvalidInput, match="no branch can be called"):
        await hand_over(tree, "fix", name)
