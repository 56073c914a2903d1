"""``midflight orchestrate``: a session whose agent drives others for the person at it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from midflight._util.sanitize import one_line
from midflight.authorization import QUESTIONS, AnswerGrant
from midflight.cli.config.options import in_the_words_of, settled_options
from midflight.cli.foreground import hosted, told_if_slow
from midflight.cli.output import at_terminal, write
from midflight.cli.signals import Stopper, until_stopped
from midflight.cli.terminal.transcript import EXIT_CODES, ExitOutcome, Transcript
from midflight.commands import check_text
from midflight.errors import InvalidInput, InvalidOption, UnsupportedOption
from midflight.options import Options
from midflight.orchestrate.prompt import orchestrating

if TYPE_CHECKING:
    from midflight import events as e
    from midflight.orchestrate.child import Child
    from midflight.orchestrate.children import Children
    from midflight.session.session import Session

NOTHING = AnswerGrant(())

OURS = ("system_prompt", "mcp_servers")
"""Options that the person has not given."""

WHO = "claude and opencode can, without --server-url; any agent can be dispatched"

HANDED_ON = ("OPENCODE_CONFIG_CONTENT", "OPENCODE_PERMISSION")
"""What OpenCode keeps from what it runs; an agent that is dispatched needs the user's."""


def orchestrate(given: argparse.Namespace) -> int:
    """Run the orchestrator as the options say, and return the exit code."""
    settled = settled_options(given)
    if given.task is not None:
        check_text(given.task)
    elif given.json or not at_terminal():
        raise InvalidInput("say what is to be done", 'midflight orchestrate "your task"')
    if min(given.max_depth, given.max_children) < 1:
        raise InvalidInput("--max-depth and --max-children are 1 at least")
    new = uuid.uuid4().hex
    try:
        options = Options.build(attended=given.json or at_terminal(), **settled.options)
        options = orchestrating(
            options,
            new,
            may_answer=_may_answer(given),
            limits={"max-depth": given.max_depth, "max-children": given.max_children},
            worktree=given.worktree,
            env={name: os.environ[name] for name in HANDED_ON if os.environ.get(name)},
        )
        return asyncio.run(_run(given, options, new))
    except UnsupportedOption as error:
        if error.option not in OURS:
            raise in_the_words_of(settled.sources, error) from error
        why = error.message.removeprefix(f"{error.option}: ")
        raise UnsupportedOption("--agent", f"it cannot be the orchestrator: {why}", WHO) from error
    except InvalidOption as error:
        raise in_the_words_of(settled.sources, error) from error


def _may_answer(given: argparse.Namespace) -> list[str]:
    """Return what the agent may answer: what was said, or questions."""
    return (
        [QUESTIONS] if given.may_answer is None else [w for w in given.may_answer if w != "nothing"]
    )


async def _run(given: argparse.Namespace, options: Options, new: str) -> int:
    stopper = Stopper()
    return await until_stopped(stopper, _in_session(given, options, new, stopper))


async def _in_session(
    given: argparse.Namespace, options: Options, new: str, stopper: Stopper
) -> int:
    """Run in the form that fits where the output goes, and say at the end who is still at work."""
    from midflight.client.client import connect
    from midflight.orchestrate.children import Children

    attend = at_terminal() and not given.json
    leave, then = AnswerGrant(_may_answer(given)), given.then or []
    async with contextlib.AsyncExitStack() as stack:
        with told_if_slow(options, wanted=attend):
            began = hosted(given.task, options, new, notify=given.notify)
            session = await stack.enter_async_context(began)
        client = await stack.enter_async_context(connect())
        crew = await stack.enter_async_context(Children(client, session, leave, attend=attend))
        stopper.session = session
        try:
            if given.json:
                from midflight.cli.jsonl import run_json

                code = await run_json(session, then, crew.rest)
                return EXIT_CODES["limit"] if crew.over else code
            if attend:
                return await _at_terminal(session, then, crew)
            return await _plain(session, then, crew)
        finally:
            _tell_who_works(crew.working)


async def _at_terminal(session: Session, then: Sequence[str], crew: Children) -> int:
    """Run until the person quits; say what it has cost, and how to go on."""
    from midflight.cli.terminal.console import Console
    from midflight.cli.terminal.tree import Tree

    try:
        code = await Console(session, session.options.cwd, then, tree=Tree(crew)).run()
    finally:
        await session.close()
    write(f"\nCost: ${session.total_cost_usd:.4f}, all sessions ${crew.spent_usd:.4f}\n")
    write(f"To go on: midflight resume {session.name}\n")
    return code


async def _plain(session: Session, then: Sequence[str], crew: Children) -> int:
    """Print what happens; end when nobody works any more, and everything has been told."""
    transcript, outcome = Transcript(session.options.cwd), ExitOutcome()
    crew.followers.append(_tell)
    for text in then:
        await session.send(text, delivery="queue")
    done = False
    while True:
        async for event in session.stream():
            outcome.take(event)
            write(transcript.take(event))
        if done:
            return EXIT_CODES["limit"] if crew.over else outcome.code
        done = await crew.rest()  # and then what was told meanwhile


def _tell(child: Child, event: e.Event) -> None:
    """Tell what a child does, on standard error: the output is the orchestrator's."""
    from midflight.orchestrate.updates import update_of

    if new := update_of(child, event, NOTHING):
        write(f"[{one_line(child.name)}] {new.text}\n", error=True)


def _tell_who_works(working: Sequence[Child]) -> None:
    if working:
        names = ", ".join(one_line(child.name, 60) for child in working)
        write(f"Still at work: {names} (midflight ls)\n", error=True)
