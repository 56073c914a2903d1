"""The real program in a terminal: a pseudo-terminal, and a person who waits for what they see."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.events import PATIENCE_S
from tests.support.program import AT_ONCE

ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|\r")


class Terminal:
    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self._more = asyncio.Event()
        self._read_up_to = 0
        self.raw = ""

    @classmethod
    async def start(
        cls,
        arguments: Sequence[str],
        env: dict[str, str],
        cwd: Path,
        command: Sequence[str] = AT_ONCE,
    ) -> Self:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            env=env,
            cwd=cwd,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        terminal = cls(process, ours)
        asyncio.get_running_loop().add_reader(ours, terminal._read)
        return terminal

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65_536)
        except OSError:  # the program has closed its end
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        if b"\x1b[6n" in data:  # where is the cursor? A terminal answers that.
            os.write(self._descriptor, b"\x1b[1;1R")
        self.raw += data.decode(errors="replace")
        self._more.set()

    @property
    def text(self) -> str:
        """All that was shown, without the sequences that moved and coloured it."""
        return ESCAPES.sub("", self.raw)

    async def sees(self, text: str) -> None:
        """Wait until a text is shown after what was waited for before."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (found := self.text.find(text, self._read_up_to)) < 0:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not shown, but {self.text[-2000:]!r}") from None
        self._read_up_to = found + len(text)

    def keys(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def types(self, line: str) -> None:
        self.keys(line + "\r")

    async def ends(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self._process.wait()

    async def quits(self, code: int = 0) -> None:
        """Leave, which ends the program with this code."""
        self.types("/quit")
        assert await self.ends() == code

    def resizes(self, columns: int) -> None:
        termios.tcsetwinsize(self._descriptor, (24, columns))
        self.sends(signal.SIGWINCH)  # which comes by itself where the terminal controls it

    def sends(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        """Close the terminal, as a person closes its window."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        if self._descriptor >= 0:
            self.close()
