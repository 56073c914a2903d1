"""What has changed in a folder since a commit or a moment, and an index beside the folder's own.

Compared are the files as they are now, new ones included, whoever made them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from midflight._util.files import open_regular, shown
from midflight.errors import Conflict
from midflight.git.command import WORK_S, Git
from midflight.git.repository import Worktree, worktree_at

NO_COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The tree without a file, for a repository without a commit."""

MAX_INDEX = 512 * 1024 * 1024
"""How large an index may be: that of some million files."""

_PIECE = 1024 * 1024

_SHOW = ("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all")


class Diff(NamedTuple):
    """What is different: the files in a list, and all of it; ``commit`` is empty if there is none.

    It is text as git writes it, with the folder's files and their names in it. ``left_out`` is how
    many characters are missing of it.
    """

    commit: str
    files: str
    diff: str
    left_out: int = 0

    def cut(self, most: int) -> Diff:
        """Return it with so many characters of each at most."""
        left_out = self.left_out + max(0, len(self.diff) - most)
        return Diff(self.commit, self.files[:most], self.diff[:most], left_out)


@contextlib.asynccontextmanager
async def beside(folder: Path, *, writes: bool = False, whole: bool = False) -> AsyncIterator[Git]:
    """Yield git with an index that is like the folder's and forgotten at the end.

    Nothing hides in it: files that git was set to take for unchanged are compared too. Raises
    `Conflict` where there is no git, or no index that can be copied.
    """
    with tempfile.TemporaryDirectory(prefix="midflight-") as scratch:
        index = Path(scratch) / "index"
        own = await Git.open(folder, whole=whole)
        path = Path(await own.ask("rev-parse", "--git-path", "index"))
        git = await Git.open(folder, index=index, writes=writes, whole=whole)
        with contextlib.suppress(FileNotFoundError):  # there is none before the first commit
            await asyncio.to_thread(_copy_index, folder / path, index)
        for entry in (await git.must("ls-files", "-v", "-z")).names:
            tag, name = entry[0], entry[2:]
            if tag.islower():
                await git.must("update-index", "--no-assume-unchanged", "--", name)
            if tag in "sS" and _is_there(folder / name):  # a sparse checkout's files are not
                await git.must("update-index", "--no-skip-worktree", "--", name)
        yield git


def _copy_index(source: Path, copy: Path) -> None:
    """Copy an index, which the agent may have put there. Raises `FileNotFoundError`, `Conflict`."""
    try:
        with open_regular(source) as file:
            status = os.fstat(file.fileno())
            if status.st_size > MAX_INDEX:
                raise Conflict(
                    f"git's index {shown(source)} has {status.st_size} bytes; "
                    f"the limit is {MAX_INDEX}",
                    "if git did not write it, delete it: git reset makes a new one",
                )
            with copy.open("xb") as to:
                left = status.st_size  # it may grow meanwhile
                while piece := file.read(min(left, _PIECE)):
                    left -= to.write(piece)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Conflict(
            f"git's index {shown(source)} cannot be copied: {error.strerror or error}",
            "if git did not write it, delete it: git reset makes a new one",
        ) from None
    # Its age tells git which files may have changed within the second that it was written.
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


async def unmerged(git: Git) -> list[str]:
    """Return the files with conflicts that are not resolved."""
    output = await git.run("ls-files", "--unmerged", "-z")
    return list(dict.fromkeys(entry.partition("\t")[2] for entry in output.names))


async def submodules(git: Git) -> list[str]:
    """Return the submodules that the index has, filled or not.

    Whoever asks git what has changed in one has it run `git status` there, and so the programs that
    its own settings name, which nobody has switched off.
    """
    staged = await git.must("ls-files", "-z", "--stage")
    return [entry.partition("\t")[2] for entry in staged.names if entry.startswith("160000")]


async def add_all(git: Git, *how: str, without: Sequence[str] = ()) -> None:
    """Make everything in and below git's folder known to the index that is not ignored.

    Of a submodule that is the commit that is checked out there.
    """
    apart = await submodules(git)
    sparse = await git.ask("config", "--type=bool", "core.sparseCheckout") == "true"
    outside = ("--sparse",) if sparse else ()  # new files there would be left out otherwise
    where = git.leave_out([*without, *apart])
    await git.must("add", *how, *outside, "--", *where, timeout_s=WORK_S)
    if apart:
        given = b"\0".join(os.fsencode(name) for name in apart)
        output = await git.run("update-index", "--remove", "-z", "--stdin", given=given)
        if output.code:
            raise git.failed("update-index", output)


async def base_of(tree: Worktree) -> str:
    """Return the commit that its changes begin at: where it left the branch it came from."""
    git = await Git.open(tree.folder)
    origin = f"refs/heads/{tree.origin}"
    return (await git.ask("merge-base", origin, "HEAD") if tree.origin else "") or tree.base


async def diff_since(folder: Path, moment: float, paths: Sequence[str] = ()) -> Diff:
    """Return what has changed in a folder since a moment, in seconds since the epoch.

    Git's own log of HEAD remembers the commit that was checked out then. What was not committed at
    that time shows as well, and so does what others have changed meanwhile. In a worktree of a
    session's own it is what a merge would bring. Raises `Conflict` where there is no git.
    """
    tree = await worktree_at(folder)
    if tree is not None:
        return await diff(folder, [await base_of(tree)], paths)
    then = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    return await diff(folder, [f"HEAD@{{{then}}}", "HEAD"], paths)


async def diff(folder: Path, bases: Sequence[str], paths: Sequence[str] = ()) -> Diff:
    """Return what has changed since the first of some revisions that is known.

    Raises `Conflict` where there is no git.
    """
    async with beside(folder) as git:
        commit = ""
        for revision in bases:
            commit = commit or await git.ask("rev-parse", "--verify", "--quiet", revision)
        base = commit or NO_COMMIT
        # New files are made known to the index only: no object is written.
        where = git.leave_out(await submodules(git))
        await git.run("add", "--intent-to-add", "--ignore-errors", "--", *where)
        files = await git.must("diff", *_SHOW, "--stat=100", base, "--", *paths)
        patch = await git.must("diff", *_SHOW, base, "--", *paths)
    return Diff(commit, files.text, patch.text)
