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

from midflight._util.own_variables import JOURNAL
from midflight.agents.shared.folder_settings import jsonc_object
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
        return _added(old, path, (key,), entry(argv))

    return edit


def _added(old: str, path: Path, keys: Sequence[str], mine: dict[str, Any]) -> tuple[str, str]:
    """Put our entry below some keys of a JSON file; its other settings stay."""
    try:
        servers = whole = json.loads(old) if old.strip() else {}
        for key in keys:
            servers = servers.setdefault(key, {})
        servers[NAME] = {**servers.get(NAME, {}), **mine}
    except (ValueError, TypeError, AttributeError) as error:
        hint = f"add this to it yourself: {json.dumps({NAME: mine})} below {'.'.join(keys)!r}"
        raise InvalidInput(_why_not(old, path, error, keys), hint) from error
    shown: dict[str, Any] = {NAME: mine}
    for key in reversed(keys):
        shown = {key: shown}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n", json.dumps(shown, indent=2)


def _why_not(text: str, path: Path, error: Exception, keys: Sequence[str]) -> str:
    """Return why a file cannot be changed, with the place where that shows."""
    if not isinstance(error, json.JSONDecodeError):
        return f"{path} has something else than an object at {'.'.join(keys)!r}, or around it"
    try:
        jsonc_object(text.encode())
    except ValueError:
        return f"{path}:{error.lineno}:{error.colno} is not JSON: {error.msg}"
    return f"{path}:{error.lineno}:{error.colno} has comments, and would be written without them"


def _stdio(argv: Argv) -> dict[str, Any]:
    return {"type": "stdio", "command": argv[0], "args": list(argv[1:])}


def _plain(argv: Argv) -> dict[str, Any]:
    return {"command": argv[0], "args": list(argv[1:])}


# OpenCode ----------------------------------------------------------------------------------

_V1_KEYS = frozenset({"agent", "command", "mode", "permission", "plugin", "provider", "tools"})
_V2_KEYS = frozenset({"agents", "commands", "permissions", "plugins", "providers"})
"""Settings that only one version's shape of the file has."""


def _opencode_json(old: str, path: Path, argv: Argv) -> tuple[str, str]:
    """Put our entry where the file's own shape has MCP servers: a file of neither gets v1's.

    OpenCode 2 reads either shape, and its own description warns of files that mix them. Raises
    `InvalidInput` for such a file.
    """
    entry: dict[str, Any] = {"type": "local", "command": list(argv)}
    timeout_ms = TOOL_TIMEOUT_S * 1000
    if not _has_v2_shape(old, path):
        entry |= {"enabled": True, "timeout": timeout_ms}
        return _added(old, path, ("mcp",), entry)
    entry["timeout"] = {"execution": timeout_ms}
    return _added(old, path, ("mcp", "servers"), entry)


def _has_v2_shape(text: str, path: Path) -> bool:
    """Tell whether a file has OpenCode 2's shape: its MCP servers decide, else its other keys."""
    try:
        settings = jsonc_object(text.encode())
        section = dict(settings.get("mcp") or {})
    except (ValueError, TypeError):
        return False  # an empty file, or one that `_added` refuses
    # In version 1 these two can be names of servers, which have a type.
    ours = {key for key in ("servers", "timeout") if key in section and not _typed(section[key])}
    v1, v2 = bool(section.keys() - ours), bool(ours)
    if not (v1 or v2):
        v1, v2 = bool(_V1_KEYS & settings.keys()), bool(_V2_KEYS & settings.keys())
    if v1 and v2:
        raise InvalidInput(
            f"{path} mixes the settings of OpenCode 1 and 2",
            "bring it into one shape first: mcp.NAME is version 1, mcp.servers.NAME version 2",
        )
    return v2


def _typed(server: object) -> bool:
    return isinstance(server, dict) and isinstance(server.get("type"), str)


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


_NEEDED = (
    *("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY"),
    *("XDG_STATE_HOME", JOURNAL, "PGPASSFILE", "PGPASSWORD"),
)
"""What of the user's environment leads to the journal, and what agents dispatched there need."""


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
    "opencode": (_opencode, _opencode_json, "OpenCode uses it from its next start on."),
    "codex": (_codex, _toml, "Codex reads a project's file when the project is trusted."),
    "cursor": (
        _settings(".cursor/mcp.json", ".cursor/mcp.json"),
        _json("mcpServers", _plain),
        "Cursor shows it in its settings, under MCP.",
    ),
    "vscode": (_vscode, _json("servers", _stdio), "VS Code asks once whether to start it."),
}
