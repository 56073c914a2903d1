"""The host's Unix socket: private, for the same user only, spoken to in HTTP.

The socket is made early, because that loads nothing; what answers on it is loaded later.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midflight._util.uvicorn_server import end, serve
from midflight.journal.location import socket_name

if TYPE_CHECKING:
    from uvicorn import Server

BACKLOG = 1_024
"""How many may connect at the same time: asyncio takes being turned away for being let in."""


def listen(path: Path) -> socket.socket:
    """Make a socket, 0600, in a folder that is private.

    Connections are taken from now on, and answered when a server takes it over.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)  # before anybody can connect; a umask would be that of other threads too
    listener.listen(BACKLOG)
    return listener


class UnixListener:
    """The socket on which a host is reached. Connections that come before it answers wait."""

    def __init__(self) -> None:
        """Begin without a socket."""
        self.path: Path | None = None
        self._listener: socket.socket | None = None
        self._server: Server | None = None

    def open(self, path: Path) -> None:
        """Take connections."""
        self.path = path
        self._listener = listen(path)

    async def answer(self, make_app: Callable[[], Callable[..., Any]]) -> None:
        """Answer. What the socket speaks takes a while to load, and nothing else waits for that."""
        assert self._listener is not None  # noqa: S101 - `open` comes first
        app, http, idle_s = await asyncio.to_thread(lambda: (make_app(), *_speaks()))
        self._server = await serve(app, self._listener, http=http, keep_alive_s=idle_s)

    async def renew(self, make_app: Callable[[], Callable[..., Any]]) -> None:
        """Make another socket where somebody has removed this one; see `clear`."""
        path = self.path
        if path is not None and not await asyncio.to_thread(path.exists):
            await self.close()
            self.open(path)
            await self.answer(make_app)

    def clear(self, dead: Iterable[str]) -> None:
        """Remove the sockets of dead hosts, by their ids, from the folder of this one.

        Their addresses are not looked at: others could have written them.
        """
        if self.path is None:
            return
        for host in dead:
            path = self.path.parent / socket_name(host)
            if path.parent == self.path.parent:  # an id that is none could lead out of it
                path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Take no more connections, and let the answers under way end."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        server, self._server = self._server, None
        if server is not None:
            await end(server)
        if self._listener is not None:
            self._listener.close()


def _speaks() -> tuple[type[asyncio.Protocol], int]:
    """Load what the socket speaks, and how long a connection may be idle."""
    from midflight.host.http.connection import IDLE_TIMEOUT_S, PrivateHTTP

    return PrivateHTTP, IDLE_TIMEOUT_S
