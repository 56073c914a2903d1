"""The host's Unix socket: private, for the same user only, spoken to in HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from midflight._util.uvicorn_server import serve
from midflight.host.http.peer import PEER, peer

if TYPE_CHECKING:
    from uvicorn import Server

__all__ = ["Serving"]

CLOSE_TIMEOUT_S = 5.0
"""How long answers under way may take when the host closes."""

REQUEST_TIMEOUT_S = 30
"""How long a connection may be idle before it is closed."""


class _Private(H11Protocol):
    """Talks to processes of the same user only."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look who is there before a byte is read."""
        who = peer(transport.get_extra_info("socket"))
        if who.uid not in {os.getuid(), 0}:
            transport.abort()
            return
        self.app_state = {**self.app_state, PEER: who}
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up, unless whoever was there was never let in."""
        if self.transport is not None:
            super().connection_lost(exc)


class Serving:
    """One listening socket and the server behind it."""

    def __init__(self, app: Callable[..., Any], listener: socket.socket) -> None:
        """``app`` is an ASGI application; connections to ``listener`` wait for `begin`."""
        self._app = app
        self._listener = listener
        self._server: Server | None = None

    async def begin(self) -> None:
        """Answer."""
        self._server = await serve(
            self._app, self._listener, http=_Private, keep_alive_s=REQUEST_TIMEOUT_S
        )

    async def close(self) -> None:
        """Take no more connections, and let the answers under way end."""
        server, self._server = self._server, None
        if server is None:
            return
        for each in server.servers:
            each.close()
        tasks = list(server.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        if tasks:  # those who did not read on see that nobody is there any more
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
