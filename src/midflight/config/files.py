"""Read the files with defaults, and refuse what cannot be meant, with the place where it stands."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from midflight._util.files import (
    WRITE_ACCESS,
    NotRegular,
    exposed_above,
    exposed_by,
    open_regular,
)
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
    Defaults,
    full_name,
)
from midflight.errors import InvalidConfig, InvalidOption
from midflight.options import FOR_TESTS, Options

_PATHS = ("plugins", "add_dirs", "agent_path")
_MAX_BYTES = 100_000

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_KEY = re.compile(r"([^=#\[\]]+)=")
_POSITION = re.compile(r"at line (\d+)")


def user_path() -> Path | None:
    """Return where the user's file would be; None if this user has no home folder."""
    from platformdirs import user_config_path

    try:
        return user_config_path("midflight", appauthor=False) / "config.toml"
    except RuntimeError:
        return None


def read_user(agents: Collection[str]) -> Defaults | None:
    """Return the user's file, None if there is none. Raises `InvalidConfig`.

    ``agents`` are the names for which a file may have a table of its own.
    """
    path = user_path()
    data = _read(path, private=True) if path else None
    return _file(path, data, KEYS, agents) if path and data is not None else None


def read_project(folder: Path, agents: Collection[str]) -> Defaults | None:
    """Return the file of the project that a folder belongs to; otherwise like `read_user`."""
    for place in _up_to_the_root(folder.resolve()):
        path = place / "midflight.toml"
        if (data := _read(path, private=False)) is not None:
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


def _read(path: Path, *, private: bool) -> bytes | None:
    """Return what is in a file, None if there is none; a pipe or a device is not waited for."""
    try:
        with open_regular(path) as file:
            if private:
                _check_private(path, os.fstat(file.fileno()))
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise InvalidConfig(str(path), "is a link to a file that does not exist") from None
        return None
    except NotRegular:
        raise InvalidConfig(str(path), "is not a regular file") from None
    except OSError as error:
        raise InvalidConfig(
            str(path), f"cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if len(data) > _MAX_BYTES:
        raise InvalidConfig(str(path), f"is over {_MAX_BYTES} bytes long")
    return data


def _check_private(path: Path, status: os.stat_result) -> None:
    """Refuse a file into which others could have written."""
    exposed = exposed_by(status, WRITE_ACCESS)
    quoted = shlex.quote(str(path))
    if (above := exposed_above(path)) is not None:
        hint = f"read it, then: chmod go-w {shlex.quote(str(above[0]))}"
        raise InvalidConfig(str(path), f"could be replaced by who can write to {above[0]}", hint)
    if exposed == "owner":
        hint = f"read it, then: sudo chown {os.geteuid()} {quoted}"
        raise InvalidConfig(str(path), "belongs to another user", hint)
    if exposed == "mode":
        hint = f"read it, then: chmod go-w {quoted}"
        raise InvalidConfig(str(path), "can be written by other users", hint)


def _file(path: Path, data: bytes, keys: Collection[str], agents: Collection[str]) -> Defaults:
    """Return the checked file. Raises `InvalidConfig` that names the place."""
    document, lines = _parsed(path, data)

    def wrong(name: str, message: str, hint: str = "") -> InvalidConfig:
        return InvalidConfig(str(path), message, hint, line=lines.get(name), key=name)

    bounds = document.pop(MCP, {}) if keys is KEYS else {}
    bounds = _mcp_table(path.parent, bounds, agents, wrong)
    terminal = _terminal_table(document.pop(TERMINAL, {}) if keys is KEYS else {}, wrong)
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
    return Defaults(path, document, for_agents, bounds, terminal, lines)


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
        if key in {"dirs", "agents"} and not isinstance(value, list):
            raise wrong(name, f"expected a list, got {value!r}")
        try:
            if key == "dirs":
                checked[key] = tuple(Path(_path(folder, key, item)) for item in value)
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
    if key in KEYS and keys is NARROWING:
        return (
            "a project can only narrow what its user has chosen, and this could widen or redirect",
            f"say it on the command line or in {user_path() or 'a file of your own'}",
        )
    if key in KEYS:
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


def _parsed(path: Path, data: bytes) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Return the content, and the lines of its keys."""
    import tomllib

    try:
        text = data.decode()
        return tomllib.loads(text), _lines(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidConfig(str(path), "is not UTF-8 text", line=line) from error
    except (ValueError, RecursionError) as error:
        position = _POSITION.search(str(error))
        line = int(position[1]) if position else data.count(b"\n") + 1
        raise InvalidConfig(str(path), f"is not TOML: {error}", line=line) from error


def _lines(text: str) -> Mapping[str, int]:
    """Return where each key and table starts, by its full name.

    The parser does not tell. Unusual forms, such as a table in one line, are left out: then an
    error names the key without a line.
    """
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _bare(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}.{_bare(key[1])}".removeprefix("."), number)
    return lines


def _bare(name: str) -> str:
    """Return a name without the quotes that TOML wants around some of its parts."""
    return re.sub(r"\s*\.\s*", ".", re.sub("[\"']", "", name)).strip()
