"""``midflight run --detach``: a session in the background, in a host of its own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import msgspec

from midflight.cli.output import json_line, write
from midflight.client import connect

__all__ = ["detach"]


async def detach(given: argparse.Namespace, options: Mapping[str, Any]) -> int:
    """Start the session, and return when its messages are accepted."""
    async with connect() as client:
        session = await client.dispatch(given.task, **options)
        async with session:
            for text in given.then or []:
                await session.send(text, delivery="queue")
        if given.json:
            info = await client.info(session.id)
            write(json_line(msgspec.json.encode(info)))
        else:
            write(f"{session.name}\nTo follow it: midflight attach {session.name}\n")
    return 0
