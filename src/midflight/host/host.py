"""A process that owns sessions: it starts them, brings them back, and lays them to rest."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from midflight._util.aio import finished
from midflight.agents import create
from midflight.agents.base import Agent
from midflight.agents.process.orphans import end_strays
from midflight.commands import check_text
from midflight.errors import (
    HostGone,
    MidflightError,
    NotFound,
    StoreFailed,
)
from midflight.host.housekeeping import Housekeeping
from midflight.host.http.listening import UnixListener
from midflight.host.idempotency import begun
from midflight.host.recovery import settle, settle_all
from midflight.host.secrets import SessionSecrets
from midflight.host.service import SessionService
from midflight.host.starting import Starting
from midflight.host.warm_pool import WarmAgents
from midflight.journal import Journal
from midflight.journal.base import Record
from midflight.lineage import own
from midflight.options import Options, slug
from midflight.session.session import Session

if TYPE_CHECKING:
    from midflight.host.http.guard import Guarded

__all__ = ["PARK_AFTER_S", "Host"]

PARK_AFTER_S = 900.0
"""How long a session may be quiet before its agent is closed; the next message starts it again."""

Factory = Callable[[Options], Agent]


class Host:
    """Owns sessions that outlive whoever looks at them. An async context manager.

    Entering it ends what hosts that died have left open, and opens the socket. Leaving it lays
    every session to rest: it goes on with the next message, in whatever host that reaches.
    """

    def __init__(
        self,
        where: Path | str | None = None,
        *,
        park_after: float | None = PARK_AFTER_S,
        agent: Factory = create,
    ) -> None:
        """``where`` is the journal's folder or address, the user's own if not given.

        ``park_after`` is in seconds; None leaves the agents of quiet sessions running.
        """
        self.sessions: dict[str, Session] = {}
        self.followers: list[Callable[[Session], None]] = []  # told of each session that comes
        self.journal = Journal(where)
        self.address = ""
        self._agent = agent
        self._access = SessionService(self)
        self._door = UnixListener()
        self._warm = WarmAgents(agent)
        self._duties = Housekeeping(self, self._access, self._warm, park_after)
        self._tasks: list[asyncio.Task[None]] = []
        self._watches: dict[str, asyncio.Task[None]] = {}
        self.changed = asyncio.Event()
        self.arrivals = Starting(self.changed)
        self.known = SessionSecrets()
        self.leaving = False

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
        await self.journal.open()
        try:
            self._door.open(self.journal.socket_path())
            self.address = str(self._door.path)
            await self.journal.register(self.address)
        except BaseException:
            await self._close()
            raise
        self._tasks.append(asyncio.get_running_loop().create_task(self._duties.beat()))

    async def serve(self) -> None:
        """End what hosts that died have left open, then answer on the socket."""
        await asyncio.to_thread(end_strays)
        self._door.clear(await settle_all(self.journal))
        await self._door.answer(self._make_app)
        self._tasks.append(asyncio.get_running_loop().create_task(self._duties.tend()))

    def _make_app(self) -> Guarded:
        from midflight.host.http.app import make_app

        return make_app(self, self._access)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Lay the sessions to rest, also when the block was cancelled."""
        await finished(asyncio.get_running_loop().create_task(self._close()))

    async def _close(self) -> None:
        self.leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(
            self.arrivals.cut(),
            *(session.close("parked") for session in list(self.sessions.values())),
            return_exceptions=True,
        )
        await self._warm.close()
        await self._door.close()
        await asyncio.gather(*self._tasks, *self._watches.values(), return_exceptions=True)
        with contextlib.suppress(StoreFailed):
            await self.journal.leave()
        await self.journal.close()

    # Sessions -----------------------------------------------------------------------------

    async def dispatch(self, task: str, *, id: str | None = None, **options: Any) -> Session:
        """Start a session with a first message, and return it when that is accepted.

        The same ``id`` again returns the same session. Raises what `midflight.dispatch` raises on
        its way into the block.
        """
        check_text(task)
        return await self.begin(task, Options.build(**options), id)

    async def begin(
        self,
        task: str | None,
        options: Options,
        id: str | None = None,
        *,
        ready: Agent | None = None,
        parent: str | None = None,
    ) -> Session:
        """Start a session with checked options; otherwise like `dispatch`.

        ``ready`` is an agent that has been started with these options. ``parent`` is the session
        that begins it; without one it is the session whose agent runs this process, if any.
        """
        new = uuid.uuid4().hex if id is None else id
        async with self.arrivals.alone(new):
            if not await begun(self.journal, new, task, options):
                return await self._begin(task, options, new, ready, parent)
        return await self.session(new)

    async def _begin(
        self, task: str | None, options: Options, id: str, ready: Agent | None, by: str | None
    ) -> Session:
        self._check_here()
        name, parent = options.name or slug(task or options.cwd.name), own() if by is None else by
        row, record = await self.journal.create(name, options, id=id, parent=parent)
        ready = ready or self._warm.take(options)
        options = msgspec.structs.replace(options, name=row.name)
        try:
            return await self._enter(
                lambda: Session(options, task, self._agent, record=record, ready=ready), record
            )
        except BaseException:
            if ready is not None:  # nobody may have come to have it
                with contextlib.suppress(MidflightError):
                    await ready.close()
            await self._undo(row.id)
            raise

    async def _undo(self, id: str) -> None:
        """Free the id and the name of a session that did not start, unless its agent has worked."""
        with contextlib.suppress(MidflightError):
            with contextlib.suppress(NotFound):  # nothing was told of it
                if (await self.journal.find(id, exact=True)).turns:
                    return
            await self.journal.remove(id)

    async def keep_warm(self, **options: Any) -> None:
        """Have an agent ready for tasks with these very options; see `midflight.Options`.

        A task that finds it ready need not wait for its start; another one is started then.
        Raises what `midflight.dispatch` raises.
        """
        await self._warm.add(Options.build(**options))

    def is_warm(self, options: Options) -> bool:
        """Tell whether an agent is ready for a task with these options."""
        return self._warm.fits(options)

    async def session(self, id: str) -> Session:
        """Return a session by its id: one of this host, or one at rest, which is taken up.

        Raises `NotFound`, `LeaseHeld` when it belongs to another host, or `HostGone`.
        """
        async with self.arrivals.alone(id):
            while (session := self.sessions.get(id)) is not None and session.closing:
                await asyncio.wait({self._watches[id]})  # then it is one at rest
            self._check_here()
            return session or await self._take_up(id)

    async def _take_up(self, id: str) -> Session:
        row, record, past = await self.journal.take(id)
        try:
            options = self.known.options(row)
        except MidflightError:
            await settle(row, record, past)  # and give it back
            raise
        return await self._enter(
            lambda: Session(options, agent=self._agent, record=record, past=past), record
        )

    async def _enter(self, make: Callable[[], Session], record: Record) -> Session:
        """Enter a session and keep it; what could not be made or entered is given back."""
        try:
            self._check_here()
            session = make()
            for follow in self.followers:
                follow(session)
            await self.arrivals.enter(session)
        except BaseException:
            await record.close()
            raise
        if self.leaving:  # which began after this did
            await session.close("parked")
            self._check_here()
        self.sessions[session.id] = session
        self.known.keep(session.id, session.options)
        watch = asyncio.get_running_loop().create_task(self._watch(session))
        self._watches[session.id] = watch
        self.changed.set()
        return session

    async def _watch(self, session: Session) -> None:
        """Forget a session when it has ended."""
        await session.over()
        del self.sessions[session.id], self._watches[session.id]
        self.changed.set()

    def _check_here(self) -> None:
        if self.leaving:
            raise HostGone("this host is closing", "send it again: another host will take it")

    async def remove(self, id: str) -> None:
        """Stop a session and remove it from the journal, with everything it said."""
        self._check_here()
        if id in self.sessions:
            await self.sessions[id].close("removed")
        self.known.forget(id)
        await self.journal.remove(id)

    async def unused(self, seconds: float) -> None:
        """Wait until this host has had no session, and none on its way, for so long."""
        while True:
            self.changed.clear()
            used = self.sessions or self.arrivals
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if used else seconds):
                    await self.changed.wait()
                    continue
            if not self.sessions and not self.arrivals:
                return

    async def wake(self) -> None:
        """Take up the sessions at rest that wait for the reset of a usage limit."""
        for session in await self.journal.waiting():
            with contextlib.suppress(MidflightError):  # another host was faster, or it lacks a key
                await self.session(session)
