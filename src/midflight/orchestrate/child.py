"""One session below the orchestrator, as far as its events have been seen."""

from __future__ import annotations

import asyncio

from midflight import events as e
from midflight.client.session import RemoteSession
from midflight.events import Request
from midflight.state.session import BUSY


class Child:
    """A session and what has been seen of it.

    ``last`` is one line of what its agent said or did last; ``depth`` is how far below the
    orchestrator it is, from 1; ``seq`` is the newest event that was seen.
    """

    def __init__(self, session: RemoteSession, parent: str, depth: int) -> None:
        """``session`` is about to be entered."""
        self.session = session
        self.parent = parent
        self.depth = depth
        self.seq = 0
        self.last = ""
        self.began = asyncio.get_running_loop().time()
        self.entered = False
        self._started: set[str] = set()

    @property
    def id(self) -> str:
        """The session's id."""
        return self.session.id

    @property
    def name(self) -> str:
        """The session's name."""
        return self.session.name

    @property
    def status(self) -> str:
        """Its status, in one word."""
        return self.session.status if self.entered and self.seq else "starting"

    @property
    def busy(self) -> bool:
        """It works, or waits for an answer."""
        return self.status in BUSY

    @property
    def seen(self) -> bool:
        """All its events have been seen here."""
        return self.entered and self.seq >= self.session.last_seq

    @property
    def cost_usd(self) -> float | None:
        """US dollars so far; None where a part is not known."""
        return self.session.total_cost_usd

    @property
    def pending(self) -> tuple[Request, ...]:
        """Its requests that wait for an answer."""
        return self.session.pending if self.entered else ()

    def take(self, event: e.Event) -> None:
        """Take in one event."""
        self.seq = event.seq or self.seq
        match event:
            case e.Text(parent=None, text=text):
                self.last = text.strip().rpartition("\n")[2]
            case e.ToolStarted(parent=None, name=name, title=title):
                self.last = f"{name} {title}"
            case e.MessageStarted(message=message) | e.MessageSteered(message=message):
                self._started.add(message)

    def started(self, message: str) -> bool:
        """Whether a message has got a turn, whose end says what became of it."""
        return message in self._started
