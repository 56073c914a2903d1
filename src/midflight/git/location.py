"""Where worktrees lie: in the user's data folder, which nothing tidies up, and closed to others."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from shlex import quote

from midflight._util.file_lock import lock
from midflight._util.files import (
    WRITE_ACCESS,
    exposed_above,
    exposed_by,
    make_private,
    open_private,
)
from midflight._util.text import slug
from midflight.errors import Conflict, MidflightError

LOCK_S = 60.0
"""How long to wait for another midflight that works in the same repository."""


def worktrees_root() -> Path:
    """Return the folder for all of them."""
    import platformdirs

    return Path(platformdirs.user_data_path("midflight", appauthor=False)) / "worktrees"


def work_root() -> Path:
    """Return the folder for the checkouts of sessions with a remote, where none is named."""
    return worktrees_root().with_name("work")


def repository_folder(common: Path, main: Path) -> Path:
    """Return the folder for the worktrees of one repository, which is made if it is missing.

    ``common`` is its git folder, by which it is found again; ``main`` its main checkout, which it
    is named after. Raises `MidflightError`.
    """
    digest = hashlib.sha256(os.fsencode(common)).hexdigest()[:8]
    known = sorted(worktrees_root().glob(f"*-{digest}"))
    return private_folder(
        known[0] if known else worktrees_root() / f"{slug(main.name)}-{digest}",
        "name another one with XDG_DATA_HOME",
    )


def private_folder(folder: Path, otherwise: str) -> Path:
    """Return a folder that only we can write to, which is made if it is missing.

    ``otherwise`` says how another one is named. Raises `MidflightError`.
    """
    try:
        make_private(folder)
        status = folder.stat()
        above = exposed_above(folder)
    except OSError as error:
        raise MidflightError(
            f"the folder {folder} cannot be made: {error.strerror}",
            otherwise,
        ) from error
    if exposed_by(status, WRITE_ACCESS):
        raise MidflightError(f"others can write to {folder}", f"chmod 700 {quote(str(folder))}")
    if above is not None:
        raise MidflightError(
            f"others can put another folder in place of {folder}: they can write to {above[0]}",
            f"chmod go-w {quote(str(above[0]))}, or {otherwise}",
        )
    return folder


@contextlib.asynccontextmanager
async def exclusive(folder: Path, seconds: float = LOCK_S) -> AsyncIterator[None]:
    """Hold the lock of a folder against other midflights. Raises `Conflict` if one keeps it."""
    file = open_private(folder / ".lock")
    try:
        try:
            await lock(file, seconds)
        except TimeoutError:
            raise Conflict("another midflight is at work in this repository", "try again") from None
        yield
    finally:
        os.close(file)
