"""Takes over the work of a session that has a worktree of its own."""

from __future__ import annotations

from shlex import quote

from midflight._util.files import current_folder
from midflight._util.sanitize import one_line
from midflight.client.client import Client
from midflight.info import SessionInfo
from midflight.mcp.results import WorktreeResult
from midflight.questions import WorktreeAction
from midflight.worktrees import SessionWorktrees, WorktreeOutcome

MAX_CONFLICTS = 50
"""How many files are named at most."""


async def take_over(client: Client, info: SessionInfo, action: WorktreeAction) -> WorktreeResult:
    """Merge, hand over or discard the worktree of a session. Raises `Conflict` if it has none."""
    worktree = await SessionWorktrees(client).of(info, current_folder(needed=False))
    done = await worktree.do(action, tell=True)
    return WorktreeResult(
        session=info.name,
        action=action,
        branch=one_line(done.branch),
        into=one_line(done.into),
        commit=done.commit[:12],
        untrusted_conflicts=[one_line(path) for path in done.conflicts[:MAX_CONFLICTS]],
        snapshot=done.snapshot,
        next=_next(done),
    )


def _next(done: WorktreeOutcome) -> str:
    if done.conflicts:
        return "it was told to resolve them: wait for it, then merge again"
    if done.action == "merge":
        return "" if done.new else "nothing was new; it had been merged before"
    if done.action == "branch":
        return f"to publish it: {one_line(done.command)}" if done.command else ""
    return (
        f"to get it back: git branch {quote(done.worktree)} {done.snapshot}"
        if done.snapshot
        else ""
    )
