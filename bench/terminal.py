"""Measures what a person waits for: keys while sessions stream, a long answer, `ls` and a Tab.

The raw side of the long answer is the SDK, which shows nothing; that of `ls` is Python that has
imported what `ls` stands on.
"""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from bench.background import end_hosts
from bench.base import First, Samples, Size
from bench.host_work import LONG, fill
from bench.probe import settle
from bench.sides import Raw
from midflight.client.client import connect

__all__ = ["PROBES", "Terminal"]

MIDFLIGHT = str(Path(sys.executable).with_name("midflight"))
PATIENCE_S = 120.0

KEYS = "¡¢£¤¥¦§©ª«¬®¯°±²³µ¶¹º»¼½¾¿×÷ÞþßðÐøØæÆ"
"""What is typed: no other text has it, and each can be told from those before."""

BETWEEN_S = 0.05
"""How long a person takes from one key to the next, at the least."""

CLEAR = "\x15"

FEW = 5
ANSWER = 4
"""How many times as many words as the other deltas a long answer has: 40,000 in a whole round."""


class Terminal:
    """The program in a terminal of its own, which is read all the time."""

    def __init__(self, *arguments: str, program: Sequence[str] = (MIDFLIGHT,)) -> None:
        self._command = (*program, *arguments)
        self._seen = b""
        self._wanted = b""
        self._found: asyncio.Future[float]
        self._ours = -1
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)

    def _read(self) -> None:
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # the program has closed its end
            asyncio.get_running_loop().remove_reader(self._ours)
            return
        if b"\x1b[6n" in data:  # where is the cursor? A terminal answers that.
            os.write(self._ours, b"\x1b[1;1R")
        self._seen = self._seen[-100:] + data
        if self._wanted and self._wanted in self._seen:
            self._wanted = b""
            self._found.set_result(time.perf_counter())

    @property
    def pid(self) -> int:
        return self._process.pid

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    async def shows(self, text: str) -> float:
        """Return when a text is shown."""
        self._seen, self._wanted = b"", text.encode()
        self._found = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE_S):
            return await self._found


async def echo(side: str, size: Size) -> Samples:
    """How long a key takes until it is seen, while this session streams and others beside it."""
    assert side == "midflight"
    took: list[float] = []
    argv = ["run", f"drip {size.drips * 100}", "--model", "sonnet"]
    async with connect() as client:
        for _ in range(size.sessions - 1):
            await asyncio.to_thread(run, [MIDFLIGHT, *argv, "-d"])
        async with Terminal(*argv) as screen:
            await screen.shows("word1")
            await settle(size)
            took += await echoes(screen, size.drips)
        await end_hosts(client)
    took.sort()
    return {"echo_p99": [took[len(took) * 99 // 100]]}


async def echoes(screen: Terminal, keys: int) -> list[float]:
    """Type so many keys, and return how long each took until it was shown."""
    took = []
    for number in range(keys):
        if number % len(KEYS) == 0:
            screen.type(CLEAR)
            await asyncio.sleep(BETWEEN_S)
        # Not the one that stood there before: that would be no change to draw.
        key = KEYS[(number + number // len(KEYS)) % len(KEYS)]
        began = time.perf_counter()
        screen.type(key)
        took.append(await screen.shows(key) - began)
        await asyncio.sleep(BETWEEN_S)
    return took


async def answer(side: str, size: Size) -> Samples:
    """A long answer, as fast as it is read: from its first word to the end of its turn."""
    words = f"words {size.cpu * ANSWER}"
    if side == "raw":
        async with Raw(words) as talk:
            first = First()
            await talk.listen(first)
            return {"answer": [talk.ended - first.began - first.took]}
    async with Terminal("run", words, "--model", "sonnet") as screen:
        began = await screen.shows("word1")
        return {"answer": [await screen.shows("turn 1 completed") - began]}


# The state folders of the commands that are run here; they stay for the rounds that follow.
STATES = {"few": Path("few").absolute(), "many": Path("many").absolute()}


async def commands(side: str, size: Size) -> Samples:
    """Start to end: ``midflight ls`` in two journals, and what a shell asks at a Tab."""
    if side == "raw":
        took = [imported() for _ in range(size.starts)]
        return {"ls_few": took, "ls_many": took}
    for state, count in (("few", min(FEW, size.listed)), ("many", size.listed)):
        if not STATES[state].exists():
            await fill(STATES[state] / "midflight", count, 1, 1)
    samples: Samples = {"ls_few": [], "ls_many": [], "tab": []}
    for _ in range(size.starts):
        for state in STATES:
            samples[f"ls_{state}"].append(listed(state, "ls", "--all"))
        samples["tab"].append(listed("many", "__complete", "show", ""))
    return samples


def listed(state: str, *arguments: str) -> float:
    """Run a command that names sessions, and return how long it lives."""
    env = {**os.environ, "XDG_STATE_HOME": str(STATES[state])}
    began = time.perf_counter()
    done = run([MIDFLIGHT, *arguments], env)
    took = time.perf_counter() - began
    assert LONG[:10].encode() in done.stdout
    return took


def imported() -> float:
    """Return how long a Python lives that imports what ``ls`` stands on."""
    began = time.perf_counter()
    run([sys.executable, "-c", "import sqlalchemy"])
    return time.perf_counter() - began


def run(
    argv: list[str], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, env=env, capture_output=True, timeout=PATIENCE_S, check=True)


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {
    "echo": echo,
    "answer": answer,
    "commands": commands,
}
