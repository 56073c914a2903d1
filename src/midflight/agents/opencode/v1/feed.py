"""The events of one directory of a server, for its sessions; and what a gap has hidden."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from midflight.agents.base import Signal
from midflight.agents.opencode.event_stream import EventStream
from midflight.agents.opencode.http import Frame
from midflight.agents.opencode.program import accept
from midflight.agents.opencode.server import Refused
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.agents.opencode.v1.events import EventTranslator
from midflight.errors import AgentFailed

READY_TIMEOUT_S = 60.0
"""A new directory can take a long time to be opened: its plugins are installed."""

LOST_AFTER_S = 5.0
"""A server at rest that has not read a message after so long will never read it."""


class Feed(EventStream):
    """Reads the stream of a directory while it has users."""

    def __init__(self, client: OpenCodeClient, is_alive: Callable[[], bool]) -> None:
        """Begin to read."""
        super().__init__(is_alive)
        self.client = client
        self.users = 0
        self._refusal: Refused | None = None
        self.read()

    def events(self) -> AsyncIterator[Frame | None]:
        """See `EventStream.events`."""
        return self.client.events()

    def refused(self, refusal: Refused) -> bool:
        """Give up: the server does not accept the folder's configuration."""
        self._refusal = refusal
        return True

    def about(self, frame: Frame) -> str | None:
        """See `EventStream.about`."""
        properties = frame.get("properties")
        return str(properties.get("sessionID")) if isinstance(properties, dict) else None

    def begun(self, frame: Frame) -> tuple[str, str] | None:
        """See `EventStream.begun`."""
        info = frame["properties"].get("info")
        if frame.get("type") != "session.created" or not isinstance(info, dict):
            return None
        return str(info.get("id")), str(info.get("parentID"))

    async def ready(self) -> None:
        """Wait until events flow. Raises `AgentFailed`, as for a folder that the server refuses."""
        await self.flows(READY_TIMEOUT_S)
        if self._refusal is not None:
            raise AgentFailed(self._refusal.message, "mend it, and try again")
        self.check_open()

    async def close(self) -> None:
        """Stop reading, and close every connection."""
        await self.stop()
        await self.client.close()


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
