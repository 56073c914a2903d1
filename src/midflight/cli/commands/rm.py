"""``midflight rm``: removes sessions with all their events."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from midflight._util.files import current_folder, is_folder
from midflight._util.sanitize import one_line, one_name
from midflight.cli.output import write
from midflight.client.client import Client, connect
from midflight.errors import Conflict, MidflightError
from midflight.info import SessionInfo
from midflight.state.session import BUSY


def rm(args: argparse.Namespace) -> int:
    """Remove sessions."""
    return asyncio.run(_rm(args.sessions, force=args.force))


async def _rm(names: list[str], *, force: bool) -> int:
    from midflight.git.repository import worktree_at

    here = current_folder(needed=False)
    async with connect(door="command") as client:
        found = [await client.info(name, cwd=here) for name in names]
        for info in found:
            if info.status in BUSY and not force:
                raise Conflict(
                    f"session {info.name} is {info.status}", f"midflight rm --force {info.name}"
                )
            if not force and await _is_attended(client, info):
                raise Conflict(
                    f"somebody is at session {info.name}, in a terminal or a program",
                    f"midflight rm --force {info.name}",
                )
        for info in found:
            await client.remove(info.id)
            write(f"removed {one_name(info.name)}\n")
            if info.repository is not None and is_folder(info.cwd):
                write(f"its checkout stays: {one_line(info.cwd, 1000)}\n")
            if tree := await worktree_at(Path(info.cwd), here):
                write(f"its worktree stays: midflight worktree discard {tree.name}\n")
    return 0


async def _is_attended(client: Client, info: SessionInfo) -> bool:
    """Tell whether a person is there to answer; a host that has just ended has nobody."""
    with contextlib.suppress(MidflightError):
        return info.host is not None and (await client.agent(info.id)).attended
    return False
