"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import socket
import struct
import sys

import msgspec

__all__ = ["PEER", "Peer", "peer"]

PEER = "peer"
"""Where the application finds the process that asks, in the state of a request."""


class Peer(msgspec.Struct, frozen=True):
    """A process, and its user. ``pid`` is 0 where the system does not tell."""

    uid: int
    pid: int = 0


def peer(connection: socket.socket) -> Peer:
    """Return the process at the other end, as it was when it connected."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, _ = struct.unpack("3i", found)
        return Peer(uid, pid)
    # struct xucred of <sys/ucred.h>: version, uid, and the groups behind it.
    found = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
    _, uid = struct.unpack_from("II", found)
    return Peer(uid)
