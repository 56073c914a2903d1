"""What the value of each option may be, and the form that a session gets it in.

A check gets the name of the option and a value, and returns the value in its final form or raises
`InvalidOption`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from midflight._util.files import NOT_TEXT, is_text, shown
from midflight.errors import InvalidOption
from midflight.git.remote import REMOTES, Remote, is_ref
from midflight.values import (
    Amount,
    Count,
    HostLostChoice,
    PermissionMode,
    Spent,
    UsageLimitChoice,
)

StrPath = str | os.PathLike[str]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_SKILL = re.compile(r"[\w:.@/-]+")


def _typed(kind: Any, expected: str) -> Callable[[str, Any], Any]:
    """Return a check by type and bounds alone."""

    def check(name: str, value: Any) -> Any:
        try:
            return msgspec.convert(value, kind)
        except (msgspec.ValidationError, OverflowError) as error:
            raise InvalidOption(name, f"expected {expected}, got {value!r}") from error

    return check


_count = _typed(Count | None, "a whole number from 1 up")


def _one_of(*words: str | None) -> Callable[[str, Any], Any]:
    """Return a check for one of a few words."""

    def check(name: str, value: Any) -> Any:
        if value not in words:
            raise InvalidOption(name, f"{value!r} is not one of {', '.join(filter(None, words))}")
        return value

    return check


def _plain(name: str, value: Any) -> str:
    """Return text that is safe as one argument of a command line: no option, no control code."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidOption(name, f"expected text, got {value!r}")
    if value.startswith("-"):
        raise InvalidOption(name, f"{value!r} looks like a command-line option")
    if _CONTROL.search(value):
        raise InvalidOption(name, "control characters and lone surrogates are not allowed")
    return value


def _optional_plain(name: str, value: Any) -> str | None:
    return None if value is None else _plain(name, value)


def _prose(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or _NOT_TEXT.search(value)):
        raise InvalidOption(name, "expected text without NUL and lone surrogates")
    return value


def items(name: str, value: Any) -> Iterable[Any]:
    """Return what is a list of some kind, and no text or mapping; its items are not looked at."""
    if isinstance(value, (str, bytes, Path, Mapping)) or not isinstance(value, Iterable):
        raise InvalidOption(name, f"expected a list, got {value!r}", f"write [{value!r}]")
    return value


def _names(name: str, value: Any) -> tuple[str, ...] | None:
    return None if value is None else tuple(_plain(name, item) for item in items(name, value))


def _tools(name: str, value: Any) -> tuple[str, ...] | None:
    """Return names of tools, each with what it is about in brackets or without."""
    tools = _names(name, value)
    for tool in tools or ():
        before, bracket, about = tool.partition("(")
        if not before or ")" in before or (bracket and not about.endswith(")")):
            raise InvalidOption(
                name, f"{tool!r} is no tool: its brackets do not match", 'as in "Bash(npm test)"'
            )
    return tools


def _absolute(name: str, value: StrPath) -> Path:
    """Return an absolute path; a relative one begins in the current folder."""
    path = Path(value).expanduser()
    try:
        path = path.absolute()
    except FileNotFoundError:
        raise InvalidOption(
            name, "the current folder was deleted", "cd to another one, or name one"
        ) from None
    if not is_text(path):
        raise InvalidOption(name, f"{shown(path)} {NOT_TEXT}", "rename it, or name another one")
    return path


def any_folder(name: str, value: Any) -> Path:
    """Return the absolute path of a folder, whether it is there or not."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise InvalidOption(name, f"expected a folder, got {value!r}")
    if "\0" in str(value):
        raise InvalidOption(name, "a path cannot contain NUL")
    return _absolute(name, value)


def directory(name: str, value: Any) -> Path:
    """Return a directory that exists and can be entered, by the path that no link leads to.

    Agents compare paths as text, and each resolves others of them.
    """
    path = any_folder(name, value)
    try:
        if not path.exists():
            raise InvalidOption(name, f"{path} does not exist")
        if not path.is_dir():
            raise InvalidOption(name, f"{path} is not a folder")
    except OSError as error:
        raise InvalidOption(name, f"{path} cannot be used: {error.strerror}") from error
    if not os.access(path, os.R_OK | os.X_OK):
        raise InvalidOption(name, f"{path} cannot be read", "check its permissions")
    return _real(name, path)


def _real(name: str, path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidOption(name, f"{path} cannot be resolved: {error}") from error


def within(name: str, value: Any) -> Path:
    """Return a folder of a repository, relative to it; whether it has one is seen later."""
    text = str(value) if isinstance(value, (str, os.PathLike)) else ""
    path = Path(text)
    if path.is_absolute() or not {"..", ".git", "~"}.isdisjoint(path.parts):
        raise InvalidOption(name, f"{text!r} is no folder within the repository", "such as api/src")
    return Path() if path == Path() else Path(_plain(name, text))


def _repository(name: str, value: Any) -> str | None:
    """Return the address of a repository; an error does not repeat what may be a secret."""
    if value is None:
        return None
    try:
        return Remote.parse(value if isinstance(value, str) else "").url
    except ValueError as error:
        raise InvalidOption(name, str(error), REMOTES) from None


def _ref(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and is_ref(value)):
        raise InvalidOption(name, f"{value!r} cannot name a branch, a tag or a commit")
    return value


def _command(name: str, value: Any) -> str | None:
    text = _prose(name, value)
    if text is not None and not text.strip():
        raise InvalidOption(name, "there is nothing to run")
    return text


def _directories(name: str, value: Any) -> tuple[Path, ...]:
    return tuple(directory(name, item) for item in items(name, () if value is None else value))


def _plugins(name: str, value: Any) -> tuple[Path, ...]:
    """Return folders, given as paths or ``{"type": "local", "path": …}``; the agent checks them."""
    paths = []
    for item in items(name, () if value is None else value):
        path = item.get("path") if isinstance(item, Mapping) else item
        if not isinstance(path, (str, os.PathLike)):
            raise InvalidOption(name, f"expected a folder, got {item!r}")
        paths.append(_absolute(name, _plain(name, str(path))))
    return tuple(paths)


def _type_name(value: object) -> str:
    """Return the type's name of a value that may be secret."""
    return type(value).__name__


