"""The rules of messages: how they are taken in, changed, taken back and moved ahead."""

from __future__ import annotations

from midflight import commands as c
from midflight import events as e
from midflight.errors import Conflict, InvalidInput
from midflight.rules.actions import TakeBack
from midflight.rules.context import RulesContext
from midflight.rules.turns import TurnRules
from midflight.state.outbox import Entry
from midflight.values import Delivery


class MessageRules:
    """Carries out the commands that are about messages."""

    def __init__(self, context: RulesContext, turns: TurnRules) -> None:
        """Begin without a message."""
        self._context = context
        self._turns = turns

    def accept(self, message: str, text: str, delivery: Delivery) -> bool:
        """Take a message in; False if this very message was taken before."""
        known = self._context.state.outbox.find(message)
        if known is not None:
            if known.said != hash(text):
                raise Conflict(f"message {message} was sent before with another text")
            return False
        self._context.emit(e.MessageAccepted(message=message, text=text, delivery=delivery))
        waited = self._context.wait is not None
        self._turns.cut_wait("overtaken")
        if delivery == "steer":
            entry = self._context.state.outbox.get(message)
            if waited and len(self._context.state.outbox.waiting()) > 1:
                self._put_first(entry, delivery)  # before those that have waited, as any steer
            self._steer(entry)
        return True

    def _steer(self, entry: Entry) -> None:
        """Have the running turn read a message, if there is one and the agent can do that."""
        if not self._context.engaged or self._turns.stopping:
            return
        if self._context.can("steer") == "supported":
            self._turns.hand(entry, steer=True)
        else:
            text = f"the agent cannot be steered: message {entry.id} waits its turn"
            self._context.notice("info", text)

    def redirect(self, message: str, text: str, *, drop: bool) -> None:
        """Take a message in, and have it take the place of the turn that runs."""
        if self.accept(message, text, "now"):
            self._make_way(message, drop=drop)

    def _make_way(self, message: str, *, drop: bool) -> None:
        """Stop what runs, so that this message is next; an earlier redirect is overtaken."""
        for entry in self._context.state.outbox.held():
            if entry.id != message and (drop or entry.delivery == "now"):
                self._context.emit(e.MessageCancelled(message=entry.id, reason="redirected"))
        self._turns.stop("interrupted", "redirected", keep=not drop)

    def _held(self, message: str) -> Entry:
        """Return a message that can still be changed. Raises `Conflict` when it cannot."""
        entry = self._unread(message)
        if entry.handed:
            raise Conflict(f"message {message} is with the agent", "cancel it, or send another")
        return entry

    def _unread(self, message: str) -> Entry:
        entry = self._context.state.outbox.get(message)
        if entry.state != "accepted":
            raise Conflict(f"message {message} is already {entry.state}")
        return entry

    def cancel(self, message: str) -> None:
        """Take a message back that the agent has not read."""
        entry = self._unread(message)
        if entry.handed:
            entry.leaving = True
            self._context.act(TakeBack(message))
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
        """The agent does not give a message back that was to be cancelled."""
        entry = self._context.state.outbox.find(message)
        if entry is not None and entry.leaving:
            entry.leaving = False
            self._context.notice("error", f"message {message} is not cancelled: the agent keeps it")

    def edit(self, command: c.Edit) -> None:
        """Give a waiting message another text."""
        entry = self._held(command.message)
        self._change(entry, before=self._context.state.outbox.after(entry.id), text=command.text)

    def move(self, command: c.Move) -> None:
        """Give a waiting message another place in the line."""
        entry = self._held(command.message)
        if command.before == command.message:
            raise InvalidInput("a message cannot be moved in front of itself")
        before = self._held(command.before).id if command.before else None
        self._change(entry, before=before)

    def promote(self, command: c.Promote) -> None:
        """Make a waiting message the first in line, and a steer or a redirect."""
        entry = self._held(command.message)
        self._put_first(entry, command.delivery)
        self._turns.cut_wait("overtaken")
        if command.delivery == "now":
            self._make_way(entry.id, drop=False)
        else:
            self._steer(entry)
