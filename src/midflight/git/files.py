"""The files of a folder, as git knows them: those it keeps, and those that it does not ignore."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from midflight.errors import MidflightError
from midflight.git.command import Git, GitOutput

LIST_S = 2.0
"""How long git may look for files that it does not keep yet: it walks through all folders."""


async def list_files(folder: Path, most: int) -> list[str]:
    """Return paths of files below a folder, from there; those that are new to git come first.

    They are ``most`` of each of the two. Where it takes too long to find the new ones they are
    left out. Raises `Conflict` where there is no repository, and `MidflightError`.
    """
    git = await Git.open(folder)
    known = _names(await git.must("ls-files", "--cached", "-z", timeout_s=LIST_S), most)
    with contextlib.suppress(MidflightError):
        found = await git.must("ls-files", "--others", "--exclude-standard", "-z", timeout_s=LIST_S)
        known = [*_names(found, most), *known]
    return list(dict.fromkeys(known))  # one that is in conflict is there more than once


def _names(output: GitOutput, most: int) -> list[str]:
    return [os.fsdecode(name) for name in output.stdout.split(b"\0", most)[:most] if name]
