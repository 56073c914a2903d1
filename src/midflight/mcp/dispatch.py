"""Starts sessions for an agent, within the limits that hold for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from midflight._util.files import current_folder
from midflight.client.client import Client
from midflight.client.session import RemoteSession
from midflight.errors import NotAllowed
from midflight.info import SessionInfo
from midflight.mcp import arguments as t
from midflight.state.session import BUSY
from midflight.worktrees import own_worktree


class DispatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far agents may go in dispatching agents, and where to.

    ``depth``: an agent that the user talks to is at 0. ``children``: how many sessions that an
    agent has dispatched may be busy at the same time. ``worktree``: each gets a git worktree of
    its own unless the call says otherwise.
    """

    depth: int = 3
    children: int = 8
    worktree: bool = False


class Dispatcher:
    """Starts one session at a time, so that no two take the last free place."""

    def __init__(self, client: Client, limits: DispatchLimits) -> None:
        """``client`` has been entered."""
        self._client = client
        self._limits = limits
        self._lock = asyncio.Lock()

    async def start(self, args: t.DispatchArgs, used: Sequence[str]) -> RemoteSession:
        """Start a session; ``used`` are the sessions that the caller has used here.

        Raises `NotAllowed` for what an agent may not ask for, and where a limit is reached.
        """
        grant = self._client.grant
        edits = args.permission_mode == "acceptEdits" and not grant.everything
        if edits or not all(map(grant.allows, args.allowed_tools)):
            raise NotAllowed(
                "an agent cannot allow another one anything beforehand",
                "leave out allowed_tools and acceptEdits",
            )
        options: dict[str, Any] = {
            name: value
            for name in ("name", "agent", "model", "allowed_tools", "max_turns", "max_budget_usd")
            if (value := getattr(args, name))
        }
        if args.permission_mode != "default":
            options["permission_mode"] = args.permission_mode
        async with self._lock:
            sessions = await self._client.sessions()
            ancestors = await self._client.ancestry()
            self._check_limits(sessions, ancestors, used)
            left = _budget_left(sessions, ancestors)
            if left is not None:
                options["max_budget_usd"] = min(args.max_budget_usd or left, left)
            options["cwd"] = args.cwd or current_folder()
            async with contextlib.AsyncExitStack() as stack:
                if self._limits.worktree if args.worktree is None else args.worktree:
                    await stack.enter_async_context(own_worktree(args.task, options))
                return await self._client.dispatch(args.task, **options)

    def _check_limits(
        self, sessions: Sequence[SessionInfo], ancestors: Sequence[str], used: Sequence[str]
    ) -> None:
        if len(ancestors) >= self._limits.depth:
            raise NotAllowed(
                f"agents may dispatch agents {self._limits.depth} deep, and this one is there",
                "do it yourself",
            )
        children = [
            info
            for info in sessions
            if info.status in BUSY
            and (info.parent == ancestors[0] if ancestors else info.id in used)
        ]
        if len(children) >= self._limits.children:
            raise NotAllowed(
                f"{len(children)} sessions work for you already, which is the most", "wait for one"
            )


def _budget_left(sessions: Sequence[SessionInfo], ancestors: Sequence[str]) -> float | None:
    """Return the US dollars left of the budgets of the caller and its ancestors; None: no limit.

    The limit of a session holds for all its descendants together. Raises
    `NotAllowed` where nothing is left.
    """
    parents = {info.id: info.parent for info in sessions}
    spent = dict.fromkeys(ancestors, 0.0)
    for info in sessions:
        above: str | None = info.id
        seen: set[str] = set()
        while above and above not in seen:
            seen.add(above)
            if above in spent:
                spent[above] += info.total_cost_usd
            above = parents.get(above)
    caps = {info.id: info.limits.get("max_budget_usd") for info in sessions}
    left = [cap - spent[one] for one in ancestors if (cap := caps.get(one)) is not None]
    if left and min(left) <= 0:
        raise NotAllowed("the budget is spent", "report what there is; the user can begin anew")
    return min(left, default=None)
