"""The options of a run: what the command line says, on top of the defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from midflight._util.sanitize import one_line
from midflight.agents import NAMES
from midflight.cli.config.files import read_project, read_user
from midflight.cli.config.merge import File, Settled, settle
from midflight.cli.output import write
from midflight.errors import InvalidOption
from midflight.options import Options

AGENT_VARIABLE = "MIDFLIGHT_AGENT"

_FLAGS = {
    "allowed_tools": "--allow",
    "disallowed_tools": "--deny",
    "plugins": "--plugin",
    "skills": "--skill",
}


def user_file() -> File | None:
    """Read the user's defaults. Raises `InvalidConfig`."""
    return read_user(NAMES)


def project_file(folder: Path) -> File | None:
    """Read what the project of this folder narrows. Raises `InvalidConfig`."""
    return read_project(folder, NAMES)


def settled_options(given: argparse.Namespace) -> Settled:
    """Return the options of a run, and tell where a project's wish gives way to the command line.

    Raises `InvalidOption` in the words of the command line, and `InvalidConfig`.
    """
    told = said(given)
    try:
        options = Options.build(**told)
    except InvalidOption as error:
        raise in_the_words_of({}, error) from error
    settled = settle(
        {name: getattr(options, name) for name in told},
        variable=os.environ.get(AGENT_VARIABLE),
        user=user_file(),
        project=project_file(options.cwd),
    )
    for option, where in settled.overruled.items():
        flag = "--allow" if option == "disallowed_tools" else _flag(option)
        write(f"midflight: {one_line(where)} asks for less; {flag} stands\n", error=True)
    return settled


def in_the_words_of(sources: Mapping[str, str], error: InvalidOption) -> InvalidOption:
    """Return the error with the place where the option was set, instead of its name."""
    place = sources.get(error.option)
    hint = error.hint or ("midflight doctor" if place else "midflight run --help")
    message = error.message.removeprefix(f"{error.option}: ")
    return InvalidOption(place or _flag(error.option), message, hint)


def said(given: argparse.Namespace) -> dict[str, Any]:
    """Return what was said on the command line."""
    options = {
        "agent": given.agent,
        "model": given.model,
        "max_turns": given.max_turns,
        "max_budget_usd": given.max_budget_usd,
        "allowed_tools": _listed(given.allow),
        "disallowed_tools": _listed(given.deny),
        "permission_mode": given.permission_mode,
        "plugins": given.plugin,
        "skills": given.skill,
        "cwd": given.cwd,
        "timeout": given.timeout,
        "stall_timeout": given.stall_timeout,
        "on_usage_limit": given.on_usage_limit,
        "max_wait": given.max_wait,
        "name": given.name,
        "resume": given.resume,
        "server_url": given.server_url,
    }
    return {name: value for name, value in options.items() if value is not None}


def _flag(option: str) -> str:
    return _FLAGS.get(option, f"--{option.replace('_', '-')}")


def _listed(given: Iterable[str] | None) -> list[str] | None:
    """Split ``Bash(git add, git commit),Edit`` at the commas outside of brackets."""
    if given is None:
        return None
    names = [""]
    depth = 0
    for char in ",".join(given):
        depth += (char == "(") - (char == ")")
        if char == "," and depth <= 0:
            names.append("")
        else:
            names[-1] += char
    return [name.strip() for name in names if name.strip()]
