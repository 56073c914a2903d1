"""The stream of a server's events, read for the sessions that it is about, and connected anew."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from midflight.agents.opencode.http import HINT, Frame
from midflight.agents.opencode.server import Refused
from midflight.errors import AgentFailed

GAP: Literal["gap"] = "gap"
"""The stream was cut and flows again, or was damaged: what was missed has to be requested."""

GONE: Literal["gone"] = "gone"
"""The server is gone. Nothing follows."""

FeedItem = Frame | Literal["gap", "gone"]

RECONNECT_FOR_S = 15.0
"""How long a server that does not answer is tried again before it counts as gone."""

PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0


class EventStream(ABC):
    """Reads the events of a server, and puts each into the inbox of its session."""

    def __init__(self, is_alive: Callable[[], bool]) -> None:
        """Begin without a session. ``is_alive`` tells whether there is a server to connect to."""
        self.ended = False
        self._is_alive = is_alive
        self._inboxes: dict[str, asyncio.Queue[Any]] = {}
        self._families: dict[str, str] = {}
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def events(self) -> AsyncIterator[Frame | None]:
        """Yield the events of one connection; see `HttpClient.stream`."""

    @abstractmethod
    def about(self, frame: Frame) -> str | None:
        """Return the session that an event is about, if it is about one."""

    @abstractmethod
    def begun(self, frame: Frame) -> tuple[str, str] | None:
        """Return the session that an event says has begun, and its parent."""

    def refused(self, refusal: Refused) -> bool:
        """Tell whether to give up: the server has refused to tell its events."""
        del refusal
        return False

    def read(self) -> None:
        """Begin to read, unless that has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def flows(self, timeout_s: float) -> None:
        """Wait until events flow, or it has ended. Raises `AgentFailed`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            raise AgentFailed("OpenCode sends no events", HINT) from None

    def check_open(self) -> None:
        """Raise `AgentFailed` if it has ended."""
        if self.ended:
            raise AgentFailed("OpenCode's server has ended", HINT)

    def listen(self, session: str, inbox: asyncio.Queue[Any]) -> None:
        """Put a session's events, and those of its sub-agents, into an inbox."""
        self._inboxes[session] = inbox

    def forget(self, session: str) -> None:
        """Put no more of a session's events into its inbox."""
        self._inboxes.pop(session, None)
        for child in [child for child, root in self._families.items() if root == session]:
            del self._families[child]

    def adopt(self, child: str, session: str) -> None:
        """Add a sub-agent's session whose beginning was missed."""
        self._families[child] = session

    def end(self) -> None:
        """Put `GONE` into every inbox: the server has ended."""
        if not self.ended:
            self.ended = True
            self._connected.set()
            self._put_all(GONE)

    async def stop(self) -> None:
        """Stop reading; no inbox is told."""
        self.ended = True
        self._connected.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _put_all(self, item: FeedItem) -> None:
        for inbox in self._inboxes.values():
            inbox.put_nowait(item)

    async def _run(self) -> None:
        try:
            await self._read()
        finally:
            self.end()

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        pause, lost, gap = PAUSE_S, clock(), False
        while self._is_alive() and clock() - lost < RECONNECT_FOR_S:
            received = False
            try:
                async for frame in self.events():
                    received, pause = True, PAUSE_S
                    if frame is None:
                        self._put_all(GAP)
                    elif frame.get("type") == "server.connected":
                        self._connected.set()
                        if gap:
                            self._put_all(GAP)
                    else:
                        self._route(frame)
            except Refused as refusal:
                # Later its configuration may be mended again.
                if not self._connected.is_set() and self.refused(refusal):
                    return
            except AgentFailed:
                pass  # What matters is whether it can be connected to again.
            if received:
                lost = clock()  # A silence takes longer to notice than a server may be away.
            gap = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _route(self, frame: Frame) -> None:
        """Put an event into the inbox of the session that it is about."""
        if (session := self.about(frame)) is None:
            return
        if (begun := self.begun(frame)) is not None:
            child, parent = begun
            root = self._families.get(parent, parent)
            if root in self._inboxes:
                self._families[child] = root
        inbox = self._inboxes.get(self._families.get(session, session))
        if inbox is not None:
            inbox.put_nowait(frame)
