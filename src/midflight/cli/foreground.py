"""A session in the foreground: this program is its host, so that other terminals can reach it.

The agent's program comes up while SQLAlchemy is loaded and the journal opened, and what answers
on the socket is loaded when the task is with the agent: none of it delays the first word by much.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from midflight._util.sanitize import one_name
from midflight.agents import create
from midflight.cli.output import at_terminal, write
from midflight.errors import MidflightError
from midflight.lineage import inside, marked
from midflight.options import Options
from midflight.session.session import Session
from midflight.values import Door
from midflight.who import here

if TYPE_CHECKING:
    from midflight.host import Host
    from midflight.host.notify import Notifier

SLOW_S = 1.0
"""How long an agent may take to start before that is reported."""


def door_of(args: argparse.Namespace) -> Door:
    """Return how the user of a session in the foreground gives it commands.

    What was piped in nobody has typed, so an agent takes it for nothing but a text.
    """
    if args.piped:
        return "library"
    if args.json:
        return "json"
    return "terminal" if at_terminal() else "command"


@contextlib.asynccontextmanager
async def alone(task: str, options: Options, door: Door) -> AsyncIterator[Session]:
    """Begin a session that no other program knows of, and close it at the end."""
    async with Session(options, task, who=here(door)) as session:
        yield session


@contextlib.asynccontextmanager
async def hosted(
    task: str | None,
    options: Options,
    new: str | None = None,
    *,
    door: Door,
    notify: str | None = None,
) -> AsyncIterator[Session]:
    """Begin a session in the user's journal, answer for it, and close it at the end.

    ``new`` is its id, if that has to be known before; ``door`` that of the user; ``notify`` the
    address of ``--notify``.

    Raises `StoreFailed` if the journal cannot be used, and what entering a `Session` raises.
    """
    from midflight.journal import JournalLocation

    JournalLocation()  # a folder that cannot be used is an error before anything starts
    notifier = make_notifier(notify)
    new = new or uuid.uuid4().hex
    # What an agent begins has no more than the agent: its options are not known before the journal.
    agent = None if inside() else create(marked(options, new))
    opening = asyncio.get_running_loop().create_task(_open(notifier))
    try:
        if agent is not None:
            await agent.start()
        host = await asyncio.shield(opening)
        session = await host.begin(task, options, new, ready=agent, who=here(door))
    except BaseException:
        if agent is not None:
            await agent.close()
        with contextlib.suppress(MidflightError):
            await (await opening).__aexit__(None, None, None)
        raise
    serving = asyncio.get_running_loop().create_task(_serve(host, session))
    async with contextlib.AsyncExitStack() as ends:  # whose order is from the last to the first
        if notifier is not None:
            ends.push_async_callback(notifier.close)
        ends.push_async_exit(host)
        ends.callback(serving.cancel)  # if a second signal has cut the wait for it
        ends.push_async_callback(asyncio.wait, [serving])
        ends.push_async_callback(session.close)
        yield session


def make_notifier(url: str | None) -> Notifier | None:
    """Return what notifies the user, at an address or that of the environment, if there is one.

    Agents do not see the variable. Raises `InvalidOption` if the address cannot be used.
    """
    from midflight.client.spawn import NOTIFY_VARIABLE

    of_environment = os.environ.pop(NOTIFY_VARIABLE, None)
    url = url or of_environment
    if not url:
        return None
    from midflight.host.notify import Notifier

    return Notifier(url)


async def _open(notifier: Notifier | None) -> Host:
    host = await asyncio.to_thread(_load, notifier)
    await host.open()
    return host


def _load(notifier: Notifier | None) -> Host:
    from midflight.host import Host

    return Host(park_after=None, on_session=notifier.follow if notifier else None)


async def _serve(host: Host, session: Session) -> None:
    """Answer on the socket; the session continues if that does not work."""
    try:
        await host.serve()
    except (MidflightError, OSError) as error:
        session.notice("warning", f"other terminals cannot reach this session: {error}")


@contextlib.contextmanager
def report_slow_start(options: Options, *, wanted: bool) -> Iterator[None]:
    """Print that the block is starting an agent, if that takes a while and is ``wanted``."""
    line = f"  [starting] {one_name(options.agent)}\n"
    delay_s = SLOW_S if wanted else float("inf")
    waiting = asyncio.get_running_loop().call_later(delay_s, write, line)
    try:
        yield
    finally:
        waiting.cancel()
