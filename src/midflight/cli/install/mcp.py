"""How each program learns of the server: which file, and the entry in it."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from midflight.cli.install.plan import Plan, config_home, standing
from midflight.errors import InvalidInput
from midflight.lineage import SESSION_VARIABLE

NAME = "midflight"

TOOL_TIMEOUT_S = 660
"""How long a program that counts may wait for `wait`, whose most are 600 s."""

Argv = Sequence[str]
Locate = Callable[[Path, bool], Path]
"""From a folder, and whether it is for all folders, to the file with the settings."""

Edit = Callable[[str, Path, Argv], tuple[str, str]]
"""From the file's text, its path and what starts the server to the new text and our part of it."""


def plan(client: str, folder: Path, *, user: bool, arguments: Sequence[str] = ()) -> Plan:
    """Return what to write for a program, for one folder or for all.

    Raises `InvalidInput` for a file that cannot be changed without spoiling it.
    """
    locate, edit, then = _CLIENTS[client]
    path = locate(folder, user)
    old = standing(path)
    new, entry = edit(old, path, [_program(), "mcp", *arguments])
    return Plan(path=path, old=old, new=new, entry=entry, then=then)


def _program() -> str:
    """Return this program as it can be started from anywhere, whatever PATH is there."""
    beside = Path(sys.executable).with_name(NAME)
    return str(beside) if beside.exists() else NAME


# JSON --------------------------------------------------------------------------------------


def _json(key: str, entry: Callable[[Argv], dict[str, Any]]) -> Edit:
    def edit(old: str, path: Path, argv: Argv) -> tuple[str, str]:
        mine = entry(argv)
        shown = json.dumps({key: {NAME: mine}}, indent=2)
        try:
            whole = json.loads(old) if old.strip() else {}
            servers = whole.setdefault(key, {})
            servers[NAME] = {**servers.get(NAME, {}), **mine}
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{path} is not plain JSON, and could only be written without its comments",
                f"add this to it yourself: {json.dumps({NAME: mine})} below {key!r}",
            ) from error
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n", shown

    return edit


def _stdio(argv: Argv) -> dict[str, Any]:
    return {"type": "stdio", "command": argv[0], "args": list(argv[1:])}


def _plain(argv: Argv) -> dict[str, Any]:
    return {"command": argv[0], "args": list(argv[1:])}


def _local(argv: Argv) -> dict[str, Any]:
    return {
        "type": "local",
        "command": list(argv),
        "enabled": True,
        "timeout": TOOL_TIMEOUT_S * 1000,
    }


# TOML --------------------------------------------------------------------------------------

_TABLE = re.compile(rf"^\[mcp_servers\.{NAME}\].*?(?=^\[|\Z)", re.MULTILINE | re.DOTALL)


def _toml(old: str, path: Path, argv: Argv) -> tuple[str, str]:
    """Put a table into TOML; everything else stays as it stands, comments included.

    Codex hands only the variables that are named on to a server.
    """
    entry = "\n".join(
        [
            f"[mcp_servers.{NAME}]",
            f"command = {json.dumps(argv[0])}",
            f"args = {json.dumps(list(argv[1:]))}",
            f"env_vars = {json.dumps([SESSION_VARIABLE, *_NEEDED])}",
            f"tool_timeout_sec = {TOOL_TIMEOUT_S}",
        ]
    )
    if _TABLE.search(old):
        new = _TABLE.sub(lambda _: f"{entry}\n\n", old).rstrip("\n") + "\n"
    else:
        new = f"{old.rstrip()}\n\n{entry}\n".lstrip("\n")
    try:
        before, after = tomllib.loads(old), tomllib.loads(new)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} cannot be changed: {error}", "midflight mcp --print") from error
    for settings in (before, after):
        settings.get("mcp_servers", {}).pop(NAME, None)
    if {**before, "mcp_servers": {}} != {**after, "mcp_servers": {}}:
        raise InvalidInput(f"{path} cannot be changed without spoiling it", "midflight mcp --print")
    return new, entry


_NEEDED = ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "XDG_STATE_HOME")
"""What agents that are dispatched from there need of the user's environment."""


# Where they are --------------------------------------------------------------------------


def _settings(project: str, home: str) -> Locate:
    return lambda folder, user: Path.home() / home if user else folder / project


def _claude(folder: Path, user: bool) -> Path:  # noqa: FBT001 - a `Locate`
    own = os.environ.get("CLAUDE_CONFIG_DIR")
    home = Path(own) if own else Path.home()
    return home / ".claude.json" if user else folder / ".mcp.json"


def _opencode(folder: Path, user: bool) -> Path:  # noqa: FBT001 - a `Locate`
    base = config_home() / "opencode" if user else folder
    commented = base / "opencode.jsonc"
    return commented if commented.exists() else base / "opencode.json"


def _codex(folder: Path, user: bool) -> Path:  # noqa: FBT001 - a `Locate`
    own = os.environ.get("CODEX_HOME")
    home = Path(own) if own else Path.home() / ".codex"
    return (home if user else folder / ".codex") / "config.toml"


def _vscode(folder: Path, user: bool) -> Path:  # noqa: FBT001 - a `Locate`
    if not user:
        return folder / ".vscode" / "mcp.json"
    mac = Path.home() / "Library" / "Application Support"
    return (mac if sys.platform == "darwin" else config_home()) / "Code" / "User" / "mcp.json"


_CLIENTS: dict[str, tuple[Locate, Edit, str]] = {
    "claude": (
        _claude,
        _json("mcpServers", _stdio),
        "Claude Code asks once whether to use a project's server; /mcp shows it.",
    ),
    "opencode": (_opencode, _json("mcp", _local), "OpenCode uses it from its next start on."),
    "codex": (_codex, _toml, "Codex reads a project's file when the project is trusted."),
    "cursor": (
        _settings(".cursor/mcp.json", ".cursor/mcp.json"),
        _json("mcpServers", _plain),
        "Cursor shows it in its settings, under MCP.",
    ),
    "vscode": (_vscode, _json("servers", _stdio), "VS Code asks once whether to start it."),
}
