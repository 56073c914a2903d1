"""``midflight run``: one session, here. This module chooses the form and handles the signals."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from midflight import dispatch
from midflight.cli.defaults import in_the_words_of, settled_options
from midflight.cli.output import write
from midflight.cli.transcript import Outcome, Transcript
from midflight.errors import ConversationLost, InvalidOption, NotFound
from midflight.session import Session

__all__ = ["Stopper", "run", "run_plain", "until_stopped"]

INTERRUPTED = 130


def run(given: argparse.Namespace) -> int:
    """Run the task as the options say, and return the exit code."""
    settled = settled_options(given)
    attended = given.json or bool(sys.stdin and sys.stdin.isatty() and sys.stdout.isatty())
    try:
        session = dispatch(given.task, attended=attended, **settled.options)
        return asyncio.run(_run(session, given.then or [], json=given.json))
    except InvalidOption as error:
        raise in_the_words_of(settled.sources, error) from error
    except ConversationLost as error:
        raise NotFound(
            f"no conversation has the id {given.resume}",
            "--resume takes the agent_session that session.started told, in the same folder",
        ) from error


async def _run(session: Session, then: list[str], *, json: bool) -> int:
    stopper = Stopper(session)
    if json:
        from midflight.cli.jsonl import run_json

        return await until_stopped(stopper, run_json(session, then))
    if sys.stdin and sys.stdin.isatty() and sys.stdout.isatty():
        from midflight.cli.console import Console

        return await until_stopped(stopper, Console(session, then).run())
    return await until_stopped(stopper, run_plain(session, then))


async def run_plain(session: Session, then: list[str]) -> int:
    """Run without a terminal: print what happens, ask nothing, end when it is quiet."""
    transcript, outcome = Transcript(session.options.cwd), Outcome()
    async with session:
        for text in then:
            await session.send(text, delivery="queue")
        async for event in session.stream():
            outcome.take(event)
            write(transcript.take(event))
    return outcome.code


class Stopper:
    """What the signals do: the first SIGINT stops the turn, a second one or SIGTERM everything."""

    def __init__(self, session: Session | None = None) -> None:
        """Without a session there is no turn to stop, and the first SIGINT ends the program."""
        self._session = session
        self._task: asyncio.Task[int] | None = None
        self._stop: asyncio.Task[None] | None = None
        self.stopped = False

    def interrupt(self) -> None:
        """Stop the turn, if that has not been tried yet; else everything."""
        session = self._session
        if session is None or self._stop is not None or session.status == "starting":
            self.quit()
            return
        self.stopped = True
        self._stop = asyncio.get_running_loop().create_task(self._stop_turn(session))

    async def _stop_turn(self, session: Session) -> None:
        await session.interrupt()
        await session.close("interrupted")  # which first lets the turn come to its end

    def quit(self) -> None:
        """End the program in an orderly way."""
        self.stopped = True
        if self._task is not None:
            self._task.cancel()

    def listen(self, task: asyncio.Task[int]) -> None:
        """Take the signals from now on."""
        self._task = task
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        loop.add_signal_handler(signal.SIGTERM, self.quit)
        loop.add_signal_handler(signal.SIGHUP, self.quit)


async def until_stopped(stopper: Stopper, program: Coroutine[Any, Any, int]) -> int:
    """Run a program to its end, or until a signal has stopped it; return the exit code."""
    task = asyncio.get_running_loop().create_task(program)
    stopper.listen(task)
    with contextlib.suppress(asyncio.CancelledError):
        code = await task
        return INTERRUPTED if stopper.stopped else code
    return INTERRUPTED
