from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict, MidflightError
from midflight.git.discard import discard
from midflight.git.merge import hand_over, merge


async def test_snapshot_keeps_everything_that_is_not_ignored(repo: Repo) -> None:
    tree = await repo.made()
    repo.commit("committed", "a\n", at=tree.folder)
    repo.write("old", "two\n", at=tree.folder)
    repo.write("staged", "b\n", at=tree.folder)
    repo.git("add", "staged", at=tree.folder)
    repo.write("new/file", "c\n", at=tree.folder)
    repo.write(".gitignore", "build\n", at=tree.folder)
    repo.write("build/big", "d\n", at=tree.folder)
    done = await discard(tree)
    assert repo.snapshots() == [done.snapshot]
    assert done.snapshot.startswith("refs/midflight/snapshots/fix-")
    files = repo.git("ls-tree", "-r", "--name-only", done.snapshot).split()
    assert files == [".gitignore", "committed", "new/file", "old", "staged"]
    assert repo.git("show", f"{done.snapshot}:old") == "two"
    assert repo.git("log", "-1", "--format=%s", f"{done.snapshot}^") == "change committed"
    assert not tree.folder.exists()
    assert repo.branches() == ["main"]
    assert "midflight" not in repo.git("config", "--list", "--local")
    repo.git("branch", "back", done.snapshot)


async def test_name_of_a_discarded_worktree_is_free_again(repo: Repo) -> None:
    await discard(await repo.made())
    assert (await repo.made()).name == "fix"


@pytest.mark.parametrize("how", ["untouched", "merged", "handed over"])
async def test_snapshot_is_not_made_where_nothing_would_be_lost(repo: Repo, how: str) -> None:
    tree = await repo.made()
    if how != "untouched":
        repo.write("new", "b\n", at=tree.folder)
    if how == "merged":
        await merge(tree, "fix")
    elif how == "handed over":
        await hand_over(tree, "fix", "feature")
    assert (await discard(tree)).snapshot == ""
    assert repo.snapshots() == []
    assert not tree.folder.exists()


async def test_snapshot_keeps_what_is_committed_only_there(repo: Repo) -> None:
    tree = await repo.made()
    tip = repo.commit("new", "b\n", at=tree.folder)
    done = await discard(tree)
    assert repo.git("rev-parse", done.snapshot) == done.commit == tip


async def test_snapshot_keeps_the_own_branch_when_another_is_checked_out(
    repo: Repo,
) -> None:
    """Commits on the worktree's own branch are nowhere else."""
    tree = await repo.made()
    own = repo.commit("own", "a\n", at=tree.folder)
    repo.git("switch", "-q", "--detach", "HEAD~1", at=tree.folder)
    other = repo.commit("other", "b\n", at=tree.folder)
    done = await discard(await repo.seen())
    parents = repo.git("log", "-1", "--format=%P", done.snapshot).split()
    assert parents == [other, own]


async def test_other_branch_of_a_discarded_folder_stays(repo: Repo) -> None:
    tree = await repo.made()
    repo.git("switch", "-qc", "feature", at=tree.folder)
    repo.commit("new", "b\n", at=tree.folder)
    assert (await discard(await repo.seen())).snapshot == ""
    assert repo.branches() == ["feature", "main"]


async def test_snapshot_keeps_an_unfinished_merge_as_it_stands(repo: Repo) -> None:
    tree = await repo.made()
    repo.commit("old", "theirs\n", at=tree.folder)
    repo.commit("old", "ours\n")
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "main", at=tree.folder)
    done = await discard(tree)
    assert "<<<<<<<" in repo.git("show", f"{done.snapshot}:old")


@pytest.mark.parametrize("how", ["--assume-unchanged", "--skip-worktree"])
async def test_snapshot_keeps_changes_hidden_from_git(repo: Repo, how: str) -> None:
    tree = await repo.made()
    repo.git("update-index", how, "old", at=tree.folder)
    repo.write("old", "two\n", at=tree.folder)
    assert repo.git("status", "--porcelain", at=tree.folder) == ""
    done = await discard(tree)
    assert repo.git("show", f"{done.snapshot}:old") == "two"


