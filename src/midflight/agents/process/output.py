"""A program's output as lines for one reader: never held up, and in a flood by batches."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

from midflight._util.lines import LineSplitter

FLOOD_S = 0.001
"""Output that comes faster is read in batches: a wake-up costs more than reading a line."""

FLOOD_BEGINS = 16
"""So many pieces of output in quick succession are a flood; fewer are read at once."""


class OutputLines(asyncio.Protocol):
    """The lines of standard output, queued as they come.

    The pipe is its own: what comes through one of asyncio's for programs is handed over a turn of
    the loop later.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.ended = False
        self._lines: deque[bytes] = deque()
        self._splitter = LineSplitter()
        self._news: asyncio.Future[None] | None = None
        self._gate = FloodGate(self._wake)

    async def open(self) -> int:
        """Begin to read; return what a program has to write to, which the caller closes."""
        reading, writing = os.pipe()
        pipe = os.fdopen(reading, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: self, pipe)
        return writing

    def close(self) -> None:
        """Read no more, whoever may still write."""
        if self._gate.pipe is not None:
            self._gate.pipe.close()

    # Callbacks of asyncio -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the pipe, so that a flood can be held up."""
        self._gate.pipe = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Take in a piece of output."""
        if lines := self._splitter.push(data):
            self._lines.extend(lines)
            self._gate.pass_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in the end of the output."""
        self._gate.pipe = None
        self.ended = True
        self._gate.pass_on()

    # Reading --------------------------------------------------------------------------------

    async def read(self) -> AsyncIterator[bytes]:
        """Yield each line until the output ends. One reader."""
        while True:
            while self._lines:
                yield self._lines.popleft()
            if self.ended:
                break
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if rest := self._splitter.rest():
            yield rest

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class FloodGate:
    """Wakes a reader at once; in a flood, the reader and the output wait a bit."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """``wake`` lets the reader look; ``pipe`` is what is paused meanwhile."""
        self.pipe: asyncio.ReadTransport | None = None
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._opened = 0.0
        self._close_ones = 0

    def pass_on(self) -> None:
        """Let the reader look at what has come, now or in a moment."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        close = loop.time() - self._opened < FLOOD_S
        self._close_ones = self._close_ones + 1 if close else 0
        if self._close_ones < FLOOD_BEGINS:
            self._open()
        else:
            self._timer = loop.call_later(FLOOD_S, self._open)
            if self.pipe is not None:
                self.pipe.pause_reading()

    def _open(self) -> None:
        self._timer = None
        if self.pipe is not None:
            self.pipe.resume_reading()
        self._opened = asyncio.get_running_loop().time()
        self._wake()
