"""The events of one directory of a server, for its sessions; and what a gap has hidden."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from midflight.agents.base import Signal
from midflight.agents.opencode.http import HINT
from midflight.agents.opencode.program import accept
from midflight.agents.opencode.server import Refused
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.agents.opencode.v1.events import EventTranslator
from midflight.errors import AgentFailed

GAP: Literal["gap"] = "gap"
"""The stream was cut and flows again, or was damaged: what was missed has to be requested."""

GONE: Literal["gone"] = "gone"
"""The server is gone. Nothing follows."""

RECONNECT_FOR_S = 15.0
"""How long a server that does not answer is tried again before it counts as gone."""

READY_TIMEOUT_S = 60.0
"""A new directory can take a long time to be opened: its plugins are installed."""

PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

LOST_AFTER_S = 5.0
"""A server at rest that has not read a message after so long will never read it."""

Frame = dict[str, Any]
FeedItem = Frame | Literal["gap", "gone"]


class Feed:
    """Reads the stream while it has users, and connects anew when it stops."""

    def __init__(self, client: OpenCodeClient, is_alive: Callable[[], bool]) -> None:
        """Begin to read. ``is_alive`` tells whether there is a server to connect to."""
        self.client = client
        self.inboxes: dict[str, asyncio.Queue[Any]] = {}
        self.users = 0
        self.ended = False
        self._is_alive = is_alive
        self._refusal: Refused | None = None
        self._connected = asyncio.Event()
        self._families: dict[str, str] = {}
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ready(self) -> None:
        """Wait until events flow. Raises `AgentFailed`, as for a folder that the server refuses."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._connected.wait()
        except TimeoutError:
            raise AgentFailed("OpenCode sends no events", HINT) from None
        if self._refusal is not None:
            raise AgentFailed(self._refusal.message, "mend it, and try again")
        if self.ended:
            raise AgentFailed("OpenCode's server has ended", HINT)

    def join(self, session: str, inbox: asyncio.Queue[Any]) -> None:
        """Put a session's events, and those of its sub-agents, into an inbox."""
        self.inboxes[session] = inbox

    def leave(self, session: str) -> None:
        """Put no more of a session's events into its inbox."""
        self.inboxes.pop(session, None)
        for child in [child for child, root in self._families.items() if root == session]:
            del self._families[child]

    def end(self) -> None:
        """Put `GONE` into every inbox: the server has ended."""
        if not self.ended:
            self.ended = True
            self._connected.set()
            self._put_all(GONE)

    async def close(self) -> None:
        """Stop reading."""
        self.ended = True
        self._connected.set()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.client.close()

    def _put_all(self, item: FeedItem) -> None:
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
            except Refused as refusal:
                if not self._connected.is_set():  # later its configuration may be mended again
                    self._refusal = refusal
                    return
            except AgentFailed:
                pass  # What matters is whether it can be connected to again.
            if received:
                lost = clock()  # A silence takes longer to notice than a server may be away.
            gap = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _route(self, frame: dict[str, Any]) -> None:
        """Put an event into the inbox of the session that it is about."""
        properties = frame.get("properties")
        if not isinstance(properties, dict):
            return
        if frame.get("type") == "session.created" and isinstance(
            info := properties.get("info"), dict
        ):
            parent = str(info.get("parentID"))
            root = self._families.get(parent, parent)
            if root in self.inboxes:
                self._families[str(info.get("id"))] = root
        session = str(properties.get("sessionID"))
        inbox = self.inboxes.get(self._families.get(session, session))
        if inbox is not None:
            inbox.put_nowait(frame)

    def adopt(self, child: str, session: str) -> None:
        """Add a sub-agent's session whose beginning was missed."""
        self._families[child] = session


