"""The host's socket before anybody answers on it. Loads nothing, so that it can be made early."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["listen"]


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
    listener.listen(128)
    return listener
