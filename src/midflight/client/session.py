"""A session that another process runs: what `Client.session` and `Client.dispatch` return."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.agents import create
from midflight.client.placement import Placement
from midflight.client.server import ServerPlacement
from midflight.errors import Conflict, HostGone, MidflightError, NotFound, StoreRefused
from midflight.info import AgentInfo, Outcome, SessionInfo
from midflight.journal import SessionRow, restored
from midflight.journal.base import SessionReader
from midflight.options import Options
from midflight.session import BaseSession
from midflight.session.event_log import EventLog
from midflight.state.session import State
from midflight.state.unfinished import Piece, beyond
from midflight.values import PermissionMode, Support

CALL_TIMEOUT_S = 90.0
"""How long what a command did may take to be among the events."""

_ABOUT_AGENT = (e.SessionStarted, e.Notice)

CarryOut = Callable[[str, c.Command], Awaitable[Outcome]]
"""Has the host of a session, by its id, carry out a command; see `Client.carry_out`."""


class RemoteSession(BaseSession):
    """A session that another process runs, or that is at rest. An async context manager.

    It has the verbs and the events of `midflight.Session`. Leaving the block leaves the session
    alone. ``info`` is the session as the journal had it then.
    """

    def __init__(
        self,
        info: SessionInfo,
        *,
        journal: SessionReader,
        placement: Placement | ServerPlacement,
        carry_out: CarryOut,
        fresh: bool,
        attend: bool,
    ) -> None:
        """Made by `Client.session` and `Client.dispatch`.

        `stream` begins with what happens after the block is entered, or, of a ``fresh`` session,
        with its first event.
        """
        super().__init__(info.id, info.name, info.agent, EventLog())
        self.info = info
        self._journal = journal
        self._placement = placement
        self._deliver = carry_out
        self._folded = State()
        self._fresh = fresh
        self._attend = attend
        self._row: SessionRow | None = None
        self._agent: AgentInfo | None = None
        self._following: asyncio.Task[None] | None = None
        self._look_again = asyncio.Event()
        self._connected = asyncio.Event()
        self._recovered_seq = 0

    @property
    def _state(self) -> State:
        return self._folded

    @property
    def _quiet(self) -> bool:
        return not self._folded.busy and not self._folded.tasks

    def _await_quiet(self, stream: object) -> None:
        """The session's host waits for nobody."""

    def _check_entered(self) -> None:
        if self._following is None:
            raise Conflict("the session has not been entered", "use: async with session")

    @property
    def _current(self) -> SessionRow:
        self._check_entered()
        if self._row is None:
            raise AssertionError  # entering has looked
        return self._row

    @property
    def options(self) -> Options:
        """The options that it was begun with, without the values that are never stored.

        Raises `InvalidOption` where they are none any more: the folder may be gone.
        """
        build = Options.build if self._current.label is None else Options.build_elsewhere
        return restored(self._current.options, build=build)[0]

    @property
    def limits(self) -> dict[str, Any]:
        """The limits in force: those of a turn and the budget that are set, by their names."""
        changed = self._folded.limits
        return self._current.limits_in_force if changed is None else changed

    @property
    def capabilities(self) -> Mapping[str, Support]:
        """For each thing an agent can do: supported, emulated by midflight, or not.

        Of an agent that has not been seen at work it is what agents of its kind can do.
        """
        self._check_entered()
        return self._agent.capabilities if self._agent else create(self.options).capabilities

    @property
    def agent_seen(self) -> AgentInfo | None:
        """What the session's host tells of its agent; None of one that is not at work."""
        return self._agent

    @property
    def permission_mode(self) -> PermissionMode:
        """The permission mode in force."""
        row = self._current
        mode = self._agent.permission_mode if self._agent else row.permission_mode
        return cast("PermissionMode", mode)  # as its host has checked it

    def attend(self, attended: bool | None) -> None:  # noqa: FBT001 - the value is the point
        """Set whether a person is here to answer; others may be elsewhere."""
        self._check_entered()
        if self._attend != bool(attended):
            self._attend = bool(attended)
            self._connected.clear()  # commands wait until the host knows of it
            loop = asyncio.get_running_loop()
            self._following = loop.create_task(self._follow(self._following))

    async def __aenter__(self) -> Self:
        """Read what has happened so far, and follow what happens.

        When this returns, the session's host knows of the reader, if there is a host. What one
        that has died has left open has been ended.
        """
        if self._following is not None:
            raise Conflict("a session is entered once", "ask the client for it again")
        if not self._fresh:  # else its host tells all of it, with what is in no journal
            past = await self._journal.past(self.id)
            self._folded = past.state or self._folded
            for event in past.events:
                self._receive(event)
            self._log.restore(past.recent)
            self._reader = self._log.reader(self._log.last_seq)
        self._row = await self._journal.find(self.id, exact=True)
        self._following = asyncio.get_running_loop().create_task(self._follow(None))
        try:
            await self._connected.wait()
            while self._log.last_seq < self.info.seq and not self._log.ended:
                await self._log.changed()
        except BaseException:
            self._following.cancel()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop following. The session goes on."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        self._log.end()

    async def events(self, after: int = 0) -> AsyncIterator[e.Event]:
        """Yield every event after a sequence number, until the session has ended or is at rest.

        Any number of readers; what is not in memory is read from the journal. Raises `NotFound`
        when the session has been removed meanwhile.
        """
        while after < self._log.oldest_seq - 1:
            page = await self._journal.events(self.id, after)
            if not page:
                await self._journal.find(self.id, exact=True)  # it may have been removed
                return
            for event in page:
                yield event
                after = event.seq or after
        async for event in super().events(after):
            yield event

    # Following ----------------------------------------------------------------------------

    async def _follow(self, before: asyncio.Task[None] | None) -> None:
        """Read what happens, in whatever host the session is, until it is left or removed.

        The task that did so ``before`` is ended first.
        """
        if before is not None:
            before.cancel()
            await asyncio.wait({before})
        while True:
            self._look_again.clear()
            try:
                with contextlib.suppress(HostGone):
                    await self._read()
                await self._catch_up()
            except (NotFound, StoreRefused) as error:
                self._fail(error)
                return
            except MidflightError:
                pass  # which may pass; a command reports it
            except Exception as error:  # noqa: BLE001 - the readers get it
                self._fail(
                    MidflightError(
                        f"session {self.name} cannot be read: {type(error).__name__}: {error}",
                        "it goes on; its host may be of a newer version of midflight",
                    )
                )
                return
            self._connected.set()
            self._log.wake()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._placement.look_again_s):
                    await self._look_again.wait()

    def _fail(self, error: MidflightError) -> None:
        """End every wait: no further event of the session comes here."""
        self._log.end(error)
        for message in self._messages.values():
            message.lose(str(error))
        self._connected.set()

    async def _read(self) -> None:
        """Read from the session's host, if it has one, until that ends the stream.

        Where the host has died, another one ends what that has left open, so that every wait here
        comes to an end.
        """
        row = await self._journal.find(self.id, exact=True)
        if row.far or row.address is None:
            self._row = row  # which tells of the agent as well, where no host does
            await self._catch_up()
        if row.address is not None:
            tells = False
            events = self._placement.events(row, self._log.last_seq, attend=self._attend)
            async with contextlib.aclosing(events):
                async for told in events:
                    for what in told:
                        if isinstance(what, AgentInfo):
                            self._agent, tells = what, True
                            continue
                        # An older host tells nothing of its agent by itself; these may be about it.
                        if not tells and (what is None or isinstance(what, _ABOUT_AGENT)):
                            await self._look()
                        self._connected.set()
                        if what is not None:
                            self._take(what)
        elif self._folded.ended is None and self._recovered_seq != row.seq:
            await self._placement.recover(self.id, row.seq)
            self._recovered_seq = row.seq

    async def _catch_up(self) -> None:
        """Read from the journal what has happened since."""
        after = self._log.last_seq
        while page := await self._journal.events(self.id, after):
            for event in page:
                self._take(event)
            after = page[-1].seq or after

    def _take(self, event: e.Event) -> None:
        """Take in what happens; what was read from the journal and the host comes twice."""
        if event.seq is not None:  # else it changes nothing, and is one of very many
            if event.seq <= self._log.last_seq:
                return
            self._folded.apply(event)
            self._receive(event)
        elif (
            isinstance(event, Piece) and event.so_far
        ):  # what was read before it broke off is known
            missed = beyond(event, self._log.unfinished())
            if missed is None:
                return
            event = missed
        self._log.append(event)

    def _receive(self, event: e.Event) -> None:
        """Update the receipts."""
        self._update_receipts(event)
        if self.first is None:
            self.first = self._newest

    # Verbs --------------------------------------------------------------------------------

    async def command(self, command: c.Command) -> None:
        """Carry out a command object, as `midflight.Session.command` does."""
        self._check_entered()
        if isinstance(command, c.Close):
            await self.close()
            return
        await self._carry_out(c.checked(command))
        if isinstance(command, c.SetPermissionMode):
            await self._look()

    async def _look(self) -> None:
        """Ask what the session's agent can do, and in which mode it works: no event reports it."""
        self._row = await self._journal.find(self.id, exact=True)
        if self._row.address is not None:
            with contextlib.suppress(NotFound, HostGone):  # it is parked just now
                self._agent = await self._placement.agent(self._row)
                return
        if self._agent is not None:
            mode = self._row.permission_mode
            self._agent = msgspec.structs.replace(self._agent, permission_mode=mode)

    async def _carry_out(self, command: c.Command) -> Outcome:
        """Have a command carried out, and read on until what it did is among the events."""
        await self._connected.wait()
        outcome = await self._deliver(self.id, command)
        self._look_again.set()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                while self._log.last_seq < outcome.seq:
                    if self._log.error is not None:
                        raise self._log.error
                    await self._log.changed()
        except TimeoutError:
            raise HostGone(
                "the session's host has taken the command, and tells nothing of it",
                "look at it later: the session may go on",
            ) from None
        return outcome

    async def withdraw(self, message: str) -> bool:
        """Cancel a message and wait until it is known whether that worked; see `Message.cancel`."""
        try:
            return (await self._carry_out(c.Cancel(message=message))).state == "cancelled"
        except (Conflict, NotFound):
            return False

    def notice(self, level: e.Level, text: str, command: str | None = None) -> None:
        """Put a line for people among the events that are read here; no other reader sees it."""
        self._log.append(e.Notice(session=self.id, level=level, text=text, command=command))

    async def close(self) -> None:
        """End the session: turn, messages, requests, agent, tools."""
        if self.status != "closed":
            await self._carry_out(c.Close())
