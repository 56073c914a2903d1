from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict, MidflightError, NotFound
from midflight.git.discard import discard
from midflight.git.merge import merge
from midflight.git.repository import Repository, worktree_at


async def test_worktree_lies_in_a_private_folder_on_its_own_branch(
    repo: Repo, tmp_path: Path
) -> None:
    """The folder is one that nothing tidies up."""
    tree = await repo.made("Fix the tests!")
    assert tree.name == "fix-the-tests"
    assert tree.branch == tree.on == "midflight/fix-the-tests"
    assert (tree.origin, tree.base) == ("main", repo.git("rev-parse", "HEAD"))
    assert tree.folder.parent.name.startswith("shop-")
    assert tree.folder.parents[2] == tmp_path / "data" / "midflight"
    assert stat.S_IMODE((tmp_path / "data" / "midflight").stat().st_mode) == 0o700
    assert stat.S_IMODE(tree.folder.parent.stat().st_mode) == 0o700
    assert (tree.folder / "old").read_text() == "one\n"
    assert repo.git("branch", "--show-current") == "main"


async def test_name_that_is_taken_gets_a_number(repo: Repo) -> None:
    repo.git("branch", "midflight/fix")
    assert (await repo.made("fix")).name == "fix-2"
    assert (await repo.made("fix")).name == "fix-3"


@pytest.mark.parametrize(
    "name", ["../../etc", "-rf", "a b\n\x1b[31m", "猫", "refs/heads/main", ".lock"]
)
async def test_name_with_odd_characters_becomes_a_slug(repo: Repo, name: str) -> None:
    tree = await repo.made(name)
    assert tree.folder.parent.parent.name == "worktrees"
    assert tree.name.replace("-", "").isalnum()
    assert tree.name.isascii()


async def test_worktrees_are_made_at_the_same_time(repo: Repo) -> None:
    repository = await Repository.of(repo.folder)
    made = await asyncio.gather(*(repository.create("fix", repo.folder) for _ in range(4)))
    assert {tree.name for tree in made} == {"fix", "fix-2", "fix-3", "fix-4"}
    assert len(await repository.worktrees()) == 4


async def test_folder_without_git_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="is in no git repository"):
        await Repository.of(tmp_path)
    with pytest.raises(Conflict, match="is in no git repository"):
        await Repository.of(tmp_path / "nowhere")


async def test_repository_without_a_commit_is_an_error(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.git("init", "-q")
    with pytest.raises(Conflict, match="has no commit yet"):
        await (await Repository.of(tmp_path)).create("fix", tmp_path)


async def test_branch_named_midflight_is_an_error_with_the_remedy(repo: Repo) -> None:
    """Beside a branch `midflight` there can be none that begins with `midflight/`."""
    repo.git("branch", "midflight")
    with pytest.raises(Conflict, match="a branch is called midflight") as caught:
        await repo.made()
    assert caught.value.hint == "git branch -m midflight another-name"
    assert "midflightbase" not in repo.git("config", "--list")
    repo.git(*caught.value.hint.split()[1:])
    assert (await repo.made()).name == "fix"


async def test_worktree_can_be_made_from_a_detached_head(repo: Repo) -> None:
    repo.git("switch", "-q", "--detach")
    tree = await repo.made()
    assert (tree.origin, tree.base) == ("", repo.git("rev-parse", "HEAD"))


async def test_worktree_of_a_worktree_comes_from_its_branch(repo: Repo) -> None:
    outer = await repo.made("outer")
    repo.commit("more", "more\n", at=outer.folder)
    inner = await repo.made("inner", at=outer.folder)
    assert (inner.origin, inner.folder.parent) == (outer.branch, outer.folder.parent)
    assert (inner.folder / "more").exists()


async def test_worktrees_of_the_user_are_left_out(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "mine"))
    await repo.made()
    assert [tree.name for tree in await (await Repository.of(repo.folder)).worktrees()] == ["fix"]
    with pytest.raises(NotFound, match="no worktree 'mine'"):
        await repo.seen("mine")
    assert await worktree_at(tmp_path / "mine") is None


async def test_folder_finds_its_worktree_also_when_it_is_gone(repo: Repo, tmp_path: Path) -> None:
    tree = await repo.made()
    assert await worktree_at(tree.folder / "sub" / "folder", repo.folder) == tree
    assert await worktree_at(repo.folder) is None
    repo.git("worktree", "lock", str(tree.folder))
    tree.folder.rename(tmp_path / "away")
    assert await worktree_at(tree.folder) is None
    found = await worktree_at(tree.folder, repo.folder)
    assert found is not None
    assert found.gone


async def test_folder_below_one_that_others_can_write_to_is_refused(repo: Repo) -> None:
    tree = await repo.made()
    tree.folder.parents[1].chmod(0o777)
    with pytest.raises(MidflightError, match="put another folder in place of"):
        await repo.made()


async def test_folder_that_others_can_write_to_is_refused(repo: Repo) -> None:
    tree = await repo.made()
    tree.folder.parent.chmod(0o777)
    with pytest.raises(MidflightError, match="others can write to") as caught:
        await repo.made()
    assert caught.value.hint == f"chmod 700 {tree.folder.parent}"


async def test_submodule_has_worktrees_of_its_own(repo: Repo, tmp_path: Path) -> None:
    above = Repo(tmp_path / "above")
    above.folder.mkdir()
    above.git("init", "-q")
    add = ("submodule", "--quiet", "add", str(repo.folder), "lib")
    above.git("-c", "protocol.file.allow=always", *add)
    library = Repo(above.folder / "lib")
    library.git("config", "user.name", "Pat")
    library.git("config", "user.email", "pat@example.org")
    tree = await library.made()
    assert tree.repository.main == library.folder
    assert await worktree_at(tree.folder) == tree
    library.write("new", "b\n", at=tree.folder)
    assert (await merge(tree, "fix")).into.folder == library.folder
    assert (library.folder / "new").exists()
    assert (await discard(await library.seen())).snapshot == ""


async def test_git_folder_that_lies_elsewhere_is_found(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "files")
    repo.folder.mkdir()
    repo.git("init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere"))
    repo.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-mx")
    tree = await repo.made()
    assert tree.repository.main == repo.folder
    repo.write("new", "b\n", at=tree.folder)
    assert (await merge(tree, "fix")).into.folder == repo.folder
