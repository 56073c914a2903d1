"""OpenCode's program: where it is, and the environment and configuration that it gets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from midflight.agents.checks import check_servers, runnable
from midflight.agents.opencode_policy import BASE, as_config, check, skills
from midflight.errors import AgentUnavailable, UnsupportedOption
from midflight.options import Options

__all__ = [
    "GO_ON",
    "INSTALL",
    "MINIMUM",
    "NOT_HANDED_ON",
    "PASSWORD",
    "accept",
    "check_options",
    "configuration",
    "environment",
    "find",
]

INSTALL = "npm install -g opencode-ai"
MINIMUM = (1, 18)
"""The oldest version that was measured."""
BELOW = (2,)
"""From here on it speaks another protocol."""

PASSWORD = "OPENCODE_SERVER_PASSWORD"  # noqa: S105 - the name of a variable

GO_ON: Mapping[str, Any] = {"experimental": {"continue_loop_on_deny": True}}
"""One refusal refuses all calls that wait, the others without a word: that would end the loop."""

NOT_HANDED_ON = (PASSWORD, "OPENCODE_CONFIG_CONTENT", "OPENCODE_PERMISSION")
"""What opens the server, or has the keys of others in it: not for what the server runs."""

_SETTINGS = frozenset({"user", "project", "local"})
_NOT_INHERITED = ("OPENCODE", "OPENCODE_PID", "OPENCODE_CLIENT", PASSWORD)
"""Variables by which an OpenCode that we may run inside would be mistaken for this one."""


def find(given: Path | None, cwd: Path) -> Path:
    """Return the program: the one asked for, else on PATH, else in a project's ``node_modules``.

    Raises `AgentUnavailable` that says how to install it.
    """
    if given is not None:
        return runnable(given, INSTALL)
    if on_path := shutil.which("opencode"):
        return Path(on_path)
    for folder in (cwd, *cwd.parents):
        local = folder / "node_modules" / ".bin" / "opencode"
        if local.exists():
            return runnable(local, INSTALL)
    raise AgentUnavailable("OpenCode is not installed", INSTALL)


def accept(version: str) -> str:
    """Return a version that midflight can drive. Raises `AgentUnavailable` for another one."""
    parts = tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())
    if not MINIMUM <= parts < BELOW:
        raise AgentUnavailable(
            f"this is OpenCode {version or '?'}, and 1.18 or a newer 1.x is needed",
            f"{INSTALL}@1.18",
        )
    return version


def check_options(options: Options) -> None:
    """Raise `UnsupportedOption` for what OpenCode cannot do, before anything starts."""
    check(options)
    sources = options.setting_sources
    if sources is not None and ("user" not in sources or not set(sources) <= _SETTINGS):
        raise UnsupportedOption(
            "setting_sources", "OpenCode always loads the user's own", "add 'user', or leave it out"
        )
    check_servers(options.mcp_servers)
    if options.server_url is None:
        return
    try:
        _ = urlsplit(options.server_url).port
    except ValueError as error:
        raise UnsupportedOption("server_url", f"it cannot be an address: {error}") from error
    for option in ("mcp_servers", "plugins", "system_prompt", "setting_sources", "agent_path"):
        if getattr(options, option):
            raise UnsupportedOption(
                option, "a server that runs already has its own", "leave out server_url"
            )


def configuration(options: Options, shell: Path | None) -> dict[str, Any]:
    """Return what midflight adds to OpenCode's configuration, for this server only."""
    config: dict[str, Any] = {"autoupdate": False, "share": "disabled", **GO_ON}
    if shell is not None:
        config["shell"] = str(shell)
    if options.mcp_servers:
        config["mcp"] = {name: _mcp(server) for name, server in options.mcp_servers.items()}
    skills = [folder / "skills" for folder in options.plugins]
    if skills:
        config["skills"] = {"paths": [str(path) for path in skills if path.is_dir()]}
    if options.system_prompt is not None:
        config["agent"] = {"build": {"prompt": options.system_prompt}}
        config["default_agent"] = "build"
    return config


def _mcp(server: Mapping[str, Any]) -> dict[str, Any]:
    if "url" in server:
        headers = dict(server.get("headers") or {})
        return {"type": "remote", "url": server["url"], "headers": headers, "enabled": True}
    return {
        "type": "local",
        "command": [server["command"], *server.get("args", ())],
        "environment": {**dict.fromkeys(NOT_HANDED_ON, ""), **dict(server.get("env") or {})},
        "enabled": True,
    }


def environment(options: Options, config: Mapping[str, Any], password: str) -> dict[str, str]:
    """Return the server's environment. Raises `UnsupportedOption` for a configuration in it.

    A project can still put rules of its own behind these; `opencode_policy.rules` says them again.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    env = {**inherited, "PWD": str(options.cwd), **options.env}
    content = _merged(_read(env, "OPENCODE_CONFIG_CONTENT"), config)
    permission = {**_read(env, "OPENCODE_PERMISSION"), **as_config(BASE + skills(options))}
    if options.setting_sources is not None and "project" not in options.setting_sources:
        env["OPENCODE_DISABLE_PROJECT_CONFIG"] = "1"
    return {
        **env,
        "OPENCODE_CONFIG_CONTENT": msgspec.json.encode(content).decode(),
        "OPENCODE_PERMISSION": msgspec.json.encode(permission).decode(),
        PASSWORD: password,
    }


def _read(env: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(env.get(name) or "{}")
    except msgspec.DecodeError as error:
        raise UnsupportedOption("env", f"{name} is not plain JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def _merged(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(theirs)
    for name, value in ours.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)  # noqa: PLW2901
        merged[name] = value
    return merged
