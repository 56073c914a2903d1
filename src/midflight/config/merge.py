"""Defaults of the command line: the user's file, and what a project's file takes away from them.

Only the command line reads files. `midflight.dispatch`, `open` and `run` take what their caller
passes. `midflight.config.files` reads and checks the files; this module decides which value
wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from midflight.narrowing import strictest, within
from midflight.options import Options

NARROWING = (
    "max_turns",
    "max_budget_usd",
    "timeout",
    "stall_timeout",
    "permission_mode",
    "allowed_tools",
    "disallowed_tools",
)
"""What a project's file may set: each of these can take something away and give nothing."""

KEYS = (
    *("agent", "model", *NARROWING, "plugins", "skills", "effort", "agent_path", "add_dirs"),
    *("on_usage_limit", "max_wait", "background_timeout", "on_host_lost"),
)
"""What the user's file may set. Nothing that may hold a secret is among it."""

MCP = "mcp"
MCP_KEYS = ("dirs", "agents", "repos", "permission_mode", "allowed_tools", "max_budget_usd")
"""The table of the user's file with the bounds of what `midflight mcp` dispatches, and its keys."""

TERMINAL = "terminal"
TERMINAL_KEYS = {"notify": True, "background": False}
"""The table of the user's file with what the terminal does, and its keys, each with its default."""

WORKTREE = "worktree"
WORKTREE_KEYS = ("setup",)
"""The table of the user's file for folders that midflight makes, and its keys."""

LIFTED = "none"
"""Lifts a limit for one agent, in its table: ``[agents.codex]``, ``max_budget_usd = "none"``."""

LIFTABLE = ("max_turns", "max_budget_usd", "timeout", "stall_timeout")

_FITS_ONE_AGENT = ("model", "effort", "agent_path")
_UNSET = Options(cwd=Path())


def full_name(agent: str, key: str) -> str:
    """Return the name of a key with the table that it stands in."""
    return f"agents.{agent}.{key}" if agent else key


class Defaults(msgspec.Struct, frozen=True):
    """A file that was read; every value in it has been checked.

    path: where it is. top: the values for every agent. agents: those for one agent, by its name,
    with None for a limit that is lifted.
    mcp: the bounds of what `midflight mcp` dispatches. terminal: what the terminal does. worktree:
    what is done with the folders that midflight makes.
    lines: the line of each key, by its full name, as far as it is known. journal: where it is.
    """

    path: Path = Path()
    top: Mapping[str, Any] = {}
    agents: Mapping[str, Mapping[str, Any]] = {}
    mcp: Mapping[str, Any] = {}
    terminal: Mapping[str, bool] = {}
    worktree: Mapping[str, str] = {}
    lines: Mapping[str, int] = {}
    journal: str | None = None

    def values(self, agent: str) -> dict[str, Any]:
        """Return the values for this agent.

        Where the file names an agent, the model (and what else fits only one agent) at the top
        level is meant for that one.
        """
        top = dict(self.top)
        if top.pop("agent", agent) != agent:
            top = {key: value for key, value in top.items() if key not in _FITS_ONE_AGENT}
        values = top | dict(self.agents.get(agent, {}))
        return {key: value for key, value in values.items() if value is not None}

    def where(self, agent: str, key: str) -> str:
        """Return file, line and full name of a key, as an error starts."""
        name = full_name(agent if key in self.agents.get(agent, {}) else "", key)
        line = self.lines.get(name)
        return f"{self.path}:{line}: {name}" if line else f"{self.path}: {name}"

    def settings(self) -> list[str]:
        """Return what the file sets, as a text for each key."""
        values = {
            full_name(agent, key): value
            for agent, table in {"": self.top, **self.agents}.items()
            for key, value in table.items()
        }
        tables = {MCP: self.mcp, TERMINAL: self.terminal, WORKTREE: self.worktree}
        for table_name, table in tables.items():
            values |= {f"{table_name}.{key}": value for key, value in table.items()}
        values |= {} if self.journal is None else {"journal": self.journal}
        return [
            f"{name} = {_encoded(LIFTED if value is None else value)}"
            for name, value in values.items()
        ]


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


class ResolvedOptions(msgspec.Struct, frozen=True):
    """The options of a run, and where they come from.

    options: as `midflight.dispatch` takes them. sources: where each option was set that is not from
    the command line. overruled: where a project asks for less than the command line, by option.
    """

    options: Mapping[str, Any]
    sources: Mapping[str, str]
    overruled: Mapping[str, str]


def resolve(
    typed: Mapping[str, Any],
    *,
    variable: str | None,
    user: Defaults | None,
    project: Defaults | None,
) -> ResolvedOptions:
    """Put together the command line, ``MIDFLIGHT_AGENT`` and the two files.

    ``typed`` holds the checked options of the command line. They win over the variable, and that
    over the user's file. The project narrows these defaults, but not what was typed. Only denials
    add up, wherever they stand; a rule that ``typed`` allows is none of them.
    """
    user, project = user or Defaults(), project or Defaults()
    agent, source = _agent(typed, variable, user)
    defaults = user.values(agent)
    sources = {"agent": source, **{key: user.where(agent, key) for key in defaults}}
    wishes = project.values(agent)
    for key, value in wishes.items():
        mine = defaults.get(key, getattr(_UNSET, key))
        if (narrower := _narrowed(key, mine, value)) != mine:
            defaults[key], sources[key] = narrower, project.where(agent, key)
    options = {"agent": agent, **defaults, **typed}
    if "disallowed_tools" in defaults:
        options["disallowed_tools"] = _denied(typed, defaults["disallowed_tools"])
    overruled = {
        key: project.where(agent, key)
        for key, value in wishes.items()
        if key in options and _narrowed(key, options[key], value) != options[key]
    }
    return ResolvedOptions(
        options, {key: sources[key] for key in sources if key not in typed}, overruled
    )


def _agent(typed: Mapping[str, Any], variable: str | None, user: Defaults) -> tuple[str, str]:
    """Return the agent's name and where it was set."""
    if "agent" in typed:
        return typed["agent"], "--agent"
    if variable:
        return variable, "MIDFLIGHT_AGENT"
    if "agent" in user.top:
        return user.top["agent"], user.where("", "agent")
    return _UNSET.agent, "the default"


def _narrowed(key: str, mine: Any, project: Any) -> Any:
    """Return ``mine`` with what the project takes away from it; never more than ``mine``."""
    if key == "permission_mode":
        return strictest((mine, project))
    if key == "disallowed_tools":
        return tuple(dict.fromkeys((*(mine or ()), *project)))
    if key == "allowed_tools":
        rules = (*within(mine or (), project), *within(project, mine or ()))
        return mine and tuple(dict.fromkeys(rules))
    return project if mine is None else min(mine, project)


def _denied(typed: Mapping[str, Any], defaults: Iterable[str]) -> tuple[str, ...]:
    """Return all denials: those of the command line, and the defaults that it does not allow."""
    allowed = typed.get("allowed_tools") or ()
    kept = (rule for rule in defaults if rule not in allowed)
    return tuple(dict.fromkeys((*(typed.get("disallowed_tools") or ()), *kept)))
