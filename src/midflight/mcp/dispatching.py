"""Starts sessions for an agent, within the limits that hold for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from midflight.client import Client, RemoteSession
from midflight.errors import NotAllowed
from midflight.mcp import tools as t

__all__ = ["BUSY", "Dispatching", "Limits"]

BUSY = ("starting", "running", "waiting")
"""The states of a session that works, or waits for an answer."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How far agents may go in dispatching agents.

    ``depth``: an agent that a person talks to is at 0. ``children``: how many sessions that one
    has dispatched may be busy at the same time.
    """

    depth: int = 3
    children: int = 8


class Dispatching:
    """Starts one session at a time, so that no two take the last place that is left."""

    def __init__(self, client: Client, limits: Limits) -> None:
        """``client`` has been entered."""
        self._client = client
        self._limits = limits
        self._lock = asyncio.Lock()

    async def start(self, given: t.Dispatch, mine: Sequence[str]) -> RemoteSession:
        """Start a session; ``mine`` is the caller's own list of what it uses, which grows.

        Raises `NotAllowed` for what an agent may not ask for, and where a limit is reached.
        """
        may_answer = self._client.reach.may_answer
        if not may_answer and (given.allowed_tools or given.permission_mode == "acceptEdits"):
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
            await self._check_limits(mine)
            return await self._client.dispatch(given.task, cwd=given.cwd or Path.cwd(), **options)

    async def _check_limits(self, mine: Sequence[str]) -> None:
        kin = await self._client.reach.kin()
        if len(kin) >= self._limits.depth:
            raise NotAllowed(
                f"agents may dispatch agents {self._limits.depth} deep, and this one is there",
                "do it yourself",
            )
        everyone = await self._client.sessions()
        children = [
            info
            for info in everyone
            if info.status in BUSY and (info.parent == kin[0] if kin else info.id in mine)
        ]
        if len(children) >= self._limits.children:
            raise NotAllowed(
                f"{len(children)} sessions work for you already, which is the most", "wait for one"
            )
