"""Before an ACP agent works: its command, what it announces, which options it can keep."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from midflight._util.programs import find_program, with_search_path
from midflight.agents.acp.presets import PRESETS
from midflight.agents.acp.settings import Settings
from midflight.agents.base import Support
from midflight.agents.shared.environment import CLAUDE_CODE, check_servers, inherited
from midflight.errors import AgentFailed, AgentUnavailable, InvalidOption, UnsupportedOption
from midflight.options import Options

PROTOCOL_VERSION = 1
"""The version of ACP that is spoken."""


class AcpProgram(msgspec.Struct, frozen=True):
    """The program: its name for people, arguments, how to install it, variables that it wants.

    ``cost``, ``login`` and ``lacks`` are as in `Preset`.
    """

    name: str
    argv: tuple[str, ...]
    hint: str = ""
    env: Mapping[str, str] = {}
    cost: Support = "not"
    login: str = ""
    lacks: Mapping[str, str] = {}

    @classmethod
    def of(cls, options: Options) -> AcpProgram:
        """Read the option ``agent``: a preset's name, or ``acp:`` and a command."""
        preset = PRESETS.get(options.agent)
        line = preset.command if preset else options.agent.removeprefix("acp:")
        try:
            argv = shlex.split(line)
        except ValueError as error:
            raise InvalidOption(
                "agent", f"{line!r} is no command: {error}", "quote it as for a shell"
            ) from None
        if not argv:
            raise InvalidOption("agent", "no command after acp:", "for example acp:opencode acp")
        if options.agent_path is not None:
            argv[0] = str(options.agent_path)
        if preset:
            return cls(
                options.agent,
                tuple(argv),
                preset.install,
                preset.env,
                preset.cost,
                preset.login,
                preset.lacks,
            )
        # The other arguments may hold secrets, so they are no part of the name.
        return cls(f"acp:{Path(argv[0]).name}", tuple(argv), _ANY)

    def found(self, env: Mapping[str, str]) -> list[str]:
        """Return the arguments with the program's path. Raises `AgentUnavailable` for none."""
        program = str(Path(self.argv[0]).expanduser()) if self.argv[0][0] == "~" else self.argv[0]
        place = find_program(program, env.get("PATH"))
        if place is None:
            whose = "" if self.name == self.argv[0] else f"{self.name}: "
            raise AgentUnavailable(f"{whose}{self.argv[0]} {_lack(program)}", self.hint)
        return [str(place), *self.argv[1:]]

    def environment(self, options: Options) -> dict[str, str]:
        """Return the program's environment: this process's, the preset's and the option's."""
        env = {**inherited(CLAUDE_CODE), "PWD": str(options.cwd), **self.env, **options.env}
        return with_search_path(env)


_ANY = "after acp: stands the command that starts an agent; midflight doctor lists those found here"


def _lack(program: str) -> str:
    """Return why a program was not found."""
    if "/" in program and not Path(program).is_absolute():
        return "is relative to a folder: give its whole path"
    there = "/" in program and Path(program).is_file()
    return "is not executable" if there else "is not installed"


def refuse(options: Options, agent: AcpProgram) -> None:
    """Raise `UnsupportedOption` for what is known to be missing before the agent is started."""
    preset = PRESETS.get(options.agent)
    if preset is not None and preset.check is not None:
        preset.check(options)
    lacks, servers = agent.lacks, options.mcp_servers.values()
    if "mcp_servers" in lacks and any("url" not in server for server in servers):
        raise UnsupportedOption("mcp_servers", lacks["mcp_servers"])
    if "resume" in lacks and options.resume is not None:
        raise UnsupportedOption("resume", lacks["resume"])
    if options.max_budget_usd is not None and agent.cost == "not":
        raise UnsupportedOption("max_budget_usd", _NO_COST, "max_turns and timeout are kept")
    for name in ("system_prompt", "skills", "setting_sources", "server_url"):
        if getattr(options, name) is not None:
            raise UnsupportedOption(
                name, "ACP has no such thing", "set it in the agent's own files"
            )
    if options.fork:
        raise UnsupportedOption("fork", "ACP has no copy of a conversation", "resume it as it is")
    if options.plugins:
        raise UnsupportedOption("plugins", "ACP has no plugins", "install it for the agent itself")
    check_servers(options.mcp_servers)


def greeting() -> dict[str, object]:
    """Return the parameters of ``initialize``.

    Neither files nor terminals are offered: the agent's own tools do that work, in the agent's own
    process tree, which an interrupt can end.
    """
    return {
        "protocolVersion": PROTOCOL_VERSION,
        "clientCapabilities": {
            "fs": {"readTextFile": False, "writeTextFile": False},
            "terminal": False,
            "elicitation": {"form": {}},
        },
        "clientInfo": {"name": "midflight", "version": metadata.version("midflight")},
    }


