"""What the board knows of the sessions: the journal is read for all of them, one host for one.

The list, and what each session does now, stand in the journal, so no host is asked for them. Only
the chosen session is followed in its host, since text that is being written stands nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from midflight import events as e
from midflight._util.sanitize import one_line
from midflight.cli.board.board import Board
from midflight.cli.board.tail import Tail
from midflight.cli.terminal.activity import Activity
from midflight.errors import MidflightError
from midflight.info import SessionInfo
from midflight.state.session import BUSY

if TYPE_CHECKING:
    from midflight.client.client import Client

LOOK_S = 0.5
"""How often the journal is looked at, at most."""

SHARE = 10
"""Looking takes one part in so many of the time, however many sessions there are."""

AT_ONCE = 24
"""How many sessions are read at one look; those on the screen come first."""

EVENTS = 100
"""How many of a session's newest events tell what it does."""

EVENTS_OF_A_TURN = 2_000
"""How many are looked through for the beginning of a turn that runs."""

TAIL_EVENTS = 200
"""How many of the chosen session's newest events are shown, at first."""

STAYS_S = 0.15
"""How long a session must have been chosen before it is followed: keys may only pass over it."""


class Feed:
    """Keeps a board up to date."""

    def __init__(
        self, connect: Callable[[], Client], board: Board, changed: Callable[[], None]
    ) -> None:
        """``connect`` is called in a thread, since what a client stands on is slow to load.

        ``changed`` is called whenever there is something else to show.
        """
        self.tail: Tail | None = None
        self.problem = ""
        self.visible: set[str] = set()
        self._connect = connect
        self._client: Client
        self._opened = asyncio.Event()
        self._board = board
        self._changed = changed
        self._seqs: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._followed: tuple[str, str | int] | None = None
        self._following: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Look at the journal soon, and not when it is due."""
        self._wake.set()

    async def client(self) -> Client:
        """Return the client, once the journal is open."""
        await self._opened.wait()
        return self._client

    async def run(self) -> None:
        """Open the journal and read on until this is cancelled.

        Raises `StoreFailed` or `StoreRefused` where it cannot be opened.
        """
        self._client = await asyncio.to_thread(self._connect)
        async with self._client:
            self._opened.set()
            await self._read_on()

    async def _read_on(self) -> None:
        try:
            while True:
                self._wake.clear()
                began = time.monotonic()
                await self._read()
                self.follow()
                self._changed()
                pause = max(LOOK_S, SHARE * (time.monotonic() - began))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            if self._following is not None:
                self._following.cancel()
                await asyncio.wait({self._following})

    async def _read(self) -> None:
        """Read what there is; where that cannot be, the board keeps what it had."""
        try:
            self._board.take(await self._client.sessions(), time.time())
            self._changed()
            await self._read_activities()
        except MidflightError as error:
            self.problem = self.problem or f"as of {time.strftime('%H:%M:%S')}: {error}"
        else:
            self.problem = ""

    async def _read_activities(self) -> None:
        """Read on in sessions with something new, so many at a time."""
        infos = self._board.infos
        self._seqs = {session: seq for session, seq in self._seqs.items() if session in infos}
        behind = [info for info in infos.values() if info.seq > self._seqs.get(info.id, 0)]
        behind.sort(key=lambda info: (info.id not in self.visible, self._seqs.get(info.id, 0) > 0))
        for info in behind[:AT_ONCE]:
            await self._read_activity(info)

    async def _read_activity(self, info: SessionInfo) -> None:
        activity = self._board.activities.get(info.id)
        seq = self._seqs.get(info.id, 0)
        if activity is None or info.seq - seq > EVENTS:
            activity = await self._newest(info, EVENTS)
            if info.status in BUSY and not activity.running:
                activity = await self._newest(info, EVENTS_OF_A_TURN)
        else:
            for event in await self._client.history(info.id, seq):
                activity.take(event, event.time)
        self._board.activities[info.id] = activity
        self._seqs[info.id] = info.seq

    async def _newest(self, info: SessionInfo, count: int) -> Activity:
        activity = Activity()
        for event in await self._client.tail(info.id, count):
            activity.take(event, event.time)
        return activity

    # The chosen session -------------------------------------------------------------------

    def follow(self) -> None:
        """Follow the session that is chosen now; one without a host is read as far as it goes."""
        info = self._board.session
        chosen = (info.id, info.host or info.seq) if info is not None else None
        if chosen == self._followed:
            return
        self._followed = chosen
        before, self._following = self._following, None
        if before is not None:
            before.cancel()
        if info is None:
            self.tail = None
        else:
            loop = asyncio.get_running_loop()
            self._following = loop.create_task(self._follow(info, before))

    async def _follow(self, info: SessionInfo, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        await asyncio.sleep(STAYS_S)
        tail = Tail(info.id, info.cwd)
        try:
            for event in await self._client.tail(info.id, TAIL_EVENTS):
                tail.take(event)
            self.tail = tail
            self._changed()
            if info.host is not None:
                await self._live(tail)
        except MidflightError as error:
            tail.say(one_line(str(error), 1000))
            self.tail = tail
            self._changed()

    async def _live(self, tail: Tail) -> None:
        """Show what happens as it does, and attend: there is a person who can answer."""
        async with await self._client.session(tail.session) as session:
            self._board.queued = len(session.queued)
            async for event in session.events(tail.seq):
                tail.take(event)
                activity = self._board.activities.get(tail.session)
                if event.seq is None and activity is not None:
                    activity.take(event, event.time)  # the others are read with all sessions'
                self._board.queued = len(session.queued)
                self._changed()
                if isinstance(event, (e.PermissionRequested, e.QuestionRequested)):
                    self.look()
