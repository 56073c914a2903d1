"""An agent's program: in a process group of its own, read without ever blocking, ended whole.

It dies with its host: see `midflight.agents.process.reaper`. Its children are found by
`midflight.agents.process.tree` and outlive it by no more than a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from midflight._util.process_id import age
from midflight._util.redact import Redactor
from midflight.agents.process.orphans import new_marker
from midflight.agents.process.output import OutputLines
from midflight.agents.process.reaper import MARKER, Reaper
from midflight.errors import AgentFailed, AgentUnavailable

if TYPE_CHECKING:
    import psutil

_log = logging.getLogger("midflight")

WRITE_TIMEOUT_S = 10.0
GONE_TIMEOUT_S = 10.0
EOF_GRACE_S = 4.0
TERM_GRACE_S = 2.0
LAST_WORDS_GRACE_S = 3.0
STDERR_GRACE_S = 0.5
STDERR_BYTES = 8 * 1024
STDERR_SHOWN_LINES = 6


class AgentProcess(asyncio.SubprocessProtocol):
    """One run of an agent's program, spoken to in lines."""

    def __init__(self) -> None:
        """Prepare; `start` starts it."""
        self.marker = new_marker()
        self.survivors: list[int] = []
        self._name = ""
        self._transport: asyncio.SubprocessTransport | None = None
        self._output = OutputLines()
        self._stderr = bytearray()
        self._redact = Redactor({})
        self._exited = asyncio.Event()
        self._stderr_eof = asyncio.Event()
        self._reaper: Reaper | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._end: asyncio.Task[None] | None = None
        self._orderly = False
        self._started = 0.0
        self._family: list[psutil.Process] = []

    # Starting -----------------------------------------------------------------------------

    async def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        secrets: Iterable[str] = (),
        folder: Path | None = None,
    ) -> None:
        """Start the program. Raises `AgentUnavailable` when it cannot be run.

        ``secrets`` are blanked out in its error output, beside those in ``env``;
        ``folder`` is removed if this host is killed.
        """
        self._redact = Redactor(env, secrets)
        self._name = Path(argv[0]).name
        output = await self._output.open()
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: self,
                *argv,
                stdout=output,
                env={**env, MARKER: self.marker},
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException as error:
            self._output.close()
            if isinstance(error, OSError):
                why = f"{argv[0]} cannot be run: {error.strerror}"
                raise AgentUnavailable(why, "midflight doctor") from error
            raise
        finally:
            os.close(output)
        # A busy loop hears of a start long after it: what was born since is told by the real age.
        self._started = time.monotonic() - age(self.pid)
        self._reaper = Reaper(self.pid, self.marker, folder)

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._transport.get_pid() if self._transport else 0

    @property
    def exit_code(self) -> int | None:
        """How the program has ended; None while it has not."""
        return self._transport.get_returncode() if self._transport else None

    @property
    def age_s(self) -> float:
        """How long ago the program was started, in seconds."""
        return time.monotonic() - self._started

    @property
    def running(self) -> bool:
        """The program was started and has not ended."""
        return self._transport is not None and not self._exited.is_set()

    # Callbacks of asyncio -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The program runs; it may have ended before `start` returns."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        _log.debug("process %s started: %s", self.pid, self._name)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the tail of standard error; the output has a pipe of its own."""
        del fd
        self._stderr += data[-STDERR_BYTES:]
        del self._stderr[:-STDERR_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that nothing can be written any more, or the end of standard error."""
        del exc
        if fd == 0:
            self._writable.set()
        else:
            self._stderr_eof.set()

    def process_exited(self) -> None:
        """The program has ended: what it leaves behind is ended too."""
        _log.debug("process %s ended", self.pid)
        self._exited.set()
        self._writable.set()
        self._end = asyncio.get_running_loop().create_task(self._sweep())

    def pause_writing(self) -> None:
        """The program reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable.set()

    # Reading and writing ------------------------------------------------------------------

    def lines(self) -> AsyncIterator[bytes]:
        """Yield each line of standard output, until it ends or the program is gone.

        A line that is too long comes as `lines.OVERLONG`. One reader.
        """
        return self._output.read()

    async def write(self, line: bytes) -> None:
        """Write a line, newline included. Raises `AgentFailed` if the program takes none."""
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if pipe is None or pipe.is_closing() or not self.running:
            if self._transport is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORDS_GRACE_S):
                        await self.exited()
            raise AgentFailed(f"the agent is not running: {self.last_words()}")
        assert isinstance(pipe, asyncio.WriteTransport)  # noqa: S101 - tells mypy what pipe 0 is
        pipe.write(line)
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._writable.wait()
        except TimeoutError:
            # What lies in the pipe would be read, and run, after it has been reported as failed.
            self._signal_group(signal.SIGKILL)
            raise AgentFailed("the agent does not read its input") from None

    def last_words(self) -> str:
        """Return how it ended and the last lines of its standard error, without secrets."""
        code = self._transport.get_returncode() if self._transport else None
        how = "still running" if code is None else f"exit code {code}"
        if code is not None and code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        tail = self._stderr.decode(errors="replace").strip().splitlines()[-STDERR_SHOWN_LINES:]
        return self._redact("; ".join([how, *(line.strip() for line in tail if line.strip())]))

    # Ending -------------------------------------------------------------------------------

    async def exited(self) -> None:
        """Wait until the program has ended and nothing of it is left."""
        await self._exited.wait()
        if self._end is not None:
            await asyncio.shield(self._end)

    async def close(self) -> None:
        """End the program: its input ends; if that is not enough TERM, then KILL; then the rest."""
        if self._transport is None:
            return
        if self.running:
            self._orderly = True
            self._family = await asyncio.to_thread(_family, self.pid, self.marker)
            self._end_input()
            for grace, harder in ((EOF_GRACE_S, signal.SIGTERM), (TERM_GRACE_S, signal.SIGKILL)):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        await self._exited.wait()
                self._signal_group(harder)
        await self._gone()

    async def kill(self) -> None:
        """End the program and all that belongs to it, at once."""
        if self._transport is None:
            return
        if self.running:
            self._family = await asyncio.to_thread(_family, self.pid, self.marker)
            self._signal_group(signal.SIGKILL)
        await self._gone()

    async def _gone(self) -> None:
        """Wait for the end; the system can hold a process up."""
        try:
            async with asyncio.timeout(GONE_TIMEOUT_S):
                await self.exited()
        except TimeoutError:
            self.survivors = [self.pid]
        self._output.close()
        if self._transport is not None:
            self._transport.close()

    def _end_input(self) -> None:
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if pipe is not None:
            pipe.close()

    def _signal_group(self, number: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _sweep(self) -> None:
        """End what outlived the program: its descendants of a moment ago, and what has its marker.

        What cannot be ended is listed in ``survivors``.
        """
        from midflight.agents.process import tree

        left = {
            p.pid: p for p in [*self._family, *await asyncio.to_thread(_family, 0, self.marker)]
        }
        self.survivors = await asyncio.to_thread(tree.end, left.values(), at_once=not self._orderly)
        self._output.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STDERR_GRACE_S):
                await self._stderr_eof.wait()
        if self._reaper is not None:
            await self._reaper.release()


def _family(pid: int, marker: str) -> list[psutil.Process]:
    from midflight.agents.process import tree

    return tree.of(pid, marker)
