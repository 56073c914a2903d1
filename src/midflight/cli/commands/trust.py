"""``midflight trust``: shows what a folder has agents run, and keeps that the user agrees."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from shlex import quote

from midflight import agents
from midflight._util.sanitize import exact_line
from midflight.agents import NAMES, OFFERED
from midflight.cli.output import at_terminal, write
from midflight.cli.trust_question import Quit, forget_typed, line_of_terminal, listing
from midflight.errors import InvalidInput, InvalidOption, StoreFailed
from midflight.options import Options
from midflight.trust import store
from midflight.trust.repository import repository_of
from midflight.trust.stake import Obeyed, Stake, look


def trust(args: argparse.Namespace) -> int:
    """Carry out the command."""
    if args.list:
        return _list()
    try:
        options = Options.build(cwd=args.folder or Path.cwd(), agent=args.agent or "claude")
    except InvalidOption as error:
        if error.option != "cwd":
            raise
        message = error.message.removeprefix("cwd: ")
        raise InvalidInput(message, error.hint or "midflight trust --list") from error
    if args.forget:
        return _forget(options)
    store.check_caller()
    stakes = list(_stakes(options, args.agent))
    if not stakes:
        write("nothing here has an agent run or redirect anything\n")
        return 0
    for obeyed, stake in stakes:
        write(listing(obeyed, stake, options.cwd) + "\n")
        if stake.beyond:
            raise StoreFailed("this folder cannot be trusted", stake.beyond)
    if at_terminal() and not asyncio.run(_agrees()):
        write("nothing is changed\n")
        return 1
    with store.changed() as trusted:
        for _, stake in stakes:
            trusted.add(stake.files)
    write(f"trusted: {exact_line(repository_of(options.cwd).key)}\n")
    return 0


def _stakes(options: Options, agent: str | None) -> list[tuple[Obeyed, Stake]]:
    """Return what is at stake for each agent, but for one that obeys only what was shown."""
    if agent is not None and agent not in NAMES:
        raise InvalidOption("--agent", f"{agent!r} is not known", f"known: {', '.join(OFFERED)}")
    shown: set[tuple[str, str, str]] = set()
    found: list[tuple[Obeyed, Stake]] = []
    for name in NAMES if agent is None else (agent,):
        if (obeyed := agents.obeyed(name)) is not None and (stake := look(options, obeyed)):
            entries = {file.entry for file in stake.files}
            if stake.beyond or not entries <= shown:
                found.append((obeyed, stake))
            shown |= entries
    return found


async def _agrees() -> bool:
    while True:
        forget_typed()
        write("Trust this? [y/n] ")
        try:
            word = (await line_of_terminal()).strip().lower()
        except Quit:
            return False
        if word in {"y", "yes", "n", "no"}:
            return word[0] == "y"


def _forget(options: Options) -> int:
    key = repository_of(options.cwd).key
    with store.changed() as trusted:
        known = trusted.repositories.pop(key, None)
    if known is None:
        raise InvalidInput(f"{key} was not trusted", "midflight trust --list")
    write(f"forgotten: {exact_line(key)}\n")
    return 0


def _list() -> int:
    repositories = store.read().repositories
    if not repositories:
        write("nothing is trusted yet\n")
    for key, files in sorted(repositories.items()):
        gone = "" if os.path.lexists(key) else ", which is gone"
        count = f"{len(files)} {'file' if len(files) == 1 else 'files'}"
        write(f"{quote(exact_line(key))}  {count}{gone}\n")
    return 0
