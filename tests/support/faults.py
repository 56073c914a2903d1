"""What the tests of faults share: pipes, and finders of processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from midflight.agents.process.reaper import MARKER
from midflight.testing import FakeModel, ScriptedModel, ToolCall
from midflight.testing.model.script import Script
from midflight.testing.opencode import SHARED

__all__ = [
    "PROGRAMS",
    "Fake",
    "Models",
    "Use",
    "agents",
    "bash",
    "gone",
    "memory_bytes",
    "open_pipe",
    "pid_in",
    "pipe",
    "written_by_claude",
]

PROGRAMS = Path(__file__).parent / "programs"

Models = Callable[..., Awaitable[ScriptedModel]]
Fake = Callable[[Script], Awaitable[tuple[FakeModel, dict[str, Any]]]]
Use = Callable[..., dict[str, Any]]


def agents() -> list[psutil.Process]:
    """Return the agents' programs that this process has started and that live.

    The OpenCode server that tests share lives longer than each of them.
    """
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if MARKER in (env := child.environ()) and SHARED not in env:
                found.append(child)
    return found


def bash(command: str) -> ToolCall:
    """Return a call of the shell, in the scripted model's words for every agent."""
    return ToolCall("Bash", {"command": command})


def pipe(path: Path) -> Path:
    """Make a named pipe."""
    os.mkfifo(path)
    return path


def open_pipe(path: Path) -> int:
    """Open a named pipe for both ways, which never has to wait for the other side."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


async def pid_in(path: Path) -> psutil.Process:
    """Return the process whose id a tool writes into a named pipe, once it has."""
    descriptor, told = open_pipe(path), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, told.set)
    try:
        async with asyncio.timeout(60):
            await told.wait()
        return psutil.Process(int(os.read(descriptor, 100)))
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def written_by_claude(env: Mapping[str, str], words: str) -> None:
    """Wait until Claude Code has a conversation with these words on disk.

    It writes a moment after it was told: one that is killed before has forgotten them.
    """
    async with asyncio.timeout(60):
        while not _is_written(Path(env["HOME"], ".claude", "projects"), words):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # noqa: TID251 - another process writes it


def _is_written(conversations: Path, words: str) -> bool:
    return any(words in file.read_text() for file in conversations.glob("*/*.jsonl"))


def memory_bytes() -> int:
    """Return how much memory this process holds now."""
    return int(psutil.Process().memory_info().rss)


async def gone(processes: Iterable[psutil.Process], within_s: float) -> bool:
    """Wait until processes have ended; False if one lives on."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, list(processes), within_s)
    return not [each for each in alive if each.is_running() and each.status() != "zombie"]
