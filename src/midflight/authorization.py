"""What an agent may not do with midflight: decide about itself, and about those that began it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote

from midflight import commands as c
from midflight import events as e
from midflight import lineage
from midflight.errors import NotAllowed, NotFound
from midflight.events import Request
from midflight.journal import Journal
from midflight.lineage import UNKNOWN

__all__ = ["EVERYTHING", "MAY_ANSWER", "QUESTIONS", "AnswerGrant", "Authorizer", "Said"]

EVERYTHING, QUESTIONS = "everything", "questions"

MAY_ANSWER = "midflight-may-answer"
"""The header with which a client tells a host what its user has said that it may answer."""

Said = bool | Iterable[str]
"""What an agent may answer, as somebody says it: `EVERYTHING` (or True), `QUESTIONS`, tools."""


class AnswerGrant:
    """What an agent may answer of what its sessions ask; the rest is for the user."""

    def __init__(self, said: Said) -> None:
        """Nothing that is not ``said`` is given."""
        if isinstance(said, bool):
            said = [EVERYTHING] if said else []
        self._words = frozenset({said} if isinstance(said, str) else said)

    @classmethod
    def read(cls, told: str) -> list[str]:
        """Return what `written` has written."""
        return [unquote(word) for word in told.split(",") if word]

    @property
    def written(self) -> str:
        """The same as one line of text."""
        return ",".join(sorted(quote(word) for word in self._words))

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self._words)

    @property
    def everything(self) -> bool:
        """Nothing is for somebody else."""
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
    """Knows which sessions the caller is a part of; nobody's agent is part of none."""

    def __init__(
        self, journal: Journal, *, may_answer: Said = False, inside: tuple[str, ...] | None = None
    ) -> None:
        """``may_answer`` says what an agent may answer of what the sessions it has begun ask.

        ``inside`` are the sessions that the caller is a part of; without them it is this process.
        """
        self._journal = journal
        self._inside = lineage.inside() if inside is None else inside
        self._kin: tuple[str, ...] | None = None
        self.leave = AnswerGrant(may_answer if self._inside else True)

    @property
    def parent(self) -> str:
        """The session that a new one is begun by, or nothing."""
        return self._inside[-1] if self._inside else ""

    async def kin(self) -> tuple[str, ...]:
        """Return the caller's own session and its ancestors, itself first.

        Raises `NotAllowed` where it cannot be known.
        """
        if self._kin is None:
            if UNKNOWN in self._inside:
                raise NotAllowed(
                    "it is not known which session this agent belongs to",
                    "give the server of its own session in mcp_servers=",
                )
            found: list[str] = []
            for session in reversed(self._inside):
                found += await self._upwards(session, found)
            self._kin = tuple(found)
        return self._kin

    async def _upwards(self, session: str, found: list[str]) -> list[str]:
        line: list[str] = []
        while session and session not in found + line:
            line.append(session)
            try:
                session = (await self._journal.find(session, exact=True)).parent
            except NotFound:
                break  # it is in no journal: whatever has begun it stands before it in the variable
        return line

    async def check(self, session: str, command: c.Command) -> None:
        """Raise `NotAllowed` for a command that this caller must not give."""
        if not self._inside:
            return
        kin = await self.kin()
        if session in kin:
            whose = "its own session" if session == kin[0] else "a session that it is a part of"
            raise NotAllowed(f"an agent cannot give commands to {whose}", "ask the user")
        if isinstance(command, c.Answer) and not await self._may(session, command.request):
            raise NotAllowed("an agent cannot answer what another one asks", "ask the user")

    async def _may(self, session: str, request: str) -> bool:
        """Look what it is that is asked: a request that is not in the journal is none to answer."""
        if self.leave.everything:
            return True
        row = await self._journal.find(session, exact=True)
        (info,) = await self._journal.infos([row])
        return any(self.leave.covers(one) for one in info.pending if one.request == request)
