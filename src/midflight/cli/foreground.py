"""A session in the foreground: this program is its host, so that other terminals can reach it.

The agent's program comes up while SQLAlchemy is loaded and the journal opened, and what answers
on the socket is loaded when the task is with the agent: none of it delays the first word by much.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import signal
import termios
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from midflight._util.sanitize import one_name
from midflight.agents import create
from midflight.cli.exit_codes import INTERRUPTED
from midflight.cli.options import terminal_setting
from midflight.cli.output import at_terminal, write
from midflight.cli.shared_options import seconds
from midflight.cli.waiter import Waiter, terminal_is_gone
from midflight.errors import InvalidInput, MidflightError
from midflight.images import Image
from midflight.lineage import inside, marked
from midflight.options import Options
from midflight.session.session import Session
from midflight.values import Door
from midflight.who import here

if TYPE_CHECKING:
    from midflight.cli.signals import Stopper
    from midflight.cli.terminal.console import Console
    from midflight.host import Host
    from midflight.host.notify import Notifier

PARK_AFTER_VARIABLE = "MIDFLIGHT_PARK_AFTER"
"""The environment variable with the time of ``--park-after``, for hosts that are without it."""

UNUSED_S = 60.0
"""How long a host without a session waits for one."""

SLOW_S = 1.0
"""How long an agent may take to start before that is reported."""


class Begin(NamedTuple):
    """How a session is to begin: with an ``id``; ``first`` is done when all else is checked."""

    id: str | None = None
    first: Callable[[], Awaitable[None]] | None = None


def door_of(args: argparse.Namespace) -> Door:
    """Return how the user of a session in the foreground gives it commands.

    What was piped in nobody has typed, so an agent takes it for nothing but a text.
    """
    if args.piped:
        return "library"
    if args.json:
        return "json"
    return "terminal" if at_terminal() else "command"


def park_after(args: argparse.Namespace) -> float:
    """Return the option, or what the environment has. Raises `InvalidInput`."""
    from midflight.host.host import PARK_AFTER_S

    if args.park_after is not None:
        return float(args.park_after)
    text = os.environ.get(PARK_AFTER_VARIABLE)
    try:
        return seconds(text) if text else PARK_AFTER_S
    except argparse.ArgumentTypeError as error:
        raise InvalidInput(
            f"{PARK_AFTER_VARIABLE} is no span of time: {text}", "such as 900 or 15m"
        ) from error


class Foreground:
    """A ``session`` in this program; ``leaving`` says that it goes on without its terminal."""

    def __init__(self, session: Session) -> None:
        """Begin at the terminal."""
        self.session = session
        self.leaving = False

    async def show(self, console: Console, stopper: Stopper) -> int:
        """Run until the person leaves; close the session, unless it goes on. Return the exit code.

        That the terminal is closed is to leave, if the user wants it so.
        """
        stays = terminal_setting("background")
        if stays:
            stopper.on_hang_up = console.quit
        try:
            try:
                code = await console.run()
            except (OSError, termios.error):  # which a closed terminal is in many places
                if not (stays and terminal_is_gone()):
                    raise
                code = INTERRUPTED
            if stays and (stopper.hung_up or terminal_is_gone()):
                await self.leave()
        finally:
            if not self.leaving:
                await self.session.close()
        if self.leaving and not terminal_is_gone():
            name = one_name(self.session.name)
            write(f"\n{name} goes on. To come back: midflight attach {shlex.quote(name)}\n")
        return 0 if self.leaving else code

    async def leave(self) -> str:
        """Have the session go on without its terminal. Return why it cannot, or nothing."""
        return "no other terminal could reach it"

    async def go_on(self) -> None:
        """Leave the terminal, and go on like any host in the background, as long as it is used."""


class Hosted(Foreground):
    """One of which this program is the host."""

    def __init__(
        self,
        session: Session,
        host: Host,
        serving: asyncio.Task[bool],
        attending: contextlib.ExitStack,
        waiter: Waiter | None,
    ) -> None:
        """``serving`` ends with whether others can reach it; ``attending`` with the person."""
        super().__init__(session)
        self._host = host
        self._serving = serving
        self._attending = attending
        self._waiter = waiter

    async def leave(self) -> str:
        """Have the session go on without its terminal. Return why it cannot, or nothing."""
        self.leaving = self._waiter is not None and await asyncio.shield(self._serving)
        return "" if self.leaving else await super().leave()

    async def go_on(self) -> None:
        """Leave the terminal, and go on like any host in the background, as long as it is used."""
        from midflight.client.spawn import host_log
        from midflight.journal.choice import choose

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
        if self._waiter is not None:
            self._waiter.leave(host_log(choose()))
        self._attending.close()
        await self._host.unused(UNUSED_S)


@contextlib.asynccontextmanager
async def alone(
    task: str, options: Options, door: Door, images: tuple[Image, ...] = ()
) -> AsyncIterator[Foreground]:
    """Begin a session that no other program knows of, and close it at the end."""
    async with Session(options, task, who=here(door), images=images) as session:
        yield Foreground(session)


@contextlib.asynccontextmanager
async def hosted(
    task: str | None,
    options: Options,
    begin: Begin = Begin(),  # noqa: B008 - it does not change
    *,
    door: Door,
    notify: str | None = None,
    waiter: Waiter | None = None,
    park_after: Callable[[], float] | None = None,
    images: tuple[Image, ...] = (),
) -> AsyncIterator[Hosted]:
    """Begin a session in the user's journal, answer for it, and close it at the end.

    ``door`` is that of the user; ``notify`` the address of ``--notify``; ``images`` come with the
    task. With a ``waiter`` it can leave its terminal: then it is parked, after so many quiet
    seconds as ``park_after`` returns, or at the end.

    Raises `StoreFailed` if the journal cannot be used, and what entering a `Session` raises.
    """
    from midflight.journal.choice import choose

    address = choose()
    _ = address.location  # a folder that cannot be used is an error before anything starts
    notifier = make_notifier(notify)
    new = begin.id or uuid.uuid4().hex
    # What an agent begins has no more than the agent: its options are not known before the journal.
    made_first = options.repo is not None or options.setup is not None  # the folder, by its host
    agent = None if inside() or made_first else create(marked(options, new))
    opening = asyncio.get_running_loop().create_task(_open(notifier, park_after))
    try:
        if agent is not None:
            await agent.start(**({} if address.url is None else {"memory": {}}))
        host = await asyncio.shield(opening)
        if begin.first is not None:
            await begin.first()
        session = await host.begin(task, options, new, ready=agent, who=here(door), images=images)
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
        attending = ends.enter_context(contextlib.ExitStack())
        if waiter is not None:
            attending.enter_context(host.attending(session.id))
        foreground = Hosted(session, host, serving, attending, waiter)
        ends.push_async_callback(_close, foreground)
        yield foreground


async def _close(foreground: Foreground) -> None:
    """Close a session that was not left: one that was, its host parks."""
    if not foreground.leaving:
        await foreground.session.close()


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
    from midflight.journal.choice import choose

    return Notifier(url, choose().location)


async def _open(notifier: Notifier | None, park_after: Callable[[], float] | None) -> Host:
    host = await asyncio.to_thread(_load, notifier, park_after)
    await host.open()
    return host


def _load(notifier: Notifier | None, park_after: Callable[[], float] | None) -> Host:
    from midflight.host import Host

    return Host(
        park_after=park_after() if park_after else None,
        on_session=notifier.follow if notifier else None,
    )


async def _serve(host: Host, session: Session) -> bool:
    """Answer on the socket; the session continues if that does not work. Return whether it does."""
    try:
        await host.serve()
    except (MidflightError, OSError) as error:
        session.notice("warning", f"other terminals cannot reach this session: {error}")
        return False
    return True


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
