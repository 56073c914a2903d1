"""``midflight run``: one session, here. This module chooses the form and handles the signals."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import msgspec

from midflight.cli.commands.hosted import PARK_AFTER, alone, hosted
from midflight.cli.config.options import in_the_words_of, settled_options
from midflight.cli.output import at_terminal, one_line, write
from midflight.cli.terminal.transcript import Outcome, Transcript
from midflight.commands import check_text
from midflight.errors import ConversationLost, InvalidOption, NotFound
from midflight.options import Options
from midflight.session.session import Session

__all__ = ["Stopper", "run", "run_plain", "told_if_slow", "until_stopped"]

INTERRUPTED = 130

SLOW_S = 1.0
"""How long an agent may take to start before that is told."""


def run(given: argparse.Namespace) -> int:
    """Run the task as the options say, and return the exit code."""
    settled = settled_options(given)
    if given.park_after is not None:
        os.environ[PARK_AFTER] = str(given.park_after)
    try:
        if given.detach:
            from midflight.cli.commands.detach import detach

            return asyncio.run(detach(given, settled.options))
        options = Options.build(attended=given.json or at_terminal(), **settled.options)
        check_text(given.task)
        return asyncio.run(_run(given, options))
    except InvalidOption as error:
        raise in_the_words_of(settled.sources, error) from error
    except ConversationLost as error:
        raise NotFound(
            f"no conversation has the id {given.resume}",
            "--resume takes the agent_session that session.started told, in the same folder",
        ) from error


async def _run(given: argparse.Namespace, options: Options) -> int:
    stopper = Stopper()
    return await until_stopped(stopper, _in_session(given, options, stopper))


async def _in_session(given: argparse.Namespace, options: Options, stopper: Stopper) -> int:
    """Run the session in the form that fits where the output goes."""
    then = given.then or []
    async with _begun(given, options) as session:
        stopper.session = session
        if given.json:
            from midflight.cli.jsonl import run_json

            return await run_json(session, then)
        if at_terminal():
            code = await _run_console(session, then, journal=not given.no_journal)
        else:
            code = await run_plain(session, then)
        if given.worktree:
            from midflight.cli.commands.worktree import how_to_go_on

            write(how_to_go_on(session.name), error=not at_terminal())
        return code


@contextlib.asynccontextmanager
async def _begun(given: argparse.Namespace, options: Options) -> AsyncIterator[Session]:
    """Begin the session; others can reach it unless it is to leave no trace."""
    async with contextlib.AsyncExitStack() as stack:
        with told_if_slow(options, wanted=at_terminal() and not given.json):
            async with _settled(given, options) as settled:
                if given.no_journal:
                    begun = alone(given.task, settled)
                else:
                    begun = hosted(given.task, settled, notify=given.notify)
                session = await stack.enter_async_context(begun)
        yield session


@contextlib.contextmanager
def told_if_slow(options: Options, *, wanted: bool) -> Iterator[None]:
    """Say that an agent is being started in the block, if that takes a while and is ``wanted``."""
    told = f"  [starting] {one_line(options.agent)}\n"
    delay_s = SLOW_S if wanted else float("inf")
    waiting = asyncio.get_running_loop().call_later(delay_s, write, told)
    try:
        yield
    finally:
        waiting.cancel()


@contextlib.asynccontextmanager
async def _settled(given: argparse.Namespace, options: Options) -> AsyncIterator[Options]:
    """Yield the options of a session that is begun in the block; it may get a worktree."""
    if not given.worktree:
        yield options
        return
    from midflight.cli.commands.worktree import begun_in

    async with begun_in(given, {"cwd": options.cwd, "name": options.name}) as changed:
        yield msgspec.structs.replace(options, **changed)


async def _run_console(session: Session, then: list[str], *, journal: bool) -> int:
    """Run at the terminal, and say at the end what it has cost and how to go on."""
    from midflight.cli.terminal.console import Console

    try:
        code = await Console(session, session.options.cwd, then).run()
    finally:
        await session.close()
    write(f"\nCost: ${session.total_cost_usd:.4f}\n")
    if journal:
        write(f"To go on: midflight resume {session.name}\n")
    elif session.agent_session is not None:
        agent = session.options.agent
        which = "" if agent == "claude" else f"--agent {shlex.quote(agent)} "
        write(f'To go on: midflight run {which}--resume {session.agent_session} "…"\n')
    return code


async def run_plain(session: Session, then: list[str]) -> int:
    """Run without a terminal: print what happens, ask nothing, end when it is quiet."""
    transcript, outcome = Transcript(session.options.cwd), Outcome()
    for text in then:
        await session.send(text, delivery="queue")
    async for event in session.stream():
        outcome.take(event)
        write(transcript.take(event))
    return outcome.code


class Stopper:
    """What the signals do: the first SIGINT stops the turn, a second one or SIGTERM everything."""

    def __init__(self) -> None:
        """Without a ``session`` there is no turn to stop, and the first SIGINT ends the program."""
        self.session: Session | None = None
        self._task: asyncio.Task[int] | None = None
        self._stop: asyncio.Task[None] | None = None
        self.stopped = False

    def interrupt(self) -> None:
        """Stop the turn, if that has not been tried yet; else everything."""
        session = self.session
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
