"""``midflight run --detach``: a session in the background, in a host of its own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from shlex import quote
from typing import Any

import msgspec

from midflight.cli.commands.worktree import begun_in, how_to_go_on
from midflight.cli.output import json_line, one_line, write
from midflight.client.client import connect

__all__ = ["detach"]


async def detach(given: argparse.Namespace, options: Mapping[str, Any]) -> int:
    """Start the session, and return when its messages are accepted."""
    async with connect(notify=given.notify or "") as client:
        async with begun_in(given, options) as settled:
            session = await client.dispatch(given.task, **settled)
        async with session:
            for text in given.then or []:
                await session.send(text, delivery="queue")
        if given.json:
            info = await client.info(session.id)
            write(json_line(msgspec.json.encode(info)))
        else:
            name = one_line(session.name)
            write(f"{name}\nTo follow it: midflight attach {quote(name)}\n")
            if given.worktree:
                write(how_to_go_on(session.name))
    return 0
