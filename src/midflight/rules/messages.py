"""The rules of messages: how the session accepts, edits, moves, promotes and cancels them."""

from __future__ import annotations

from midflight import commands as c
from midflight import events as e
from midflight.errors import Conflict, InvalidInput, NotAllowed
from midflight.rules.actions import Cancel
from midflight.rules.context import RulesContext
from midflight.rules.turns import TurnRules
from midflight.state.outbox import Entry
from midflight.values import Delivery, Who


class MessageRules:
    """Carries out the commands about messages."""

    def __init__(self, context: RulesContext, turns: TurnRules) -> None:
        """Begin without a message; ``turns`` hands messages over and stops turns."""
        self._context = context
        self._turns = turns

    def accept(self, command: c.Send | c.Redirect, who: Who | None) -> bool:
        """Accept a message that ``who`` has sent; False if the same one was accepted before.

        Raises `Conflict` if a message with this id had another text, or other images.
        """
        message, text = command.id or "", command.text
        images = tuple(image.info for image in command.images)
        delivery: Delivery = command.delivery if isinstance(command, c.Send) else "now"
        entry = self._context.state.outbox.find(message)
        if entry is not None:
            if entry.content_hash != hash((text, images)):
                raise Conflict(
                    f"message {message} was sent before with another text or other images",
                    "send it with another id",
                )
            return False
        self._context.emit(
            e.MessageAccepted(message=message, text=text, delivery=delivery, who=who, images=images)
        )
        was_waiting = self._context.wait is not None
        self._turns.cancel_wait("overtaken")
        if delivery == "steer":
            entry = self._context.state.outbox.get(message)
            if was_waiting and len(self._context.state.outbox.waiting()) > 1:
                self._put_first(entry, delivery)  # ahead of those that waited for the reset
            self._steer(entry)
        return True

    def _steer(self, entry: Entry) -> None:
        """Hand a message to the running turn, if one runs and the agent supports it."""
        if not self._context.engaged or self._turns.stopping:
            return
        if self._context.support("steer") == "supported":
            self._turns.hand(entry, steer=True)
        else:
            text = f"the agent cannot be steered: message {entry.id} waits its turn"
            self._context.notice("info", text)

    def redirect(self, command: c.Redirect, who: Who | None) -> None:
        """Accept a message that replaces the running turn, and may cancel the waiting ones."""
        if self.accept(command, who):
            self._preempt(command.id or "", drop=command.drop_queued)

    def _preempt(self, message: str, *, drop: bool) -> None:
        """Stop the running turn, so that this message is next; an earlier redirect is cancelled."""
        for entry in self._context.state.outbox.held():
            if entry.id != message and (drop or entry.delivery == "now"):
                self._context.emit(e.MessageCancelled(message=entry.id, reason="redirected"))
        self._turns.stop("interrupted", "redirected", keep=not drop)

    def _changeable(self, message: str) -> Entry:
        """Return a message that can still be changed. Raises `NotFound` or `Conflict`."""
        entry = self._unread(message)
        if entry.handed:
            raise Conflict(
                f"message {message} was handed to the agent", "cancel it, or send another one"
            )
        return entry

    def _unread(self, message: str) -> Entry:
        """Return a message that the agent has not read. Raises `NotFound` or `Conflict`."""
        entry = self._context.state.outbox.get(message)
        if entry.state != "accepted":
            raise Conflict(f"message {message} is already {entry.state}")
        return entry

    def cancel(self, message: str) -> None:
        """Cancel a message that the agent has not read; if it was handed, take it back first."""
        entry = self._unread(message)
        if entry.handed:
            entry.cancelling = True
            self._context.act(Cancel(message))
        else:
            self._context.emit(e.MessageCancelled(message=message, reason="cancelled"))

    def _change(
        self,
        entry: Entry,
        *,
        before: str | None,
        text: str | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        self._context.emit(
            e.MessageChanged(
                message=entry.id,
                text=entry.text if text is None else text,
                delivery=delivery or entry.delivery,
                before=before,
            )
        )

    def _put_first(self, entry: Entry, delivery: Delivery) -> None:
        waiting = self._context.state.outbox.waiting()
        first = next((other for other in waiting if other is not entry), None)
        self._change(entry, before=first.id if first else None, delivery=delivery)

    def kept(self, message: str) -> None:
        """The agent keeps a message that the user wanted to cancel."""
        entry = self._context.state.outbox.find(message)
        if entry is not None and entry.cancelling:
            entry.cancelling = False
            self._context.notice(
                "error", f"message {message} was not cancelled: the agent will read it"
            )

    def edit(self, command: c.Edit, who: Who | None) -> None:
        """Give a waiting message another text. Raises `NotAllowed` for an agent's, of a person's.

        It would pass for typed.
        """
        entry = self._changeable(command.message)
        if entry.typed and who is not None and who.role == "agent":
            raise NotAllowed("an agent cannot change what the user has said", "send another one")
        self._change(entry, before=self._context.state.outbox.after(entry.id), text=command.text)

    def move(self, command: c.Move) -> None:
        """Give a waiting message another place in the line."""
        entry = self._changeable(command.message)
        if command.before == command.message:
            raise InvalidInput("a message cannot be moved in front of itself")
        before = self._changeable(command.before).id if command.before else None
        self._change(entry, before=before)

    def promote(self, command: c.Promote) -> None:
        """Make a waiting message the first in line, and a steer or a redirect."""
        entry = self._changeable(command.message)
        self._put_first(entry, command.delivery)
        self._turns.cancel_wait("overtaken")
        if command.delivery == "now":
            self._preempt(entry.id, drop=False)
        else:
            self._steer(entry)
