"""Which server a session uses: one that another session has started, if it can be shared."""

from __future__ import annotations

import asyncio

from midflight.agents.opencode.program import PASSWORD, Launch
from midflight.agents.opencode.server import Server
from midflight.options import Options

__all__ = ["lease"]

# One set of servers for each event loop: what belongs to one cannot be used in another.
_servers: dict[tuple[object, ...], Server] = {}


async def lease(options: Options) -> Server:
    """Return a server for these options, shared with every session that needs the same one.

    The caller must `Server.leave` it. Raises `AgentUnavailable` or `AgentFailed`.
    """
    if options.server_url is not None:
        launch: Launch | None = None
        wants: tuple[object, ...] = (options.server_url, options.env.get(PASSWORD))
    else:
        launch = Launch.of(options)
        wants = launch.key()
    key = (asyncio.get_running_loop(), *wants)
    server = _servers.get(key)
    if server is None:

        def forget() -> None:
            if _servers.get(key) is server:
                del _servers[key]

        server = _servers[key] = Server(options, launch, forget)
    await server.join()
    return server
