"""``midflight run``: one session, here or with ``--detach`` in the background."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import shlex
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from midflight import events as e
from midflight._util.files import current_folder
from midflight._util.sanitize import one_line, one_name
from midflight._util.text import dollars
from midflight.cli.exit_codes import INTERRUPTED
from midflight.cli.foreground import (
    Begin,
    Foreground,
    alone,
    door_of,
    hosted,
    park_after,
    report_slow_start,
)
from midflight.cli.options import name_source, resolve_options, terminal_setting
from midflight.cli.output import at_terminal, json_line, write
from midflight.cli.signals import Stopper, until_stopped
from midflight.cli.standard_input import read_task
from midflight.cli.terminal.transcript import ExitOutcome, Transcript
from midflight.cli.trust_question import Quit, ask
from midflight.commands import Send, check_text
from midflight.errors import AgentFailed, ConversationLost, InvalidInput, InvalidOption, NotFound
from midflight.options import Options
from midflight.session import BaseSession
from midflight.session.image_files import read_images
from midflight.session.session import Session
from midflight.values import Door

START_S = 1.0
"""How long a session in the background is looked at: what fails by then is the command's error."""


def run(args: argparse.Namespace) -> int:
    """Run the task as the options say, and return the exit code."""
    if args.go_on:
        from midflight.cli.commands.continued import go_on

        return go_on(args)
    if args.task is None:
        raise InvalidInput("the following arguments are required: TASK", "midflight run --help")
    read_task(args)
    args.images = read_images(args.image or ())
    return start(args)


def start(args: argparse.Namespace, **more: Any) -> int:
    """Run a session whose task has been read, with ``more`` options, and return the exit code."""
    begin = _name_repository(args)
    resolved = resolve_options(args)
    options = dict(resolved.options)
    if args.worktree or (args.repo and args.on is None):  # a worker has its own
        from midflight.worktrees import setup_command

        options["setup"] = setup_command()
    try:
        if args.on is not None:
            from midflight.cli.commands.run_on import run_on

            return asyncio.run(run_on(args, options, begin))
        if args.detach:
            return asyncio.run(_detach(args, options, begin))
        # In a journal a person at the terminal is one of those who may attend; see `hosted`.
        attended = None if args.waiter else args.json or at_terminal()
        built = Options.build(attended=attended, **options, **more)
        return asyncio.run(_run(args, built, begin))
    except Quit:
        return INTERRUPTED
    except InvalidOption as error:
        raise name_source(resolved.sources, error, options["agent"]) from error
    except ConversationLost as error:
        raise NotFound(
            f"no conversation has the id {args.resume}",
            "it is the agent's own id, in the same folder; a session of midflight goes on with"
            " midflight resume",
        ) from error


def _name_repository(args: argparse.Namespace) -> Begin:
    """Have ``--repo`` be an address; return how the session begins then."""
    if args.repo is None and not args.with_changes and args.on is None:
        return Begin()
    if args.repo is not None and (args.worktree or args.resume):
        raise InvalidInput(
            "--repo is a checkout of the session's own",
            f"leave {'--worktree' if args.worktree else '--resume'} out",
        )
    from midflight.cli.own_repository import name_repository

    return name_repository(args)


async def _run(args: argparse.Namespace, options: Options, begin: Begin) -> int:
    stopper = Stopper()
    running = _in_session(args, options, begin, stopper)
    return await until_stopped(stopper, running, args.waiter)


async def _in_session(
    args: argparse.Namespace, options: Options, begin: Begin, stopper: Stopper
) -> int:
    """Run the session in the form that fits where the output goes."""
    then = args.then or []
    async with _open_session(args, options, begin) as foreground:
        session = stopper.session = foreground.session
        if args.json:
            from midflight.cli.jsonl import run_json

            return await run_json(session, then)
        if at_terminal():
            code = await _run_console(foreground, then, stopper, journal=not args.no_journal)
        else:
            code = await _run_plain(session, then)
        if foreground.leaving:
            await foreground.go_on()
        elif args.worktree:
            write(_how_to_merge(session.name), error=not at_terminal())
        return code


@contextlib.asynccontextmanager
async def _open_session(
    args: argparse.Namespace, options: Options, begin: Begin
) -> AsyncIterator[Foreground]:
    """Begin the session; other programs can reach it, unless it is to leave no trace."""
    async with contextlib.AsyncExitStack() as stack:
        attend = at_terminal() and not args.json
        door = door_of(args)
        changes = {"cwd": options.cwd, "name": options.name}
        async with _in_worktree(args, changes) as changed:
            options = msgspec.structs.replace(options, **changed)
            if attend and options.repo is None:  # which is not there yet, and starts untrusted
                options = await ask(options)
            with report_slow_start(options, wanted=attend):
                if args.no_journal:
                    starting = alone(args.task, options, door, args.images)
                else:
                    starting = hosted(
                        args.task,
                        options,
                        begin,
                        door=door,
                        notify=args.notify,
                        waiter=args.waiter,
                        park_after=functools.partial(park_after, args) if args.waiter else None,
                        images=args.images,
                    )
                foreground = await stack.enter_async_context(starting)
        yield foreground


