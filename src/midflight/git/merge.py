"""Commits what a session has left in its worktree, and merges its branch or hands it over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from midflight._util.sanitize import one_line
from midflight.errors import Conflict, InvalidInput
from midflight.git.command import WORK_S, Git, GitOutput, unbroken
from midflight.git.diff import add_all, submodules, unmerged
from midflight.git.location import exclusive, repository_folder
from midflight.git.repository import Checkout, Worktree, check_place

MAX_LISTED = 10

ABORT_TRIES = 20
ABORT_AGAIN_S = 0.25


class Merged(NamedTuple):
    """What came of a merge into a branch that is checked out in a folder.

    With ``conflicts`` (paths) nothing has been changed there. ``new`` is False where all of it was
    there already.
    """

    into: Checkout
    commit: str
    new: bool
    conflicts: list[str]


class Ready(NamedTuple):
    """A branch that holds all that is in the worktree, and how to publish it."""

    branch: str
    commit: str
    command: str


async def merge(tree: Worktree, message: str) -> Merged:
    """Commit what is not committed, and merge the branch where it came from.

    That is the checkout of the branch it was made from, and the main one if nothing has that
    branch checked out. Where it conflicts nothing is changed there. Raises `Conflict`.
    """
    async with exclusive(repository_folder(tree.repository.common, tree.repository.main)):
        tip = await _commit(tree, message)
        into = await _target(tree)
        git = await Git.open(into.folder, writes=True)
        if await git.ask("rev-parse", "--verify", "--quiet", "MERGE_HEAD"):
            raise Conflict(
                f"a merge is under way in {into.folder}",
                "finish it, or git merge --abort, and merge again",
            )
        if not (await git.run("merge-base", "--is-ancestor", tip, "HEAD")).code:
            return Merged(into, (await git.must("rev-parse", "HEAD")).text, new=False, conflicts=[])
        await git.unlocked()
        await git.identity()
        return await unbroken(_merge(git, tree, into))


async def _merge(git: Git, tree: Worktree, into: Checkout) -> Merged:
    output = await git.run(
        *("merge", "--no-ff", "--commit", "--no-squash", "--no-edit", "--no-stat", "--quiet"),
        *("-m", f"Merge branch '{tree.branch}' into {into.branch}", tree.ref),
        timeout_s=WORK_S,
    )
    if not output.code:
        return Merged(into, (await git.must("rev-parse", "HEAD")).text, new=True, conflicts=[])
    conflicts = await unmerged(git)
    if await git.ask("rev-parse", "--verify", "--quiet", "MERGE_HEAD"):
        await _abort(git)
    if conflicts:
        return Merged(into, "", new=False, conflicts=conflicts)
    raise _refused(git, output, into)


async def _abort(git: Git) -> None:
    """Leave the checkout as it was; another git may hold its index for a moment."""
    for tries_left in reversed(range(ABORT_TRIES)):
        output = await git.run("merge", "--abort", timeout_s=WORK_S)
        if not output.code:
            return
        if not tries_left:
            error = git.failed("merge", output)
            error.hint = f"{error.hint}, and then git -C {quote(str(git.folder))} merge --abort"
            raise error
        await asyncio.sleep(ABORT_AGAIN_S)


def _refused(git: Git, output: GitOutput, into: Checkout) -> Conflict:
    """Return git's own error; most often it names files that the user has changed."""
    error = git.failed("merge", output)
    if "overwritten by merge" in output.stderr:
        error.hint = f"commit or put away what is not committed in {into.folder}; merge again"
    return error


async def _target(tree: Worktree) -> Checkout:
    main, *others = await tree.repository.checkouts()
    for each in (main, *others):
        if each.branch and each.branch == tree.origin and not each.gone:
            return each
    if main.gone:
        common = quote(str(tree.repository.common))
        raise Conflict(
            f"the branch {tree.origin} is checked out nowhere, so nothing can be merged into it",
            f"git -C {common} worktree add FOLDER {quote(tree.origin)}, and merge again",
        )
    if not main.branch:
        raise Conflict(
            f"{main.folder} is on no branch that something could be merged into",
            f"git -C {quote(str(main.folder))} switch BRANCH, and merge again",
        )
    return main


