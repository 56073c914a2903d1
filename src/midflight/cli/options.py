"""The options of a run: those of the command line, on top of the defaults."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from midflight._util.sanitize import one_line
from midflight.agents import NAMES
from midflight.cli.output import write
from midflight.config.files import read_project, read_user
from midflight.config.merge import (
    LIFTABLE,
    LIFTED,
    TERMINAL_KEYS,
    Defaults,
    ResolvedOptions,
    resolve,
)
from midflight.errors import InvalidOption, UnsupportedOption
from midflight.options import Options

AGENT_VARIABLE = "MIDFLIGHT_AGENT"

_FLAGS = {
    "allowed_tools": "--allow",
    "disallowed_tools": "--deny",
    "plugins": "--plugin",
    "skills": "--skill",
    "add_dirs": "--add-dir",
    "images": "--image",
}


def user_file() -> Defaults | None:
    """Read the user's defaults. Raises `InvalidConfig`."""
    return read_user(NAMES)


def project_file(folder: Path) -> Defaults | None:
    """Read what the project of this folder narrows. Raises `InvalidConfig`."""
    return read_project(folder, NAMES)


def terminal_setting(key: str) -> bool:
    """Return what the user's file says of the terminal, or the default. Raises `InvalidConfig`."""
    user = user_file()
    return (user.terminal if user else {}).get(key, TERMINAL_KEYS[key])


def resolve_options(args: argparse.Namespace) -> ResolvedOptions:
    """Return the options of a run, and report where the command line overrules a project.

    Raises `InvalidOption` in the words of the command line, and `InvalidConfig`.
    """
    typed = command_line_options(args)
    build = Options.build if getattr(args, "on", None) is None else Options.build_elsewhere
    try:
        options = build(**typed)
    except InvalidOption as error:
        raise name_source({}, error) from error
    resolved = resolve(
        {name: getattr(options, name) for name in typed},
        variable=os.environ.get(AGENT_VARIABLE),
        user=user_file(),
        project=None if options.repo else project_file(options.cwd),
    )
    for option, where in resolved.overruled.items():
        flag = "--allow" if option == "disallowed_tools" else flag_of(option)
        write(f"midflight: {one_line(where)} asks for less; {flag} stands\n", error=True)
    return resolved


def name_source(sources: Mapping[str, str], error: InvalidOption, agent: str = "") -> InvalidOption:
    """Return the error that names where the option was set, instead of the option.

    Of a limit that a file has set and this agent cannot keep, it says how to lift it.
    """
    place = sources.get(error.option)
    hint = error.hint or ("midflight doctor" if place else "midflight run --help")
    if place and agent and isinstance(error, UnsupportedOption) and error.option in LIFTABLE:
        table = agent if re.fullmatch(r"[\w-]+", agent) else json.dumps(agent)
        hint = f'to lift it for this agent, there: [agents.{table}] {error.option} = "{LIFTED}"'
    message = error.message.removeprefix(f"{error.option}: ")
    return InvalidOption(place or flag_of(error.option), message, hint)


def command_line_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that stand on the command line."""
    options = {
        "agent": args.agent,
        "model": args.model,
        "max_turns": args.max_turns,
        "max_budget_usd": args.max_budget_usd,
        "allowed_tools": _listed(args.allow),
        "disallowed_tools": _listed(args.deny),
        "permission_mode": args.permission_mode,
        "plugins": args.plugin,
        "skills": args.skill,
        "cwd": args.cwd,
        "repo": args.repo,
        "ref": args.ref,
        "add_dirs": args.add_dir,
        "effort": args.effort,
        "system_prompt": args.system_prompt,
        "timeout": args.timeout,
        "stall_timeout": args.stall_timeout,
        "on_usage_limit": args.on_usage_limit,
        "max_wait": args.max_wait,
        "on_host_lost": args.on_host_lost,
        "background_timeout": args.background_timeout,
        "name": args.name,
        "resume": args.resume,
        "server_url": args.server_url,
        "trust": args.trust or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def flag_of(option: str) -> str:
    """Return how an option is called on the command line."""
    return _FLAGS.get(option, f"--{option.replace('_', '-')}")


def _listed(values: Iterable[str] | None) -> list[str] | None:
    """Split ``Bash(git add, git commit),Edit`` at the commas outside of brackets."""
    if values is None:
        return None
    names = [""]
    depth = 0
    for char in ",".join(values):
        depth += (char == "(") - (char == ")")
        if char == "," and depth <= 0:
            names.append("")
        else:
            names[-1] += char
    return [name.strip() for name in names if name.strip()]
