"""``midflight orchestrate``: a session whose agent drives others for the person at it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from midflight._util.sanitize import one_name
from midflight._util.text import dollars
from midflight.authorization import QUESTIONS, AnswerGrant
from midflight.cli.exit_codes import INTERRUPTED, LIMIT
from midflight.cli.foreground import Begin, Foreground, door_of, hosted, report_slow_start
from midflight.cli.may_answer import check_may_answer
from midflight.cli.options import name_source, resolve_options, terminal_setting
from midflight.cli.output import at_terminal, write
from midflight.cli.signals import Stopper, until_stopped
from midflight.cli.standard_input import read_task
from midflight.cli.terminal.transcript import ExitOutcome, Transcript
from midflight.cli.trust_question import Quit, ask
from midflight.errors import InvalidInput, InvalidOption, UnsupportedOption
from midflight.journal.choice import choose
from midflight.options import Options
from midflight.orchestrate.prompt import orchestrator_options

if TYPE_CHECKING:
    from midflight import events as e
    from midflight.orchestrate.child import Child
    from midflight.orchestrate.children import Children
    from midflight.session.session import Session

NOTHING = AnswerGrant(())

OURS = ("system_prompt", "mcp_servers")
"""Options that the person has not set."""

WHO = "claude and opencode can, without --server-url; any agent can be dispatched"

HANDED_ON = ("OPENCODE_CONFIG_CONTENT", "OPENCODE_PERMISSION")
"""What OpenCode keeps from what it runs; an agent that is dispatched needs the user's."""


def orchestrate(args: argparse.Namespace) -> int:
    """Run the orchestrator as the options say, and return the exit code."""
    args.piped = False
    if args.task is not None:
        read_task(args)
    elif args.json or not at_terminal():
        raise InvalidInput("say what is to be done", 'midflight orchestrate "your task"')
    resolved = resolve_options(args)
    check_may_answer(_may_answer(args))
    new = uuid.uuid4().hex
    try:
        options = Options.build(
            attended=None if args.waiter else args.json,  # a person there attends; see `hosted`
            max_depth=args.max_depth,
            max_children=args.max_children,
            **resolved.options,
        )
        options = orchestrator_options(
            options,
            new,
            may_answer=_may_answer(args),
            worktree=args.worktree,
            journal=choose().public,
            env={name: os.environ[name] for name in HANDED_ON if os.environ.get(name)},
        )
        return asyncio.run(_run(args, options, new))
    except Quit:
        return INTERRUPTED
    except UnsupportedOption as error:
        if error.option not in OURS:
            raise name_source(resolved.sources, error, resolved.options["agent"]) from error
        why = error.message.removeprefix(f"{error.option}: ")
        raise UnsupportedOption("--agent", f"it cannot be the orchestrator: {why}", WHO) from error
    except InvalidOption as error:
        raise name_source(resolved.sources, error, resolved.options["agent"]) from error


def _may_answer(args: argparse.Namespace) -> list[str]:
    """Return what the agent may answer; questions by default."""
    return (
        [QUESTIONS] if args.may_answer is None else [w for w in args.may_answer if w != "nothing"]
    )


async def _run(args: argparse.Namespace, options: Options, new: str) -> int:
    stopper = Stopper()
    return await until_stopped(stopper, _in_session(args, options, new, stopper), args.waiter)


async def _in_session(
    args: argparse.Namespace, options: Options, new: str, stopper: Stopper
) -> int:
    """Run in the form that fits where the output goes; print at the end which children work."""
    from midflight.client.client import connect
    from midflight.orchestrate.children import Children

    attend = at_terminal() and not args.json
    grant, then = AnswerGrant(_may_answer(args)), args.then or []
    async with contextlib.AsyncExitStack() as stack:
        if attend:
            options = await ask(options)
        with report_slow_start(options, wanted=attend):
            foreground = await stack.enter_async_context(
                hosted(
                    args.task,
                    options,
                    Begin(new),
                    door=door_of(args),
                    notify=args.notify,
                    waiter=args.waiter,
                )
            )
        session = foreground.session
        client = await stack.enter_async_context(connect(door=door_of(args)))
        children = await stack.enter_async_context(Children(client, session, grant, attend=attend))
        stopper.session = session
        try:
            if args.json:
                from midflight.cli.jsonl import run_json

                code = await run_json(session, then, children.rest)
                return LIMIT if children.budget_spent else code
            if attend:
                return await _at_terminal(foreground, stopper, then, children)
            return await _plain(session, then, children)
        finally:
            _print_working(children.working)


async def _at_terminal(
    foreground: Foreground, stopper: Stopper, then: Sequence[str], children: Children
) -> int:
    """Run until the person leaves; print what it has cost, and how to resume it.

    One that goes on without them is never parked: it hears of its children as long as it lives.
    """
    from midflight.cli.terminal.attached import show
    from midflight.cli.terminal.console import Console
    from midflight.cli.terminal.notifications import Notifications
    from midflight.cli.terminal.others import OtherSessions
    from midflight.cli.terminal.tree import Tree

    session, tree = foreground.session, Tree(children)
    console = Console(
        session,
        session.options.cwd,
        then,
        notifications=Notifications(wanted=terminal_setting("notify")),
        leave=foreground.leave,
        others=OtherSessions(session.id, show, known=lambda other: bool(tree.asker(other))),
        tree=tree,
    )
    code = await foreground.show(console, stopper)
    if foreground.leaving:
        children.stop_attending()
        await foreground.go_on()
        return code
    own, every = dollars(session.total_cost_usd), dollars(children.spent_usd)
    write(f"\nCost: {own}, all sessions {every}\n")
    write(f"To go on: midflight resume {session.name}\n")
    return code


async def _plain(session: Session, then: Sequence[str], children: Children) -> int:
    """Print what happens; end when no child works any more, and the agent has read all updates."""
    transcript, outcome = Transcript(session.options.cwd), ExitOutcome()
    children.followers.append(_print_update)
    for text in then:
        await session.send(text, delivery="queue")
    done = False
    while True:
        async for event in session.stream():
            outcome.take(event)
            write(transcript.take(event))
        if done:
            return LIMIT if children.budget_spent else outcome.code
        done = await children.rest()  # and then what was sent meanwhile


def _print_update(child: Child, event: e.Event) -> None:
    """Print what a child does on standard error: the output is the orchestrator's."""
    from midflight.orchestrate.updates import update_of

    if new := update_of(child, event, NOTHING):
        write(f"[{one_name(child.name)}] {new.text}\n", error=True)


def _print_working(working: Sequence[Child]) -> None:
    if working:
        names = ", ".join(one_name(child.name, 60) for child in working)
        write(f"Still at work: {names} (midflight ls)\n", error=True)
