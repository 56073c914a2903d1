"""The folder of a session with a remote: made, kept, pushed, and made again elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict
from midflight.git import checkout as checkouts
from midflight.git.checkout import Checkout
from midflight.git.diff import diff
from midflight.git.included import include
from midflight.git.remote import Remote, session_ref
from midflight.git.store import Overtaken, Store

SESSION = "5e" * 16


def checkout_at(remote: Repo, work: Path, session: str = SESSION) -> Checkout:
    return Checkout(Store(Remote.parse(str(remote.folder)), work), session, "Fix the tests!")


async def made(remote: Repo, work: Path, ref: str | None = None) -> Checkout:
    checkout = checkout_at(remote, work)
    await checkout.bring(await checkout.store.fetch(SESSION, ref))
    return checkout


async def pushed(checkout: Checkout) -> str:
    commit, _ = await checkout.snapshot()
    await checkout.push(commit)
    return commit


async def moved(remote: Repo, work: Path, commit: str) -> Checkout:
    """Bring the session's folder on another machine to a commit."""
    checkout = checkout_at(remote, work)
    await checkout.store.fetch(SESSION, commit)
    await checkout.bring(commit)
    return checkout


@pytest.fixture
async def checkout(remote: Repo, tmp_path: Path) -> Checkout:
    return await made(remote, tmp_path / "work")


def status(checkout: Checkout) -> list[str]:
    return Repo(checkout.folder).git("status", "--porcelain").split("\n")


async def test_checkout_is_a_repository_of_its_own_on_its_own_branch(
    checkout: Checkout, remote: Repo
) -> None:
    here = Repo(checkout.folder)
    assert here.git("branch", "--show-current") == "midflight/fix-the-tests"
    assert (
        here.git("rev-parse", "HEAD", "origin/main").split()
        == [remote.git("rev-parse", "main")] * 2
    )
    assert here.git("remote", "get-url", "origin") == str(remote.folder)
    assert (checkout.folder / "old").read_text() == "one\n"
    assert not (checkout.folder / ".git/hooks").exists()


async def test_path_of_a_checkout_is_the_same_on_every_machine(remote: Repo) -> None:
    one, other = (checkout_at(remote, Path("/work")).folder for _ in range(2))
    assert one == other
    assert checkout_at(remote, Path("/work"), "../../etc").folder.parent == one.parent


async def test_snapshot_has_new_files_and_none_that_is_ignored(
    checkout: Checkout, remote: Repo
) -> None:
    here = Repo(checkout.folder)
    here.write(".gitignore", "secret\n")
    here.write("secret", "x")
    here.write("new", "x")
    here.write("old", "two\n")
    commit = await pushed(checkout)
    assert remote.git("rev-parse", session_ref(SESSION)) == commit
    assert remote.git("ls-tree", "--name-only", commit).split() == [".gitignore", "new", "old"]
    assert remote.git("show", f"{commit}:old") == "two"
    assert remote.git("rev-parse", "main") == remote.git("rev-parse", f"{commit}^")


async def test_snapshot_changes_nothing_that_the_agent_sees(checkout: Checkout) -> None:
    here = Repo(checkout.folder)
    here.write("staged", "x")
    here.git("add", "staged")
    here.write("staged", "y")
    here.write("new", "x")
    before = [
        here.git(*command)
        for command in (["status", "--porcelain"], ["rev-parse", "HEAD"], ["log", "--all", "-g"])
    ]
    index = (checkout.folder / ".git/index").read_bytes()
    await pushed(checkout)
    assert (checkout.folder / ".git/index").read_bytes() == index
    assert before == [
        here.git(*command)
        for command in (["status", "--porcelain"], ["rev-parse", "HEAD"], ["log", "--all", "-g"])
    ]


async def test_folder_where_nothing_was_done_needs_no_new_commit(
    checkout: Checkout, remote: Repo
) -> None:
    assert (await checkout.snapshot()).commit == remote.git("rev-parse", "main")
    (checkout.folder / "new").write_text("x")
    once = await checkout.snapshot()
    assert await checkout.snapshot() == once


