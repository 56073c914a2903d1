"""Throws a worktree away, after everything in it that is nowhere else has got a name in git."""

from __future__ import annotations

from typing import NamedTuple

from midflight.errors import Conflict
from midflight.git.command import WORK_S, Git, unbroken
from midflight.git.diff import add_all, beside
from midflight.git.location import exclusive, repository_folder
from midflight.git.merge import listed, nested_repositories
from midflight.git.repository import Worktree, check_place

SNAPSHOTS = "refs/midflight/snapshots"


class Discarded(NamedTuple):
    """``snapshot`` is the ref that holds what was there; empty if nothing was only there."""

    commit: str
    snapshot: str


async def discard(tree: Worktree) -> Discarded:
    """Remove the folder and the branch, and keep a snapshot if anything would be lost.

    It has the commits, and the files that are not ignored. Raises `Conflict`, with all in place,
    where a snapshot could not hold it.
    """
    async with exclusive(repository_folder(tree.repository.common, tree.repository.main)):
        return await unbroken(_discard(tree))


async def _discard(tree: Worktree) -> Discarded:
    git = await tree.repository.git(writes=True)
    tip = await git.ask("rev-parse", "--verify", "--quiet", tree.ref)
    commit, is_new = (tip, False) if tree.is_deleted else await _all_of(tree, tip)
    lost = commit and (is_new or not await _is_elsewhere(git, commit, tree.ref))
    snapshot = f"{SNAPSHOTS}/{tree.name}-{commit[:10]}" if lost else ""
    if snapshot:
        await git.must("update-ref", "-m", "midflight worktree discard", snapshot, commit)
    await git.must("worktree", "remove", "--force", "--", str(tree.folder), timeout_s=WORK_S)
    if tip:
        await git.must("branch", "--quiet", "-D", tree.branch)
    await tree.repository.forget(git, tree)
    return Discarded(commit, snapshot)


async def _all_of(tree: Worktree, tip: str) -> tuple[str, bool]:
    """Return a commit with everything that is in the folder, and whether it had to be made."""
    await check_place(tree)
    async with beside(tree.folder, writes=True) as git:
        if nested := await nested_repositories(git, tracked=True):
            raise Conflict(
                f"{listed(nested)} in {tree.folder} is a repository of its own,"
                " which a snapshot cannot hold",
                "move it away, or remove it when nothing in it is needed",
            )
        head = (await git.must("rev-parse", "--verify", "HEAD")).text
        before = (await git.must("rev-parse", "HEAD^{tree}")).text
        await add_all(git, "--all")
        now = (await git.must("write-tree")).text
        # After a switch to another branch, commits may be left on the worktree's own.
        apart = tip and (await git.run("merge-base", "--is-ancestor", tip, head)).code
        parents = [head, tip] if apart else [head]
        if now == before and len(parents) == 1:
            return head, False
        await git.identity()
        parent_args = [part for parent in parents for part in ("-p", parent)]
        text = f"What was in the worktree {tree.name}"
        made = await git.must("commit-tree", *parent_args, "-m", text, now)
    return made.text, True


async def _is_elsewhere(git: Git, commit: str, own: str) -> bool:
    """Tell whether another branch, tag or ref holds a commit."""
    output = await git.must("for-each-ref", "--contains", commit, "--format=%(refname)")
    return any(ref != own for ref in output.text.splitlines())
