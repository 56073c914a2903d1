"""What has changed in a session's folder since it began, as git sees it.

Compared are the files as they are now with the commit that was checked out when the session began,
which git's own log of HEAD remembers. What was not committed at that time shows as well, and so
does what others have changed meanwhile. In a worktree of its own it is what a merge would bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from midflight._util.sanitize import inert
from midflight.errors import Conflict
from midflight.git.diff import changed
from midflight.git.merge import start_of
from midflight.git.repository import worktree_at
from midflight.info import SessionInfo
from midflight.mcp.results import LEAD, Changes

__all__ = ["changes"]

MAX_FILES = 2_000
"""How many characters the list of files may have."""


async def changes(info: SessionInfo, paths: Sequence[str], most: int) -> Changes:
    """Return the changes, cut to so many characters. Raises `Conflict` where there is no git."""
    folder = Path(info.cwd)
    tree = await worktree_at(folder)
    if tree is None:
        began = datetime.fromtimestamp(info.created, UTC).isoformat(timespec="seconds")
        since = [f"HEAD@{{{began}}}", "HEAD"]
    else:
        since = [await start_of(tree)]
    try:
        told = await changed(folder, since, paths)
    except Conflict as error:
        error.hint = "read says what was done"
        raise
    text = inert(told.diff)
    return Changes(
        session=info.name,
        folder=str(folder),
        since=f"commit {told.commit[:12]}" if told.commit else "an empty repository",
        untrusted_files=LEAD + inert(told.files)[-MAX_FILES:],
        untrusted_diff=LEAD + text[:most],
        left_out=max(0, len(text) - most),
    )