async def test_session_goes_on_elsewhere_with_its_files_branch_and_commits(
    checkout: Checkout, remote: Repo, tmp_path: Path
) -> None:
    here = Repo(checkout.folder)
    here.git("config", "user.name", "Agent")
    here.git("config", "user.email", "agent@example.org")
    here.git("switch", "-qc", "topic")
    mine = here.commit("done", "x")
    here.write("begun", "x")
    here.write("old", "two\n")

    there = await moved(remote, tmp_path / "elsewhere", await pushed(checkout))

    other = Repo(there.folder)
    assert other.git("branch", "--show-current") == "topic"
    assert other.git("rev-parse", "HEAD") == mine
    assert status(there) == status(checkout) == ["M old", "?? begun"]
    assert (there.folder / "old").read_text() == "two\n"


async def test_session_without_a_branch_goes_on_elsewhere_without_one(
    checkout: Checkout, remote: Repo, tmp_path: Path
) -> None:
    Repo(checkout.folder).git("checkout", "-q", "--detach")
    Repo(checkout.folder).write("new", "x")
    other = await moved(remote, tmp_path / "other", await pushed(checkout))
    assert (other.folder / "new").read_text() == "x"
    assert Repo(other.folder).git("branch", "--show-current") == ""


async def test_folder_that_was_left_behind_is_brought_up_to_the_others(
    checkout: Checkout, remote: Repo, tmp_path: Path
) -> None:
    (checkout.folder / "first").write_text("x")
    there = await moved(remote, tmp_path / "elsewhere", await pushed(checkout))
    (there.folder / "first").unlink()
    (there.folder / "second").write_text("x")
    (checkout.folder / ".git/info/exclude").write_text("kept\n")
    (checkout.folder / "kept").write_text("x")

    newest = await pushed(there)
    assert not await checkout.has(newest)
    back = await moved(remote, tmp_path / "work", newest)

    assert not (back.folder / "first").exists()
    assert (back.folder / "second").exists()
    assert (back.folder / "kept").exists()
    assert Repo(back.folder).git("for-each-ref", checkouts.LEFT) == ""
    assert await back.has(newest)


async def test_what_is_only_in_a_folder_that_was_left_behind_is_kept(
    checkout: Checkout, remote: Repo, tmp_path: Path
) -> None:
    """Its turn was cut with the machine, and the session went on from what was pushed."""
    there = await moved(remote, tmp_path / "elsewhere", await pushed(checkout))
    (there.folder / "second").write_text("x")
    (checkout.folder / "cut").write_text("half done")

    back = await moved(remote, tmp_path / "work", await pushed(there))

    assert sorted(path.name for path in back.folder.iterdir()) == [".git", "old", "second"]
    here = Repo(back.folder)
    [left] = here.git("for-each-ref", "--format=%(refname)", checkouts.LEFT).split()
    assert here.git("show", f"{left}:cut") == "half done"


async def test_folder_that_has_come_further_than_what_is_pushed_is_left(
    checkout: Checkout, remote: Repo
) -> None:
    (checkout.folder / "cut").write_text("half done")
    await checkout.bring(remote.git("rev-parse", "main"))
    assert (checkout.folder / "cut").read_text() == "half done"


async def test_push_of_one_that_was_replaced_changes_nothing(
    checkout: Checkout, remote: Repo, tmp_path: Path
) -> None:
    """A machine that was cut off wakes, and the session went on elsewhere meanwhile."""
    there = await moved(remote, tmp_path / "elsewhere", await pushed(checkout))
    (there.folder / "new").write_text("x")
    newest = await pushed(there)
    (checkout.folder / "late").write_text("x")
    with pytest.raises(Overtaken):
        await pushed(checkout)
    assert remote.git("rev-parse", session_ref(SESSION)) == newest


async def test_snapshot_goes_on_top_of_what_somebody_else_has_pushed(
    checkout: Checkout, remote: Repo, tmp_path: Path
) -> None:
    """As a person, or a host that had the session before; its files are the session's own."""
    there = await moved(remote, tmp_path / "elsewhere", await pushed(checkout))
    (there.folder / "theirs").write_text("x")
    theirs = await pushed(there)
    (checkout.folder / "mine").write_text("x")
    await checkout.snapshot()

    commit = await checkout.join()
    await checkout.push(commit)

    assert remote.git("ls-tree", "--name-only", commit).split() == ["mine", "old"]
    remote.git("merge-base", "--is-ancestor", theirs, commit)
    assert (await checkout.snapshot()).commit == commit
    back = await moved(remote, tmp_path / "third", commit)
    assert Repo(back.folder).git("status", "--porcelain") == "?? mine"
    assert await back.store.newest(SESSION, theirs) == commit
    assert await back.store.newest(SESSION, "5e" * 20) == "5e" * 20