def _skills(name: str, value: Any) -> tuple[str, ...] | None:
    """Return names of skills. They become rules for tools, so they may contain nothing else."""
    names = _names(name, value)
    for skill in names or ():
        if not _SKILL.fullmatch(skill):
            raise InvalidOption(name, f"{skill!r} is not the name of a skill")
    return names


def _environment(name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidOption(name, f"expected a mapping of names to values, not {_type_name(value)}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise InvalidOption(name, f"{key!r} and its value must be text")
        if not key or "=" in key or "\0" in key + text:
            raise InvalidOption(name, f"{key!r} cannot be an environment variable")
    return dict(value)


def _servers(name: str, value: Any) -> Mapping[str, Mapping[str, Any]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and isinstance(server, Mapping) for key, server in value.items()
    ):
        raise InvalidOption(name, "expected a mapping of server names to their settings")
    for key, server in value.items():
        _check_server(name, key, server)
    return {key: dict(server) for key, server in value.items()}


def _check_server(name: str, key: str, server: Mapping[str, Any]) -> None:
    """Raise `InvalidOption` that names the setting, without its value: that may be secret."""
    if not isinstance(server.get("command", server.get("url")), str):
        raise InvalidOption(name, f"server {key!r} needs a command or a url")
    for part in ("type", "command", "url"):
        if part in server and not isinstance(server[part], str):
            raise InvalidOption(name, f"{part} of server {key!r} is not text")
    for part in ("env", "headers"):
        values = server.get(part)
        if values is not None and not (
            isinstance(values, Mapping)
            and all(isinstance(text, str) for text in (*values, *values.values()))
        ):
            raise InvalidOption(name, f"{part} of server {key!r} is a mapping of text to text")
    words = server.get("args")
    if words is not None and not (
        isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words)
    ):
        raise InvalidOption(name, f"args of server {key!r} is a list of text")
    try:
        msgspec.json.encode(server)
    except UnicodeEncodeError:
        raise InvalidOption(
            name, f"server {key!r} has a lone surrogate, which is no text"
        ) from None
    except (TypeError, ValueError) as error:
        raise InvalidOption(name, f"server {key!r} is not plain data: {error}") from error


def _address(name: str, value: Any) -> str | None:
    if value is not None and not re.match(r"https?://[^/\s@?#]+/?$", _plain(name, value)):
        raise InvalidOption(name, f"expected http://host:port, got {value!r}")
    return None if value is None else str(value).rstrip("/")


def _file(name: str, value: Any) -> Path | None:
    return None if value is None else _absolute(name, _plain(name, str(value)))


def _handler(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise InvalidOption(name, f"expected a function, got {value!r}")
    return value


_amount = _typed(Amount | None, "a finite number above 0")
_seconds = _typed(Amount, "a finite number of seconds above 0")

CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "agent": _plain,
    **dict.fromkeys(("model", "name", "effort", "resume"), _optional_plain),
    "server_url": _address,
    "cwd": directory,
    "repo": _repository,
    "ref": _ref,
    "setup": _command,
    **dict.fromkeys(("max_turns", "max_depth", "max_children"), _count),
    **dict.fromkeys(("max_budget_usd", "timeout", "stall_timeout", "background_timeout"), _amount),
    **dict.fromkeys(("request_timeout", "max_wait"), _seconds),
    "spent_usd": _typed(Spent | None, "a finite number from 0 up"),
    "fork": _typed(bool, "True or False"),
    **dict.fromkeys(("allowed_tools", "disallowed_tools"), _tools),
    "setting_sources": _names,
    "skills": _skills,
    "permission_mode": _one_of(*get_args(PermissionMode)),
    "on_usage_limit": _one_of(None, *get_args(UsageLimitChoice)),
    "on_host_lost": _one_of(*get_args(HostLostChoice)),
    "plugins": _plugins,
    "mcp_servers": _servers,
    "system_prompt": _prose,
    "env": _environment,
    "add_dirs": _directories,
    "on_request": _handler,
    **dict.fromkeys(("attended", "trust"), _typed(bool | None, "True, False or None")),
    "agent_path": _file,
}
"""The check of each option, by its name."""
