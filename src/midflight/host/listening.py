"""The host's socket before anybody answers on it. Loads nothing, so that it can be made early."""

from __future__ import annotations

import os
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
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(BACKLOG)
    return listener
