"""What an agent may not do with midflight: decide about itself, and about those that began it."""

from __future__ import annotations

from collections.abc import Iterable

from midflight import commands as c
from midflight import events as e
from midflight.errors import NotAllowed, NotFound
from midflight.journal import Journal
from midflight.lineage import UNKNOWN, inside, own
from midflight.requests import Request

__all__ = ["EVERYTHING", "QUESTIONS", "Leave", "Reach"]

EVERYTHING, QUESTIONS = "everything", "questions"

Leave = bool | Iterable[str]
"""What an agent may answer: `EVERYTHING` (or True), `QUESTIONS`, or permissions for these tools."""


class Reach:
    """Knows which sessions the caller is a part of; nobody's agent is part of none."""

    def __init__(self, journal: Journal, *, may_answer: Leave = False) -> None:
        """``may_answer`` says what an agent may answer of what the sessions it has begun ask."""
        self._journal = journal
        self._inside = inside()
        self._kin: tuple[str, ...] | None = None
        self._leave = _words(may_answer) if self._inside else frozenset({EVERYTHING})

    @property
    def parent(self) -> str:
        """The session that a new one is begun by, or nothing."""
        return own()

    @property
    def answers_everything(self) -> bool:
        """Tell whether no request is for somebody else."""
        return EVERYTHING in self._leave

    @property
    def answers(self) -> bool:
        """Tell whether there may be a request to answer."""
        return bool(self._leave)

    def may_answer(self, request: Request) -> bool:
        """Tell whether this request may be answered here, whatever the answer is."""
        if isinstance(request, e.PermissionRequested):
            return self.may_allow(request.name)
        return self.answers_everything or QUESTIONS in self._leave

    def may_allow(self, tool: str) -> bool:
        """Tell whether calls of a tool may be allowed here."""
        return self.answers_everything or tool in self._leave - {QUESTIONS}

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
        if self.answers_everything:
            return True
        row = await self._journal.find(session, exact=True)
        (info,) = await self._journal.infos([row])
        return any(self.may_answer(one) for one in info.pending if one.request == request)


def _words(leave: Leave) -> frozenset[str]:
    if isinstance(leave, bool):
        return frozenset({EVERYTHING} if leave else ())
    return frozenset({leave} if isinstance(leave, str) else leave)
