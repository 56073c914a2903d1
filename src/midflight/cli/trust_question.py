"""What a folder would have an agent run and redirect, as a person reads it, and the question."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from midflight import agents, lineage
from midflight._util.sanitize import exact
from midflight.cli.output import write
from midflight.options import Options
from midflight.trust import decision
from midflight.trust.decision import decide
from midflight.trust.repository import repository_of
from midflight.trust.stake import Consequence, Obeyed, Stake, StakeFile

USED = 12
"""How many files are listed that run and redirect nothing by themselves."""

_TITLES = {
    "run": "would run:",
    "redirect": "would send your key, and what you and the agent say, elsewhere:",
    "allow": "would allow beforehand (midflight asks all the same):",
    "use": "would obey:",
}

MAX_LINE = 4096

NOT_HASHED = (
    "What these commands call in turn is not looked at.\nIf a file changes, you are asked again."
)


class Quit(Exception):
    """The person starts nothing here."""


def listing(obeyed: Obeyed, stake: Stake, folder: Path) -> str:
    """Return all that is at stake where an agent works in this folder, in exact text.

    A file of another repository, as of a folder that was added, has its whole path.
    """
    here = repository_of(folder).key
    files = [msgspec.structs.replace(file, path=file.seen_from(here)) for file in stake.files]
    lines = [f"What stands in this folder, and {obeyed.agent}"]
    for kind, title in _TITLES.items():
        rows = list(dict.fromkeys(_rows(kind, files)))
        if rows:
            lines += [f"  {title}", *rows[: USED if kind == "use" else None]]
            if len(rows) > USED and kind == "use":
                lines.append(f"    and {len(rows) - USED} more")
    if silent := sum(not file.consequences for file in stake.files):
        lines.append(f"  would load: {silent} more {'file' if silent == 1 else 'files'}")
    lines += [f"  {exact(problem)}" for problem in stake.problems]
    if stake.beyond:
        lines.append(f"  It cannot be trusted: {exact(stake.beyond)}")
    return "\n".join([*lines, NOT_HASHED, ""])


def _rows(kind: str, files: Iterable[StakeFile]) -> Iterator[str]:
    for file in files:
        for consequence in file.consequences:
            if consequence.kind == kind:
                yield "    " + _row(file, consequence).replace("\n", "\n      ")


def _row(file: StakeFile, consequence: Consequence) -> str:
    if consequence.text.startswith(file.path):
        return exact(consequence.text)
    return f"{exact(file.path)}: {exact(consequence.text)}"


def question(obeyed: Obeyed, stake: Stake) -> str:
    """Return the question that follows."""
    ways = ["[t]rust them"] if _may_trust(stake) else []
    if obeyed.told:
        ways.append("[g]o on without them")
    elif _may_go_on(stake):
        ways.append("[g]o on all the same")
    return f"{', '.join([*ways, 'or [q]uit'] if ways else ['[q]uit'])}? "


def _may_trust(stake: Stake) -> bool:
    return not stake.beyond and not lineage.inside()


def _may_go_on(stake: Stake) -> bool:
    """Tell whether an agent that cannot leave them out may obey them for this session alone.

    That the key goes elsewhere is agreed to for good or not at all.
    """
    return _may_trust(stake) and not stake.redirects


async def ask(options: Options) -> Options:
    """Return the options to start with: where a folder is not trusted, the person decides.

    Raises `Quit` if they start nothing.
    """
    obeyed = agents.obeyed(options.agent)
    if obeyed is None:
        return options
    standing = await asyncio.to_thread(decide, options, obeyed)
    if not standing.notice:
        return options
    write(listing(obeyed, standing.stake, options.cwd))
    while True:
        forget_typed()
        write(question(obeyed, standing.stake))
        match (await line_of_terminal()).strip().lower():
            case "t" | "trust" if _may_trust(standing.stake):
                decision.record(standing.stake)
                return options
            case "g" | "go" | "go on" | "without" if obeyed.told:
                return msgspec.structs.replace(options, trust=False)
            case "g" | "go" | "go on" if not obeyed.told and _may_go_on(standing.stake):
                return msgspec.structs.replace(options, trust=True)
            case "q" | "quit":
                raise Quit


def forget_typed() -> None:
    """Drop what was typed before the question that follows: it answers nothing."""
    with contextlib.suppress(termios.error, OSError, ValueError):  # no terminal
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def line_of_terminal() -> str:
    """Read one line of the terminal. Raises `Quit` at its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bytes] = loop.create_future()
    file = sys.stdin.fileno()

    def read() -> None:
        if not ready.done():
            ready.set_result(os.read(file, MAX_LINE))

    loop.add_reader(file, read)
    try:
        line = await ready
    finally:
        loop.remove_reader(file)
    if not line:
        raise Quit
    return line.decode(errors="replace")
