"""OpenCode's program: where it is, its environment and its configuration."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from midflight._util.programs import find_program, with_search_path
from midflight.agents.opencode import trust
from midflight.agents.opencode.permissions import BASE, as_config, check, skills
from midflight.agents.opencode.server import PASSWORD
from midflight.agents.shared.environment import check_servers, inherited, runnable
from midflight.agents.shared.version import version
from midflight.environment import SHELL
from midflight.errors import AgentUnavailable, UnsupportedOption
from midflight.lineage import SESSION_VARIABLE, UNKNOWN
from midflight.options import Options

INSTALL = "npm install -g opencode-ai"
PINNED = f"{INSTALL}@1.18"
"""For who has a version that midflight does not drive."""

MINIMUM = (1, 18)
"""The oldest version that was measured."""
BELOW = (2,)
"""From here on it speaks another protocol."""

GO_ON: Mapping[str, Any] = {"experimental": {"continue_loop_on_deny": True}}
"""One refusal refuses all waiting calls, the others without a message: that would end the loop."""

TMPDIR = "TMPDIR"

NOT_HANDED_ON = (PASSWORD, "OPENCODE_CONFIG_CONTENT", "OPENCODE_PERMISSION")
"""These open the server, or hold the keys of others: not for what the server runs."""

_SHELLS = ("bash", "sh", "zsh")
_SHELL = """#!/bin/sh
unset {names}
{tmpdir}
exec {shell} "$@"
"""

_IS_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What a conversation can be called: it becomes a part of paths, and may come from a journal."""

_SETTINGS = frozenset({"user", "project", "local"})
_NOT_INHERITED = ("OPENCODE", "OPENCODE_PID", "OPENCODE_CLIENT", PASSWORD)
"""By these variables a new OpenCode would take itself for part of one that midflight runs in."""


def find(agent_path: Path | None) -> Path:
    """Return the program: that of the option, else the one on PATH.

    Raises `AgentUnavailable` that says how to install it.
    """
    if agent_path is not None:
        return runnable(agent_path, INSTALL)
    program = find_program("opencode")
    if program is None:
        raise AgentUnavailable("OpenCode is not installed", INSTALL)
    return program


def accept(number: str) -> str:
    """Return a version that midflight can drive. Raises `AgentUnavailable` for another one."""
    parts = tuple(int(part) for part in number.partition("-")[0].split(".") if part.isdigit())
    if not MINIMUM <= parts < BELOW:
        raise AgentUnavailable(
            f"this is OpenCode {number or '?'}, and 1.18 or a newer 1.x is needed", PINNED
        )
    return number


async def usable_version(path: Path) -> str:
    """Return the version of a program that midflight can drive. Raises `AgentUnavailable`."""
    return accept(await version(path, PINNED))


def check_options(options: Options) -> None:
    """Raise `UnsupportedOption` for what OpenCode cannot do, before anything starts."""
    check(options)
    if options.resume is not None and not _IS_ID.fullmatch(options.resume):
        raise UnsupportedOption(
            "resume", f"no conversation of OpenCode is called {options.resume[:128]!r}"
        )
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


def configuration(options: Options) -> dict[str, Any]:
    """Return what midflight adds to OpenCode's configuration, for this server only."""
    config: dict[str, Any] = {"autoupdate": False, "share": "disabled", **GO_ON}
    if options.mcp_servers:
        hidden = not_for_servers(options, NOT_HANDED_ON)
        config["mcp"] = {
            name: mcp_server(server, hidden) for name, server in options.mcp_servers.items()
        }
    skills = [folder / "skills" for folder in options.plugins]
    if skills:
        config["skills"] = {"paths": [str(path) for path in skills if path.is_dir()]}
    if options.system_prompt is not None:
        config["agent"] = {"build": {"prompt": options.system_prompt}}
        config["default_agent"] = "build"
    return config


def not_for_servers(options: Options, names: Iterable[str]) -> dict[str, str]:
    """Return what MCP servers get in place of OpenCode's own variables.

    None may have the keys of another; and what is temporary goes where the user has it, while
    OpenCode has a folder of its own.
    """
    return {**dict.fromkeys(names, ""), TMPDIR: {**os.environ, **options.env}.get(TMPDIR, "")}


