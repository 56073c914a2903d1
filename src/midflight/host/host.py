"""A process that owns sessions: its journal, its socket, and what it does by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from midflight._util.aio import TaskSet, finished
from midflight.address import Address
from midflight.agents import create
from midflight.agents.base import Agent
from midflight.agents.process.orphans import end_orphans
from midflight.authorization import Authorizer
from midflight.environment import HostKind
from midflight.errors import MidflightError, StoreFailed
from midflight.host.audience import Audience
from midflight.host.housekeeping import Housekeeping
from midflight.host.http.unix import UnixListener
from midflight.host.inbox import InboxReader
from midflight.host.recovery import recover_all
from midflight.host.service import SessionService
from midflight.host.sessions import HostSetup, OnSession, Rationing, SessionTable
from midflight.host.warm_pool import AgentFactory, WarmAgents
from midflight.images import Image
from midflight.journal import Journal
from midflight.options import Options, SessionOptions, documented
from midflight.session.image_files import ImageSource, read_images
from midflight.session.session import Session
from midflight.values import Who

if TYPE_CHECKING:
    from midflight.host.http.problems import Logged

PARK_AFTER_S = 900.0
"""How long a session may be quiet before its agent is closed; the next message starts it again."""


class Host:
    """Owns sessions that outlive the programs that use them. An async context manager.

    Entering it ends what hosts that died have left open, and opens the socket. Leaving it parks
    every session: the next message resumes it, in whatever host that reaches.
    """

    def __init__(
        self,
        journal: Path | str | None = None,
        *,
        park_after: float | None = PARK_AFTER_S,
        agent: AgentFactory = create,
        on_session: OnSession | None = None,
        kind: HostKind | None = None,
        taking: bool = False,
        rationing: Rationing | None = None,
        work: Path | None = None,
        setup: str | None = None,
    ) -> None:
        """``journal`` is a folder or a URL; default: the same as for `midflight.connect`.

        ``park_after`` is in seconds; None leaves the agents of quiet sessions running.
        ``on_session`` is called with each session that begins or is resumed here, before its agent
        starts. ``kind`` is what this host is like, that of this process if not given: whoever
        needs that kind gets its warm agents. One that is ``taking``, in the background, takes their
        sessions without a warm agent too. ``rationing`` is a worker's, see
        `midflight.worker`. ``work`` is the folder for the checkouts of sessions with a repository,
        default: one in the user's data folder; ``setup`` prepares those that name nothing else, see
        `Options.setup`.
        """
        self._journal = Journal(journal)
        self._warm = WarmAgents(agent, lambda: self._journal.on_server)
        self._offer = rationing and rationing.offer
        made_with = HostSetup(agent, on_session, rationing, work, setup)
        self._sessions = SessionTable(self._journal, self._warm, made_with)
        self._service = SessionService(
            self._journal, self._sessions, self._warm, kind, taking=taking
        )
        self._housekeeping = Housekeeping(
            self._journal,
            self._sessions,
            self._warm,
            park_after,
            is_read=self._sessions.readers.is_read,
            come_back=self._come_back,
        )
        self._inbox = InboxReader(
            self._journal, self._service, rationing.offer.labels if rationing else ()
        )
        self._audience = Audience(self._journal, self._service)
        self._listener = UnixListener()
        self._tasks = TaskSet()

    # Life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the journal and the socket. Raises `StoreFailed` or `StoreRefused`."""
        await self.open()
        try:
            await self.serve()
        except BaseException:
            await self._close()
            raise
        return self

    async def open(self) -> None:
        """Open the journal, and be a host that can have sessions; the rest is left to `serve`.

        For a program that is in a hurry to begin one. Raises `StoreFailed` or `StoreRefused`.
        """
        await self._journal.open()
        try:
            self._listener.open(self._journal.socket_path())
            await self._journal.host.register(
                self.address(), offer=self._offer, fires=self._offer is not None
            )
        except BaseException:
            await self._close()
            raise
        self._tasks.start(self._journal.host.stay())
        self._tasks.start(self._housekeeping.beat())
        self._tasks.start(self._housekeeping.share())
        self._tasks.start(self._housekeeping.end_lost())

    async def _come_back(self) -> None:
        """Be a host again, where others have taken this one for dead and forgotten it."""
        await self._listener.renew(self._make_app)
        await self._journal.host.register(
            self.address(), offer=self._offer, fires=self._offer is not None
        )

    async def serve(self) -> None:
        """End what hosts that died have left open, then answer on the socket."""
        await asyncio.to_thread(end_orphans)
        self._listener.clear(await recover_all(self._journal))
        await self._listener.answer(self._make_app)
        self._tasks.start(self._housekeeping.tend())
        self._tasks.start(self._inbox.serve())
        self._tasks.start(self._audience.serve())

    def _make_app(self) -> Logged:
        from midflight.host.http.app import make_app

        return make_app(self._service)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Park the sessions, also when the block was cancelled."""
        await finished(asyncio.get_running_loop().create_task(self._close()))

    async def _close(self) -> None:
        self._tasks.cancel()
        await self._inbox.close()
        await self._sessions.park()
        await self._audience.close()
        await self._warm.close()
        await self._listener.close()
        await self._tasks.close()
        await self._sessions.over()
        with contextlib.suppress(StoreFailed):
            await self._journal.host.leave()
        await self._journal.close()

    def address(self) -> str:
        """Return where this host answers, as the journal has it; empty before it is opened."""
        return str(Address(self._listener.path)) if self._listener.path else ""

    # Sessions -----------------------------------------------------------------------------

    @documented
    async def dispatch(
        self,
        task: str,
        *,
        id: str | None = None,
        images: Iterable[ImageSource] = (),
        **options: Unpack[SessionOptions],
    ) -> Session:
        """Start a session with a first message, and return it when that is accepted.

        The same ``id`` again returns the same session. Raises what `midflight.dispatch` raises on
        its way into the block. The options:
        """
        made = await asyncio.to_thread(read_images, images) if images else ()
        return await self.begin(task, Options.build(**options), id, images=made)

    async def begin(
        self,
        task: str | None,
        options: Options,
        id: str | None = None,
        *,
        ready: Agent | None = None,
        parent: str | None = None,
        who: Who | None = None,
        images: tuple[Image, ...] = (),
    ) -> Session:
        """Start a session with checked options; otherwise like `dispatch`.

        ``ready`` is an agent that has been started with these options. ``parent`` is the session
        that begins it. Where an agent runs this process it is that one's session, whatever is said,
        and gives it no more than it has: raises `NotAllowed`. ``who`` gives the task: this program,
        unless it is told, and ``images`` come with it.
        """
        me = Authorizer.of_this_process(self._journal)
        beginning = (await me.begin(options, parent or ""))._replace(who=who, images=images)
        return await self._sessions.begin(task, beginning, id, ready=ready)

    async def session(self, id: str) -> Session:
        """Return a session by its id: one of this host, or one at rest, which is resumed.

        Raises `NotFound`, `LeaseHeld` when it belongs to another host, or `HostGone`.
        """
        return await self._sessions.resume(id)

    def attending(self, id: str) -> contextlib.AbstractContextManager[None]:
        """Return a block in which a person at this very program answers what a session asks.

        It is as if they were attached from elsewhere: its requests have no deadline, and it is not
        parked.
        """
        return self._sessions.readers.reading(id, attends=True)

    def live(self) -> list[Session]:
        """Return the sessions that are live in this host."""
        return self._sessions.live()

    async def remove(self, id: str) -> None:
        """Stop a session and remove it from the journal, with all its events."""
        await self._sessions.remove(id)

    @documented
    async def keep_warm(self, **options: Unpack[SessionOptions]) -> None:
        """Have an agent ready for tasks with these very options; see `midflight.Options`.

        A task that finds it ready need not wait for its start; another one is started then.
        It is for who needs a host of this kind. Raises what `midflight.dispatch` raises, and
        `NotAllowed` inside an agent. The options:
        """
        Authorizer.of_this_process(self._journal).check_keeping()
        if self._service.kind is None:
            self._service.kind = HostKind(os.environ, None)
        await self._warm.add(Options.build(**options))

    async def unused(self, seconds: float) -> None:
        """Wait until this host has had no session, and none on its way, for so long."""
        changed = self._sessions.changed
        while True:
            changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self._sessions else seconds):
                    await changed.wait()
                    continue
            if not self._sessions:
                return

    async def wake(self) -> None:
        """Resume the sessions at rest that wait for the reset of a usage limit."""
        for session in await self._journal.waiting_for_reset():
            with contextlib.suppress(MidflightError):  # another host was faster, or it lacks a key
                await self.session(session)
