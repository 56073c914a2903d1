"""``midflight adopt``: conversations that were begun with the agent's own program go on here."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from midflight import lineage
from midflight._util.files import current_folder
from midflight._util.sanitize import one_line
from midflight._util.text import slug
from midflight.agents.claude import earlier as claude
from midflight.agents.opencode import earlier as opencode
from midflight.agents.shared.earlier import Earlier, Said
from midflight.cli.commands.run import start
from midflight.cli.output import BOLD, DIM, Fragment, at_terminal, columns, write
from midflight.cli.standard_input import read_task
from midflight.cli.terminal.render import markdown
from midflight.cli.terminal.table import age, align
from midflight.cli.terminal.wrap import wrapped
from midflight.errors import Conflict, InvalidInput, MidflightError, NotAllowed, NotFound
from midflight.journal import Journal

AGENTS = {"claude": claude, "opencode": opencode}
"""Those whose conversations are found."""

SHOWN = 20
"""How many conversations are listed."""

ID_CHARS = 8


def adopt(args: argparse.Namespace) -> int:
    """List the conversations of the folder, or go on with one."""
    if lineage.inside():
        raise NotAllowed("an agent cannot adopt what the user has begun", "the user runs it")
    if args.agent not in (None, *AGENTS):
        raise InvalidInput(
            f"conversations of {args.agent} are not found", f"known: {', '.join(AGENTS)}"
        )
    folder = (current_folder(needed=args.cwd is None) / (args.cwd or "")).resolve()
    agents = [args.agent] if args.agent else list(AGENTS)
    found = _found(agents, folder)
    ours = asyncio.run(_ours(folder))
    if args.conversation is None:
        return _list([each for each in found if each.id not in ours], folder)
    return _go_on(args, _meant(found, args.conversation, ours), folder)


def _found(agents: list[str], folder: Path) -> list[Earlier]:
    """Return the conversations of these agents, the newest first; what is not there is said."""
    found: list[Earlier] = []
    for agent in agents:
        try:
            found += AGENTS[agent].conversations(folder, os.environ)
        except MidflightError as error:
            write(f"midflight: {one_line(str(error), 1000)}\n", error=True)
    return sorted(found, key=lambda each: each.updated, reverse=True)


async def _ours(folder: Path) -> Mapping[str, str]:
    """Return the conversations that are sessions of midflight, with the names of these."""
    async with Journal() as journal:
        rows = await journal.sessions(cwd=str(folder))
    return {row.agent_session: row.name for row in rows if row.agent_session}


def _list(found: list[Earlier], folder: Path) -> int:
    if not found:
        where = one_line(str(folder), 1000)
        write(f"no conversation of Claude Code or OpenCode was begun in {where}\n")
        return 0
    now, rows = time.time(), [("ID", "AGENT", "AGE", "FIRST WORDS")]
    for each in found[:SHOWN]:
        first = one_line(f"(open) {each.first}" if each.open else each.first)
        rows.append((_short(each, found), each.agent, age(now - each.updated), first))
    head, *lines = align(rows, columns() or None)
    write([(DIM, f"{head}\n"), ("", "".join(f"{line}\n" for line in lines))])
    more = f"and {len(found) - SHOWN} older; " if len(found) > SHOWN else ""
    write([(DIM, f"{more}to go on with one here: midflight adopt ID\n")])
    return 0


def _short(one: Earlier, found: list[Earlier]) -> str:
    """Return the beginning of an id that no other one has."""
    length = ID_CHARS + 4 * one.id.startswith("ses_")
    while length < len(one.id) and sum(each.id.startswith(one.id[:length]) for each in found) > 1:
        length += 1
    return one.id[:length]


def _meant(found: list[Earlier], text: str, ours: Mapping[str, str]) -> Earlier:
    """Return the one conversation that is meant. Raises `NotFound` or `Conflict`."""
    fitting = [each for each in found if each.id.startswith(text)] if text else []
    if not fitting:
        raise NotFound(f"no conversation here begins with {text!r}", "midflight adopt lists them")
    if len(fitting) > 1:
        named = ", ".join(each.id for each in fitting[:5])
        raise Conflict(f"{len(fitting)} conversations begin with {text!r}", named)
    if name := ours.get(fitting[0].id):
        raise Conflict(
            f"this is the session {name} of midflight already", f"midflight resume {name}"
        )
    return fitting[0]


def _go_on(args: argparse.Namespace, one: Earlier, folder: Path) -> int:
    """Show what was said, and begin a session that goes on with it; what it has cost is unknown."""
    args.piped = False
    if args.task is not None:
        read_task(args)
    elif not at_terminal():
        raise InvalidInput("say how it goes on", f'midflight adopt {one.id} "your text"')
    if at_terminal():
        write(_history(AGENTS[one.agent].said(folder, os.environ, one.id)))
    if one.open:
        why = f"midflight: {one.open}, so a copy goes on here and that one stays as it is\n"
        write(why, error=True)
    args.agent, args.resume = one.agent, one.id
    args.name = args.name or slug(one.first)
    return start(args, fork=bool(one.open), spent_usd=None)


def _history(said: list[Said]) -> list[Fragment]:
    width = shutil.get_terminal_size().columns
    shown: list[Fragment] = []
    for each in said:
        if each.by_user:
            text = each.text.replace("\n", "\n  ")
            shown += wrapped([(BOLD, f"\n> {text}\n")], width)
        else:
            shown += [("", "\n"), *markdown(each.text, width)]
    return [*shown, (DIM, "\n  what was said before, in the agent's own program\n")]