async def _run_console(
    foreground: Foreground, then: list[str], stopper: Stopper, *, journal: bool
) -> int:
    """Run at the terminal, and print at the end what it has cost and how to go on."""
    from midflight.cli.terminal.attached import show
    from midflight.cli.terminal.console import Console
    from midflight.cli.terminal.notifications import Notifications
    from midflight.cli.terminal.others import OtherSessions

    session = foreground.session
    console = Console(
        session,
        session.options.cwd,
        then,
        journal=journal,
        notifications=Notifications(wanted=terminal_setting("notify")),
        leave=foreground.leave,
        others=OtherSessions(session.id, show) if journal else None,
    )
    code = await foreground.show(console, stopper)
    if foreground.leaving:
        return code
    write(f"\nCost: {dollars(session.total_cost_usd)}\n")
    if journal:
        write(f"To go on: midflight resume {session.name}\n")
    elif session.agent_session is not None:
        agent = session.options.agent
        which = "" if agent == "claude" else f"--agent {shlex.quote(agent)} "
        write(f'To go on: midflight run {which}--resume {session.agent_session} "…"\n')
    return code


async def _run_plain(session: Session, then: list[str]) -> int:
    """Run without a terminal: print what happens, ask nothing, end when it is quiet."""
    transcript, outcome = Transcript(session.options.cwd), ExitOutcome()
    for text in then:
        await session.send(text, delivery="queue")
    async for event in session.stream():
        outcome.take(event)
        write(transcript.take(event))
    return outcome.code


async def _detach(args: argparse.Namespace, options: Mapping[str, Any], begin: Begin) -> int:
    """Start the session, and return when its messages are accepted, and its agent starts."""
    from midflight.client.client import connect

    door: Door = "library" if args.piped else "command"
    async with connect(notify=args.notify or "", park_after=args.park_after, door=door) as client:
        async with _in_worktree(args, options) as changed:
            session = await client.begin(
                check_text(args.task), changed, id=begin.id, images=args.images, first=begin.first
            )
        for text in args.then or []:
            await client.carry_out(session.id, Send(text=text, delivery="queue"))
        if args.json:
            info = await client.info(session.id)
            write(json_line(msgspec.json.encode(info)))
        else:
            name = one_name(session.name)
            write(f"{name}\nTo follow it: midflight attach {shlex.quote(name)}\n")
            if args.worktree:
                write(_how_to_merge(session.name))
        async with await client.session(session.id, attend=False) as begun:
            await _started(begun)
    return 0


async def _started(session: BaseSession) -> None:
    """Wait a moment for the agent. Raises `AgentFailed` for a start that fails at once.

    The session is there by then, and its name written: a message to it tries again.
    """
    why = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            async for event in session.events():
                match event:
                    case e.SessionStarted():
                        return
                    case e.Notice(level="warning" | "error", text=text):
                        why = text
                    case e.MessageFailed(reason=reason):
                        raise AgentFailed(why or f"the task has failed: {reason}")


@contextlib.asynccontextmanager
async def _in_worktree(
    args: argparse.Namespace, options: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """Yield the options of a session that the block begins; with `--worktree` it gets its own.

    The worktree is removed again if the session does not begin.
    """
    changed = dict(options)
    if not args.worktree:
        yield changed
        return
    if args.resume:
        raise InvalidInput(
            "--resume goes on in the folder of its conversation, and --worktree is a new one",
            "leave one of them out",
        )
    from midflight.git.repository import uncommitted
    from midflight.worktrees import own_worktree

    cwd = current_folder() / (options.get("cwd") or "")
    async with own_worktree(args.task, changed) as tree:
        folder = one_line(str(tree.folder), 1000)
        lines = f"midflight: it works on the branch {tree.branch}, in {folder}\n"
        if await uncommitted(cwd):
            lines += "midflight: it begins with the last commit, without what is not committed\n"
        write(lines, error=True)
        yield changed


def _how_to_merge(name: str) -> str:
    """Return how the work of a session in a worktree is merged."""
    return f"To take over its work: midflight worktree merge {shlex.quote(one_name(name))}\n"
