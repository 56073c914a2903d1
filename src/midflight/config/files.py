"""Read the files with defaults, and refuse what cannot be meant, with the place where it stands."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from midflight._util.text import did_you_mean
from midflight.config.merge import (
    KEYS,
    LIFTABLE,
    LIFTED,
    MCP,
    MCP_KEYS,
    NARROWING,
    TERMINAL,
    TERMINAL_KEYS,
    WORKTREE,
    WORKTREE_KEYS,
    Defaults,
    full_name,
)
from midflight.config.reading import JOURNAL, journal_text, parsed, read, user_path
from midflight.errors import InvalidConfig, InvalidOption
from midflight.options import FOR_TESTS, Options

_PATHS = ("plugins", "add_dirs", "agent_path")


def read_user(agents: Collection[str]) -> Defaults | None:
    """Return the user's file, None if there is none. Raises `InvalidConfig`.

    ``agents`` are the names for which a file may have a table of its own.
    """
    path = user_path()
    data = read(path, private=True) if path else None
    return _file(path, data, KEYS, agents) if path and data is not None else None


def read_project(folder: Path, agents: Collection[str]) -> Defaults | None:
    """Return the file of the project that a folder belongs to; otherwise like `read_user`."""
    for place in _up_to_the_root(folder.resolve()):
        path = place / "midflight.toml"
        if (data := read(path, private=False)) is not None:
            return _file(path, data, NARROWING, agents)
    return None


def _up_to_the_root(folder: Path) -> list[Path]:
    """Return the folder and those above it, up to the root of the repository or the home folder.

    Where neither is above it, there is nothing to tell where the project ends: others may write
    in a folder such as ``/tmp``.
    """
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 - without a home, no error
    places = []
    for place in (folder, *folder.parents):
        places.append(place)
        if place == home or os.path.exists(place / ".git"):  # noqa: PTH110 - never raises
            return places
    return [folder]


def _file(path: Path, data: bytes, keys: Collection[str], agents: Collection[str]) -> Defaults:
    """Return the checked file. Raises `InvalidConfig` that names the place."""
    document, lines = parsed(path, data)

    def wrong(name: str, message: str, hint: str = "") -> InvalidConfig:
        return InvalidConfig(str(path), message, hint, line=lines.get(name), key=name)

    journal = document.pop(JOURNAL, None) if keys is KEYS else None
    if journal is not None:
        journal = journal_text(path, journal, lines.get(JOURNAL))
    bounds = document.pop(MCP, {}) if keys is KEYS else {}
    bounds = _mcp_table(path.parent, bounds, agents, wrong)
    terminal = _terminal_table(document.pop(TERMINAL, {}) if keys is KEYS else {}, wrong)
    worktree = _worktree_table(path, document.pop(WORKTREE, {}) if keys is KEYS else {}, wrong)
    for_agents = document.pop("agents", {})
    if not isinstance(for_agents, dict):
        raise wrong("agents", "expected tables such as [agents.NAME]")
    for agent, table in for_agents.items():
        _check_table(agent, table, agents, wrong)
    for agent, table in {"": document, **for_agents}.items():
        for key, value in table.items():
            name = full_name(agent, key)
            if key not in keys or (agent and key == "agent"):
                raise wrong(name, *_why_not(key, keys))
            if agent and key in LIFTABLE and value == LIFTED:
                table[key] = None
                continue
            try:
                table[key] = _checked(path.parent, key, value)
            except InvalidOption as error:
                message = error.message.removeprefix(f"{key}: ")
                raise wrong(name, message, error.hint) from error
    if "agent" in document:
        _check_agent("agent", document["agent"], agents, wrong)
    return Defaults(path, document, for_agents, bounds, terminal, worktree, lines, journal)


Wrong = Callable[..., InvalidConfig]


def _mcp_table(
    folder: Path, table: object, agents: Collection[str], wrong: Wrong
) -> Mapping[str, Any]:
    """Return the bounds of what `midflight mcp` dispatches, checked."""
    if not isinstance(table, dict):
        raise wrong(MCP, "expected a table", f"write [{MCP}]")
    checked: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{MCP}.{key}"
        if key not in MCP_KEYS:
            raise wrong(name, *_why_not(key, MCP_KEYS))
        if key in {"dirs", "agents", "repos"} and not isinstance(value, list):
            raise wrong(name, f"expected a list, got {value!r}")
        try:
            if key == "dirs":
                checked[key] = tuple(Path(_path(folder, key, item)) for item in value)
            elif key == "repos":
                checked[key] = tuple(Options.build(repo=item).repo for item in value)
            elif key == "agents":
                checked[key] = tuple(_checked(folder, "agent", item) for item in value)
                for agent in checked[key]:
                    _check_agent(name, agent, agents, wrong)
            else:
                checked[key] = _checked(folder, key, value)
        except InvalidOption as error:
            raise wrong(name, error.message.removeprefix(f"{key}: "), error.hint) from error
    return checked


def _terminal_table(table: object, wrong: Wrong) -> Mapping[str, bool]:
    """Return what the terminal does, checked."""
    if not isinstance(table, dict):
        raise wrong(TERMINAL, "expected a table", f"write [{TERMINAL}]")
    for key, value in table.items():
        if key not in TERMINAL_KEYS:
            raise wrong(f"{TERMINAL}.{key}", *_why_not(key, TERMINAL_KEYS))
        if not isinstance(value, bool):
            raise wrong(f"{TERMINAL}.{key}", f"expected true or false, got {value!r}")
    return table


def _worktree_table(path: Path, table: object, wrong: Wrong) -> Mapping[str, str]:
    """Return what is done with folders that midflight makes, checked."""
    if not isinstance(table, dict):
        raise wrong(WORKTREE, "expected a table", f"write [{WORKTREE}]")
    for key, value in table.items():
        name = f"{WORKTREE}.{key}"
        if key not in WORKTREE_KEYS:
            raise wrong(name, *_why_not(key, WORKTREE_KEYS))
        try:
            _checked(path.parent, key, value)
        except InvalidOption as error:
            raise wrong(name, error.message.removeprefix(f"{key}: "), error.hint) from error
    return table


def _check_table(agent: str, table: object, agents: Collection[str], wrong: Wrong) -> None:
    """Refuse a table for an agent that does not exist: a slip there would be without effect."""
    name = f"agents.{agent}"
    if not isinstance(table, dict):
        raise wrong(name, "expected a table", f"write [{name}]")
    _check_agent(name, agent, agents, wrong)


def _check_agent(name: str, agent: str, agents: Collection[str], wrong: Wrong) -> None:
    if agent not in agents and ":" not in agent:  # as in acp:COMMAND, with any command
        known = [each for each in agents if each != FOR_TESTS]
        hint = did_you_mean(agent, known, f"known: {', '.join(known)}")
        raise wrong(name, f"there is no agent {agent!r}", hint)


def _why_not(key: str, keys: Collection[str]) -> tuple[str, str]:
    """Return message and hint for a key that the file cannot have."""
    known = (*KEYS, JOURNAL)
    if key in known and keys is NARROWING:
        return (
            "a project can only narrow what its user has chosen, and this could widen or redirect",
            f"say it on the command line or in {user_path() or 'a file of your own'}",
        )
    if key in known:
        return "it cannot stand in the table of one agent", "put it at the top of the file"
    if key in Options.__struct_fields__:
        return "this option cannot be set in a file", f"known: {', '.join(keys)}"
    return "there is no such key", did_you_mean(key, keys, f"known: {', '.join(keys)}")


def _checked(folder: Path, key: str, value: Any) -> Any:
    """Return a value in its final form; what a path is relative to is the file's folder."""
    if key in _PATHS:
        many = isinstance(value, list)
        paths = [_path(folder, key, item) for item in (value if many else [value])]
        value = paths if many else paths[0]
    return getattr(Options.build(cwd=folder.root, **{key: value}), key)


def _path(folder: Path, key: str, value: Any) -> Any:
    """Return an absolute path; an empty one stays as it is, to be refused by its option."""
    if not isinstance(value, str):
        raise InvalidOption(key, f"expected a path as text, got {value!r}")
    return value and str(folder / os.path.expanduser(value))  # noqa: PTH111 - never raises
