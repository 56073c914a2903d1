"""``midflight limits``: what bounds a session's turns and its money, shown or changed."""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from midflight._util.files import current_folder
from midflight.cli.limits import change, in_words
from midflight.cli.output import json_line, write
from midflight.client.client import connect


def limits(args: argparse.Namespace) -> int:
    """Show the limits of one session, after changing those that were given."""
    return asyncio.run(_limits(args))


async def _limits(args: argparse.Namespace) -> int:
    name, command = args.session, change(args)
    async with connect(door="command") as client:
        info = await client.info(name, cwd=current_folder(needed=name is None))
        if command is not None:
            await client.carry_out(info.id, command)
            info = await client.info(info.id, exact=True)
    write(json_line(msgspec.json.encode(info.limits)) if args.json else in_words(info.limits))
    return 0
