"""Folders and files that are ours alone, made so and checked; and files that may be anybody's."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal

from midflight.errors import InvalidInput

ANY_ACCESS = 0o077
"""The bits of a mode that let others read, write or enter."""

WRITE_ACCESS = 0o022
"""The bits of a mode that let others write."""


def current_folder(*, needed: bool = True) -> Path:
    """Return the folder that this process stands in.

    Raises `InvalidInput` if it was deleted, or if its name is no text. Where it is not ``needed``,
    the root stands in for it.
    """
    try:
        folder = Path.cwd()
        problem = "" if is_text(folder) else f"the name of the current folder {NOT_TEXT}"
    except FileNotFoundError:
        folder, problem = Path("/"), "the current folder was deleted"
    if problem and needed:
        raise InvalidInput(problem, "cd to another one")
    return Path("/") if problem else folder


NOT_TEXT = "is not written in UTF-8, so no agent and no journal can take it"


def is_text(path: Path) -> bool:
    """Tell whether a path is written in UTF-8. A system takes any bytes for one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_there(path: Path) -> bool:
    """Tell whether there is something; for coroutines too, since this is quick."""
    return path.exists()


def is_folder(path: Path | str) -> bool:
    """Tell whether there is a folder; for coroutines too, since this is quick."""
    return Path(path).is_dir()


def shown(path: Path | str) -> str:
    """Return a path as text, also one that is none."""
    return os.fsencode(path).decode(errors="replace")


def make_private(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing, so that only we can enter.

    What is there is left as it is. Raises `OSError`.
    """
    for missing in [path for path in (folder, *folder.parents) if not path.exists()][::-1]:
        if not missing.is_symlink():
            # A user who may write to a folder can put another one in place of those below it.
            missing.mkdir(mode=0o700, exist_ok=True)


def open_private(path: Path) -> int:
    """Open a file to read and write, and return its descriptor; a new one is private.

    A link is not followed. Raises `OSError`.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


class NotRegular(OSError):
    """What stands there is no regular file: a folder, a pipe or a device."""


def open_regular(path: Path | str, *, follow: bool = True) -> BinaryIO:
    """Open a file to read it, whoever has put it there; a pipe or a device is not waited for.

    The caller bounds what it reads. ``follow`` says whether a link is followed. Raises `OSError`,
    which is `NotRegular` for anything but a file, and `ValueError` for a name that no file has.
    """
    no_link = 0 if follow else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | no_link)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def exposed_by(status: os.stat_result, access: int = ANY_ACCESS) -> Literal["owner", "mode"] | None:
    """Tell by what others have access to a file or folder: its owner, its mode, or nothing."""
    if status.st_uid != os.geteuid():
        return "owner"
    return "mode" if stat.S_IMODE(status.st_mode) & access else None


def exposed_above(path: Path) -> tuple[Path, Literal["owner", "mode"]] | None:
    """Return a folder above a path in which others could put something else in its place.

    And by what they could: it is not ours, nor the system's, or others may write to it. In a folder
    such as ``/tmp`` nobody can move what belongs to others. Raises `OSError`.
    """
    trusted = {0, os.geteuid(), Path("/").stat().st_uid}  # which is another one in some containers
    for folder in sorted({*path.parents, *path.resolve().parents}):
        status = folder.stat()
        if status.st_uid not in trusted:
            return folder, "owner"
        if _others_write(status) and not status.st_mode & stat.S_ISVTX:
            return folder, "mode"
    return None


def _others_write(status: os.stat_result) -> bool:
    """Tell whether others may write; a group of the user's own, or the system's, is nobody else."""
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and status.st_gid not in {0, status.st_uid}
