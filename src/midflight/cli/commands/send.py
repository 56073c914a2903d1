"""``midflight send``, ``queue``, ``redirect``: a message to a session, which wakes one at rest."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight._util.files import current_folder
from midflight._util.sanitize import one_line
from midflight.cli.output import columns, json_line, write
from midflight.cli.terminal.transcript import ExitOutcome, Transcript
from midflight.client.client import Client, connect
from midflight.errors import Conflict, InvalidInput, NotAllowed, NotFound
from midflight.info import SessionInfo
from midflight.session.image_files import read_images


def send(args: argparse.Namespace) -> int:
    """Steer the running turn, or start one."""
    name, text = _session_and_text(args.words)
    command = c.Send(text=text, images=read_images(args.image or ()))
    return asyncio.run(_send(args, name, command, "sent to"))


def queue(args: argparse.Namespace) -> int:
    """Have a turn of its own for a message."""
    name, text = _session_and_text(args.words)
    command = c.Send(text=text, delivery="queue", images=read_images(args.image or ()))
    return asyncio.run(_send(args, name, command, "queued for"))


def redirect(args: argparse.Namespace) -> int:
    """Stop the turn, and start one for a message."""
    name, text = _session_and_text(args.words)
    images = read_images(args.image or ())
    command = c.Redirect(text=text, drop_queued=args.drop_queued, images=images)
    return asyncio.run(_send(args, name, command, "redirected"))


def _session_and_text(words: list[str]) -> tuple[str | None, str]:
    """Return the session's name and the text: one word is the text, two are both."""
    if len(words) > 2:  # noqa: PLR2004 - the two that were just named
        raise InvalidInput("one text is expected", 'put it in quotes: midflight send "your text"')
    *names, text = words
    return (names[0] if names else None), c.check_text(text)


async def _send(
    args: argparse.Namespace, name: str | None, command: c.Send | c.Redirect, done: str
) -> int:
    async with connect(door="command") as client:
        if name is None and len(command.text.split()) == 1:
            await _check_no_session(client, command.text.strip(), args.command)
        info = await client.info(name, cwd=current_folder(needed=name is None))
        return await carry_out(client, info, command, args, f"{done} {info.name}")


async def _check_no_session(client: Client, word: str, command: str) -> None:
    """Raise `InvalidInput` for a lone word that names a session: its text was forgotten."""
    with contextlib.suppress(Conflict, NotAllowed, NotFound):
        info = await client.info(word)
        raise InvalidInput(
            f"{word} names the session {info.name}, and there is no text for it",
            f'midflight {command} {info.name} "your text"',
        )


async def carry_out(
    client: Client, info: SessionInfo, command: c.Command, args: argparse.Namespace, done: str
) -> int:
    """Carry out a command, print what came of it, and return the exit code."""
    if args.wait:
        return await until_quiet(client, info, [command], as_json=args.json)
    outcome = await client.carry_out(info.id, command)
    as_json = json_line(msgspec.json.encode(outcome))
    waits = isinstance(command, c.Send) and command.delivery == "queue" and outcome.state
    if waits == "accepted" and outcome.number is not None:
        done += f" as message {outcome.number}"
    write(as_json if args.json else f"{one_line(done, 1000)}\n")
    return 0


async def until_quiet(
    client: Client, info: SessionInfo, commands: Sequence[c.Command], *, as_json: bool
) -> int:
    """Print what follows on commands; requests are not answered here."""
    # The first message is the one that was just sent; after an answer it is an older one.
    whole = isinstance(commands[0], c.Answer)
    transcript = Transcript(Path(info.cwd), whole=whole, width=columns())
    outcome = ExitOutcome()
    async with await client.session(info.id, attend=False) as session:
        for each in session.queued:
            waits = e.MessageAccepted(message=each.id, text=each.text, delivery="queue")
            transcript.take(waits)
        for command in commands:
            await session.command(command)
        async for event in session.stream():
            outcome.take(event)
            write(json_line(e.encode(event)) if as_json else transcript.take(event))
    return outcome.code
