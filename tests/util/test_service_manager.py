"""What a service manager such as systemd hears of a program, by its socket."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from tests.support.events import PATIENCE_S

from midflight._util.aio import TaskSet
from midflight._util.service_manager import ServiceManager


async def test_manager_hears_again_and_again_as_long_as_the_loop_turns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And what names it is kept from the programs that are started from here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    told = TaskSet()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind("notify")
        hears.setblocking(False)
        told.start(ServiceManager().tell())
        async with asyncio.timeout(PATIENCE_S):
            heard = [await asyncio.get_running_loop().sock_recv(hears, 99) for _ in range(4)]
        await told.close()

    assert heard == [b"READY=1", *[b"WATCHDOG=1"] * 3]
    assert not [name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_"))]


async def test_program_without_a_manager_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    await ServiceManager().tell()
