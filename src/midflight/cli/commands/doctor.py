"""``midflight doctor``: which agents can be used here, and what to do if none can."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec

from midflight._util.files import current_folder
from midflight._util.own_variables import JOURNAL
from midflight._util.programs import find_program
from midflight._util.sanitize import one_line
from midflight.agents import NAMES, PRESETS
from midflight.agents.claude import program as claude_program
from midflight.agents.installed import how_to_install
from midflight.agents.opencode import program as opencode_program
from midflight.cli.options import AGENT_VARIABLE, project_file, user_file
from midflight.cli.output import BOLD, GREEN, RED, YELLOW, Fragment, json_line, write
from midflight.config.merge import Defaults
from midflight.config.reading import user_path
from midflight.errors import (
    AgentUnavailable,
    InvalidConfig,
    InvalidInput,
    MidflightError,
    StoreFailed,
)
from midflight.journal import Journal
from midflight.journal.choice import JournalAddress, choose
from midflight.journal.database import ROLE_MAY_NOT

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")


class Fact(msgspec.Struct, frozen=True):
    """One line of what was found."""

    about: str
    state: str
    detail: str


class Report:
    """What was found: each line is shown at once, or kept for the one object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.facts: list[Fact] = []

    def line(self, name: str, state: str, detail: str, style: str = "") -> None:
        """Add a line; without a name it says more about the one before."""
        state, detail = one_line(state), one_line(detail, 500)
        self.facts.append(Fact(name or self.facts[-1].about, state, detail))
        if self.as_json:
            return
        line: list[Fragment] = [
            (BOLD, f"{name:10}"),
            (style, f"{state:10}"),
            ("", f" {detail}\n" if detail else "\n"),
        ]
        write(line)


def doctor(args: argparse.Namespace) -> int:
    """Report what was found, or with ``--probe`` what was tried; return the exit code."""
    if args.probe:
        from midflight.cli.commands.probe import probe

        return probe(args.agent, as_json=args.json)
    if args.agent:
        raise InvalidInput("--agent goes with --probe", "midflight doctor --probe")
    return _doctor(as_json=args.json, typed=args.journal is not None)


def _doctor(*, as_json: bool, typed: bool) -> int:
    """Report what was found; return 0 if a session can be begun, else 1.

    Where the journal is shared that needs no agent here, and a role that only reads begins none.
    ``typed`` says that the journal was named by the option.
    """
    report = Report(as_json=as_json)
    report.line("midflight", version("midflight"), "")
    report.line("Python", platform.python_version(), sys.executable)
    git = find_program("git")
    state = "found" if git else "not found (not needed, but it is how to undo)"
    report.line("git", state, str(git or ""))
    ours = (("claude", _claude(report)), ("opencode", _opencode(report)))
    usable = [name for name, found in ours if found]
    usable += _presets(report)
    sound = _defaults(report)
    journal = _journal(report, typed=typed)
    kept, shared = journal is not None, journal is not None and journal.url is not None
    ready = (bool(usable) or shared) and sound and kept
    if as_json:
        found = {"ready": ready, "usable": usable, "facts": report.facts}
        write(json_line(msgspec.json.encode(found)))
    elif ready and not usable:
        write("\nNo agent can be used here: `midflight run --on LABEL` has a worker's do a task.\n")
    elif ready:
        agent = "" if usable[0] == "claude" else f"--agent {usable[0]} "
        write([("", "\n"), (GREEN, f'Ready: midflight {agent}"your task"'), ("", "\n")])
    else:
        broken = "The journal" if sound else "The defaults"
        what = f"{broken} must be mended first." if usable else "No agent can be used yet."
        write([("", "\n"), (RED, what), ("", " `midflight demo` needs none.\n")])
    return 0 if ready else 1


def _defaults(report: Report) -> bool:
    """Tell what sets defaults here, and return whether all of it can be used."""
    if variable := os.environ.get(AGENT_VARIABLE):
        known = variable in NAMES or ":" in variable
        report.line(
            "agent",
            variable if known else "unknown",
            f"set by {AGENT_VARIABLE}",
            "" if known else RED,
        )
    found = (
        _file(report, "defaults", user_file, f"no {user_path() or 'home folder'}"),
        _file(
            report,
            "project",
            lambda: project_file(current_folder(needed=False)),
            "no midflight.toml",
        ),
    )
    return all(found)


