"""``midflight interrupt`` and ``stop``: a turn that is stopped, a session that is ended."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Collection

from midflight import commands as c
from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight.cli.output import write
from midflight.client.client import Client, connect
from midflight.info import SessionInfo
from midflight.state.session import BUSY


def interrupt(args: argparse.Namespace) -> int:
    """Stop the turn."""
    return asyncio.run(_interrupt(args.session, keep_queued=args.keep_queued))


async def _interrupt(name: str | None, *, keep_queued: bool) -> int:
    async with connect(door="command") as client:
        info = await _meant(client, name, BUSY)
        if info.host is None:
            write(f"{one_name(info.name)} is {info.status}: there is nothing to stop\n")
            return 0
        await client.carry_out(info.id, c.Interrupt(keep_queued=keep_queued))
        write(f"interrupted {one_name(info.name)}\n")
    return 0


async def _meant(client: Client, name: str | None, statuses: Collection[str]) -> SessionInfo:
    """Return the session of that name; without one the latest here that there is something to stop.

    Where there is none, it is the latest of all.
    """
    folder = current_folder(needed=name is None)
    if name is None:
        for info in await client.sessions(cwd=folder):
            if info.status in statuses:
                return info
    return await client.info(name, cwd=folder)


def stop(args: argparse.Namespace) -> int:
    """End the session."""
    return asyncio.run(_stop(args.session))


async def _stop(name: str | None) -> int:
    async with connect(door="command") as client:
        info = await _meant(client, name, {*BUSY, "idle"})
        if info.status == "closed":
            write(f"{one_name(info.name)} has ended already\n")
            return 0
        await client.carry_out(info.id, c.Close())
        write(f"stopped {one_name(info.name)}\n")
    return 0
