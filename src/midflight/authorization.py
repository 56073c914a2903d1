"""Who asks, and what it may do: an agent decides neither about itself nor about its ancestors."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Self
from urllib.parse import quote, unquote

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight import lineage
from midflight.errors import Conflict, NotAllowed, NotFound
from midflight.events import Request
from midflight.family import Beginning, Family, FamilyBounds
from midflight.journal import SessionRow
from midflight.journal.base import SessionReader
from midflight.narrowing import check_limits, check_mode
from midflight.options import OWN_SERVER, Options

EVERYTHING, QUESTIONS = "everything", "questions"

MAY_ANSWER = "midflight-may-answer"
"""The header with which a client passes on to a host what its user lets it answer."""

_TELLING = (c.Send, c.Redirect, c.Edit, c.Promote)
"""The commands after which a session does something that it was told."""

AnswerScope = bool | Iterable[str]
"""What an agent may answer, as the user says it: `EVERYTHING` (or True), `QUESTIONS`, tools.

That is of what it has begun. ``WHAT@SESSION`` is of the session with that whole name or id, whoever
has begun it.
"""

_AT = "@"


class Caller(msgspec.Struct, frozen=True):
    """Who asks: a process on this machine, by its user and its id, or the bearer of a token.

    ``inside`` are the sessions that the caller is a part of, the outermost first; a caller that no
    agent has started is a part of none. ``seen`` says that the system has told so: one of which it
    tells nothing could be an agent's. The bearer of a token comes from anywhere (``pid`` is 0):
    that he has it shows that he is the user. ``device`` is the name of the one that a person has
    logged in from.
    """

    uid: int
    pid: int
    inside: tuple[str, ...] = ()
    seen: bool = True
    device: str = ""

    @classmethod
    def this_process(cls) -> Self:
        """Return the process that runs this."""
        return cls(os.getuid(), os.getpid(), lineage.inside())

    @classmethod
    def bearer(cls, device: str = "") -> Self:
        """Return who has the token, or has logged in with what it has led to."""
        return cls(os.getuid(), 0, device=device)

    @classmethod
    def elsewhere(cls, inside: tuple[str, ...]) -> Self:
        """Return a process on another machine, which says itself what it is a part of."""
        return cls(os.getuid(), 0, inside)

    @classmethod
    def process(cls, uid: int, pid: int) -> Self:
        """Return another process, as it is now; an agent's programs are known by their environment.

        One that has ended by now may do nothing.
        """
        inside = lineage.inside_of(pid)
        return cls(uid, pid, inside or (), seen=inside is not None)

    @property
    def held(self) -> bool:
        """Whether it is an agent's program, or could be: it does not decide for the user."""
        return bool(self.inside) or not self.seen


class AnswerGrant:
    """What an agent may answer of what its sessions ask; the rest is for the user."""

    def __init__(self, scope: AnswerScope) -> None:
        """Nothing that is not in the ``scope`` is granted."""
        if isinstance(scope, bool):
            scope = [EVERYTHING] if scope else []
        words = {scope} if isinstance(scope, str) else {*scope}
        self._named = frozenset(word for word in words if _AT in word)
        self._words = frozenset(words) - self._named

    @classmethod
    def read(cls, header: str) -> list[str]:
        """Return what `written` has written."""
        return [unquote(word) for word in header.split(",") if word]

    @property
    def written(self) -> str:
        """The same as one line of text."""
        return ",".join(sorted(quote(word) for word in self._words | self._named))

    def __bool__(self) -> bool:
        """Tell whether anything is granted."""
        return bool(self._words or self._named)

    def of(self, *session: str) -> AnswerGrant:
        """Return what is granted of a session that the agent has begun, by its name and its id."""
        return AnswerGrant([*self._words, *self.at(*session)._words])  # noqa: SLF001 - our own

    def at(self, *session: str) -> AnswerGrant:
        """Return what is granted of a session that is named, by its name or its id."""
        parts = (word.rpartition(_AT) for word in self._named)
        return AnswerGrant([what for what, _, name in parts if name in session])

    @property
    def everything(self) -> bool:
        """Nothing is left for the user."""
        return EVERYTHING in self._words

    def covers(self, request: Request) -> bool:
        """Tell whether this request may be answered, whatever the answer is."""
        if isinstance(request, e.PermissionRequested):
            return self.allows(request.name)
        return self.everything or QUESTIONS in self._words

    def allows(self, tool: str) -> bool:
        """Tell whether calls of a tool may be allowed."""
        return self.everything or tool in self._words - {QUESTIONS}


