"""What a session asks of its journal, if it has one, and what clients ask of any."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from midflight.events import Event
from midflight.images import Image
from midflight.info import RepositoryInfo, SessionInfo
from midflight.journal.rows import HostRow, SessionRow
from midflight.state.search import Found
from midflight.state.session import State
from midflight.values import SessionStatus

__all__ = ["ONLY_SAID", "WHOLE", "Past", "Record", "SessionReader", "Summary"]

WHOLE = 2_000
"""How many of the newest events are read whole, to resume a session."""

ONLY_SAID = (
    *("text", "thinking", "tool.started", "tool.ended", "usage", "plan"),
    *("retry", "stalled", "notice", "raw"),
)
"""Events that no state of a session depends on, once the turn that they belong to has ended."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal knows of a session: its events, and what was handed to the agent.

    ``events`` make up its state; those that only report progress are left out of the older ones,
    and none is missing behind ``whole_after``. ``handed`` are the ids of messages; what became of
    one that no later event reports is not known. ``images`` are those of messages that wait.
    ``state`` is what the events amount to, where the
    journal has folded them; who gets it may go on with it. ``waiting_since`` is since when what
    waits is to begin by itself, when a worker has a place; None: it is not.
    """

    events: Sequence[Event]
    state: State | None = None
    whole_after: int = 0
    handed: Collection[str] = ()
    images: Mapping[str, tuple[Image, ...]] = {}
    waiting_since: float | None = None

    @property
    def recent(self) -> Sequence[Event]:
        """The newest events, with none missing among them."""
        return [event for event in self.events if (event.seq or 0) > self.whole_after]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What lists show of a session: its status, and what it has come to.

    ``total_cost_usd`` is None where a part of it is not known, and ``known_usd`` what is known of
    it. ``last`` is one line of what the agent said or did last; ``pending`` are the ids of the
    requests that wait for an answer; ``rules`` what answers have allowed; ``model`` and
    ``permission_mode`` those in force; ``limits`` too, None where they have not been changed.
    ``turn_started`` is when the running turn began, in seconds since the epoch; None where none
    runs. ``waiting_since`` is since when something that was said to it waits for a place on a
    worker. ``kept`` tells whether this machine alone has what it needs to go on, its newest work or
    what its agent remembers; None: who writes it does not know, and what is known of it stays.
    ``repository`` is what it works in a checkout of, and ``cwd`` where that is; without one both
    are left as they are.
    """

    status: SessionStatus
    turns: int = 0
    total_cost_usd: float | None = 0.0
    known_usd: float = 0.0
    model: str = ""
    permission_mode: str = ""
    agent_session: str = ""
    last: str = ""
    pending: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    limits: Mapping[str, Any] | None = None
    turn_started: float | None = None
    waiting_since: float | None = None
    kept: bool | None = None
    cwd: str = ""
    repository: RepositoryInfo | None = None


class SessionReader(Protocol):
    """What clients read of sessions: in the journal itself, or through a server that has it."""

    async def open(self) -> None:
        """Make ready to read. Raises `StoreFailed`."""
        ...

    async def close(self) -> None:
        """Read no more."""
        ...

    async def sessions(
        self,
        *,
        status: str | None = None,
        cwd: str | None = None,
        parent: str | None = None,
        limit: int | None = None,
    ) -> list[SessionRow]:
        """Return the sessions that fit, the newest first."""
        ...

    async def find(
        self,
        text: str | None = None,
        cwd: str | None = None,
        *,
        exact: bool = False,
        among: Collection[str] | None = None,
    ) -> SessionRow:
        """Return the session that is meant; see `Journal.find`."""
        ...

    async def info(self, session: SessionRow | str) -> SessionInfo:
        """Return a session as other processes get it. Raises `NotFound`."""
        ...

    async def infos(self, rows: Iterable[SessionRow]) -> list[SessionInfo]:
        """Return sessions as other processes get them."""
        ...

    async def hosts(self) -> list[HostRow]:
        """Return the hosts that are known."""
        ...

    async def past(self, session: str) -> Past:
        """Return what makes up the state of a session."""
        ...

    async def events(self, session: str, after: int = 0, limit: int | None = 1000) -> list[Event]:
        """Return a page of the durable events after a ``seq``."""
        ...

    async def tail(self, session: str, count: int) -> list[Event]:
        """Return the newest durable events."""
        ...

    async def search(self, session: str, text: str, before: int | None, limit: int) -> Found:
        """Return the newest events before a ``seq`` that say a text."""
        ...


class Record(Protocol):
    """One session's place in a journal, held by a lease that only one host can have.

    None of the calls blocks. Everything is written in order, often many things at once.
    ``session`` is the session's id, ``last_seq`` the number of the newest event.
    """

    session: str
    last_seq: int

    def begin(self, shown: Callable[[int], None], failed: Callable[[Exception], None]) -> None:
        """Set the callbacks, which run in the event loop that calls this.

        ``shown`` gets the ``seq`` up to which everything is on disk; ``failed`` the
        `StoreFailed` after which nothing more can be written.
        """
        ...

    def append(self, event: Event, images: tuple[Image, ...] = ()) -> None:
        """Have a durable event written; it carries the next ``seq``.

        ``images`` are those of a message that it accepts; they are kept until the agent has read
        it.
        """
        ...

    def handed(self, message: str, *, back: bool = False) -> None:
        """Have it noted that the agent is about to be given a message, or has given it ``back``.

        Whether the agent has read one that it was given is not known after a crash.
        """
        ...

    def note(self, summary: Summary) -> None:
        """Have it noted what lists are to show; only the newest counts."""
        ...

    def remember(self, part: str, lines: Sequence[str], *, anew: bool = False) -> None:
        """Have lines kept of what the agent knows of its conversation; see `recall`.

        They are added to a part of it or, if ``anew``, stand in place of what that had.
        """
        ...

    async def recall(self) -> Mapping[str, Sequence[str]] | None:
        """Return the parts of what was to be kept, in order; None where it need not be kept.

        It need not where no other machine can have this journal: the agent's own files are there.
        Raises `StoreFailed`.
        """
        ...

    def fail(self, error: Exception) -> None:
        """Write nothing more, not even what waits: the session is lost."""
        ...

    async def written(self) -> None:
        """Wait until all of it is on disk. Raises `StoreFailed`."""
        ...

    async def close(self) -> None:
        """Write the rest and give the lease back; a disk that hangs is not waited for long."""
        ...