async def hand_over(tree: Worktree, message: str, name: str = "") -> Ready:
    """Commit what is not committed, so that the branch holds it all; also as ``name`` if it is set.

    Raises `Conflict`, or `InvalidInput` for what no branch can be called.
    """
    async with exclusive(repository_folder(tree.repository.common, tree.repository.main)):
        git = await tree.repository.git()
        if name and not await _can_be_called(git, name):
            raise InvalidInput(
                f"no branch can be called {name!r}",
                "letters, digits, - and /, such as fix/the-tests",
            )
        tip = await _commit(tree, message)
        if name:
            await _put(git, name, tip)
        remotes = (await git.ask("remote")).splitlines()
        remote = "origin" if "origin" in remotes or not remotes else remotes[0]
        branch = name or tree.branch
    return Ready(branch, tip, f"git push -u {quote(remote)} {quote(branch)}" if remotes else "")


async def _can_be_called(git: Git, name: str) -> bool:
    if "\0" in name or name in {"@", "HEAD"} or name.startswith("-"):
        return False
    return not (await git.run("check-ref-format", f"refs/heads/{name}")).code


async def _put(git: Git, name: str, tip: str) -> None:
    """Have a branch end in a commit; one that is there is only moved forward."""
    ref = f"refs/heads/{name}"
    there = await git.ask("rev-parse", "--verify", "--quiet", ref)
    if there and (await git.run("merge-base", "--is-ancestor", ref, tip)).code:
        raise Conflict(
            f"the branch {name} has commits that are not in this one", "use another name"
        )
    if there != tip:
        await git.must("branch", "--no-track", "--force", name, tip)


async def _commit(tree: Worktree, message: str) -> str:
    """Commit what is not committed in the worktree, and return the commit that its branch is at.

    Raises `Conflict` where that would not be what its session has done.
    """
    if tree.is_deleted:
        raise Conflict(
            f"the folder {tree.folder} is gone",
            f"what was committed is in its branch: git merge {tree.branch}",
        )
    await check_place(tree)
    git = await Git.open(tree.folder, writes=True)
    if tree.on != tree.branch:
        raise Conflict(
            f"{tree.folder} is on {tree.on or 'no branch'}, and not on {tree.branch}",
            f"git -C {quote(str(tree.folder))} switch -C {tree.branch} makes what is there its own",
        )
    if files := await unmerged(git):
        raise Conflict(
            f"a merge in {tree.folder} is not finished; it conflicts in {listed(files)}",
            "have the session resolve it",
        )
    if nested := await nested_repositories(git, tracked=False):
        raise Conflict(
            f"{listed(nested)} in {tree.folder} is a repository of its own: it is not committed",
            "move it away, or have it ignored",
        )
    await add_all(git, "--all")
    merging = await git.ask("rev-parse", "--verify", "--quiet", "MERGE_HEAD")
    if merging or (await git.run("diff", "--cached", "--quiet", "--no-ext-diff", "HEAD")).code:
        await git.identity()
        await unbroken(
            git.must("commit", "--quiet", "--cleanup=whitespace", "-m", message, timeout_s=WORK_S)
        )
    return (await git.must("rev-parse", "--verify", tree.ref)).text


async def nested_repositories(git: Git, *, tracked: bool) -> list[str]:
    """Return the repositories inside of the folder, whose files git does not keep.

    With ``tracked`` also submodules whose files are there.
    """
    new = await git.must("ls-files", "-z", "--others", "--exclude-standard")
    paths = [name.rstrip("/") for name in new.names if name.endswith("/")]
    if tracked:
        paths += [name for name in await submodules(git) if _is_filled(git.folder / name)]
    return paths


def _is_filled(submodule: Path) -> bool:
    return (submodule / ".git").exists()


def listed(paths: list[str]) -> str:
    """Return paths as a part of a sentence, not more of them than a sentence can have."""
    shown = ", ".join(one_line(path) for path in paths[:MAX_LISTED])
    more = len(paths) - MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown
