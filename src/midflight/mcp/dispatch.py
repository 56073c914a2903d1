"""Starts sessions for an agent, within the limits that hold for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from midflight.client.client import Client, RemoteSession
from midflight.errors import NotAllowed
from midflight.info import SessionInfo
from midflight.mcp import arguments as t
from midflight.state.session import BUSY
from midflight.worktrees import own_worktree


class DispatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far agents may go in dispatching agents, and where to.

    ``depth``: an agent that a person talks to is at 0. ``children``: how many sessions that one
    has dispatched may be busy at the same time. ``worktree``: each gets a git worktree of its own
    unless something else is said.
    """

    depth: int = 3
    children: int = 8
    worktree: bool = False


class Dispatching:
    """Starts one session at a time, so that no two take the last place that is left."""

    def __init__(self, client: Client, limits: DispatchLimits) -> None:
        """``client`` has been entered."""
        self._client = client
        self._limits = limits
        self._lock = asyncio.Lock()

    async def start(self, given: t.DispatchArgs, mine: Sequence[str]) -> RemoteSession:
        """Start a session; ``mine`` is the caller's own list of what it uses, which grows.

        Raises `NotAllowed` for what an agent may not ask for, and where a limit is reached.
        """
        grant = self._client.grant
        edits = given.permission_mode == "acceptEdits" and not grant.everything
        if edits or not all(map(grant.allows, given.allowed_tools)):
            raise NotAllowed(
                "an agent cannot allow another one anything beforehand",
                "leave out allowed_tools and acceptEdits",
            )
        options: dict[str, Any] = {
            name: value
            for name in ("name", "agent", "model", "allowed_tools", "max_turns", "max_budget_usd")
            if (value := getattr(given, name))
        }
        if given.permission_mode != "default":
            options["permission_mode"] = given.permission_mode
        async with self._lock:
            everyone = await self._client.sessions()
            kin = await self._client.ancestry()
            self._check_limits(everyone, kin, mine)
            left = _left(everyone, kin)
            if left is not None:
                options["max_budget_usd"] = min(given.max_budget_usd or left, left)
            options["cwd"] = given.cwd or Path.cwd()
            async with contextlib.AsyncExitStack() as stack:
                if self._limits.worktree if given.worktree is None else given.worktree:
                    await stack.enter_async_context(own_worktree(given.task, options))
                return await self._client.dispatch(given.task, **options)

    def _check_limits(
        self, everyone: Sequence[SessionInfo], kin: Sequence[str], mine: Sequence[str]
    ) -> None:
        if len(kin) >= self._limits.depth:
            raise NotAllowed(
                f"agents may dispatch agents {self._limits.depth} deep, and this one is there",
                "do it yourself",
            )
        children = [
            info
            for info in everyone
            if info.status in BUSY and (info.parent == kin[0] if kin else info.id in mine)
        ]
        if len(children) >= self._limits.children:
            raise NotAllowed(
                f"{len(children)} sessions work for you already, which is the most", "wait for one"
            )


def _left(everyone: Sequence[SessionInfo], kin: Sequence[str]) -> float | None:
    """Return the US dollars that the caller and those who have begun it leave; None: no limit.

    The limit of a session is that of all that it has begun, and these have begun. Raises
    `NotAllowed` where nothing is left.
    """
    parents = {info.id: info.parent for info in everyone}
    spent = dict.fromkeys(kin, 0.0)
    for info in everyone:
        above: str | None = info.id
        seen: set[str] = set()
        while above and above not in seen:
            seen.add(above)
            if above in spent:
                spent[above] += info.total_cost_usd
            above = parents.get(above)
    caps = {info.id: info.limits.get("max_budget_usd") for info in everyone}
    left = [cap - spent[one] for one in kin if (cap := caps.get(one)) is not None]
    if left and min(left) <= 0:
        raise NotAllowed("the budget is spent", "report what there is; the user can begin anew")
    return min(left, default=None)
