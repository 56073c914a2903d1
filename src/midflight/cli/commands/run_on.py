"""``midflight run --on LABEL``: a session for a worker, from a machine that runs nothing of it."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from midflight import events as e
from midflight._util.sanitize import one_line, one_name
from midflight.cli.foreground import Begin, door_of
from midflight.cli.output import at_terminal, columns, json_line, write
from midflight.cli.terminal.transcript import ExitOutcome, Transcript
from midflight.client.client import connect
from midflight.client.session import RemoteSession
from midflight.commands import Send, check_text
from midflight.errors import InvalidOption
from midflight.info import SessionInfo
from midflight.values import Door

_HERE = {
    "worktree": ("--worktree", "a worktree is made of a repository on this machine"),
    "no_journal": ("--no-journal", "workers find it in the journal"),
    "notify": ("--notify", "it is not kept; MIDFLIGHT_NOTIFY can be set for the worker"),
    "park_after": ("--park-after", "the worker decides: midflight worker --park-after"),
    "resume": ("--resume", "the agent's conversation is on the machine where it was held"),
}
"""Options of `run` that mean nothing on another machine."""


async def run_on(args: argparse.Namespace, options: Mapping[str, Any], begin: Begin) -> int:
    """Write the session; without ``--detach`` show what happens to it. Return the exit code."""
    for name, (flag, why) in _HERE.items():
        if getattr(args, name):
            raise InvalidOption(flag, why, "leave it out, or leave --on out")
    door: Door = "library" if args.piped else "command" if args.detach else door_of(args)
    async with connect(door=door) as client:
        session = client.begun(
            await client.begin(
                check_text(args.task),
                options,
                id=begin.id,
                images=args.images,
                on=args.on,
                first=begin.first,
            )
        )
        for text in args.then or []:
            await client.carry_out(session.id, Send(text=text, delivery="queue"))
        info = await client.info(session.id, exact=True)
        if args.detach:
            _report(info, as_json=args.json)
            return 0
        if at_terminal() and not args.json:
            from midflight.cli.commands.attach import console

            async with await client.session(session.id) as attached:
                return await console(client, attached)
        return await _follow(session, as_json=args.json)


def _report(info: SessionInfo, *, as_json: bool) -> None:
    if as_json:
        write(json_line(msgspec.json.encode(info)))
        return
    name = one_name(info.name)
    waits = f"It waits for {one_line(info.waits_for, 1000)}\n" if info.waits_for else ""
    write(f"{name}\n{waits}To follow it: midflight attach {shlex.quote(name)}\n")


async def _follow(session: RemoteSession, *, as_json: bool) -> int:
    """Print what happens until it is quiet; requests are not answered here."""
    transcript = Transcript(Path(session.info.cwd), width=columns())
    outcome = ExitOutcome()
    async with session:
        session.attend(None)
        async for event in session.stream():
            outcome.take(event)
            write(json_line(e.encode(event)) if as_json else transcript.take(event))
    return outcome.code
