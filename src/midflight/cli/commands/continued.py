"""``midflight run --continue``: the latest session of this folder goes on."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight.cli.commands.attach import console
from midflight.cli.commands.send import until_quiet
from midflight.cli.options import command_line_options, flag_of
from midflight.cli.output import at_terminal, write
from midflight.cli.standard_input import read_task
from midflight.client.client import Client, connect
from midflight.commands import Send
from midflight.errors import InvalidInput, NotFound
from midflight.info import SessionInfo
from midflight.session.image_files import read_images
from midflight.values import Door

_OTHERS = ("worktree", "no_journal", "park_after", "notify", "json")
"""Options of a run that are none of its session, and mean nothing here."""


def go_on(args: argparse.Namespace) -> int:
    """Give the latest session of the folder the task, or at a terminal just attach to it."""
    for name in _useless(args):
        raise InvalidInput(
            f"--continue goes on with a session as it is, and not with {flag_of(name)}",
            "leave one of them out",
        )
    args.piped = False
    if args.task is not None:
        read_task(args)
    elif args.detach or args.image or args.then or not at_terminal():
        raise InvalidInput("say how it goes on", 'midflight --continue "your text"')
    return asyncio.run(_go_on(args, _messages(args)))


def _useless(args: argparse.Namespace) -> Iterator[str]:
    yield from (name for name in command_line_options(args) if name != "cwd")
    yield from (name for name in _OTHERS if getattr(args, name))


def _messages(args: argparse.Namespace) -> list[Send]:
    if args.task is None:
        return []
    later = [Send(text=text, delivery="queue") for text in args.then or ()]
    return [Send(text=args.task, images=read_images(args.image or ())), *later]


async def _go_on(args: argparse.Namespace, messages: Sequence[Send]) -> int:
    here = at_terminal() and not args.detach
    door: Door = "library" if args.piped else "terminal" if here else "command"
    folder = current_folder(needed=args.cwd is None) / (args.cwd or "")
    async with connect(door=door) as client:
        info = await _latest(client, folder.resolve())
        if args.detach:
            for message in messages:
                await client.carry_out(info.id, message)
            name = one_name(info.name)
            write(f"{name}\nTo follow it: midflight attach {shlex.quote(name)}\n")
            return 0
        if not here:
            return await until_quiet(client, info, messages, as_json=False)
        async with await client.session(info.id) as session:
            for message in messages:
                await session.command(message)
            return await console(client, session)


async def _latest(client: Client, folder: Path) -> SessionInfo:
    try:
        return await client.info(cwd=folder)
    except NotFound as error:
        raise NotFound(error.message, 'midflight "your task" begins one') from None
