"""The events of one directory of a server, handed to the sessions in it; gaps are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Literal

from midflight.agents.opencode.v1.client import Client
from midflight.errors import AgentFailed

__all__ = ["GAP", "GONE", "Feed", "Item"]

GAP: Literal["gap"] = "gap"
"""The stream was cut and flows again, or was damaged: what was missed has to be asked for."""

GONE: Literal["gone"] = "gone"
"""The server is gone. Nothing follows."""

RECONNECT_FOR_S = 15.0
"""How long a server that does not answer is asked again before it counts as gone."""

READY_TIMEOUT_S = 60.0
"""A new directory can take a long time to be opened: its plugins are installed."""

PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

Item = dict[str, Any] | Literal["gap", "gone"]


class Feed:
    """Reads the stream for as long as anybody wants it, and connects anew when it stops."""

    def __init__(self, client: Client, is_alive: Callable[[], bool]) -> None:
        """Begin to read. ``is_alive`` tells whether there is a server to connect to."""
        self.client = client
        self.inboxes: dict[str, asyncio.Queue[Any]] = {}
        self.users = 0
        self.ended = False
        self._is_alive = is_alive
        self._connected = asyncio.Event()
        self._families: dict[str, str] = {}
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ready(self) -> None:
        """Wait until events flow. Raises `AgentFailed`."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._connected.wait()
        except TimeoutError:
            raise AgentFailed("OpenCode sends no events") from None
        if self.ended:
            raise AgentFailed("OpenCode's server has ended")

    def join(self, session: str, inbox: asyncio.Queue[Any]) -> None:
        """Have a session's events, and those of its sub-agents, put into an inbox."""
        self.inboxes[session] = inbox

    def leave(self, session: str) -> None:
        """Have no more of them."""
        self.inboxes.pop(session, None)
        for child in [child for child, root in self._families.items() if root == session]:
            del self._families[child]

    def end(self) -> None:
        """Tell everybody that the server is gone."""
        if not self.ended:
            self.ended = True
            self._connected.set()
            self._tell(GONE)

    async def close(self) -> None:
        """Stop to read."""
        self.ended = True
        self._connected.set()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.client.close()

    def _tell(self, item: Item) -> None:
        for inbox in self.inboxes.values():
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
            heard = False
            try:
                async for frame in self.client.events():
                    heard, pause = True, PAUSE_S
                    if frame is None:
                        self._tell(GAP)
                    elif frame.get("type") == "server.connected":
                        self._connected.set()
                        if gap:
                            self._tell(GAP)
                    else:
                        self._route(frame)
            except AgentFailed:
                pass  # What matters is whether it can be connected to again.
            if heard:
                lost = clock()  # A silence takes longer to be noticed than a server may be away.
            gap = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _route(self, frame: dict[str, Any]) -> None:
        """Put an event into the inbox of the session that it is about."""
        given = frame.get("properties")
        if not isinstance(given, dict):
            return
        if frame.get("type") == "session.created" and isinstance(info := given.get("info"), dict):
            parent = str(info.get("parentID"))
            root = self._families.get(parent, parent)
            if root in self.inboxes:
                self._families[str(info.get("id"))] = root
        session = str(given.get("sessionID"))
        inbox = self.inboxes.get(self._families.get(session, session))
        if inbox is not None:
            inbox.put_nowait(frame)

    def adopt(self, child: str, session: str) -> None:
        """Note a sub-agent's session whose beginning was missed."""
        self._families[child] = session
