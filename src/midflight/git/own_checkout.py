"""A user's own repository, as other machines can have it: its remote, and a commit there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from midflight._util.sanitize import one_line
from midflight.errors import Conflict, InvalidInput
from midflight.git.command import Git
from midflight.git.diff import add_all, beside
from midflight.git.remote import REMOTES, Remote, session_ref
from midflight.git.repository import Repository
from midflight.git.store import push, scratch


class OwnCheckout(NamedTuple):
    """What can be had of a checkout.

    ``commit`` is what is checked out; it ``is_pushed`` where the remote is known to have it.
    ``within`` is the folder in the repository. ``changed`` files git has, and they differ from the
    commit; ``new`` ones it does not have: those are what stays here.
    """

    folder: Path
    remote: Remote
    commit: str
    within: Path
    is_pushed: bool
    changed: int
    new: int


def is_checkout(folder: Path) -> bool:
    """Tell whether a folder is one to hand over; a bare repository is a remote itself."""
    is_bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    return folder.is_dir() and not is_bare


async def look_at(folder: Path, ref: str | None = None) -> OwnCheckout:
    """Return what other machines can have of the repository of a folder, at a ``ref`` of it.

    Raises `Conflict` where it has no remote, or no commit.
    """
    git = await Git.open(folder)
    commit = await git.ask("rev-parse", "--verify", "--quiet", f"{ref or 'HEAD'}^{{commit}}")
    if not commit:
        raise Conflict(f"{folder} has no commit {one_line(ref or '')}".rstrip(), "see git log")
    name = await _remote_of(git)
    try:
        remote = Remote.parse(await git.ask("remote", "get-url", name))
    except ValueError as error:
        raise Conflict(f"the remote {one_line(name)} of {folder}: {error}", REMOTES) from None
    top = Path((await git.must("rev-parse", "--show-toplevel")).text)
    within = (await git.must("rev-parse", "--show-prefix")).text
    known = await git.ask("for-each-ref", "--contains", commit, "--count=1", f"refs/remotes/{name}")
    lines = await git.must(
        *("status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all")
    )
    new = sum(line.startswith("??") for line in lines.names)
    changed = len(lines.names) - new
    return OwnCheckout(top, remote, commit, Path(within), bool(known), changed, new)


async def choose(
    folder: Path, ref: str | None, *, taken: bool, may_push: bool = True
) -> OwnCheckout:
    """Return what a session is to begin with on any machine, once it is handed over.

    With what is changed here if that is to be ``taken``. Raises `Conflict`, and `InvalidInput`
    where something has to be pushed that must not be.
    """
    mine = await look_at(folder, ref)
    if ref:
        mine = mine._replace(changed=0, new=0)
    if taken:
        commit = await with_changes(mine)
        is_pushed = mine.is_pushed and commit == mine.commit
        mine = mine._replace(commit=commit, is_pushed=is_pushed, changed=0)
    if not (mine.is_pushed or may_push):
        raise InvalidInput(
            f"{mine.commit[:10]} is not at the remote, and a session without a record cannot have"
            " it pushed",
            "git push, or leave --no-journal out",
        )
    return mine


async def hand_over(
    mine: OwnCheckout, session: str, tell: Callable[[str], None], *, changes: str
) -> None:
    """Have the commit of a checkout at the remote, for a session; done when all else is checked.

    What stays here is said, and so is what is pushed; ``changes`` is what the option is called that
    takes what is changed. Raises `Conflict`.
    """
    if mine.changed:
        tell(
            f"it begins with {mine.commit[:10]}, without what is not committed"
            f" (files: {mine.changed}); {changes} takes that"
        )
    if mine.new:
        tell(f"files that git does not have stay here: {mine.new}")
    if not mine.is_pushed:
        url = one_line(mine.remote.url, 1000)
        tell(f"{mine.commit[:10]} is not at {url}: it is pushed to {session_ref(session)}")
        await publish(mine, session)


async def _remote_of(git: Git) -> str:
    """Return the remote of the branch that is checked out, else the usual one, else the only."""
    branch = await git.ask("symbolic-ref", "--short", "--quiet", "HEAD")
    upstream = await git.ask("config", f"branch.{branch}.remote") if branch else ""
    remotes: list[str] = (await git.must("remote")).text.splitlines()
    for name in [upstream, "origin", *(remotes if len(remotes) == 1 else [])]:
        if name in remotes:
            return name
    which = "several remotes, and none is called origin" if remotes else "no remote"
    raise Conflict(
        f"the repository of {git.folder} has {which}", "git remote add origin URL, or --repo URL"
    )


async def with_changes(mine: OwnCheckout) -> str:
    """Return a commit on top of what is checked out, with what git's own files are like now.

    Neither the index nor a branch is changed, no hook runs and nothing is signed.
    """
    async with beside(mine.folder, writes=True) as git:
        await add_all(git, "--update")
        tree = (await git.must("write-tree")).text
        if tree == (await git.must("rev-parse", f"{mine.commit}^{{tree}}")).text:
            return mine.commit
        await git.identity()
        text = "What was changed and not committed"
        made = await git.must("commit-tree", "-p", mine.commit, "-m", text, tree)
        return made.text


async def publish(mine: OwnCheckout, session: str) -> None:
    """Push its commit to the ref of a session. Raises `Conflict` where the remote refuses it.

    The remote is reached as git reaches it by the user's settings: the repository's own name
    programs, and who works there may have written them.
    """
    repository = await Repository.of(mine.folder)
    async with scratch() as folder:
        await push(folder, mine.remote, mine.commit, session, repository.common / "objects")
