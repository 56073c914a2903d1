"""The events of a server, for its sessions; and what a gap has hidden."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from midflight.agents.base import Signal
from midflight.agents.opencode.http import HINT
from midflight.agents.opencode.v2.client import OpenCode2Client
from midflight.agents.opencode.v2.events import EventTranslator, Frame, asked_frames
from midflight.agents.opencode.v2.names import PREVIEW, Names, field
from midflight.agents.opencode.v2.program import accept
from midflight.errors import AgentFailed

GAP: Literal["gap"] = "gap"
"""The stream was cut and flows again, or was damaged: what was missed has to be requested."""

GONE: Literal["gone"] = "gone"
"""The server is gone. Nothing follows."""

RECONNECT_FOR_S = 15.0
"""How long a server that does not answer is tried again before it counts as gone."""

READY_TIMEOUT_S = 30.0
PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

FeedItem = Frame | Literal["gap", "gone"]


@dataclass(frozen=True)
class Connecting:
    """Makes the connection to a server that is known to be of a kind, or may be of any.

    ``password_file`` is where the preview keeps the password that it has made.
    """

    names: Names | None
    password_file: Path | None

    def __call__(self, url: str, password: str | None, is_alive: Callable[[], bool]) -> Feed:
        """See `midflight.agents.opencode.server.Connect`."""
        return Feed(self, url, password, is_alive)


class Feed:
    """A server as 2.x speaks to it: the client, and one stream of events for all sessions."""

    names: Names

    def __init__(
        self, how: Connecting, url: str, password: str | None, is_alive: Callable[[], bool]
    ) -> None:
        """Begin without a session. ``is_alive`` tells whether there is a server to connect to."""
        self.client = OpenCode2Client(url, password)
        self.directories: list[Path] = []
        self._how = how
        self._is_alive = is_alive
        self._inboxes: dict[str, asyncio.Queue[Any]] = {}
        self._families: dict[str, str] = {}
        self._connected = asyncio.Event()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def version(self) -> str:
        """See `Connection.version`. The preview is called ``2.0.0-preview``: it does not tell."""
        file = self._how.password_file
        if file is not None and file.is_file():
            url, client = self.client.url, self.client
            self.client = OpenCode2Client(url, file.read_text(encoding="utf-8").strip())
            await client.close()
        self.names, version = await self.client.names(self._how.names)
        return "2.0.0-preview" if self.names is PREVIEW else accept(version)

    async def join(self, directory: Path) -> None:
        """Use it for a session in a folder, once events flow. Raises `AgentFailed`.

        The caller must `leave` it.
        """
        self.directories.append(directory)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._connected.wait()
        except TimeoutError:
            self.directories.remove(directory)
            raise AgentFailed("OpenCode sends no events", HINT) from None
        if self._ended:
            raise AgentFailed("OpenCode's server has ended", HINT)

    def leave(self, directory: Path) -> bool:
        """Release it; True if no other session works in this folder."""
        if directory in self.directories:
            self.directories.remove(directory)
        return directory not in self.directories

    def listen(self, session: str, inbox: asyncio.Queue[Any]) -> None:
        """Put a session's events, and those of its sub-agents, into an inbox."""
        self._inboxes[session] = inbox

    def forget(self, session: str) -> None:
        """Put no more of a session's events into its inbox."""
        self._inboxes.pop(session, None)
        for child in [child for child, root in self._families.items() if root == session]:
            del self._families[child]

    def end(self) -> None:
        """Put `GONE` into every inbox: the server has ended."""
        if not self._ended:
            self._ended = True
            self._connected.set()
            self._put_all(GONE)

    async def close(self) -> None:
        """Stop reading, and close every connection."""
        self.end()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.client.close()

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
                async for frame in self.client.events():
                    received, pause = True, PAUSE_S
                    if frame is None:
                        self._put_all(GAP)
                    elif frame.get("type") == "server.connected":
                        self._connected.set()
                        if gap:
                            self._put_all(GAP)
                    else:
                        self._route(frame)
            except AgentFailed:
                pass  # What matters is whether it can be connected to again.
            if received:
                lost = clock()  # A silence takes longer to notice than a server may be away.
            gap = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _route(self, frame: Frame) -> None:
        """Put an event into the inbox of the session that it is about."""
        data = frame.get("data")
        if not isinstance(data, dict):
            return
        inner = (data[key] for key in ("info", "form") if isinstance(data.get(key), dict))
        about: dict[str, Any] = next(inner, {})
        session = str(data.get("sessionID") or about.get("sessionID") or about.get("id"))
        if frame.get("type") == "session.created":
            parent = field(data, "parentID") or field(about, "parentID")
            root = self._families.get(parent, parent)
            if root in self._inboxes:
                self._families[session] = root
        inbox = self._inboxes.get(self._families.get(session, session))
        if inbox is not None:
            inbox.put_nowait(frame)


# After a gap, and after a silence ---------------------------------------------------------


async def is_active(feed: Feed, session: str) -> bool:
    """Tell whether the server is at work for a session. Raises `AgentFailed`."""
    return session in await feed.client.data("/api/session/active")


async def missed(feed: Feed, translate: EventTranslator) -> list[Signal]:
    """Ask for the state, and return what was missed: nothing is lost, and nothing comes twice.

    Raises `AgentFailed`.
    """
    frames = await feed.client.log(feed.names, translate.session, translate.seq)
    for child in translate.sub_agents:
        frames += await feed.client.log(feed.names, child, translate.seq_of(child))
    frames += await _requests(feed, [translate.session, *translate.sub_agents])
    return [signal for frame in frames for signal in translate(frame)]


async def _requests(feed: Feed, sessions: list[str]) -> list[Frame]:
    """Return the requests that are open, as the events that would report them."""
    questions = ("form", "form.created") if feed.names.inbox else ("question", "question.v2.asked")
    frames: list[Frame] = []
    for session in sessions:
        for path, kind in (("permission", "permission.asked"), questions):
            frames += asked_frames(kind, await feed.client.data(f"/api/session/{session}/{path}"))
    return frames


async def wake(feed: Feed, session: str, known: str) -> bool:
    """Make a prompt that is parked in the inbox a steer, so that it runs; False if it is not there.

    After an interrupt a queued prompt stays parked until another one has been answered. Raises
    `AgentFailed`.
    """
    items = await feed.client.data(f"/api/session/{session}/inbox")
    if known not in [item["id"] for item in items]:
        return False
    await feed.client.patch(f"/api/session/{session}/inbox/{known}", {"delivery": "steer"})
    return True
