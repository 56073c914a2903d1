"""How a conversation with OpenCode begins: a new or resumed session, its tools, its message ids."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from midflight.agents.opencode.models import Models
from midflight.agents.opencode.permissions import rules
from midflight.agents.opencode.server import Refused
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.errors import AgentFailed, ConversationLost
from midflight.options import Options

SERVERS_START_S = 45.0
"""How long MCP servers may take to start: until then none is reported."""

BUILD, PLAN = "build", "plan"
"""OpenCode's own agents."""


class Beginning(NamedTuple):
    """A session that was opened or resumed: its id, and the newest message in it.

    ``agent`` is the one to name with each message; empty for OpenCode's own choice.
    """

    session: str
    newest: str
    agent: str


class Inventory(NamedTuple):
    """What a session of the server has; ``problems`` are lines for a person."""

    tools: tuple[str, ...]
    skills: tuple[str, ...]
    problems: tuple[str, ...]


async def models(client: OpenCodeClient) -> Models:
    """Return the models that the server offers. Raises `AgentFailed`."""
    offered, config = await asyncio.gather(client.get("/config/providers"), client.get("/config"))
    return Models(offered, config.get("model"))


async def begin(client: OpenCodeClient, options: Options) -> Beginning:
    """Open or resume a session. Raises `AgentFailed`.

    OpenCode's agent ``plan`` is a permission mode of its own, and the mode is midflight's to say.
    """
    agents, config = await asyncio.gather(client.get("/agent"), client.get("/config"))
    default = config.get("default_agent") or BUILD
    agent = BUILD if default == PLAN and any(each["name"] == BUILD for each in agents) else ""
    permission = rules(options, agents, agent or default)
    if options.resume is None:
        wanted = {"title": options.name or "midflight", "permission": permission}
        return Beginning(str((await client.post("/session", wanted))["id"]), "", agent)
    path = f"/session/{options.resume}"
    try:
        if options.fork:
            path = f"/session/{(await client.post(f'{path}/fork', {}))['id']}"
        info = await client.patch(path, {"permission": permission})
    except Refused as error:
        raise ConversationLost(f"No conversation found: {options.resume}") from error
    if info.get("directory") != str(options.cwd):
        raise AgentFailed(
            f"the conversation {options.resume} belongs to another folder",
            f"resume it in {info.get('directory')}",
        )
    newest = await client.get(f"{path}/message", params={"limit": 1})
    return Beginning(
        str(info["id"]), max((each["info"]["id"] for each in newest), default=""), agent
    )


async def inventory(client: OpenCodeClient, options: Options) -> Inventory:
    """Return the tools, the skills, and what is missing of the options. Raises `AgentFailed`."""
    tools, offered, servers = await asyncio.gather(
        client.get("/experimental/tool/ids"),
        client.get("/skill"),
        client.get("/mcp", SERVERS_START_S),
    )
    names = tuple(skill["name"] for skill in offered)
    problems = [f"plugin {each}: not found" for each in options.plugins if not each.is_dir()]
    problems += [
        f"MCP server {name}: {state.get('error') or state.get('status')}"
        for name, state in servers.items()
        if name in options.mcp_servers and state.get("status") != "connected"
    ]
    wanted = options.skills or ()
    problems += [f"skill {n}: not found" for n in wanted if n.split(":")[-1] not in names]
    return Inventory(tuple(tools), names, tuple(problems))
