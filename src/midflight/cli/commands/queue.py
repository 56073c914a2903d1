"""``midflight queue``: a message for a turn of its own; what waits, listed and changed."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

import msgspec

from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight.cli.commands.send import queue as send
from midflight.cli.output import columns, json_line, write
from midflight.cli.terminal.queue import DONE, VERBS, Change, lines
from midflight.client.client import connect
from midflight.errors import InvalidInput
from midflight.session.message import Message

WIDEST = 10_000
"""The longest line where no terminal bounds it; ``--json`` has each text whole."""


def queue(args: argparse.Namespace) -> int:
    """Queue a text, or list or change what waits."""
    given = {verb: getattr(args, verb) for verb in VERBS if getattr(args, verb) is not None}
    if not args.list and not given:
        if not args.words:
            raise InvalidInput(
                "say what is to be queued", "midflight queue --list shows what waits"
            )
        return send(args)
    name, *more = args.words or [None]
    if more or args.wait or args.image:
        what = "--wait" if args.wait else "--image" if args.image else "a text"
        raise InvalidInput(f"{what} does not go with this", "midflight queue --help")
    change = None
    for verb, words in given.items():  # one, or none
        change = Change(verb, [words] if isinstance(words, str) else words)
    return asyncio.run(_list_or_change(name, change, as_json=args.json))


async def _list_or_change(name: str | None, change: Change | None, *, as_json: bool) -> int:
    folder = current_folder(needed=name is None)
    async with (
        connect(door="command") as client,
        await client.session(name, cwd=folder, attend=False) as session,
    ):
        if change is not None:
            await change.carry_out(session)
        if as_json:
            write(_as_json(session.queued))
        elif change is not None:
            write(f"{one_name(session.name)}: {DONE[change.verb]} {change.words[0]}\n")
        else:
            listed = lines(session.queued, columns() or WIDEST)
            write("".join(f"{line}\n" for line in listed or ["nothing waits"]))
    return 0


def _as_json(queued: Sequence[Message]) -> bytes:
    """Return what waits, the first in line first."""
    waiting = [
        {
            "number": message.number,
            "message": message.id,
            "delivery": message.delivery,
            "text": message.text,
        }
        for message in queued
    ]
    return json_line(msgspec.json.encode(waiting))
