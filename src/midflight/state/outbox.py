"""Messages and their states: a fold of the message events, and the order in which they wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from midflight.errors import NotFound
from midflight.events import (
    Event,
    MessageAccepted,
    MessageAnswered,
    MessageCancelled,
    MessageChanged,
    MessageFailed,
    MessageStarted,
    MessageSteered,
)
from midflight.values import Delivery

MessageState = Literal["accepted", "started", "steered", "answered", "cancelled", "failed"]

KEPT_ENDED = 10_000
"""How many ended messages are kept, so that a repeated command counts once."""

_FINAL: dict[type[Event], MessageState] = {
    MessageAnswered: "answered",
    MessageCancelled: "cancelled",
    MessageFailed: "failed",
}


class Entry:
    """One message.

    ``number`` is its place among all that the session was ever told: it never changes, and no other
    message gets it. ``state`` and ``turn`` follow the events. ``handed`` says that the message was
    handed to the agent, which has not reported reading it; ``opener`` that it is to open a turn;
    ``cancelling`` that the user wants it back. ``hand`` is the newest action that hands it over.
    ``content_hash`` is of the text and the images as they were accepted, to tell a repeated command
    from another one. ``typed`` says that these are the words of a person; of what nobody is known
    to have sent they are not.
    """

    __slots__ = (
        *("cancelling", "content_hash", "delivery", "hand", "handed", "id", "images"),
        *("number", "opener", "state", "text", "turn", "typed"),
    )

    def __init__(self, event: MessageAccepted, number: int) -> None:
        """Begin in the state ``accepted``."""
        self.id = event.message
        self.number = number
        self.text = event.text
        self.images = event.images
        self.content_hash = hash((event.text, event.images))
        self.typed = event.who is not None and event.who.role == "user"
        self.delivery: Delivery = event.delivery
        self.state: MessageState = "accepted"
        self.turn: int | None = None
        self.handed = False
        self.opener = False
        self.cancelling = False
        self.hand: object = None


class Outbox:
    """Every message of a session. The waiting ones keep an order that can be changed."""

    def __init__(self) -> None:
        """Begin without a message."""
        self._entries: dict[str, Entry] = {}
        self._line: list[str] = []
        self._accepted = 0
        self._ended: dict[str, None] = {}

    def apply(self, event: Event) -> None:
        """Apply one event; most kinds change nothing here."""
        match event:
            case MessageAccepted(message=message):
                self._accepted += 1
                self._entries[message] = Entry(event, self._accepted)
                self._line.insert(0 if event.delivery == "now" else len(self._line), message)
            case MessageChanged(message=message):
                entry = self._entries[message]
                entry.text, entry.delivery = event.text, event.delivery
                self._line.remove(message)
                where = self._line.index(event.before) if event.before else len(self._line)
                self._line.insert(where, message)
            case MessageStarted(message=message) | MessageSteered(message=message):
                entry = self._entries[message]
                entry.state = "started" if isinstance(event, MessageStarted) else "steered"
                entry.turn = event.turn
                entry.handed = False
                self._line.remove(message)
            case (
                MessageAnswered(message=message)
                | MessageCancelled(message=message)
                | MessageFailed(message=message)
            ):
                self._end(message, _FINAL[type(event)])

    def _end(self, message: str, state: MessageState) -> None:
        entry = self._entries[message]
        if entry.state == "accepted":
            self._line.remove(message)
        entry.state, entry.handed, entry.text = state, False, ""
        self._ended[message] = None
        if len(self._ended) > KEPT_ENDED:
            oldest = next(iter(self._ended))
            del self._ended[oldest], self._entries[oldest]

    def get(self, message: str) -> Entry:
        """Return a message by its id. Raises `NotFound`."""
        try:
            return self._entries[message]
        except KeyError:
            raise NotFound(f"no message has the id {message!r}") from None

    def find(self, message: str) -> Entry | None:
        """Return a message by its id, or None."""
        return self._entries.get(message)

    def is_open(self, message: str) -> bool:
        """Tell whether a message has not ended."""
        return message in self._entries and message not in self._ended

    def numbered(self, number: int) -> Entry | None:
        """Return a message by its number, or None if there is none, or it ended long ago."""
        return next((entry for entry in self if entry.number == number), None)

    def waiting(self) -> list[Entry]:
        """Return the messages that the agent has not read, first in line first."""
        return [self._entries[message] for message in self._line]

    def held(self) -> list[Entry]:
        """Return the waiting messages that were not handed to the agent."""
        return [entry for entry in self.waiting() if not entry.handed]

    def handed(self) -> list[Entry]:
        """Return the waiting messages that were handed to the agent."""
        return [entry for entry in self.waiting() if entry.handed]

    def after(self, message: str) -> str | None:
        """Return the id of the message that waits next behind this one."""
        where = self._line.index(message) + 1
        return self._line[where] if where < len(self._line) else None

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over the messages that are kept, oldest first."""
        return iter(list(self._entries.values()))