async def test_two_never_have_one_folder_at_once(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkouts, "HELD_S", 0.1)
    async with checkout.held():
        with pytest.raises(Conflict, match="another midflight on this machine has the folder"):
            async with checkout.held():
                pass
    async with checkout.held():
        pass


async def test_checkout_that_was_cut_while_it_was_made_is_made_anew(
    remote: Repo, tmp_path: Path
) -> None:
    checkout = checkout_at(remote, tmp_path / "work")
    commit = await checkout.store.fetch(SESSION, None)
    half = checkout.folder.with_name(f".{checkout.folder.name}.new")
    half.mkdir()
    (half / "left").write_text("x")
    assert not checkout.is_there
    await checkout.bring(commit)
    assert sorted(path.name for path in checkout.folder.iterdir()) == [".git", "old"]


async def test_programs_of_a_checkout_are_not_run(checkout: Checkout, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    here = Repo(checkout.folder)
    here.write(".gitattributes", "* filter=evil\n")
    for key in ("filter.evil.clean", "filter.evil.smudge", "core.fsmonitor", "core.sshCommand"):
        here.git("config", key, f"touch {ran}")
    (checkout.folder / ".git/hooks").mkdir()
    for hook in ("pre-push", "post-index-change", "reference-transaction", "post-checkout"):
        path = checkout.folder / ".git/hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {ran}\n")
        path.chmod(0o755)
    here.write("new", "x")
    await pushed(checkout)
    assert not ran.exists()