class Announced:
    """What an agent announces in its response to ``initialize``; what it leaves out it lacks."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        """Read the answer."""
        self.protocol = answer.get("protocolVersion")
        info, abilities = _part(answer, "agentInfo"), _part(answer, "agentCapabilities")
        of_session, mcp = (
            _part(abilities, "sessionCapabilities"),
            _part(abilities, "mcpCapabilities"),
        )
        self.version = str(info.get("version") or "")
        self.transports = {kind for kind in ("http", "sse") if mcp.get(kind) is True}
        self.resumes = isinstance(of_session.get("resume"), dict)
        self.loads = abilities.get("loadSession") is True
        self.images = _part(abilities, "promptCapabilities").get("image") is True
        self.folders = isinstance(of_session.get("additionalDirectories"), dict)
        self.steers = _part(_part(answer, "_meta"), "steering").get("supported") is True
        # The protocol has a field for neither; this is the mark of an adapter that has both.
        self.asks_and_nests = "claudeCode" in _part(abilities, "_meta")
        methods = answer.get("authMethods")
        self.logins = [
            str(method.get("description") or method.get("name") or "")
            for method in (methods if isinstance(methods, list) else ())
            if isinstance(method, dict)
        ]

    def check(self, name: str) -> None:
        """Raise `AgentFailed` if the agent speaks another version of the protocol."""
        if self.protocol != PROTOCOL_VERSION:
            raise AgentFailed(
                f"{name} speaks version {self.protocol!r} of ACP, and {PROTOCOL_VERSION} is needed",
                "install a version of it that does, or use another agent",
            )


def _part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, dict) else {}


def session(
    options: Options, announced: Announced, meta: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    """Return the method and parameters that open the session. Raises `UnsupportedOption`.

    ``meta`` is what the agent is told beside the protocol.
    """
    params: dict[str, object] = {
        "cwd": str(options.cwd),
        "mcpServers": [
            _server(name, server, announced) for name, server in options.mcp_servers.items()
        ],
    }
    if meta:
        params["_meta"] = meta
    if options.add_dirs:
        if not announced.folders:
            raise UnsupportedOption("add_dirs", "the agent works in one folder only")
        params["additionalDirectories"] = [str(folder) for folder in options.add_dirs]
    if options.resume is None:
        return "session/new", params
    if not announced.resumes and not announced.loads:
        raise UnsupportedOption("resume", "the agent cannot resume a conversation")
    # Loading repeats the whole conversation, and we have seen it.
    method = "session/resume" if announced.resumes else "session/load"
    return method, {**params, "sessionId": options.resume}


def _server(name: str, server: Mapping[str, Any], announced: Announced) -> dict[str, object]:
    if "url" not in server:
        return {
            "name": name,
            "command": server["command"],
            "args": [str(word) for word in server.get("args") or ()],
            "env": _pairs(server.get("env")),
        }
    kind = str(server.get("type") or "http")
    if kind not in announced.transports:
        raise UnsupportedOption("mcp_servers", f"the agent cannot reach {name!r} over {kind}")
    headers = _pairs(server.get("headers"))
    return {"type": kind, "name": name, "url": server["url"], "headers": headers}


def _pairs(values: Mapping[str, Any] | None) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in (values or {}).items()]


_LIMITS: Mapping[str, str] = {
    "queue": "kept in midflight's outbox",
    "redirect": "an interrupt, then the message",
    "cancel": "until the agent has the message",
    "permissions": "the agent decides what it asks, and a denial's reason does not reach it",
    "edited_input": "an agent takes only yes or no",
    "max_turns": "model calls are counted by their traces, then an interrupt",
    "max_budget_usd": "counted where the agent reports its cost, which may be at a turn's end only",
    "set_limits": "midflight counts anyway",
    "timeout": "midflight's clock, then an interrupt",
    "stall_timeout": "midflight's clock, then an interrupt",
    "plugins": "ACP has no plugins",
    "skills": "ACP has no choice of skills",
    "system_prompt": "ACP has no system prompt",
    "retries": "ACP does not report them",
    "background": "ACP does not report it",
    "relocate": "the agent keeps its conversations on the disk of its machine",
}
_NO_COST = "this agent has not been seen to tell what it costs, in money or in tokens"
_NOT = ("edited_input", "plugins", "skills", "system_prompt", "retries", "background", "relocate")
_ITSELF = ("interrupt", "mcp_servers", "plan")


def can(
    announced: Announced, settings: Settings, agent: AcpProgram
) -> tuple[dict[str, Support], dict[str, str]]:
    """Return the agent's capabilities, and how or why for those that it does not plainly have.

    What it was seen to lack it does not have, whatever it announces.
    """
    depends: dict[str, tuple[bool, str]] = {
        "steer": (announced.steers, "waits in midflight's outbox until the turn ends"),
        "questions": (announced.asks_and_nests, "the agent does not say that it asks any"),
        "subagents": (False, "the agent does not tell them apart"),
        "set_model": (settings.has_models, "the agent offers no choice of models"),
        "set_permission_mode": (settings.has_modes, "midflight answers what the agent asks"),
        "effort": (settings.has_effort, "the agent offers no choice of effort"),
        "images": (announced.images, "the agent takes no images"),
        "add_dirs": (announced.folders, "the agent works in one folder"),
        "resume": (announced.resumes or announced.loads, "the agent keeps no conversations"),
    }
    made_up = ("steer", "set_permission_mode")
    supports: dict[str, Support] = dict.fromkeys(_LIMITS, "emulated")
    supports |= dict.fromkeys(_NOT, "not")
    supports |= dict.fromkeys(_ITSELF, "supported")
    limits = dict(_LIMITS)
    supports["cost"] = agent.cost
    if agent.cost == "estimated":
        limits["cost"] = "the agent tells tokens, which are priced from a list"
        limits["max_budget_usd"] = "the tokens of a turn are priced at its end, from a list"
    elif agent.cost == "not":
        supports["max_budget_usd"] = "not"
        limits["cost"] = limits["max_budget_usd"] = _NO_COST
    for name, (has, why) in depends.items():
        supports[name] = "supported" if has else "emulated" if name in made_up else "not"
        if not has:
            limits[name] = why
    if announced.asks_and_nests:
        supports["subagents"] = "emulated"
        limits["subagents"] = "what one costs after its turn's end is reported with the next turn"
    return {**supports, **dict.fromkeys(agent.lacks, "not")}, {**limits, **agent.lacks}