class Authorizer:
    """Decides what a caller may do; one that is known to be no agent's may do everything."""

    def __init__(self, journal: SessionReader, caller: Caller, *, may_answer: AnswerScope) -> None:
        """``may_answer`` is what an agent may answer of what the sessions it has begun ask."""
        self._journal = journal
        self._caller = caller
        self.grant = AnswerGrant(may_answer if caller.inside else caller.seen)

    @classmethod
    def of_this_process(cls, journal: SessionReader, may_answer: AnswerScope = ()) -> Self:
        """Return what decides what this very process may do."""
        return cls(journal, Caller.this_process(), may_answer=may_answer)

    async def ancestry(self) -> tuple[str, ...]:
        """Return the caller's own session and its ancestors, itself first.

        Raises `NotAllowed` where it cannot be known.
        """
        if not self._caller.inside:
            return ()
        return (await Family.of(self._journal)).line(self._caller.inside)

    async def bounds(self) -> FamilyBounds:
        """Return what the caller's own session may hand down. Raises `NotAllowed` as `ancestry`."""
        family = await Family.of(self._journal)
        return family.bounds(family.line(self._caller.inside))

    # Beginning ----------------------------------------------------------------------------

    async def begin(self, options: Options, parent: str = "") -> Beginning:
        """Return how a session begins that this caller asks for.

        ``parent`` is what the caller says; of an agent's program it is not believed.

        Raises `NotAllowed` for options by which an agent would have more than it has, or would
        agree for the user, and where a limit is reached.
        """
        if not self._caller.held:
            return Beginning(options, parent)
        family = await Family.beginning(self._journal)
        line = family.line(self._caller.inside)
        options = family.begin(options, line)
        if line:
            family.check_children(line[0])
        return Beginning(options, line[0] if line else "", held=True)

    def check_keeping(self) -> None:
        """Raise `NotAllowed` for an agent: it would start others that no session bounds."""
        if self._caller.held:
            raise NotAllowed("an agent keeps no other one ready", "ask the user")

    def check_elsewhere(self) -> None:
        """Raise `NotAllowed` for an agent: what bounds it here is not there on other machines."""
        if self._caller.held:
            raise NotAllowed("an agent begins sessions on its own machine", "leave on out")

    def check_working(self) -> None:
        """Raise `NotAllowed` for an agent: what it claimed would be in its reach, and unbounded."""
        if self._caller.held:
            raise NotAllowed("an agent is no worker", "ask the user")

    # Commands and reading -----------------------------------------------------------------

    async def check(self, session: str, command: c.Command) -> None:
        """Raise `NotAllowed` for a command that this caller must not give."""
        if not self._caller.held:
            return
        family = await Family.of(self._journal)
        line = family.line(self._caller.inside)
        begun = bool(line) and family.descends(session, line[0])
        grants = [self._named(family, session, line)]
        if line and not (isinstance(command, c.Answer) and grants[0]):
            self._check_begun(family, session, line)
        if isinstance(command, c.Answer):
            grants += [self.grant] if begun else []
            await self._check_answer(session, command.request, grants)
        if begun and (isinstance(command, _TELLING) or _allows(command)):
            family.check_told(session, line)
        check_limits(command)
        if isinstance(command, c.Relocate):
            raise NotAllowed("an agent has its sessions on its own machine", "ask the user")
        if isinstance(command, c.SetPermissionMode):
            check_mode(command.mode, family.mode_of(line or (session,)))

    async def find(
        self, name: str | None = None, cwd: str | None = None, *, exact: bool = False
    ) -> SessionRow:
        """Return the session that is meant, see `Journal.find`; an error names only readable ones.

        Raises `NotAllowed` for another one too.
        """
        inside = bool(self._caller.inside)
        try:
            if name or not inside:
                row = await self._journal.find(name, cwd, exact=exact)
                await self.check_reading(row.id)
                return row
        except (Conflict, NotFound):
            if not inside:
                raise
        readable = await self.readable(row.id for row in await self._journal.sessions())
        return await self._journal.find(name, cwd, exact=exact, among=readable)

    async def check_reading(self, session: str) -> None:
        """Raise `NotAllowed` for a session that this caller must not read."""
        if not await self.readable([session]):
            raise NotAllowed("an agent reads only what it has begun", "ask the user")

    async def readable(self, sessions: Iterable[str]) -> list[str]:
        """Return those of some sessions that this caller may read.

        They are its own, what it has begun, and those for which the user lets it answer by name.
        Raises `NotAllowed` where it is not known which is its own.
        """
        if not self._caller.inside:
            return list(sessions)
        family = await Family.of(self._journal)
        line = family.line(self._caller.inside)
        return [
            each
            for each in sessions
            if each == line[0] or family.descends(each, line[0]) or self._named(family, each, line)
        ]

    def _check_begun(self, family: Family, session: str, line: Sequence[str]) -> None:
        if session in line:
            whose = "its own session" if session == line[0] else "a session that it is a part of"
            raise NotAllowed(f"an agent cannot give commands to {whose}", "ask the user")
        if not family.descends(session, line[0]):
            raise NotAllowed("an agent gives commands only to what it has begun", "ask the user")

    @staticmethod
    def _named(family: Family, session: str, line: Sequence[str]) -> AnswerGrant:
        """Return what the user lets the caller's session answer of another one by its name.

        An agent could name any itself. So that stands with its session, in the arguments of the
        server that the user gave it, and no agent gives another one a server.
        """
        own, other = family.row(line[0]) if line else None, family.row(session)
        if own is None or other is None or session in line or own.parent:
            return AnswerGrant(())
        return AnswerGrant(_granted(own)).at(other.id, other.name)

    async def _check_answer(
        self, session: str, request: str, grants: Sequence[AnswerGrant]
    ) -> None:
        """Look what the request is: one that is not in the journal is none to answer."""
        if any(grant.everything for grant in grants):
            return
        pending = (await self._journal.info(session)).pending
        asked = next((one for one in pending if one.request == request), None)
        if asked is None or not any(grant.covers(asked) for grant in grants):
            raise NotAllowed("an agent cannot answer what another one asks", "ask the user")


def _granted(row: SessionRow) -> list[str]:
    """Return what a session's agent may answer, as midflight's own server was told for it."""
    servers = (row.options.get("mcp_servers") or {}).values()
    words = [server.get("args") or () for server in servers if isinstance(server, dict)]
    ours = [each for each in words if tuple(each[: len(OWN_SERVER)]) == OWN_SERVER]
    return [
        what for each in ours for flag, what in itertools.pairwise(each) if flag == "--may-answer"
    ]


def _allows(command: c.Command) -> bool:
    return isinstance(command, c.Answer) and command.decision == "allow"
