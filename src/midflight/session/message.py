"""The receipt of a message: its state, its result, and the verbs that change it."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

from midflight import commands as c
from midflight import events as e
from midflight.state.outbox import MessageState
from midflight.values import LIMIT_REASONS, Delivery, Result, Status


class _Session(Protocol):
    """What a receipt needs of its session."""

    async def command(self, command: c.Command) -> None:
        """Carry out a command."""

    async def withdraw(self, message: str) -> bool:
        """Cancel a message, and return whether that worked."""


class Message:
    """The receipt that `Session.send` and `Session.redirect` return.

    ``state`` is ``accepted``, then ``started`` or ``steered``, and always ends as ``answered``,
    ``cancelled`` or ``failed``. ``turn`` is the number of the turn that read it, None before.
    ``number`` is for people: 3 is the third message that the session was told, whatever becomes of
    the others. ``delivery`` is ``steer``, ``queue`` or, of a redirect, ``now``.
    """

    def __init__(self, session: _Session, event: e.MessageAccepted, number: int) -> None:
        """The session makes it when it accepts the message."""
        self.id = event.message
        self.number = number
        self.delivery: Delivery = event.delivery
        self.text = event.text
        self.state: MessageState = "accepted"
        self.turn: int | None = None
        self._session = session
        self._ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        """Show the id and the state."""
        return f"<Message {self.id} {self.state}>"

    async def result(self) -> Result:
        """Wait for the end of the message, and return the result of its turn.

        A message that never got a turn has a result too: ``status`` is ``interrupted``, ``limit``
        or ``failed``, and ``reason`` says why. Cancelling this call does not cancel the message.
        """
        return await asyncio.shield(self._ended)

    async def cancel(self) -> bool:
        """Cancel the message; False if the agent has read it, will read it, or it has ended."""
        if self.state != "accepted":
            return False
        return await self._session.withdraw(self.id)

    async def edit(self, text: str) -> None:
        """Change the text of the waiting message.

        Raises `Conflict` once it was handed to the agent.
        """
        await self._session.command(c.Edit(message=self.id, text=text))

    async def move(self, before: Message | str | None = None) -> None:
        """Move the waiting message in front of another one, or to the end of the line.

        Raises `Conflict` once one of them was handed to the agent.
        """
        other = before.id if isinstance(before, Message) else before
        await self._session.command(c.Move(message=self.id, before=other))

    async def promote(self, delivery: Literal["steer", "now"] = "steer") -> None:
        """Make the waiting message a steer of the running turn, or (``now``) a redirect.

        Raises `Conflict` once it was handed to the agent.
        """
        await self._session.command(c.Promote(message=self.id, delivery=delivery))

    def apply(self, event: e.Event) -> bool:
        """Apply an event about this message; True if no other can follow."""
        match event:
            case e.MessageChanged(text=text, delivery=delivery):
                self.text, self.delivery = text, delivery
            case e.MessageStarted():
                self.state, self.turn = "started", event.turn
            case e.MessageSteered():
                self.state, self.turn = "steered", event.turn
            case e.MessageAnswered():
                self.state = "answered"
            case e.MessageCancelled(reason=reason):
                self.state = "cancelled"
                return self._end_without_turn("interrupted", reason)
            case e.MessageFailed(reason=reason):
                self.state = "failed"
                status: Status = "limit" if reason in LIMIT_REASONS else "failed"
                return self._end_without_turn(status, reason)
            case e.TurnEnded():
                self._set_result(event.result)
                return True
        return False

    def lose(self, detail: str) -> None:
        """Fail the receipt: the journal takes no more, so the message's end is not known here."""
        self.state = "failed"
        self._set_result(
            Result(status="failed", reason="store_failed", text=detail, messages=(self.id,))
        )

    def _end_without_turn(self, status: Status, reason: str) -> bool:
        if self.turn is not None:
            return False
        self._set_result(Result(status=status, reason=reason, messages=(self.id,)))
        return True

    def _set_result(self, result: Result) -> None:
        if not self._ended.done():
            self._ended.set_result(result)