async def test_snapshot_of_a_sparse_checkout_keeps_what_is_outside(repo: Repo) -> None:
    repo.commit("in/file", "a\n")
    repo.commit("out/file", "a\n")
    tree = await repo.made()
    repo.git("sparse-checkout", "set", "in", at=tree.folder)
    assert not (tree.folder / "out").exists()
    repo.write("new/file", "b\n", at=tree.folder)
    done = await discard(tree)
    files = repo.git("ls-tree", "-r", "--name-only", done.snapshot).split()
    assert files == ["in/file", "new/file", "old", "out/file"]


async def test_repository_inside_a_worktree_is_never_deleted(repo: Repo) -> None:
    tree = await repo.made()
    nested = tree.folder / "lib"
    nested.mkdir()
    repo.git("init", "-q", at=nested)
    repo.write("work", "w\n", at=nested)
    with pytest.raises(Conflict, match=r"lib in .*, which a snapshot cannot hold"):
        await discard(tree)
    assert (nested / "work").exists()
    assert repo.branches() == ["main", "midflight/fix"]


async def test_files_of_a_submodule_are_never_deleted(repo: Repo, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    inner = Repo(library)
    repo.git("init", "-q", str(library))
    inner.git("config", "user.name", "Pat")
    inner.git("config", "user.email", "pat@example.org")
    inner.commit("code", "c\n")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    repo.git("commit", "-qm", "a library")
    empty = await repo.made("empty")
    assert list((empty.folder / "lib").iterdir()) == []
    assert (await discard(empty)).snapshot == ""
    filled = await repo.made("filled")
    update = ("submodule", "--quiet", "update", "--init")
    repo.git("-c", "protocol.file.allow=always", *update, at=filled.folder)
    with pytest.raises(Conflict, match=r"lib in .* is a repository of its own"):
        await discard(filled)
    assert (filled.folder / "lib" / "code").exists()


async def test_unreadable_file_keeps_its_worktree(repo: Repo) -> None:
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    lock = repo.folder / ".git" / "refs" / "midflight"
    lock.write_text("in the way of the snapshot")
    with pytest.raises(MidflightError):
        await discard(tree)
    assert (tree.folder / "new").exists()


async def test_deleted_folder_is_tidied_up_and_its_commits_are_kept(
    repo: Repo, tmp_path: Path
) -> None:
    tree = await repo.made()
    tip = repo.commit("new", "b\n", at=tree.folder)
    tree.folder.rename(tmp_path / "away")
    done = await discard(await repo.seen())
    assert repo.git("rev-parse", done.snapshot) == tip
    assert repo.branches() == ["main"]
    assert len(repo.git("worktree", "list").splitlines()) == 1


async def test_failed_discard_leaves_the_index_alone(repo: Repo) -> None:
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    repo.git("worktree", "lock", str(tree.folder))
    with pytest.raises(Conflict, match="locked"):
        await discard(tree)
    assert repo.git("status", "--porcelain", at=tree.folder) == "?? new"


async def test_folder_that_is_no_worktree_any_more_is_refused(repo: Repo, own_home: Path) -> None:
    outer = Repo(own_home.parent)  # such as the home directory of who keeps its files in git
    outer.git("init", "-q")
    tree = await repo.made()
    repo.write("new", "b\n", at=tree.folder)
    link = (tree.folder / ".git").read_text()
    (tree.folder / ".git").unlink()
    for verb in (merge(await repo.seen(), "fix"), discard(await repo.seen())):
        with pytest.raises(Conflict, match="is no worktree of"):
            await verb
    (tree.folder / ".git").write_text(f"gitdir: {own_home.parent}/.git\n")
    for verb in (merge(await repo.seen(), "fix"), discard(await repo.seen())):
        with pytest.raises(Conflict, match="is no worktree of") as caught:
            await verb
    assert (tree.folder / "new").exists()
    assert not (own_home.parent / ".git" / "index").exists()
    repo.git(*caught.value.hint.split()[1:])
    assert (tree.folder / ".git").read_text() == link
    assert (await merge(await repo.seen(), "fix")).new
