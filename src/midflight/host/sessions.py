"""The sessions of a host: those at work, those on their way, and how each begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from midflight._util.text import slug
from midflight.agents.base import Agent
from midflight.commands import check_text
from midflight.errors import (
    HostGone,
    LeaseHeld,
    LeaseLost,
    MidflightError,
    NotAllowed,
    NotFound,
    StoreFailed,
    StoreRefused,
)
from midflight.family import Beginning, Family
from midflight.host.readers import Readers
from midflight.host.recovery import recover, set_aside
from midflight.host.secrets import SessionSecrets
from midflight.host.warm_pool import AgentFactory, WarmAgents
from midflight.journal import Journal, Offer, SessionRow
from midflight.journal.base import Past, Record
from midflight.options import SETUP, Options
from midflight.session.begun import was_begun
from midflight.session.session import Session
from midflight.trust.decision import check_for_worker

OnSession = Callable[[Session], None]
"""Called with each session of a host before it is entered."""


class Rationing(NamedTuple):
    """What a worker is beside a host: what it is there for, and who gives its places.

    ``offer`` bounds what sessions get of this process's environment. Those that have a label begin
    no turn by themselves: ``on_place`` is called when one wants a place, or has one no more.
    """

    offer: Offer
    on_place: Callable[[], None]


class HostSetup(NamedTuple):
    """What all sessions of a host are made with.

    ``on_session`` is called with each before it is entered, ``rationing`` is a worker's. ``work``
    is the folder for checkouts, and ``setup`` prepares those of sessions that name nothing else.
    """

    agent: AgentFactory
    on_session: OnSession | None = None
    rationing: Rationing | None = None
    work: Path | None = None
    setup: str | None = None


class SessionTable:
    """Knows the live sessions of a host by their ids, and lets each begin, resume and end once.

    ``changed`` is set whenever a session has come or gone, or was about to. ``closing`` says that
    the host ends: no session comes any more.
    """

    def __init__(self, journal: Journal, warm: WarmAgents, setup: HostSetup) -> None:
        """Begin without a session; the journal is open before there is one."""
        rationing = setup.rationing
        self.changed = asyncio.Event()
        self.closing = False
        self.secrets = SessionSecrets(rationing and rationing.offer.variables)
        self._journal = journal
        self._warm = warm
        self._setup = setup
        self._on_place = rationing and rationing.on_place
        self._live: dict[str, Session] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._lost: set[str] = set()
        self._starts = _Starts(self.changed)
        self.readers = Readers(self._live, self.changed)

    def __bool__(self) -> bool:
        """Tell whether there is a session, or one on its way."""
        return bool(self._live or self._starts)

    def get(self, id: str) -> Session | None:
        """Return a session that is live here."""
        return self._live.get(id)

    async def arrives(self, id: str, within: float) -> bool:
        """Tell whether a session is here, or on its way: wait for it, so many seconds at most."""
        return await self._starts.arrives(id, within) or id in self._live

    def live(self) -> list[Session]:
        """Return the sessions that are live here."""
        return list(self._live.values())

    # Beginning ----------------------------------------------------------------------------

    async def begin(
        self,
        task: str | None,
        beginning: Beginning,
        id: str | None = None,
        *,
        ready: Agent | None = None,
        await_agent: bool = True,
    ) -> Session:
        """Start a session, or return the one that was begun with this id; see `Host.begin`.

        Without ``await_agent`` it is there when its task is accepted; see `Session`.
        """
        if task is not None:
            check_text(task)
        new = uuid.uuid4().hex if id is None else id
        async with self._starts.alone(new):
            if not await self.was_begun(new, task, beginning):
                return await self._begin(task, beginning, new, ready, await_agent=await_agent)
        return await self.resume(new)

    async def was_begun(self, id: str, task: str | None, beginning: Beginning) -> bool:
        """Tell whether there is a session with this id; see `was_begun`."""
        return await was_begun(self._journal, id, task, beginning)

    async def _begin(
        self,
        task: str | None,
        beginning: Beginning,
        id: str,
        ready: Agent | None,
        *,
        await_agent: bool,
    ) -> Session:
        self._check_open()
        options, parent = beginning.options, beginning.parent
        name = options.name or slug(task or options.place)
        row, record = await self._journal.create(name, options, id=id, parent=parent)
        if parent and beginning.held:
            await self._check_place(row, record)
        ready = ready or self._warm.take(options)
        options = self._with_setup(msgspec.structs.replace(options, name=row.name), parent)
        try:
            return await self._enter(
                lambda: Session(
                    options,
                    task,
                    self._setup.agent,
                    record=record,
                    ready=ready,
                    who=beginning.who,
                    terminal=beginning.terminal,
                    await_agent=await_agent,
                    images=beginning.images,
                    work=self._setup.work,
                    machine=self._journal.machine,
                ),
                record,
                beginning.terminal,
            )
        except BaseException:
            if ready is not None:  # the session may not have come to have it
                with contextlib.suppress(MidflightError):
                    await ready.close()
            await self._undo(row.id)
            raise

    async def _check_place(self, row: SessionRow, record: Record) -> None:
        """Look again how many work for the parent: others may have begun one at the same time.

        Each sees all that were there before it, so that no two take the last place.
        """
        try:
            (await Family.beginning(self._journal)).check_children(row.parent, row.id)
        except BaseException:
            await record.close()
            await self._undo(row.id)
            raise

    async def _undo(self, id: str) -> None:
        """Free the id and the name of a session that did not start, unless its agent has worked."""
        with contextlib.suppress(MidflightError):
            with contextlib.suppress(NotFound):  # it has no event
                if (await self._journal.find(id, exact=True)).turns:
                    return
            await self._journal.remove(id)

    async def resume(self, id: str, terminal: Mapping[str, str] | None = None) -> Session:
        """Return a session: a live one, or one at rest, which is resumed; see `Host.session`.

        ``terminal`` has the variables of the caller's, for one whose own are not known here.
        """
        async with self._starts.alone(id):
            while (session := self._live.get(id)) is not None and session.closing:
                await asyncio.wait({self._watches[id]})  # then it is one at rest
            self._check_open()
            return session or await self._resume(id, self.secrets.terminal(id) or terminal)

    async def _resume(self, id: str, terminal: Mapping[str, str] | None) -> Session:
        row, record, past = await self._journal.take(id, to_resume=True)
        try:
            options = self._options(row)
        except MidflightError:
            await recover(row, record, past)  # which closes its record
            raise
        return await self._resumed(row, record, past, options, terminal)

    async def _resumed(
        self,
        row: SessionRow,
        record: Record,
        past: Past,
        options: Options,
        terminal: Mapping[str, str] | None,
    ) -> Session:
        return await self._enter(
            lambda: Session(
                options,
                agent=self._setup.agent,
                record=record,
                past=past,
                terminal=terminal,
                on_place=None if row.label is None else self._on_place,
                work=self._setup.work,
                repository=row.repository,
                machine=self._journal.machine,
            ),
            record,
            terminal,
        )

    def _options(self, row: SessionRow) -> Options:
        """Return the options to resume with. Raises `Conflict`, `InvalidOption` or `NotAllowed`."""
        options = self.secrets.options(row)
        if row.label is not None:
            check_for_worker(options)
            if options.setup is not None:
                raise NotAllowed(
                    "what prepares a folder of a worker is for its own user to say", SETUP
                )
        return self._with_setup(options, row.parent)

    async def claim(self, offer: Offer) -> Session | None:
        """Resume the session that has waited longest for what a worker offers.

        One that cannot be resumed here is none: its messages fail, and say why, so that it is not
        claimed again and again. None where none waits, or that has happened.
        """
        claimed = await self._journal.claim(offer)
        if claimed is None:
            return None
        row, record = claimed
        async with self._starts.alone(row.id):
            if self.closing:
                await record.close()
                return None
            try:
                return await self._claimed(row, record)
            except Exception as error:
                if isinstance(error, MidflightError) and not isinstance(error, StoreRefused):
                    raise
                # Whoever may write its rows has written that; it would be claimed for ever.
                await set_aside(self._journal, row.id, error)
                return None

    async def _claimed(self, row: SessionRow, record: Record) -> Session | None:
        try:
            past = await self._journal.past_of(record)
        except BaseException:
            await record.close()
            raise
        try:
            options = self._options(row)
        except MidflightError as error:
            refused = f"it cannot run on the worker {self._journal.machine}: {error}"
            await recover(row, record, past, refused=refused)
            return None
        except BaseException:
            await record.close()
            raise
        return await self._resumed(row, record, past, options, self.secrets.terminal(row.id))

    def _with_setup(self, options: Options, parent: str) -> Options:
        """Return options with what prepares a checkout on this machine.

        None that an agent begins is: it would run what the agent may have written and pushed.
        """
        if options.repo is None or options.setup is not None or parent:
            return options
        return msgspec.structs.replace(options, setup=self._setup.setup)

    async def _enter(
        self, make: Callable[[], Session], record: Record, terminal: Mapping[str, str] | None
    ) -> Session:
        """Enter a session and keep it; the record of one that could not be is closed."""
        try:
            self._check_open()
            session = make()
            if self._setup.on_session is not None:
                self._setup.on_session(session)
            await self._starts.enter(session)
        except BaseException:
            await record.close()
            raise
        if self.closing:  # which began after this did
            await session.close("parked")
            self._check_open()
        self._live[session.id] = session
        self.readers.tell(session.id)
        self.secrets.keep(session.id, session.options, terminal)
        watch = asyncio.get_running_loop().create_task(self._watch(session))
        self._watches[session.id] = watch
        self.changed.set()
        return session

    async def _watch(self, session: Session) -> None:
        """Forget a session when it has ended."""
        await session.over()
        if session.lost is not None and not isinstance(session.lost, LeaseLost):
            self._lost.add(session.id)
        del self._live[session.id], self._watches[session.id]
        self.changed.set()

    def _check_open(self) -> None:
        if self.closing:
            raise HostGone("this host is closing", "send it again: another host will take it")

    # Ending -------------------------------------------------------------------------------

    async def close(self, id: str) -> int:
        """Close a session, once: one that is closed, or about to be, is left as it is.

        Returns the ``seq`` of its newest event.
        """
        async with self._starts.alone(id):
            session = self._live.get(id)
            if session is not None:
                await session.close()
                await session.over()
                if session.lost is not None:  # asking such a disk for more would take as long
                    raise session.lost
            row = await self._journal.find(id, exact=True)
            if row.status == "closed":
                return row.seq
            row, record, past = await self._journal.take(id)
            await recover(row, record, past, closed=True)
            return (await self._journal.find(id, exact=True)).seq

    async def end_lost(self) -> None:
        """End what sessions have left open that the journal could not take for a while.

        Whoever waits for their messages would wait until somebody says more. Where the journal
        still fails, they are left for the next time.
        """
        for id in list(self._lost):  # noqa: A001 - as everywhere
            async with self._starts.alone(id):
                if id not in self._live:  # else it was resumed, and is at work
                    try:
                        await recover(*await self._journal.take(id))
                    except (LeaseHeld, NotFound, StoreRefused):
                        pass  # another's matter, or nobody's
                    except StoreFailed:
                        return
            self._lost.discard(id)

    async def relocate(self, id: str, label: str, *, at_once: bool) -> int:
        """Have a session go on at a worker with a label, once its turn has ended, or ``at_once``.

        Returns the ``seq`` of its newest event. Raises as `Journal.relocate` does.
        """
        async with self._starts.alone(id):
            await self._journal.relocate(id, label)
            session = self._live.get(id)
            if session is None:
                return (await self._journal.find(id, exact=True)).seq
            session.notice("info", f"it goes on at a worker with the label {label}")
            session.leave_host()
            if at_once and session.engaged:
                await session.interrupt(keep_queued=True)
            return session.last_seq

    async def remove(self, id: str) -> None:
        """Stop a session and remove it from the journal, with all its events."""
        self._check_open()
        if id in self._live:
            await self._live[id].close("removed")
        self.secrets.forget(id)
        await self._journal.remove(id)

    async def park(self) -> None:
        """Let no session come any more; end the starts under way, and park the live sessions."""
        self.closing = True
        await asyncio.gather(
            self._starts.cut(),
            *(session.close("parked") for session in self.live()),
            return_exceptions=True,
        )

    async def over(self) -> None:
        """Wait until every session has ended."""
        await asyncio.gather(*self._watches.values(), return_exceptions=True)


class _Starts:
    """What is on its way: one by one for each id, and nothing that outlasts the host."""

    def __init__(self, changed: asyncio.Event) -> None:
        """``changed`` is set whenever something has arrived, or has failed to."""
        self._changed = changed
        self._count = 0
        self._locks = weakref.WeakValueDictionary[str, asyncio.Lock]()
        self._entering: set[asyncio.Task[Session]] = set()

    def __bool__(self) -> bool:
        """Tell whether anything is on its way."""
        return self._count > 0

    @contextlib.asynccontextmanager
    async def alone(self, id: str) -> AsyncIterator[None]:
        """Keep others from beginning, resuming or closing this session; the host waits for it."""
        self._count += 1
        try:
            async with self._locks.setdefault(id, asyncio.Lock()):
                yield
        finally:
            self._count -= 1
            self._changed.set()

    async def arrives(self, id: str, within: float) -> bool:
        """Tell whether anything with this id is on its way, and wait for it; see `SessionTable`."""
        lock = self._locks.get(id)
        if lock is None or not lock.locked():
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within), lock:
                pass
        return True

    async def enter(self, session: Session) -> None:
        """Enter a session. Raises what that raises, or `HostGone` when the host ends first."""
        entering = asyncio.get_running_loop().create_task(session.__aenter__())
        self._entering.add(entering)
        try:
            await entering
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is None or me.cancelling():
                raise
            raise HostGone(
                "this host has ended before the agent was there", "send it again"
            ) from None
        finally:
            self._entering.discard(entering)

    async def cut(self) -> None:
        """End the starts under way, and wait until nothing is on its way any more.

        An agent decides how long it takes to start; a host that ends cannot wait for it.
        """
        for entering in self._entering:
            entering.cancel()
        while self._count:  # each ends by itself, and needs the journal for that
            self._changed.clear()
            await self._changed.wait()
