"""How a conversation with OpenCode 2 begins: a new or resumed session, its models and skills."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from midflight.agents.opencode.models import Models
from midflight.agents.opencode.permissions import Rule, asks, rules
from midflight.agents.opencode.server import Refused
from midflight.agents.opencode.v2.client import OpenCode2Client, seq_of
from midflight.agents.opencode.v2.names import Names, in_v1
from midflight.agents.opencode.v2.program import in_v2
from midflight.errors import AgentFailed, ConversationLost
from midflight.options import Options

LOADED_S = 10.0
"""How long a folder may take to load its models and agents: its first answers name none."""

PAUSE_S = 0.1

SKILLS_S = 2.0
"""How long a skill may be missing that the options name, before it is none of the folder's."""

SERVERS_START_S = 45.0
"""How long MCP servers may take to start; until then they are pending."""


class Inventory(NamedTuple):
    """What a session of the server has; ``problems`` are lines for a person.

    ``plugins`` says that there are others than its own: then a tool may be another than its name
    says.
    """

    skills: tuple[str, ...]
    problems: tuple[str, ...]
    plugins: bool


async def models(client: OpenCode2Client, options: Options) -> Models:
    """Return the models that the server offers. Raises `AgentFailed`."""
    # Where there is none, no key or no provider, the server says so at the first message.
    offered = await _loaded(client, "/api/model", options)
    providers: dict[str, dict[str, Any]] = {}
    for model in offered:
        providers.setdefault(str(model["providerID"]), {})[str(model["id"])] = _in_v1(model)
    listed = [{"id": name, "models": of} for name, of in providers.items()]
    return Models({"providers": listed}, None)


async def _loaded(client: OpenCode2Client, path: str, options: Options) -> list[Mapping[str, Any]]:
    """Return a list of a folder's, once it is loaded: until then it is empty."""
    listed: list[Mapping[str, Any]] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOADED_S):
            while not (listed := await client.data(path, options.cwd)):  # noqa: ASYNC110
                await asyncio.sleep(PAUSE_S)
    return listed


def _in_v1(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model in version 1's shape: of its prices the first, which is for short contexts."""
    cost: Mapping[str, Any] = next((c for c in model.get("cost") or () if not c.get("tier")), {})
    return {
        "status": model.get("status", "active"),
        "release_date": f"{(model.get('time') or {}).get('released') or 0:020}",
        "variants": {each["id"]: each for each in model.get("variants") or ()},
        "cost": cost,
    }


async def begin(client: OpenCode2Client, names: Names, options: Options) -> tuple[str, int, str]:
    """Open or resume a session: its id, the number of its last event, and its model.

    Raises `AgentFailed`, `ConversationLost`.
    """
    permissions = await _permissions(client, names, options)
    if options.resume is None:
        wanted = {"location": {"directory": str(options.cwd)}, "agent": "build", **permissions}
        info = (await client.post("/api/session", wanted))["data"]
        return str(info["id"]), 0, _model(info)
    path = f"/api/session/{options.resume}"
    try:
        info = await client.data(path)
    except Refused as error:
        raise ConversationLost(f"No conversation found: {options.resume}") from error
    directory = (info.get("location") or {}).get("directory")
    if directory != str(options.cwd):
        raise AgentFailed(
            f"the conversation {options.resume} belongs to another folder",
            f"resume it in {directory}",
        )
    if permissions:
        await client.patch(path, permissions)
    log = await client.log(names, options.resume, 0)
    return options.resume, max(map(seq_of, log), default=0), _model(info)


def _model(info: Mapping[str, Any]) -> str:
    model = info.get("model")
    return f"{model['providerID']}/{model['id']}" if model else ""


async def _permissions(client: OpenCode2Client, names: Names, options: Options) -> dict[str, Any]:
    """Return a session's rules, as a field; where it can have none, those of its agent must do.

    Raises `AgentFailed` where they do not: a folder's settings come behind midflight's.
    """
    until = time.monotonic() + LOADED_S
    while True:
        agents = await _loaded(client, "/api/agent", options)
        known: list[dict[str, Any]] = [
            {"name": each.get("id"), "permission": _rules_in_v1(each)} for each in agents
        ]
        if names.session_rules:
            return {"permissions": in_v2(rules(options, known, "build"), names)}
        if any(each["name"] == "build" and asks(each["permission"]) for each in known):
            return {}
        if time.monotonic() > until:
            raise AgentFailed(
                "the settings here let OpenCode do unasked what midflight asks for",
                "take the permissions out of its settings",
            )
        await asyncio.sleep(PAUSE_S)  # An agent is there a moment before the settings about it.


def _rules_in_v1(agent: Mapping[str, Any]) -> list[Rule]:
    return [
        {
            "permission": in_v1(str(rule["action"])),
            "pattern": str(rule["resource"]),
            "action": str(rule["effect"]),
        }
        for rule in agent.get("permissions") or ()
    ]


async def inventory(client: OpenCode2Client, names: Names, options: Options) -> Inventory:
    """Return the skills, and what is missing of the options. Raises `AgentFailed`."""
    skills = await _skills(client, options)
    problems = [f"plugin {each}: not found" for each in options.plugins if not each.is_dir()]
    wanted = options.skills or ()
    problems += [f"skill {n}: not found" for n in wanted if n.split(":")[-1] not in skills]
    plugins = False
    if names.inbox:  # The preview lists neither.
        listed = await client.data("/api/plugin", options.cwd)
        plugins = any((each.get("source") or {}).get("type") != "builtin" for each in listed)
        states = await _servers(client, options)
        problems += [f"MCP server {n}: {s}" for n, s in states.items() if s != "connected"]
    return Inventory(skills, tuple(problems), plugins)


async def _skills(client: OpenCode2Client, options: Options) -> tuple[str, ...]:
    """Return the skills, once those that the options name are loaded, or have had their time."""
    wanted = {name.split(":")[-1] for name in options.skills or ()}
    for plugin in options.plugins:
        wanted |= {path.parent.name for path in plugin.glob("skills/*/SKILL.md")}
    until = time.monotonic() + SKILLS_S
    while True:
        names = tuple(skill["name"] for skill in await client.data("/api/skill", options.cwd))
        if wanted <= set(names) or time.monotonic() > until:
            return names
        await asyncio.sleep(PAUSE_S)


async def _servers(client: OpenCode2Client, options: Options) -> dict[str, str]:
    """Return the states of the options' MCP servers, once they have started or failed to."""
    states = dict.fromkeys(options.mcp_servers, "pending")
    try:
        async with asyncio.timeout(SERVERS_START_S):
            while "pending" in states.values():
                listed = {
                    each["name"]: each["status"]
                    for each in await client.data("/api/mcp", options.cwd)
                }
                for name in states:
                    status = listed.get(name, {"status": "not there"})
                    states[name] = str(status.get("error") or status["status"])
                await asyncio.sleep(PAUSE_S if "pending" in states.values() else 0)
    except TimeoutError:
        pass  # What is still pending is a problem too.
    return states
