"""The messages that wait: listed with their numbers, and changed by what a person types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from midflight import commands as c
from midflight._util.sanitize import one_line
from midflight.cli.terminal.table import cut
from midflight.errors import Conflict, InvalidInput, NotFound
from midflight.session import BaseSession
from midflight.session.message import Message

END = "end"
"""What stands for a message behind the last one, in front of which another is moved."""

VERBS = {
    "edit": ("N TEXT", re.compile(r"(\S+)\s+(.+)", re.DOTALL)),
    "cancel": ("N", re.compile(r"(\S+)")),
    "move": (f"N M, or N {END}", re.compile(r"(\S+)\s+(\S+)")),
    "promote": ("N", re.compile(r"(\S+)")),
}
"""What changes a waiting message: what stands behind the word, for people and to be read."""

DONE = {"edit": "edited", "cancel": "cancelled", "move": "moved", "promote": "promoted"}

_MARKS = {"steer": "[steer] ", "now": "[redirect] "}


class Change(NamedTuple):
    """A change of a waiting message, as it was typed: a word of `VERBS`, and what is behind it."""

    verb: str
    words: Sequence[str]

    async def carry_out(self, session: BaseSession) -> None:
        """Make the change. Raises `InvalidInput`, or `Conflict` for what waits no longer."""
        command, number = self.command(session), self.words[0]
        if isinstance(command, c.Cancel):
            if not await session.withdraw(command.message):
                raise Conflict(f"message {number} was not cancelled: the agent reads it")
            return
        try:
            await session.command(command)
        except Conflict as error:  # the agent was given it just now
            raise Conflict(error.message.replace(command.message, number), error.hint) from error

    def command(self, session: BaseSession) -> c.Cancel | c.Edit | c.Move | c.Promote:
        """Return the command. Raises `InvalidInput`, or `Conflict` for what waits no longer."""
        number, *more = self.words
        message = _message(session, number).id
        match self.verb:
            case "edit":
                return c.Edit(message=message, text=more[0])
            case "move":
                before = None if more[0] == END else _message(session, more[0]).id
                return c.Move(message=message, before=before)
            case "cancel":
                return c.Cancel(message=message)
        return c.Promote(message=message)


def typed(text: str) -> Change | None:
    """Return the change that a line behind ``/queue`` means; None for a text to be queued.

    A word of `VERBS` with a number behind it, or with nothing, is meant as one. Raises
    `InvalidInput` if it is not a whole one.
    """
    verb, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if verb not in VERBS or not (not rest or rest.split()[0].isdecimal()):
        return None
    behind, shape = VERBS[verb]
    if (found := shape.fullmatch(rest)) is None:
        raise InvalidInput(f"/queue {verb} takes {behind}", "/queue lists what waits")
    return Change(verb, found.groups())


def lines(queued: Sequence[Message], width: int) -> list[str]:
    """Return a line for each message, with its number, no longer than so many columns."""
    digits = max((len(str(each.number)) for each in queued), default=0)
    texts = (f"{_MARKS.get(each.delivery, '')}{one_line(each.text, width)}" for each in queued)
    return [
        cut(f"  {each.number:{digits}}  {text}", width)
        for each, text in zip(queued, texts, strict=True)
    ]


def _message(session: BaseSession, number: str) -> Message:
    """Return the waiting message with this number. Raises what is wrong, with those there are."""
    numbers = ", ".join(str(each.number) for each in session.queued)
    waiting = f"waiting: {numbers}" if numbers else "nothing waits"
    if not (number.isascii() and number.isdecimal()):
        raise InvalidInput(f"{number} is not the number of a message", waiting)
    try:
        return session.numbered(int(number))
    except NotFound as error:
        raise InvalidInput(error.message, waiting) from error
    except Conflict as error:
        raise Conflict(error.message, waiting) from error