class Feeds:
    """A server as v1 speaks to it: the client, and the events of each directory in use."""

    def __init__(self, url: str, password: str | None, is_alive: Callable[[], bool]) -> None:
        """Begin without a directory."""
        self._client = OpenCodeClient(url, password)
        self._is_alive = is_alive
        self._feeds: dict[Path, Feed] = {}

    async def version(self) -> str:
        """See `Connection.version`."""
        return accept(await self._client.version())

    @property
    def directories(self) -> tuple[Path, ...]:
        """The folders that sessions work in."""
        return tuple(self._feeds)

    async def join(self, directory: Path) -> Feed:
        """Return the events of a directory, once they flow. Raises `AgentFailed`.

        The caller must `leave` them.
        """
        feed = self._feeds.get(directory)
        if feed is None or feed.ended:
            feed = self._feeds[directory] = Feed(self._client.at(directory), self._is_alive)
        feed.users += 1
        try:
            await feed.ready()
        except BaseException:
            await self.leave(feed)
            raise
        return feed

    async def leave(self, feed: Feed) -> bool:
        """Release a directory's events; True if they have no other user, and are closed."""
        feed.users -= 1
        if feed.users:
            return False
        for directory in [known for known, each in self._feeds.items() if each is feed]:
            del self._feeds[directory]
        await feed.close()
        return True

    def end(self) -> None:
        """End every feed: the server has ended."""
        for feed in self._feeds.values():
            feed.end()

    async def close(self) -> None:
        """Stop reading, and close every connection."""
        for feed in self._feeds.values():
            await feed.close()
        self._feeds.clear()
        await self._client.close()


# After a gap --------------------------------------------------------------------------


async def missed(feed: Feed, translate: EventTranslator, sent: float) -> list[Signal]:
    """Ask for the state, and return what was missed: nothing is lost, and nothing comes twice.

    ``sent`` is when the newest message was sent to the server (monotonic seconds).
    """
    before = translate.reading
    try:
        frames, busy = await _state(feed, translate.session, translate.since)
    except AgentFailed:
        translate.unsettled = True  # Ask again, until the server counts as gone.
        return []
    signals = [signal for frame in frames for signal in translate(frame)]
    if not busy:
        # A call that has begun since the state was asked for may be at work now: ask again.
        begun = before != translate.reading
        signals += [] if begun else translate.settle()
        waits = bool(translate.unread) and not translate.in_turn
        if waits and time.monotonic() - sent > LOST_AFTER_S:
            signals += translate.lose()
        translate.unsettled = begun or waits
    return signals


async def _state(feed: Feed, session: str, since: str) -> tuple[list[Frame], bool]:
    """Return a session's state as the events that would report it, and whether it is at work.

    ``since`` is the newest message that is settled. Whether it works is asked first: if it does
    not, what is asked after that is complete. Raises `AgentFailed`.
    """
    get = feed.client.get
    statuses = await get("/session/status")
    family = {session}
    frames = await _session_frames(feed, session, session, since, family)
    permissions, questions = await asyncio.gather(get("/permission"), get("/question"))
    for kind, requests in (("permission", permissions), ("question", questions)):
        frames += [
            _frame(f"{kind}.asked", request)
            for request in requests
            if request["sessionID"] in family
        ]
    status = statuses.get(session) or {"type": "idle"}
    if status["type"] == "retry":
        frames.append(_frame("session.status", {"sessionID": session, "status": status}))
    return frames, status["type"] != "idle"


async def adopt(feed: Feed, session: str, root: str) -> None:
    """Adopt the sub-agents of a resumed session: an old one can be put to work again."""
    for child in await feed.client.get(f"/session/{session}/children"):
        feed.adopt(child["id"], root)
        await adopt(feed, child["id"], root)


async def _session_frames(
    feed: Feed, session: str, root: str, since: str, family: set[str]
) -> list[Frame]:
    """Return the events of a session and its sub-agents; add these to its family."""
    below: dict[str, list[Frame]] = {}
    for child in await feed.client.get(f"/session/{session}/children"):
        feed.adopt(child["id"], root)
        family.add(child["id"])
        below[child["id"]] = await _session_frames(feed, child["id"], root, since, family)
    frames: list[Frame] = []
    for message in await feed.client.get(f"/session/{session}/message"):
        if message["info"]["id"] > since:
            frames += _message_frames(message, below)
    return frames


def _message_frames(message: dict[str, Any], below: dict[str, list[Frame]]) -> list[Frame]:
    """Return a message as events: its beginning, its parts, and its end if it has one.

    The events of a sub-agent stand within the call that it belongs to.
    """
    info = message["info"]
    begun = {**info, "time": {"created": info["time"].get("created")}}
    frames = [_frame("message.updated", {"info": begun})]
    for part in message["parts"]:
        at = part.get("state") or {}
        child = (at.get("metadata") or {}).get("sessionId")
        if child in below:
            running = {**part, "state": {**at, "status": "running"}}
            frames += [_frame("message.part.updated", {"part": running}), *below[child]]
        frames.append(_frame("message.part.updated", {"part": part}))
    return [*frames, _frame("message.updated", {"info": info})]


def _frame(kind: str, properties: dict[str, Any]) -> Frame:
    return {"type": kind, "properties": properties}
