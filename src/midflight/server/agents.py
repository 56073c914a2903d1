"""Which agents a session can be begun with on this machine, for who begins one from elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from midflight.agents import OFFERED, create
from midflight.agents.installed import how_to_install
from midflight.host.http.app import as_json
from midflight.host.http.operations import ApiRoute, Operation
from midflight.options import Options
from midflight.values import Support


class AgentOffered(msgspec.Struct, frozen=True, kw_only=True):
    """One agent: its name, what is known of its capabilities before it starts, and if it is here.

    ``install`` says how to install one that is not. ``limits`` says of each capability that is not
    plainly supported how it is emulated, or why not.
    """

    name: str
    installed: bool
    install: str
    capabilities: dict[str, Support]
    limits: dict[str, str]


_AGENTS = Operation(
    "The agents that are known by name, those that are installed first", {200: list[AgentOffered]}
)


def agents_route() -> ApiRoute:
    """Return the route ``/agents``."""

    async def agents(request: Request) -> Response:
        return as_json(await asyncio.to_thread(_offered))

    return ApiRoute("/agents", agents, _AGENTS)


def _offered() -> list[AgentOffered]:
    return sorted(map(_look, OFFERED), key=lambda each: not each.installed)


def _look(name: str) -> AgentOffered:
    install = how_to_install(name)
    agent = create(Options.build(agent=name, cwd=Path("/")))
    return AgentOffered(
        name=name,
        installed=not install,
        install=install,
        capabilities=dict(agent.capabilities),
        limits=dict(agent.limits),
    )
