"""The events of a server, for its sessions; and what a gap has hidden."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midflight.agents.base import Signal
from midflight.agents.opencode.event_stream import EventStream
from midflight.agents.opencode.v2.client import OpenCode2Client
from midflight.agents.opencode.v2.events import EventTranslator, Frame, asked_frames
from midflight.agents.opencode.v2.names import PREVIEW, Names, field
from midflight.agents.opencode.v2.program import accept
from midflight.errors import AgentFailed

READY_TIMEOUT_S = 30.0


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


class Feed(EventStream):
    """A server as 2.x speaks to it: the client, and one stream of events for all sessions."""

    names: Names

    def __init__(
        self, how: Connecting, url: str, password: str | None, is_alive: Callable[[], bool]
    ) -> None:
        """Begin without a session. ``is_alive`` tells whether there is a server to connect to."""
        super().__init__(is_alive)
        self.client = OpenCode2Client(url, password)
        self.directories: list[Path] = []
        self._how = how

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
        self.read()
        try:
            await self.flows(READY_TIMEOUT_S)
        except AgentFailed:
            self.directories.remove(directory)
            raise
        self.check_open()

    def leave(self, directory: Path) -> bool:
        """Release it; True if no other session works in this folder."""
        if directory in self.directories:
            self.directories.remove(directory)
        return directory not in self.directories

    def events(self) -> AsyncIterator[Frame | None]:
        """See `EventStream.events`."""
        return self.client.events()

    def about(self, frame: Frame) -> str | None:
        """See `EventStream.about`."""
        data = frame.get("data")
        if not isinstance(data, dict):
            return None
        inner = _inner(data)
        return str(data.get("sessionID") or inner.get("sessionID") or inner.get("id"))

    def begun(self, frame: Frame) -> tuple[str, str] | None:
        """See `EventStream.begun`."""
        if frame.get("type") != "session.created":
            return None
        data = frame["data"]
        return str(self.about(frame)), field(data, "parentID") or field(_inner(data), "parentID")

    async def close(self) -> None:
        """Stop reading, and close every connection."""
        self.end()
        await self.stop()
        await self.client.close()


def _inner(data: dict[str, Any]) -> dict[str, Any]:
    """Return what an event holds of the thing that it is about."""
    inner = (data[key] for key in ("info", "form") if isinstance(data.get(key), dict))
    return next(inner, {})


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
