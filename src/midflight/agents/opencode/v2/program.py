"""How OpenCode 2 is found and started: its environment, and its configuration in its own shape."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from midflight._util.programs import find_program, with_search_path
from midflight.agents.opencode.permissions import BASE, Rule, rules, skills
from midflight.agents.opencode.program import (
    TMPDIR,
    make_shell,
    mcp_server,
    merged,
    not_for_servers,
    own_tmpdir,
    shared,
)
from midflight.agents.opencode.server import PASSWORD
from midflight.agents.opencode.trust import variable, without
from midflight.agents.opencode.v2 import trust
from midflight.agents.opencode.v2.names import PREVIEW, STABLE, Names
from midflight.agents.shared.environment import inherited, runnable
from midflight.errors import AgentUnavailable
from midflight.lineage import SESSION_VARIABLE, UNKNOWN
from midflight.options import Options

INSTALL = "npm install -g @opencode/cli"
PREVIEW_PROGRAM = "lildax"
OWN_PASSWORD = "OPENCODE_PASSWORD"  # noqa: S105 - the name of a variable
"""Stable 2.x prefers this one to `PASSWORD`."""

NOT_HANDED_ON = (PASSWORD, OWN_PASSWORD, "OPENCODE_CONFIG_CONTENT", "OPENCODE_CONFIG_DIR")
_NOT_INHERITED = ("OPENCODE", "OPENCODE_PID", "OPENCODE_CLIENT", PASSWORD, OWN_PASSWORD)


def find(agent_path: Path | None) -> Path:
    """Return the program: that of the option, else the one on PATH, the preview before another.

    Raises `AgentUnavailable` that says how to install it.
    """
    if agent_path is not None:
        return runnable(agent_path, INSTALL)
    program = find_program(PREVIEW_PROGRAM) or find_program("opencode")
    if program is None:
        raise AgentUnavailable("OpenCode 2 is not installed", INSTALL)
    return program


def accept(version: str) -> str:
    """Return a version that is driven here. Raises `AgentUnavailable` for another one."""
    if not version.startswith("2."):
        raise AgentUnavailable(
            f"this is OpenCode {version or '?'}, and --agent opencode2 drives 2.x",
            "--agent opencode drives 1.18 and newer 1.x",
        )
    return version


def configuration(options: Options, names: Names) -> dict[str, Any]:
    """Return what midflight adds to OpenCode's configuration, for this server only."""
    asked = BASE + skills(options)
    if not names.session_rules:
        asked = asked + rules(options, (), "build")
    config: dict[str, Any] = {"share": "disabled", "permissions": in_v2(asked, names)}
    if options.mcp_servers:
        hidden = not_for_servers(options, NOT_HANDED_ON)
        servers = {name: _server(each, hidden) for name, each in options.mcp_servers.items()}
        config["mcp"] = {"servers": servers}
    folders = [folder / "skills" for folder in options.plugins]
    if folders:
        config["skills"] = [str(path) for path in folders if path.is_dir()]
    if options.system_prompt is not None:
        config["agents"] = {"build": {"system": options.system_prompt}}
        config["default_agent"] = "build"
    return config


def in_v2(listed: Iterable[Rule], names: Names) -> list[Rule]:
    """Return rules in 2.x's words."""
    return [
        {
            "action": names.own(rule["permission"]),
            "resource": rule["pattern"],
            "effect": rule["action"],
        }
        for rule in listed
    ]


def _server(server: Mapping[str, Any], hidden: Mapping[str, str]) -> dict[str, Any]:
    """Return an MCP server in 2.x's shape: it has no ``enabled``, and a time for each purpose.

    Its tools are called by name, not from a program that the model writes: so each is asked for.
    """
    entry = mcp_server(server, hidden) | {"codemode": False}
    del entry["enabled"]
    if "timeout" in entry:
        entry["timeout"] = {"execution": entry["timeout"]}
    return entry


class Launch(NamedTuple):
    """What a server is started with, but for what is made anew: its password and its folder."""

    path: Path
    names: Names
    env: Mapping[str, str]
    config: Mapping[str, Any]

    @classmethod
    def of(cls, options: Options, *, trusted: bool = True) -> Launch:
        """Find and read it all. Raises `AgentUnavailable` or `UnsupportedOption`."""
        path = find(options.agent_path)
        names = PREVIEW if path.name == PREVIEW_PROGRAM else STABLE
        env = {**inherited(_NOT_INHERITED), "PWD": str(options.cwd), **options.env}
        env |= {SESSION_VARIABLE: UNKNOWN, "OPENCODE_DISABLE_AUTOUPDATE": "1"}
        for name in (PASSWORD, OWN_PASSWORD):
            env.pop(name, None)
        # The preview does not read this variable, and would lose ours beside version 1's words.
        user = {} if names is PREVIEW else variable(env, "OPENCODE_CONFIG_CONTENT")
        config = merged(user, configuration(options, names))
        if options.setting_sources is not None and "project" not in options.setting_sources:
            env = trust.environment(env)
        elif not trusted:
            env = trust.environment(env)
            config = without(options, config)
        return cls(path, names, with_search_path(env), config)

    def key(self) -> tuple[object, ...]:
        """Return what is the same for sessions that can share a server: all but the folder."""
        return self.path, msgspec.json.encode((shared(self.env), self.config), order="sorted")

    def environment(self, password: str, folder: Path) -> dict[str, str]:
        """Return the environment to start it with.

        The preview reads no configuration from its environment: it gets a folder of settings with
        ours in it, and the user's own file beside that.
        """
        shell = make_shell(folder, self.env, NOT_HANDED_ON)
        config = msgspec.json.encode({**self.config, "shell": str(shell)})
        env = {**self.env, PASSWORD: password, OWN_PASSWORD: password}
        env[TMPDIR] = str(own_tmpdir(folder))
        if self.names is PREVIEW:
            return env | {"OPENCODE_CONFIG_DIR": str(_settings(folder / "settings", env, config))}
        return env | {"OPENCODE_CONFIG_CONTENT": config.decode()}

    def password_file(self) -> Path | None:
        """Return where the preview keeps the password that it makes itself."""
        if self.names is not PREVIEW:
            return None
        home = Path(self.env.get("HOME") or Path.home())
        return Path(self.env.get("XDG_STATE_HOME") or home / ".local/state", "opencode/password")


def _settings(folder: Path, env: Mapping[str, str], ours: bytes) -> Path:
    """Make the preview's folder of settings: of its two files the second one wins."""
    folder.mkdir()
    home = Path(env.get("HOME") or Path.home())
    theirs = Path(env.get("XDG_CONFIG_HOME") or home / ".config", "opencode")
    theirs = Path(env.get("OPENCODE_CONFIG_DIR") or theirs)
    for name in ("opencode.json", "opencode.jsonc"):
        if (theirs / name).is_file():
            (folder / "opencode.json").write_bytes((theirs / name).read_bytes())
    (folder / "opencode.jsonc").write_bytes(ours)
    return folder


def password(options: Options) -> str | None:
    """Return the password of a server that runs already, as the options or the user have it."""
    for name in (OWN_PASSWORD, PASSWORD):
        if word := options.env.get(name, os.environ.get(name)):
            return word
    return None
