"""Starts sessions for an agent, within the bounds that hold for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from midflight.client.client import Client
from midflight.client.session import RemoteSession
from midflight.commands import check_text
from midflight.family import MAX_CHILDREN, check_children, check_depth
from midflight.mcp import arguments as t
from midflight.mcp.bounds import DispatchBounds
from midflight.mcp.elsewhere import place, refuse_without_label
from midflight.state.session import BUSY
from midflight.worktrees import own_worktree


class Dispatcher:
    """Starts one session at a time, so that no two take the last free place."""

    def __init__(self, client: Client, bounds: DispatchBounds) -> None:
        """``client`` has been entered."""
        self._client = client
        self._bounds = bounds
        self._lock = asyncio.Lock()

    async def start(
        self, args: t.DispatchArgs, used: Sequence[str]
    ) -> tuple[RemoteSession, list[str]]:
        """Start a session, and return it with what is to be said of where it begins.

        ``used`` are the sessions that the caller has used here. Raises `NotAllowed` for what the
        caller may not ask for, and where a limit is reached.
        """
        if args.on:
            self._client.authorizer.check_elsewhere()
        else:
            refuse_without_label(args)
        async with self._lock:
            options, folders = await self._options(args, used)
            if args.on:
                there = await place(args, self._bounds, folders)
                info = await self._client.begin(
                    check_text(args.task),
                    options | there.options,
                    id=there.id,
                    on=args.on,
                    first=there.first,
                )
                return self._client.begun(info), there.notes
            options["cwd"] = str(self._bounds.folder(args.cwd, folders))
            async with contextlib.AsyncExitStack() as stack:
                if self._bounds.worktree if args.worktree is None else args.worktree:
                    await stack.enter_async_context(own_worktree(args.task, options))
                return await self._client.dispatch(args.task, **options), []

    async def _options(
        self, args: t.DispatchArgs, used: Sequence[str]
    ) -> tuple[dict[str, Any], list[Path]]:
        """Return the options of the session, and the folders that the caller works in itself.

        What a session may hand down, its host looks at.
        """
        bounds = self._bounds
        ancestors = await self._client.ancestry()
        inside = await self._client.bounds() if ancestors else None
        options: dict[str, Any] = {
            name: value
            for name in ("name", "model", "allowed_tools", "max_turns", "max_budget_usd")
            if (value := getattr(args, name))
        }
        options["agent"] = bounds.agent(args.agent)
        options["permission_mode"] = bounds.mode(
            args.permission_mode or None, inside.mode if inside else None
        )
        if inside is None:
            bounds.check_tools(args.allowed_tools)
            options["max_budget_usd"] = bounds.budget(args.max_budget_usd, options["agent"])
        if bounds.depth is not None:
            check_depth(len(ancestors), bounds.depth)
        if bounds.children is not None or inside is None:
            await self._check_children(ancestors, used)
        return options, [Path(folder) for folder in (inside.folders if inside else ())]

    async def _check_children(self, ancestors: Sequence[str], used: Sequence[str]) -> None:
        busy = [info for info in await self._client.sessions() if info.status in BUSY]
        mine = [
            info for info in busy if (info.parent == ancestors[0] if ancestors else info.id in used)
        ]
        check_children(len(mine), self._bounds.children or MAX_CHILDREN)
