"""``midflight doctor``: which agents can be used here, and what to do if none can."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from midflight.agents import NAMES, PRESETS
from midflight.agents.acp import program as acp_setup
from midflight.agents.claude import program as claude_cli
from midflight.agents.opencode import program as opencode_setup
from midflight.cli.config.files import user_path
from midflight.cli.config.merge import File
from midflight.cli.config.options import VARIABLE, project_file, user_file
from midflight.cli.output import Fragment, one_line, write
from midflight.errors import AgentUnavailable, InvalidConfig

__all__ = ["doctor", "login"]

BOLD, RED, GREEN, YELLOW = "1", "31", "32", "33"

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")


def doctor() -> int:
    """Print what was found; return 0 if at least one agent can be used, else 1."""
    _line("midflight", version("midflight"), "")
    _line("Python", platform.python_version(), sys.executable)
    git = shutil.which("git")
    _line("git", "found" if git else "not found (not needed, but it is how to undo)", git or "")
    usable = [name for name, found in (("claude", _claude()), ("opencode", _opencode())) if found]
    usable += _presets()
    sound = _defaults()
    if usable and sound:
        agent = "" if usable[0] == "claude" else f"--agent {usable[0]} "
        write([("", "\n"), (GREEN, f'Ready: midflight {agent}"your task"'), ("", "\n")])
        return 0
    what = "The defaults must be mended first." if usable else "No agent can be used yet."
    write([("", "\n"), (RED, what), ("", " `midflight demo` needs none.\n")])
    return 1


def _defaults() -> bool:
    """Print what sets defaults here, and return whether all of it can be used."""
    if variable := os.environ.get(VARIABLE):
        known = variable in NAMES or ":" in variable
        _line("agent", variable if known else "unknown", f"set by {VARIABLE}", "" if known else RED)
    found = (
        _file("defaults", user_file, f"no {user_path() or 'home folder'}"),
        _file("project", lambda: project_file(Path.cwd()), "no midflight.toml"),
    )
    return all(found)


def _file(name: str, read: Callable[[], File | None], nothing: str) -> bool:
    """Print what a file with defaults sets, and return whether it can be used."""
    try:
        file = read()
    except InvalidConfig as error:
        _line(name, "broken", error.message, RED)
        if error.hint:
            _line("", "do", error.hint, YELLOW)
        return False
    _line(
        name,
        "read" if file else "none",
        f"{file.path}: {'; '.join(file.told())}" if file else nothing,
    )
    return True


def _claude() -> bool:
    """Print what there is to say about Claude Code, and return whether it can be used."""
    try:
        path = claude_cli.find(None)
        found = asyncio.run(claude_cli.check(path))
    except AgentUnavailable as error:
        _line("claude", "not usable", error.message, RED)
        _line("", "do", error.hint, YELLOW)
        return False
    _line("claude", found, str(path), GREEN)
    what = login(Path.home())
    if what is None:
        _line("", "no key", "no key and no login were found", RED)
        _line("", "do", f"export ANTHROPIC_API_KEY=…, or run {path} and log in there", YELLOW)
        return False
    _line("", "key", what, GREEN)
    return True


def _opencode() -> bool:
    """Print what there is to say about OpenCode, and return whether it can be used."""
    try:
        path = opencode_setup.find(None, Path.cwd())
    except AgentUnavailable:
        _line("opencode", "not here", opencode_setup.INSTALL)
        return False
    try:
        found = opencode_setup.accept(asyncio.run(claude_cli.version(path)))
    except AgentUnavailable as error:
        _line("opencode", "not usable", error.message, RED)
        _line("", "do", f"{opencode_setup.INSTALL}@1.18", YELLOW)
        return False
    _line("opencode", found, str(path), GREEN)
    _line("", "key", f"its own affair: {path.name} auth list")
    return True


def _presets() -> list[str]:
    """Print which agents can be had over ACP, and return the names of those that can be used."""
    found = [name for name, preset in PRESETS.items() if shutil.which(preset.command.split()[0])]
    try:
        acp_setup.protocol_version()
    except AgentUnavailable as error:
        _line("acp", "not here", error.hint)
        return []
    others = f"not here: {', '.join(name for name in PRESETS if name not in found)}"
    _line("acp", "ready", "--agent acp:COMMAND for any agent that speaks it")
    _line("", "found" if found else "", f"{', '.join(found)}; {others}" if found else others)
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


def _line(name: str, state: str, detail: str, style: str = "") -> None:
    line: list[Fragment] = [
        (BOLD, f"{name:10}"),
        (style, f"{one_line(state):10}"),
        ("", f" {one_line(detail, 500)}\n" if detail else "\n"),
    ]
    write(line)