async def test_programs_of_a_submodule_are_not_run(checkout: Checkout, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    here, inner = Repo(checkout.folder), Repo(checkout.folder / "inner")
    inner.folder.mkdir()
    inner.git("init", "-q")
    for each in (here, inner):
        each.git("config", "user.name", "Pat")
        each.git("config", "user.email", "pat@example.org")
    inner.commit("file", "one")
    here.git("add", "inner")
    here.git("commit", "-qm", "a submodule")
    inner.git("config", "filter.evil.clean", f"touch {ran}; cat")
    inner.write(".gitattributes", "* filter=evil\n")
    inner.write("file", "two")
    await pushed(checkout)
    await diff(checkout.folder, ["HEAD"])
    assert not ran.exists()
    here.git("status")  # which does run it
    assert ran.exists()
    newest = inner.commit("file", "six")
    assert here.git("rev-parse", f"{await pushed(checkout)}:inner") == newest


@pytest.mark.parametrize("elsewhere", ["..", "../../.."])
async def test_files_of_a_checkout_are_nowhere_else(
    elsewhere: str, checkout: Checkout, remote: Repo, repo: Repo, tmp_path: Path
) -> None:
    """An agent could have it overwrite other files with what it has pushed."""
    victim = (checkout.folder / elsewhere).resolve() / "old"
    victim.write_text("mine")
    Repo(checkout.folder).git("config", "core.worktree", str(victim.parent))
    (checkout.folder / "new").write_text("x")
    snapshot = await pushed(checkout)
    assert remote.git("ls-tree", "-r", "--name-only", snapshot).split() == ["new", "old"]
    commit = repo.commit("old", "two")
    repo.git("push", "-q", "origin", "main")
    await checkout.store.fetch(SESSION, commit)
    await checkout.bring(commit, may_be_later=False)
    assert victim.read_text() == "mine"
    assert (checkout.folder / "old").read_text() == "two"


async def test_place_that_is_another_repository_now_is_not_pushed(
    checkout: Checkout, repo: Repo
) -> None:
    """The remote would get what is not its own."""
    repo.commit("private", "x")
    git = checkout.folder / ".git"
    git.rename(checkout.folder / "was")
    git.symlink_to(repo.folder / ".git")
    with pytest.raises(Conflict, match="is not the checkout any more"):
        await checkout.snapshot()
    git.unlink()
    git.write_text(f"gitdir: {repo.folder}/.git\n")
    with pytest.raises(Conflict, match="is not the checkout any more"):
        await checkout.snapshot()
    with pytest.raises(Conflict, match="is not the checkout any more"):
        await checkout.bring(repo.git("rev-parse", "HEAD"))


async def test_folder_within_a_checkout_does_not_lead_out_of_it(
    repo: Repo, remote: Repo, tmp_path: Path
) -> None:
    repo.write("api/main", "x")
    (repo.folder / "out").symlink_to("/etc")
    (repo.folder / "in").symlink_to("api")
    repo.git("add", ".")
    repo.git("commit", "-qm", "links")
    repo.git("push", "-q", "origin", "main")
    checkout = await made(remote, tmp_path / "work")
    assert checkout.inside(Path("api")) == checkout.inside(Path("in")) == checkout.folder / "api"
    for wrong in ("out", "nowhere", "old"):
        with pytest.raises(Conflict, match=r"leads out|has no folder"):
            checkout.inside(Path(wrong))


async def test_repository_inside_of_a_checkout_is_told(checkout: Checkout) -> None:
    inner = checkout.folder / "inner"
    inner.mkdir()
    Repo(inner).git("init", "-q")
    Repo(inner).write("x", "y")
    assert (await checkout.snapshot()).left_out == ["inner"]


async def test_submodules_and_large_files_that_are_not_filled_are_told(
    checkout: Checkout,
) -> None:
    assert checkout.unfilled() == []
    Repo(checkout.folder).write(".gitmodules", '[submodule "x"]')
    Repo(checkout.folder).write(".gitattributes", "*.bin filter=lfs diff=lfs\n")
    submodules, large = checkout.unfilled()
    assert "submodules are not filled" in submodules
    assert "Git LFS are pointers" in large


# .worktreeinclude ---------------------------------------------------------------------------


@pytest.fixture
async def listing(repo: Repo, remote: Repo, tmp_path: Path) -> Checkout:
    """Return a checkout whose repository ignores some files and lists them."""
    repo.write(".gitignore", ".env*\nkeys/\nlink\n")
    repo.write(".worktreeinclude", ".env*\n!.env.old\nkeys/\nold\nlink\nplain\n")
    (repo.folder / "out").symlink_to(tmp_path / "outside")
    repo.git("add", ".")
    repo.git("commit", "-qm", "list")
    repo.git("push", "-q", "origin", "main")
    return await made(remote, tmp_path / "work")


async def test_listed_files_that_are_ignored_are_copied(listing: Checkout) -> None:
    source = listing.store.files
    source.mkdir(parents=True)
    for name in (".env", ".env.old", "api/.env", "keys/a", "old", "plain", "other"):
        Repo(source).write(name, f"my {name}")
    (source / ".env").chmod(0o600)

    included = await include(source, listing.folder)

    assert sorted(included.copied) == [".env", "api/.env", "keys/a"]
    assert (listing.folder / "api/.env").read_text() == "my api/.env"
    assert (listing.folder / "old").read_text() == "one\n"
    assert (listing.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert status(listing) == [""]


async def test_links_lead_no_file_in_or_out(listing: Checkout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("secret")
    source = listing.store.files
    source.mkdir(parents=True)
    (source / "link").symlink_to(outside / "passwd")
    (source / "keys").symlink_to(outside)
    Repo(source).write("out/.env", "x")

    included = await include(source, listing.folder)

    assert included.copied == []
    assert not (outside / ".env").exists()
    assert not (listing.folder / "link").exists()
    assert not (listing.folder / "keys").exists()


async def test_files_of_this_machine_are_in_no_snapshot(listing: Checkout, remote: Repo) -> None:
    """Also where the agent has had git ignore them no longer."""
    source = listing.store.files
    source.mkdir(parents=True)
    Repo(source).write(".env", "secret")
    await include(source, listing.folder)
    (listing.folder / ".gitignore").unlink()
    commit = await pushed(listing)
    assert ".env" not in remote.git("ls-tree", "-r", "--name-only", commit).split()


async def test_list_that_is_a_link_names_nothing(listing: Checkout, tmp_path: Path) -> None:
    Repo(listing.store.files.parent).write("files/.env", "x")
    (listing.folder / ".worktreeinclude").unlink()
    Repo(tmp_path).write("patterns", ".env\n")
    (listing.folder / ".worktreeinclude").symlink_to(tmp_path / "patterns")
    assert await include(listing.store.files, listing.folder) == ([], [])
