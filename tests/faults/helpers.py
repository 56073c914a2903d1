"""What the tests of faults share: readers of events and finders of processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import psutil

import midflight
from midflight.agents.process import MARKER
from midflight.testing import ScriptedModel

__all__ = [
    "PROGRAMS",
    "Models",
    "Use",
    "agents",
    "ended",
    "gone",
    "of",
    "pid_in",
    "pipe",
    "read",
    "until",
]

PROGRAMS = Path(__file__).parent / "programs"

Models = Callable[..., Awaitable[ScriptedModel]]
Use = Callable[..., dict[str, Any]]
E = TypeVar("E", bound=midflight.Event)


def of(kind: type[E], events: Iterable[midflight.Event]) -> list[E]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


async def read(session: midflight.Session) -> list[midflight.Event]:
    """Return the events until the session is quiet."""
    async with asyncio.timeout(30):
        return [event async for event in session.stream()]


async def until(session: midflight.Session, kind: type[E], after: int = 0) -> E:
    """Return the first event of a kind behind a sequence number."""
    async with asyncio.timeout(30):
        async for event in session.events(after):
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the session ended before a {kind.__name__}")


async def ended(message: midflight.Message | None) -> midflight.Result:
    """Return the result of a message."""
    assert message is not None
    async with asyncio.timeout(30):
        return await message.result()


def agents() -> list[psutil.Process]:
    """Return the agents' programs that this process has started and that live."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if MARKER in child.environ():
                found.append(child)
    return found


async def pid_in(path: Path) -> psutil.Process:
    """Return the process whose id a tool writes into a file, once it has."""
    text = await asyncio.to_thread(_line_of, path)
    return psutil.Process(int(text))


def _line_of(path: Path) -> str:
    # Reading a named pipe waits until somebody has written to it.
    return path.read_text(encoding="utf-8").splitlines()[0]


def pipe(path: Path) -> Path:
    """Make a named pipe."""
    os.mkfifo(path)
    return path


async def gone(processes: Iterable[psutil.Process], within_s: float) -> bool:
    """Wait until processes have ended; False if one lives on."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, list(processes), within_s)
    return not [each for each in alive if each.is_running() and each.status() != "zombie"]
