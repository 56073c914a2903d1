"""What a command to a session comes to, as other processes are told."""

from __future__ import annotations

from midflight import commands as c
from midflight.info import Outcome
from midflight.session.session import Session
from midflight.values import Who


async def outcome_of(session: Session, command: c.Command, who: Who) -> Outcome:
    """Have a live session carry out a command that ``who`` gives; return what that came to.

    Raises as the verb does.
    """
    if isinstance(command, c.Cancel):
        await session.withdraw(command.message)
        return _outcome(session, command.message)
    command = c.with_id(command)
    await session.carry_out(command, who=who)
    message = command.id if isinstance(command, (c.Send, c.Redirect)) else None
    return _outcome(session, message or getattr(command, "message", None))


def _outcome(session: Session, message: str | None) -> Outcome:
    """Look at the message that a command was about, if it was about one."""
    entry = session.entry(message) if message else None
    if entry is None:
        return Outcome(seq=session.last_seq)
    return Outcome(
        seq=session.last_seq,
        message=message,
        number=entry.number,
        state=entry.state,
        turn=entry.turn,
    )
