"""The host's socket: made early, because that loads nothing, and answered on later."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midflight.host.http.serving import Serving

__all__ = ["UnixListener", "listen"]

BACKLOG = 1_024
"""How many may knock at the same time: asyncio takes being turned away for being let in."""


def listen(path: Path) -> socket.socket:
    """Make a socket, 0600, in a folder that is private.

    Connections are taken from now on, and answered when a server takes it over.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)  # before anybody can knock; a umask would be that of other threads too
    listener.listen(BACKLOG)
    return listener


class UnixListener:
    """Where a host is reached. Whoever knocks before it answers waits."""

    def __init__(self) -> None:
        """Begin without a socket."""
        self.path: Path | None = None
        self._listener: socket.socket | None = None
        self._serving: Serving | None = None

    def open(self, path: Path) -> None:
        """Take connections."""
        self.path = path
        self._listener = listen(path)

    async def answer(self, make_app: Callable[[], Callable[..., Any]]) -> None:
        """Answer. What the socket speaks takes a while to load, and nobody else waits for that."""
        assert self._listener is not None  # noqa: S101 - `open` comes first
        self._serving = await asyncio.to_thread(self._make, make_app, self._listener)
        await self._serving.begin()

    @staticmethod
    def _make(make_app: Callable[[], Callable[..., Any]], listener: socket.socket) -> Serving:
        from midflight.host.http.serving import Serving

        return Serving(make_app(), listener)

    def clear(self, dead: Iterable[Path]) -> None:
        """Remove what hosts have left that are dead, where the sockets of this machine are."""
        for path in dead:
            if self.path is not None and path.parent == self.path.parent:
                path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Take no more connections, and let the answers under way end."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        if self._serving is not None:
            await self._serving.close()
        if self._listener is not None:
            self._listener.close()
