"""The receipt of a message: what became of it, and what can still be changed."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

from midflight import commands as c
from midflight import events as e
from midflight.state.outbox import MessageState
from midflight.values import Result, Status

LIMITS = frozenset({"max_turns", "max_budget", "timeout", "stalled"})
"""The reasons that mean a limit was hit, and not that something failed."""


class _Session(Protocol):
    """What a receipt needs of its session."""

    async def command(self, command: c.Command) -> None:
        """Carry out a command."""

    async def withdraw(self, message: str) -> bool:
        """Cancel a message, and tell whether that worked."""


class Message:
    """What `Session.send` and `Session.redirect` return.

    ``state`` is ``accepted``, then ``started`` or ``steered``, then ``answered``, ``cancelled``
    or ``failed``: it always comes to one of these. ``turn`` is the turn that took it, or None.
    """

    def __init__(self, session: _Session, event: e.MessageAccepted) -> None:
        """Made by the session when it accepts the message."""
        self.id = event.message
        self.text = event.text
        self.state: MessageState = "accepted"
        self.turn: int | None = None
        self._session = session
        self._ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        """Show the id and the state."""
        return f"<Message {self.id} {self.state}>"

    async def result(self) -> Result:
        """Wait for the end of the message and return the result of its turn.

        A message that never got a turn has a result too: ``status`` says interrupted, limit or
        failed, and ``reason`` why. Cancelling the wait does not touch the message.
        """
        return await asyncio.shield(self._ended)

    async def cancel(self) -> bool:
        """Withdraw the message; False if the agent has read it already, or it has ended."""
        if self.state != "accepted":
            return False
        return await self._session.withdraw(self.id)

    async def edit(self, text: str) -> None:
        """Give the waiting message another text. Raises `Conflict` once the agent has it."""
        await self._session.command(c.Edit(message=self.id, text=text))

    async def move(self, before: Message | str | None = None) -> None:
        """Put the waiting message in front of another one, or at the end of the line."""
        other = before.id if isinstance(before, Message) else before
        await self._session.command(c.Move(message=self.id, before=other))

    async def promote(self, delivery: Literal["steer", "now"] = "steer") -> None:
        """Make the waiting message a steer of the running turn, or (``now``) a redirect."""
        await self._session.command(c.Promote(message=self.id, delivery=delivery))

    def apply(self, event: e.Event) -> bool:
        """Take in an event that is about this message; True when nothing more can come."""
        match event:
            case e.MessageChanged(text=text):
                self.text = text
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
                status: Status = "limit" if reason in LIMITS else "failed"
                return self._end_without_turn(status, reason)
            case e.TurnEnded():
                self._settle(event.result)
                return True
        return False

    def lose(self, detail: str) -> None:
        """Nothing more will be heard of the message here; what became of it is not known."""
        self.state = "failed"
        self._settle(
            Result(status="failed", reason="store_failed", text=detail, messages=(self.id,))
        )

    def _end_without_turn(self, status: Status, reason: str) -> bool:
        if self.turn is not None:
            return False
        self._settle(Result(status=status, reason=reason, messages=(self.id,)))
        return True

    def _settle(self, result: Result) -> None:
        if not self._ended.done():
            self._ended.set_result(result)
