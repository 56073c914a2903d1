"""A user's own repository, as other machines can have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict
from midflight.git.own_checkout import look_at, publish, with_changes
from midflight.git.remote import Remote, session_ref
from midflight.git.store import Store

SESSION = "5e" * 16


async def test_commit_that_is_pushed_is_offered_as_it_is(repo: Repo, remote: Repo) -> None:
    repo.commit("api/main", "x")
    repo.git("push", "-q", "-u", "origin", "main")
    mine = await look_at(repo.folder / "api")
    assert mine.remote == Remote(str(remote.folder))
    assert mine.commit == remote.git("rev-parse", "main")
    assert (mine.within, mine.is_pushed) == (Path("api"), True)
    assert (mine.changed, mine.new) == (0, 0)


async def test_commit_that_is_not_pushed_is_published_for_the_session(
    repo: Repo, remote: Repo, tmp_path: Path
) -> None:
    commit = repo.commit("more", "x")
    mine = await look_at(repo.folder)
    assert not mine.is_pushed
    await publish(mine, SESSION)
    assert remote.git("rev-parse", session_ref(SESSION)) == commit
    assert remote.git("rev-parse", "main") != commit
    store = Store(mine.remote, tmp_path / "work")
    assert await store.fetch(SESSION, commit) == commit


async def test_changes_of_tracked_files_become_one_commit(repo: Repo, remote: Repo) -> None:
    """The index, the branch and the hooks of the repository have no part in it."""
    repo.commit("gone", "x")
    repo.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n")
    (repo.folder / ".git/hooks/pre-commit").chmod(0o755)
    repo.git("config", "commit.gpgSign", "true")
    repo.write("old", "two\n")
    repo.write("new", "x")
    repo.write("sub/staged", "x")
    repo.git("add", "sub/staged")
    (repo.folder / "gone").unlink()
    before = repo.git("status", "--porcelain"), repo.git("rev-parse", "HEAD")

    mine = await look_at(repo.folder / "sub")
    await publish(mine._replace(commit=await with_changes(mine)), SESSION)

    assert (mine.changed, mine.new) == (3, 1)
    assert (repo.git("status", "--porcelain"), repo.git("rev-parse", "HEAD")) == before
    ref = session_ref(SESSION)
    assert remote.git("ls-tree", "-r", "--name-only", ref).split() == ["old", "sub/staged"]
    assert remote.git("show", f"{ref}:old") == "two"
    assert remote.git("rev-parse", f"{ref}^") == mine.commit


async def test_folder_without_changes_needs_no_commit_of_its_own(repo: Repo, remote: Repo) -> None:
    repo.write("new", "x")
    mine = await look_at(repo.folder)
    assert await with_changes(mine) == mine.commit


async def test_remote_of_the_branch_goes_before_origin(repo: Repo, remote: Repo) -> None:
    repo.git("remote", "add", "other", "git@host.example:other.git")
    repo.git("config", "branch.main.remote", "other")
    assert (await look_at(repo.folder)).remote.url == "git@host.example:other.git"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://pat:hunter22@host.example/shop", "a password or a token"),
        ("ext::sh -c id", "no address of a repository"),
    ],
)
async def test_remote_that_is_not_taken_is_named_without_its_address(
    repo: Repo, url: str, why: str
) -> None:
    repo.git("remote", "add", "origin", url)
    with pytest.raises(Conflict, match=why) as refused:
        await look_at(repo.folder)
    assert "hunter22" not in str(refused.value)


async def test_repository_without_a_remote_is_an_error(repo: Repo) -> None:
    with pytest.raises(Conflict, match="has no remote"):
        await look_at(repo.folder)
    for name in ("a", "b"):
        repo.git("remote", "add", name, "git@host.example:x.git")
    with pytest.raises(Conflict, match="has several remotes"):
        await look_at(repo.folder)


async def test_programs_of_the_own_repository_do_not_reach_the_remote(
    repo: Repo, remote: Repo, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    for key in ("core.sshCommand", "remote.origin.receivepack", "credential.helper"):
        repo.git("config", key, f"touch {ran}")
    repo.write(".git/hooks/pre-push", f"#!/bin/sh\ntouch {ran}\n")
    (repo.folder / ".git/hooks/pre-push").chmod(0o755)
    repo.commit("more", "x")
    await publish(await look_at(repo.folder), SESSION)
    assert remote.snapshots() == [session_ref(SESSION)]
    assert not ran.exists()
