"""Serving an ASGI application from a socket, within the event loop that runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn import Server

CLOSE_TIMEOUT_S = 5.0
"""How long answers under way may take when a server closes."""

MAX_HEAD_BYTES = 65_536
"""How long the head of a request may be."""


async def serve(
    app: Callable[..., Any],
    listener: socket.socket,
    *,
    http: str | type[asyncio.Protocol],
    keep_alive_s: int,
    cert: str | None = None,
    key: str | None = None,
) -> Server:
    """Begin to answer on a socket that listens, and return the server.

    With the files of a certificate and its key it speaks TLS. Raises `OSError` for such that cannot
    be used.

    It has no signal handlers, no log and no tick that would cost anything idle or make closing
    slow: those come with uvicorn's own ``serve``.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ssl_certfile=cert,
        ssl_keyfile=key,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return server


async def end(server: Server) -> None:
    """Take no more connections, let the answers under way end, and cut off what does not."""
    for each in server.servers:
        each.close()
    tasks = list(server.server_state.tasks)
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    if tasks:  # readers that did not read on see that the server is gone
        await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
