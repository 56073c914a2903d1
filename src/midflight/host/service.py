"""What other processes can ask of a host: to begin sessions, command them, and read along."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.authorization import AnswerScope, Authorizer, Caller
from midflight.environment import HostKind
from midflight.errors import Conflict, MidflightError, NotFound
from midflight.host.sessions import SessionTable
from midflight.host.warm_pool import WarmAgents
from midflight.images import Image
from midflight.info import AgentInfo, EffectsInfo, Outcome, SessionInfo
from midflight.journal import Journal
from midflight.options import Options
from midflight.session.outcome import outcome_of
from midflight.state.search import MOST_HITS, Found
from midflight.values import SessionStatus, Who

if TYPE_CHECKING:
    from midflight.git.diff import Diff

PAGE = 1_000
"""How many events are read from the journal at a time, and a page has at most."""

MAX_TAKEN = 50
"""With so many live sessions a host takes no further ones: of its files and its time each has less.
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A session that somebody wants begun, in the words of another process.

    ``images`` come with the task. ``warm`` asks for one whose agent is ready. ``who`` wants it, and
    ``terminal`` has the variables of the terminal there.
    """

    task: str | None
    images: tuple[Image, ...] = ()
    options: dict[str, Any]
    id: str | None
    parent: str
    warm: bool
    who: Who
    terminal: Mapping[str, str] | None


class SessionService:
    """Answers for the sessions of the journal, and knows which of them are read."""

    def __init__(
        self,
        journal: Journal,
        sessions: SessionTable,
        warm: WarmAgents,
        kind: HostKind | None,
        *,
        taking: bool,
    ) -> None:
        """Begin without a reader.

        ``kind`` says for whom sessions and warm agents are here, None: for nobody else. ``taking``
        is a host that takes sessions, also without a warm agent.
        """
        self._journal = journal
        self._sessions = sessions
        self._warm = warm
        self.kind = kind
        self._taking = taking

    def authorizer(self, caller: Caller, may_answer: AnswerScope) -> Authorizer:
        """Return what decides what a caller may do here."""
        return Authorizer(self._journal, caller, may_answer=may_answer)

    @property
    def closing(self) -> bool:
        """The host is about to end."""
        return self._sessions.closing

    def warms(self, mark: str) -> bool:
        """Tell whether this host keeps agents ready for one who needs the kind with this mark."""
        return bool(self._warm) and self._is_meant(mark)

    def takes(self, mark: str) -> bool:
        """Tell whether this host takes sessions for one who needs the kind with this mark.

        One that cannot beat takes none: it will be taken for dead.
        """
        well = self._taking and time.monotonic() < self._journal.host.valid_until
        return well and len(self._sessions.live()) < MAX_TAKEN and self._is_meant(mark)

    def _is_meant(self, mark: str) -> bool:
        host = self._journal.host.id
        if self.kind is None or host is None or self.closing:
            return False
        return self.kind.is_meant(mark, host)

    def knows(self, id: str) -> bool:
        """Tell whether this host has had a session, and can resume it with what is never stored."""
        return id in self._sessions.secrets and not self.closing

    def masked(self, text: str) -> str:
        """Return a text without the secrets that this host knows."""
        return self._sessions.secrets.masked(text)

    # Sessions -----------------------------------------------------------------------------

    async def sessions(
        self,
        *,
        status: SessionStatus | None = None,
        cwd: str | None = None,
        limit: int | None = None,
    ) -> list[SessionInfo]:
        """Return the sessions that fit, the newest first."""
        rows = await self._journal.sessions(status=status, cwd=cwd, limit=limit)
        return await self._journal.infos(rows)

    async def info(self, name: str, *, exact: bool = False) -> SessionInfo:
        """Return a session by its id, its name, or the beginning of one; see `Journal.find`."""
        return await self._journal.info(await self._journal.find(name, exact=exact))

    async def dispatch(self, wanted: Wanted, authorizer: Authorizer) -> tuple[SessionInfo, bool]:
        """Start a session, and tell whether it is new; one that is there is not resumed.

        Raises `NotAllowed`, and `Conflict` where an agent should be ready and none is.
        """
        task = wanted.task
        options = Options.build(**wanted.options)
        beginning = await authorizer.begin(options, wanted.parent)
        beginning = beginning._replace(
            who=wanted.who, terminal=wanted.terminal, images=wanted.images
        )
        if (known := wanted.id) is not None and await self._sessions.was_begun(
            known, task, beginning
        ):
            await authorizer.check_reading(known)  # whoever may have begun it
            return await self.info(known, exact=True), False
        if wanted.warm and not self._warm.fits(beginning.options):
            raise Conflict("no agent is ready for this here", "ask without warm")
        session = await self._sessions.begin(task, beginning, wanted.id, await_agent=False)
        return await self.info(session.id, exact=True), True

    async def remove(self, id: str) -> None:
        """Stop a session and remove it."""
        await self._sessions.remove(id)

    async def agent(self, id: str) -> AgentInfo:
        """Return what the agent of a live session can do. Raises `NotFound`."""
        seen = self.agent_seen(id)
        if seen is None:
            raise NotFound("this session is not here, or at rest", "a message resumes it")
        return msgspec.structs.replace(seen, attended=self._sessions.readers.is_attended(id))

    def agent_seen(self, id: str) -> AgentInfo | None:
        """Return the same, or None where the session is not live."""
        session = self._sessions.get(id)
        if session is None:
            return None
        return AgentInfo(
            capabilities=dict(session.capabilities), permission_mode=session.permission_mode
        )

    # Commands -----------------------------------------------------------------------------

    async def carry_out(
        self, id: str, command: c.Command, who: Who, terminal: Mapping[str, str] | None
    ) -> Outcome:
        """Carry out a command that ``who`` gives; a session at rest is resumed for it.

        ``terminal`` has the variables of the caller's. Raises as the verb does.
        """
        if isinstance(command, c.Close):
            return Outcome(seq=await self._sessions.close(id))
        if isinstance(command, c.Relocate):
            return Outcome(
                seq=await self._sessions.relocate(id, command.on, at_once=command.at_once)
            )
        session = await self._sessions.resume(id, terminal)
        return await outcome_of(session, command, who)

    async def effects(self, id: str, request: str, input: dict[str, Any]) -> EffectsInfo:
        """Return what a call that waits for its permission would do with another input.

        Raises `NotFound` where the session is not live, and as `Session.effects_of` does.
        """
        session = self._sessions.get(id)
        if session is None:
            raise NotFound("this session is at rest, and asks nothing")
        return EffectsInfo(effects=await session.effects_of(request, input))

    async def diff(self, id: str, paths: Sequence[str] = ()) -> Diff:
        """Return what has changed in a session's folder since it began.

        Raises `Conflict` where the folder is on another machine, or there is no git.
        """
        from midflight.git.diff import diff_since

        row = await self._journal.find(id, exact=True)
        row.check_here()
        return await diff_since(Path(row.cwd), row.created, paths)

    def report(self, id: str, error: MidflightError, command: str) -> None:
        """Tell those who read a session that a command, by its id, could not be carried out."""
        session = self._sessions.get(id)
        if session is not None:
            session.notice("error", str(error), command=command)

    # Events -------------------------------------------------------------------------------

    async def page(self, id: str, after: int, limit: int | None) -> list[e.Event]:
        """Return a page of the durable events after a ``seq``; see `Journal.events`."""
        return await self._journal.events(id, after, min(limit or PAGE, PAGE))

    async def search(self, id: str, text: str, before: int | None, limit: int) -> Found:
        """Return the newest events before a ``seq`` that say a text."""
        return await self._journal.search(id, text, before, min(limit, MOST_HITS))

    async def follow(
        self, id: str, after: int, silence_s: float, *, attends: bool
    ) -> AsyncGenerator[list[e.Event]]:
        """Yield a session's events after a ``seq``: what is on disk, then what happens.

        They come as many at a time as there are, and none after a silence so long, or when the
        reader has become known, at first. It ends when the session has, or is parked. ``attends``
        says that the reader answers requests: as long as there is one they have no deadline. Raises
        `EventsExpired` when the reader falls too far behind.
        """
        with self._sessions.readers.reading(id, attends=attends):
            yield []
            while (session := self._sessions.get(id)) is None or after < session.oldest_seq - 1:
                page = await self._journal.events(id, after, PAGE)
                if page:
                    yield page
                    after = page[-1].seq or after
                elif session is None:
                    if not await self._sessions.arrives(id, silence_s):
                        return
                    yield []
            async for events in session.events_together(after, silence_s):
                yield events
