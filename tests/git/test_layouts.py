"""Repositories whose git folder is not `.git` beside the files: the verbs work on each of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict
from midflight.git.diff import diff_since
from midflight.git.discard import discard
from midflight.git.merge import hand_over, merge
from midflight.git.repository import Repository, uncommitted, worktree_at


class Layout(NamedTuple):
    """``at`` is the checkout of `main`, ``root`` another folder where the user may stand."""

    at: Repo
    root: Path


def laid_out(repo: Repo, how: str) -> Layout:
    """Make the repository anew, in one of the ways that people keep them in."""
    top = repo.folder.parent / how
    at = Repo(top / "main")
    if how == "bare":
        repo.git("clone", "-q", "--bare", str(repo.folder), str(top / "repo.git"))
        repo.git("worktree", "add", "-q", str(at.folder), "main", at=top / "repo.git")
        return Layout(at, top / "repo.git")
    if how == "dot-bare":
        repo.git("clone", "-q", "--bare", str(repo.folder), str(top / ".bare"))
        (top / ".git").write_text("gitdir: ./.bare\n")
        repo.git("worktree", "add", "-q", str(at.folder), "main", at=top)
        return Layout(at, top)
    if how == "worktree-config":
        bare = top / "repo.git"
        repo.git("clone", "-q", "--bare", str(repo.folder), str(bare))
        repo.git("config", "extensions.worktreeConfig", "true", at=bare)
        repo.git("config", "--worktree", "core.bare", "true", at=bare)
        repo.git("config", "--unset", "core.bare", at=bare)
        repo.git("worktree", "add", "-q", str(at.folder), "main", at=bare)
        return Layout(at, bare)
    apart, other = top / "apart.git", top / "other"
    repo.git(
        *("clone", "-q", "--separate-git-dir", str(apart), str(repo.folder), str(at.folder)),
        at=repo.folder,
    )
    at.git("worktree", "add", "-q", "-b", "other", str(other))
    return Layout(at, other)


LAYOUTS = ("bare", "dot-bare", "worktree-config", "apart")


@pytest.mark.parametrize("how", LAYOUTS)
async def test_every_verb_works_on_a_repository_with_git_elsewhere(repo: Repo, how: str) -> None:
    layout = laid_out(repo, how)
    tree = await layout.at.made()
    assert tree.origin == "main"
    repo.write("new", "by the session\n", at=tree.folder)
    for place in (layout.root, layout.at.folder, tree.folder):
        listed = await (await Repository.of(place)).worktrees()
        assert [each.name for each in listed] == ["fix"]
    found = await worktree_at(tree.folder)
    assert found is not None
    assert await uncommitted(found.folder) == 1
    assert "by the session" in (await diff_since(found.folder, 0)).diff
    assert (await hand_over(found, "fix")).branch == "midflight/fix"
    merged = await merge(found, "fix")
    assert (merged.new, merged.into.folder) == (True, layout.at.folder)
    assert (layout.at.folder / "new").read_text() == "by the session\n"
    await discard(found)
    assert not tree.folder.exists()
    assert "midflight/fix" not in layout.at.branches()


@pytest.mark.parametrize("how", ["bare", "dot-bare", "worktree-config"])
async def test_worktree_can_be_made_where_no_files_are(repo: Repo, how: str) -> None:
    layout = laid_out(repo, how)
    assert await uncommitted(layout.root) == 0
    repository = await Repository.of(layout.root)
    tree = await repository.create("fix", layout.root)
    assert (tree.folder / "old").read_text() == "one\n"
    assert (await repository.worktree("fix")).origin == "main"


@pytest.mark.parametrize("how", LAYOUTS)
async def test_worktrees_of_one_repository_lie_in_one_folder(repo: Repo, how: str) -> None:
    """Its lock stands there too, so it must not depend on where the user is."""
    layout = laid_out(repo, how)
    first = await (await Repository.of(layout.root)).create("one", layout.root)
    second = await layout.at.made("two")
    assert first.folder.parent == second.folder.parent


async def test_merge_where_the_branch_is_checked_out_nowhere_is_refused(repo: Repo) -> None:
    layout = laid_out(repo, "bare")
    tree = await layout.at.made()
    layout.at.git("switch", "-qc", "elsewhere")
    repo.write("new", "by the session\n", at=tree.folder)
    with pytest.raises(Conflict, match="branch main is checked out nowhere") as caught:
        await merge(tree, "fix")
    assert "worktree add" in caught.value.hint


async def test_setting_of_a_main_checkout_that_is_none_is_ignored(
    repo: Repo, tmp_path: Path
) -> None:
    """An agent may have written it: nothing is merged into a folder of another repository."""
    layout = laid_out(repo, "apart")
    foreign = tmp_path / "foreign"
    repo.git("clone", "-q", str(repo.folder), str(foreign))
    tree = await layout.at.made()
    layout.at.git("config", "worktree.midflightMain", str(foreign))
    repo.write("new", "by the session\n", at=tree.folder)
    found = await worktree_at(tree.folder)
    assert found is not None
    with pytest.raises(Conflict, match="checked out nowhere"):
        await merge(found, "fix")
    assert not (foreign / "new").exists()
