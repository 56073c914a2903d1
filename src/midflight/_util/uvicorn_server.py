"""Serving an ASGI application from a socket, within the event loop that runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn import Server


async def serve(
    app: Callable[..., Any],
    listener: socket.socket,
    *,
    http: str | type[asyncio.Protocol],
    keep_alive_s: int,
) -> Server:
    """Begin to answer on a socket that listens, and return the server.

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
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return server