def mcp_server(server: Mapping[str, Any], hidden: Mapping[str, str]) -> dict[str, Any]:
    """Return an MCP server as OpenCode has it, with ``hidden`` for OpenCode's own variables."""
    if "url" in server:
        headers = dict(server.get("headers") or {})
        return {"type": "remote", "url": server["url"], "headers": headers, "enabled": True}
    return {
        "type": "local",
        "command": [server["command"], *server.get("args", ())],
        "environment": {**hidden, **dict(server.get("env") or {})},
        "enabled": True,
        **{name: server[name] for name in ("timeout",) if name in server},
    }


class Launch(NamedTuple):
    """What a server is started with, but for what is made anew: its password and its shell."""

    path: Path
    env: Mapping[str, str]
    config: Mapping[str, Any]

    @classmethod
    def of(cls, options: Options, *, trusted: bool = True) -> Launch:
        """Find and read it all. Raises `AgentUnavailable`, or `UnsupportedOption` for a bad value.

        A project can put rules of its own behind these; `permissions.rules` repeats them.
        """
        env = {**inherited(_NOT_INHERITED), "PWD": str(options.cwd), **options.env, PASSWORD: ""}
        env[SESSION_VARIABLE] = UNKNOWN  # one server for several sessions
        config = merged(trust.variable(env, "OPENCODE_CONFIG_CONTENT"), configuration(options))
        permission = {
            **trust.variable(env, "OPENCODE_PERMISSION"),
            **as_config(BASE + skills(options)),
        }
        env["OPENCODE_PERMISSION"] = msgspec.json.encode(permission).decode()
        if options.setting_sources is not None and "project" not in options.setting_sources:
            env = trust.environment(env)
        elif not trusted:
            env = trust.environment(env)
            config = trust.without(options, config)
        return cls(find(options.agent_path), with_search_path(env), config)

    def key(self) -> tuple[Path, bytes]:
        """Return what is the same for sessions that can share a server: all but the folder."""
        return self.path, msgspec.json.encode((shared(self.env), self.config), order="sorted")

    def environment(self, password: str, folder: Path) -> dict[str, str]:
        """Return the environment to start it with; ``folder`` is its own, and is removed after it.

        It unpacks a library of some megabytes at each start, and leaves it where it is.
        """
        config = {**self.config, "shell": str(make_shell(folder, self.env, NOT_HANDED_ON))}
        return {
            **self.env,
            TMPDIR: str(own_tmpdir(folder)),
            "OPENCODE_CONFIG_CONTENT": msgspec.json.encode(config).decode(),
            PASSWORD: password,
        }


def own_tmpdir(folder: Path) -> Path:
    """Make a folder for what the server leaves behind."""
    own = folder / "tmp"
    own.mkdir(mode=0o700)
    return own


def make_shell(folder: Path, env: Mapping[str, str], forgets: Iterable[str]) -> Path:
    """Write the shell that OpenCode runs commands in: the user's, in the user's own environment."""
    wanted = env.get("SHELL", "")
    known = find_program(wanted) if Path(wanted).name in _SHELLS else None
    real = known or Path("/bin/sh")
    path = folder / real.name
    path.touch(mode=0o700)
    tmpdir = f"export {TMPDIR}={shlex.quote(env[TMPDIR])}" if env.get(TMPDIR) else f"unset {TMPDIR}"
    script = _SHELL.format(names=" ".join(forgets), tmpdir=tmpdir, shell=real)
    path.write_text(script, encoding="utf-8")
    return path


def shared(env: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment sessions have in common that can share a server."""
    own = {*SHELL, "OPENCODE_CONFIG_CONTENT"}
    return {name: value for name, value in env.items() if name not in own}


def merged(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return two configurations as one: objects are merged, of all else ours holds."""
    both = dict(theirs)
    for name, value in ours.items():
        old = both.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)  # noqa: PLW2901
        both[name] = value
    return both
