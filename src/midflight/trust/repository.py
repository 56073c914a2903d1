"""Which repository a folder belongs to, read by hand: git itself could run what the folder says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from midflight._util.files import open_regular

MAX_POINTER_BYTES = 4096
"""How much is read of a file that names a folder of git."""


class Repository(NamedTuple):
    """What is trusted as one: ``key`` names it, ``root`` is the checkout that a folder is in.

    The key is the real path of git's common folder, which all worktrees share, or of the store that
    all checkouts of a remote have beside them; of a folder that is in no repository it is the
    folder itself.
    """

    key: str
    root: Path


def repository_of(folder: Path) -> Repository:
    """Return the repository of a folder. Nothing that the folder names is run or believed."""
    folder = folder.resolve()
    for root in (folder, *folder.parents):
        git = root / ".git"
        if git.is_dir():
            return Repository(str(_store_of(root) or git.resolve()), root)
        if git.is_file():
            return Repository(str(_common_folder(git) or root), root)
    return Repository(str(folder), folder)


def has_checkout(folder: Path) -> bool:
    """Tell whether a folder is in the checkout of a repository."""
    return repository_of(folder).root.joinpath(".git").exists()


def _store_of(root: Path) -> Path | None:
    """Return the store of a session's checkout, by where that lies; None for any other folder.

    Neither may be a link, so that no folder elsewhere has the trust of this remote.
    """
    store = root.parent / "store.git"
    is_checkout = re.fullmatch(r"[0-9a-f]{32}", root.name) and not (root / ".git").is_symlink()
    return store if is_checkout and store.is_dir() and not store.is_symlink() else None


def _common_folder(pointer: Path) -> Path | None:
    """Return the common folder of a worktree; None where it does not know this worktree.

    A folder can claim to be a worktree of any repository, and would have its trust.
    """
    named = _read(pointer)
    if not named.startswith("gitdir: "):
        return None
    own = (pointer.parent / named.removeprefix("gitdir: ")).resolve()
    common = (own / _read(own / "commondir")).resolve()
    back = _read(own / "gitdir")
    known = back and (own / back).resolve() == pointer.resolve()
    return common if known and own.parent == common / "worktrees" else None


def _read(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return os.fsdecode(file.read(MAX_POINTER_BYTES)).strip()
    except OSError:
        return ""