def _journal(report: Report, *, typed: bool) -> JournalAddress | None:
    """Return the journal, and report whether sessions can be kept: something is, for a moment."""
    try:
        journal = choose()
        writable = asyncio.run(_write_to(journal))
    except MidflightError as error:
        report.line("journal", "not usable", error.message, RED)
        if error.hint:
            report.line("", "do", error.hint, YELLOW)
        return None
    variable = os.environ.get(JOURNAL) and not typed  # the option sets it too
    named = f"{journal} (MIDFLIGHT_JOURNAL)" if variable else str(journal)
    if writable:
        report.line("journal", "writable", named, GREEN)
    else:
        report.line("journal", "read only", f"{named}: this role looks, and begins nothing", YELLOW)
    return journal


async def _write_to(address: JournalAddress) -> bool:
    """Tell whether a journal can be written to; one on a server may be one to look at."""
    async with Journal(address) as journal:
        try:
            await journal.host.register("")
        except StoreFailed as error:
            if error.hint != ROLE_MAY_NOT:
                raise
            return False
        await journal.host.leave()
        return True


def _project() -> Defaults | None:
    return project_file(current_folder(needed=False))


def _file(report: Report, name: str, read: Callable[[], Defaults | None], nothing: str) -> bool:
    """Tell what a file with defaults sets, and return whether it can be used."""
    try:
        file = read()
    except InvalidConfig as error:
        report.line(name, "broken", error.message, RED)
        if error.hint:
            report.line("", "do", error.hint, YELLOW)
        return False
    report.line(
        name,
        "read" if file else "none",
        f"{file.path}: {'; '.join(file.settings())}" if file else nothing,
    )
    return True


def _claude(report: Report) -> bool:
    """Report on Claude Code, and return whether it can be used."""
    try:
        path = claude_program.find(None)
        found = asyncio.run(claude_program.check(path))
    except AgentUnavailable as error:
        report.line("claude", "not usable", error.message, RED)
        report.line("", "do", error.hint, YELLOW)
        return False
    report.line("claude", found, str(path), GREEN)
    what = login(Path.home())
    if what is None:
        report.line("", "no key", "no key and no login were found", RED)
        report.line("", "do", f"export ANTHROPIC_API_KEY=…, or run {path} and log in there", YELLOW)
        return False
    report.line("", "key", what, GREEN)
    return True


def _opencode(report: Report) -> bool:
    """Report on OpenCode, and return whether it can be used."""
    try:
        path = opencode_program.find(None)
    except AgentUnavailable:
        report.line("opencode", "not here", opencode_program.INSTALL)
        return False
    try:
        found = asyncio.run(opencode_program.usable_version(path))
    except AgentUnavailable as error:
        report.line("opencode", "not usable", error.message, RED)
        report.line("", "do", error.hint, YELLOW)
        if " 2." in error.message:
            report.line("", "or", "--agent opencode2 drives it, experimentally", YELLOW)
        return False
    report.line("opencode", found, str(path), GREEN)
    report.line("", "key", f"its own affair: {path.name} auth list")
    return True


def _presets(report: Report) -> list[str]:
    """Tell which agents can be had over ACP, and return the names of those that can be used."""
    found = [name for name in PRESETS if not how_to_install(name)]
    others = f"not here: {', '.join(name for name in PRESETS if name not in found)}"
    report.line("acp", "ready", "--agent acp:COMMAND for any agent that speaks it")
    report.line("", "found" if found else "", f"{', '.join(found)}; {others}" if found else others)
    return found


def login(home: Path) -> str | None:
    """Say by what Claude Code could log in, never its value; None if there is nothing."""
    for name in KEYS:
        if os.environ.get(name, "").strip():
            return f"{name} is set"
    for name in CLOUDS:
        if os.environ.get(name, "").strip():
            return f"{name} is set: the cloud provider's own login is used"
    folder = Path(os.environ.get("CLAUDE_CONFIG_DIR") or home / ".claude")
    if (folder / ".credentials.json").is_file():
        return f"logged in ({folder / '.credentials.json'} is there)"
    if sys.platform == "darwin":
        return "perhaps logged in: the keychain is not looked into"
    return None
