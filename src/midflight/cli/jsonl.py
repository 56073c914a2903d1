"""``--json``: one event per line out, one command per line in, so any language can drive it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

from midflight import commands as c
from midflight import events as e
from midflight._util.lines import OVERLONG, LineSplitter
from midflight.cli.output import json_line, write
from midflight.cli.terminal.transcript import ExitOutcome
from midflight.errors import EventsExpired, InvalidInput
from midflight.session.session import Session

CHUNK_BYTES = 65_536
WAITING_LINES = 100


async def _at_once() -> bool:
    return True


async def run_json(
    session: Session, then: list[str], rest: Callable[[], Awaitable[bool]] = _at_once
) -> int:
    """Run with events on standard output and commands from standard input.

    While the input is open the session stays open; when it has ended, requests cannot be
    answered any more, and the run ends as soon as it is quiet, if ``rest`` says that it stays so.
    """
    outcome = ExitOutcome()
    try:
        async with asyncio.TaskGroup() as group:
            printing = group.create_task(_print(session, outcome))
            try:
                await _drive(session, then, printing, rest)
            finally:
                await asyncio.wait([printing])  # ends with the session, whatever ended that
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return outcome.code


async def _drive(
    session: Session,
    then: list[str],
    printing: asyncio.Task[None],
    rest: Callable[[], Awaitable[bool]],
) -> None:
    """Carry out what comes in, and close the session when nothing more can come."""
    commands = asyncio.get_running_loop().create_task(_run_commands(session))
    try:
        for text in then:
            await session.send(text, delivery="queue")
        # A signal ends the session, and with it the printing.
        await asyncio.wait([commands, printing], return_when=asyncio.FIRST_COMPLETED)
        if commands.done() and commands.result():
            session.attend(attended=False)
            await _quiet(session)
            while not await rest():
                await _quiet(session)
    finally:
        commands.cancel()
        await session.close()


async def _print(session: Session, outcome: ExitOutcome) -> None:
    async for events in session.events_together():
        for event in events:
            outcome.take(event)
        write(b"".join(json_line(e.encode(event)) for event in events))


async def _run_commands(session: Session) -> bool:
    """Carry out the commands; True if their source has ended, False if one was to close."""
    async for line in _lines():
        if line is None:
            session.notice("error", f"a line over {c.MAX_COMMAND_BYTES} bytes was not read")
            continue
        try:
            command = c.decode(line)
        except InvalidInput as error:
            session.notice("error", str(error), command=c.id_in(line))
            continue
        if isinstance(command, c.Close):
            return False
        await session.submit(command)
    return True


async def _quiet(session: Session) -> None:
    """Wait until the session is quiet. What nobody has read of its stream may be long gone."""
    while True:
        with contextlib.suppress(EventsExpired):
            async for _ in session.stream():
                pass
            return


async def _lines() -> AsyncIterator[bytes | None]:
    """Yield the lines of standard input, and None for one that is too long, until it ends.

    A thread reads, because a file, a pipe and a terminal are not all something that an event loop
    can wait for. It is a daemon: nothing waits for it at the end.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | EOFError | None] = asyncio.Queue(WAITING_LINES)

    def put(item: bytes | EOFError | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()

    def read() -> None:
        try:
            for line in _read_lines():
                put(line)
            put(EOFError())
        except RuntimeError:
            return  # the loop has ended, and the program with it

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while not isinstance(item := await queue.get(), EOFError):
        yield item


def _read_lines() -> Iterator[bytes | None]:
    splitter = LineSplitter(c.MAX_COMMAND_BYTES)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        # No input, or one that goes away: the same as its end.
        descriptor = sys.stdin.fileno()
        while chunk := os.read(descriptor, CHUNK_BYTES):
            yield from _commands(splitter.push(chunk))
    yield from _commands([splitter.rest()])


def _commands(lines: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield the lines that are not blank, and None for one that was too long."""
    for line in lines:
        if line is OVERLONG:
            yield None
        elif command := line.strip():
            yield command
