"""The host's side of a connection: who is there, and how long a request may take to come."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from midflight.authorization import Caller

CALLER = "caller"
"""Where the application finds the `Caller`, in the state of a request."""

IDLE_TIMEOUT_S = 30
"""How long a connection may be idle, and a request take to come, before it is closed."""

STALLED_S = 60
"""How long the other end may take nothing of what is sent to it."""

MAX_CONNECTIONS = 512
"""How many are open at most: fewer than the files that a process may commonly have open."""


class BoundedHTTP(H11Protocol):
    """One connection.

    It is closed when a request does not come, or not to its end, and gives way to others then; and
    when nothing of the response is taken any more.
    """

    expected: ClassVar[dict[BoundedHTTP, asyncio.TimerHandle]] = {}
    """Those whose next request is not there as a whole, the one that waits longest first."""

    _begun = False
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Expect a request, if there is room for one."""
        if not self._has_room():
            transport.abort()
            return
        super().connection_made(transport)
        self._expect_request()

    def pause_writing(self) -> None:
        """Give up if the other end reads nothing for a while."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self._stop_stalling()
        super().resume_writing()

    def _stop_stalling(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _has_room(self) -> bool:
        """Close the connection of which nothing has come for longest, where there are many."""
        if len(self.connections) < MAX_CONNECTIONS:
            return True
        mine = (each for each in self.expected if each.connections is self.connections)
        longest = next(mine, None)
        if longest is not None:
            longest.give_up()
        return longest is not None

    def data_received(self, data: bytes) -> None:
        """Read, and see whether the request is there as a whole."""
        if not self._begun and self in self.expected:  # it was idle until now
            self._expect_request()
        self._begun = True
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Expect the next request."""
        self._begun = False
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._stop_expecting()
        elif self not in self.expected and not self.transport.is_closing():
            self._expect_request()

    def _expect_request(self) -> None:
        self._stop_expecting()
        self.expected[self] = self.loop.call_later(IDLE_TIMEOUT_S, self.give_up)

    def _stop_expecting(self) -> None:
        timer = self.expected.pop(self, None)
        if timer is not None:
            timer.cancel()

    def give_up(self) -> None:
        """Close: the request does not come, or not to its end."""
        self._stop_expecting()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up, unless the peer was never let in."""
        self._stop_expecting()
        self._stop_stalling()
        if self.transport is not None:
            super().connection_lost(exc)


class PrivateHTTP(BoundedHTTP):
    """A connection to a process of the same user only, and known which that is."""

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Look who is there before a byte is read."""
        uid, pid = peer(transport.get_extra_info("socket"))
        if uid not in {os.getuid(), 0}:
            transport.abort()
            return
        self.app_state = {**self.app_state, CALLER: Caller.process(uid, pid)}
        super().connection_made(transport)


def peer(connection: socket.socket) -> tuple[int, int]:
    """Return the user and the process at the other end, as it was when it connected.

    The process is 0 where the system does not tell.
    """
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, _ = struct.unpack("3i", credentials)
        return uid, pid
    # struct xucred of <sys/ucred.h>: version, uid, and the groups behind it.
    credentials = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
    _, uid = struct.unpack_from("II", credentials)
    try:
        return uid, connection.getsockopt(0, 2)  # SOL_LOCAL, LOCAL_PEERPID of <sys/un.h>
    except OSError:
        return uid, 0
