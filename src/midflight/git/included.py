"""Files that git ignores and a session needs all the same, as ``.worktreeinclude`` names them.

That file has patterns as ``.gitignore`` has. Copied are regular files that match one of them and
are ignored in the new folder too, so that none of them is committed; nothing that a link leads to.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

from midflight._util.files import open_regular
from midflight.errors import Conflict
from midflight.git.command import WORK_S, Git

NAME = ".worktreeinclude"

MOST_FILES = 10_000
MOST_BYTES = 1024 * 1024 * 1024
MAX_LIST = 64 * 1024
"""How much is read of the list of patterns."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Included(NamedTuple):
    """What was copied, by the paths in the folder, and what was not, with why."""

    copied: list[str]
    left: list[str]


async def include(source: Path, folder: Path) -> Included:
    """Copy to a new checkout what its list names, from a folder with files of the same layout.

    Nothing that is there is replaced. Raises `Conflict` where that is more than would be copied.
    """
    patterns = await asyncio.to_thread(_read, folder / NAME)
    if not patterns or not await asyncio.to_thread(source.is_dir):
        return Included([], [])
    matching = await _matching(source, folder, patterns)
    if len(matching) > MOST_FILES:
        raise Conflict(
            f"{NAME} names {len(matching)} files; the limit is {MOST_FILES}", "narrow it"
        )
    apart = await asyncio.to_thread(lambda: [n for n in matching if not _is_plain(folder, n)])
    names = await _ignored(folder, [name for name in matching if name not in apart])
    included = await asyncio.to_thread(_copy, source, folder, names)
    why = "a link of the repository leads elsewhere"
    return Included(included.copied, included.left + [f"{name}: {why}" for name in apart])


async def _matching(source: Path, folder: Path, patterns: bytes) -> list[str]:
    """Return the files below a folder that match, whether a repository has them or not."""
    with tempfile.TemporaryDirectory(prefix="midflight-") as scratch:
        listed = Path(scratch) / "patterns"
        await asyncio.to_thread(listed.write_bytes, patterns)
        git = await Git.open(folder, index=Path(scratch) / "index")
        git.look_at(source, await git.path("--absolute-git-dir") or folder / ".git")
        arguments = ("ls-files", "-z", "--others", "--ignored", f"--exclude-from={listed}")
        return (await git.must(*arguments, timeout_s=WORK_S)).names


async def _ignored(folder: Path, names: list[str]) -> list[str]:
    """Return those that git ignores in a checkout."""
    if not names:
        return []
    git = await Git.open(folder)
    git.take_patterns()  # or it refuses; with a dot in front of it none is one
    given = b"\0".join(os.fsencode(f"./{name}") for name in names)
    output = await git.run("check-ignore", "-z", "--stdin", given=given)
    if output.code > 1:
        raise git.failed("check-ignore", output)
    return [name.removeprefix("./") for name in output.names]


def _read(path: Path) -> bytes:
    try:
        with open_regular(path, follow=False) as file:
            return file.read(MAX_LIST)
    except OSError:
        return b""


def _copy(source: Path, folder: Path, names: list[str]) -> Included:
    copied, left, total = [], [], 0
    for name in names:
        target = folder / name
        try:
            with _opened(source, name) as file:
                total += os.fstat(file.fileno()).st_size
                if total > MOST_BYTES:
                    raise Conflict(f"{NAME} names more than {MOST_BYTES} bytes", "narrow it")
                target.parent.mkdir(parents=True, exist_ok=True)
                mode = os.fstat(file.fileno()).st_mode & 0o700
                with os.fdopen(os.open(target, _NEW, mode), "wb") as to:
                    shutil.copyfileobj(file, to)
            copied.append(name)
        except FileExistsError:
            pass
        except OSError as error:
            left.append(f"{name}: {error.strerror or error}")
    return Included(copied, left)


def _opened(source: Path, name: str) -> BinaryIO:
    """Open a file below a folder; a link anywhere on the way is not followed."""
    if not _is_plain(source, name):
        raise OSError(0, "a link leads to it")
    return open_regular(source / name, follow=False)


def _is_plain(folder: Path, name: str) -> bool:
    """Tell whether no link is on the way to a file below a folder."""
    parent = folder.resolve() / Path(name).parent
    return parent.resolve() == parent
