"""What an agent may not do with midflight: decide about itself, and about those that began it."""

from __future__ import annotations

from midflight import commands as c
from midflight.errors import NotAllowed, NotFound
from midflight.journal import Journal
from midflight.lineage import UNKNOWN, inside, own

__all__ = ["Reach"]


class Reach:
    """Knows which sessions the caller is a part of; nobody's agent is part of none."""

    def __init__(self, journal: Journal, *, may_answer: bool = False) -> None:
        """``may_answer`` lets an agent answer what the sessions it has begun are asking."""
        self._journal = journal
        self._inside = inside()
        self._kin: tuple[str, ...] | None = None
        self.may_answer = may_answer or not self._inside

    @property
    def parent(self) -> str:
        """The session that a new one is begun by, or nothing."""
        return own()

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
        if isinstance(command, c.Answer) and not self.may_answer:
            raise NotAllowed("an agent cannot answer what another one asks", "ask the user")
