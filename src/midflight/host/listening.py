"""The host's socket before anybody answers on it. Loads nothing, so that it can be made early."""

from __future__ import annotations

import socket
from pathlib import Path

__all__ = ["listen"]

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
