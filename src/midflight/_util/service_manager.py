"""Tells systemd that a service is ready, and that it lives: the protocol of sd_notify(3)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket


class ServiceManager:
    """Whoever has started this program and is to be told of it; mostly there is none."""

    def __init__(self) -> None:
        """Take what the environment says of it, so that no program started from here has it."""
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        period = os.environ.pop("WATCHDOG_USEC", "")
        whose = os.environ.pop("WATCHDOG_PID", "") or str(os.getpid())
        is_mine = period.isascii() and period.isdigit() and whose == str(os.getpid())
        self._period_s = int(period) / 1e6 if is_mine else 0.0

    async def tell(self) -> None:
        """Say that all is ready, and then that the event loop turns, for as long as this runs."""
        if not self._address.startswith(("/", "@")):
            return
        address = self._address
        if address.startswith("@"):  # Linux's own names for sockets
            address = f"\0{address[1:]}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(0)  # it hangs for nobody
            _send(manager, address, b"READY=1")
            while self._period_s:
                _send(manager, address, b"WATCHDOG=1")
                await asyncio.sleep(self._period_s / 4)


def _send(manager: socket.socket, address: str, words: bytes) -> None:
    with contextlib.suppress(OSError):  # the next one may arrive
        manager.sendto(words, address)
