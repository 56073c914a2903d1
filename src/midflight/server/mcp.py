"""The tools of ``midflight mcp`` at ``/mcp``: what reaches them has passed the guard."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from midflight.host.http.tcp import Names
from midflight.mcp.bounds import DispatchBounds
from midflight.values import Who

if TYPE_CHECKING:
    from midflight.client.client import Client
    from midflight.mcp.handlers import Handlers

IDLE_S = 1_800.0
"""How long what the model has seen is kept for a client that asks for nothing."""

METHODS = ("GET", "POST", "DELETE")

SESSION, CLIENT = "mcp-session-id", "midflight-client"
"""The headers by which clients are told apart: their session's id, which only older versions of the
protocol have, or a name that the user gives each. Those without either are taken for one."""


def mcp_route(endpoint: McpEndpoint) -> Route:
    """Return the route ``/mcp``."""
    return Route("/mcp", endpoint, methods=METHODS)


class McpEndpoint:
    """Serves the protocol over HTTP; it is loaded when the first client comes."""

    def __init__(self, client: Client, bounds: DispatchBounds, names: Names) -> None:
        """``client`` has been entered; ``bounds`` are those of a server over stdio."""
        self._client = client.speaking_for(Who(role="program", door="mcp"))
        self._bounds = bounds
        self._names = names
        self._handlers: dict[str, tuple[float, Handlers]] = {}
        self._manager: Any = None
        self._running: asyncio.Task[None] | None = None
        self._ready, self._stopped = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())
        ready = asyncio.get_running_loop().create_task(self._ready.wait())
        await asyncio.wait({ready, self._running}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._running.done():
            self._running.result()  # raises what has kept it from starting
        await self._manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End all streams."""
        self._stopped.set()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        for _, handlers in self._handlers.values():
            await handlers.close()

    async def _run(self) -> None:
        """Own the tasks of the protocol's sessions, until this is closed."""
        self._manager = await asyncio.to_thread(self._make)
        async with self._manager.run():
            self._ready.set()
            await self._stopped.wait()

    def _make(self) -> Any:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        from mcp.server.transport_security import TransportSecuritySettings

        from midflight.mcp.server import make_server

        # Without these settings it would not look at either; the guard has looked already.
        settings = TransportSecuritySettings(
            allowed_hosts=sorted(self._names.hosts), allowed_origins=sorted(self._names.origins)
        )
        server = make_server(self._of, answers=bool(self._client.grant))
        return StreamableHTTPSessionManager(
            server, security_settings=settings, session_idle_timeout=IDLE_S
        )

    async def _of(self, context: Any) -> Handlers:
        """Return the tools of a client, which know what its model has seen."""
        from midflight.mcp.handlers import Handlers

        now = time.monotonic()
        for key, (used, handlers) in [*self._handlers.items()]:
            if used < now - IDLE_S:
                del self._handlers[key]
                await handlers.close()
        headers = context.request.headers
        name = headers.get(SESSION) or headers.get(CLIENT, "")
        _, known = self._handlers.get(name) or (now, Handlers(self._client, self._bounds))
        self._handlers[name] = (now, known)
        return known
