"""The verbs of a session as methods: each is one command, wherever that is carried out."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from typing import Any, Literal

from midflight import commands as c
from midflight.errors import MidflightError
from midflight.events import Level, Request
from midflight.session.message import Message

__all__ = ["Verbs"]


class Verbs(ABC):
    """What can be said to a session, wherever the session is."""

    @abstractmethod
    async def command(self, command: c.Command) -> None:
        """Carry out a command. Raises the `MidflightError` that tells why not."""

    @abstractmethod
    async def withdraw(self, message: str) -> bool:
        """Cancel a message and wait until it is known whether that worked; see `Message.cancel`."""

    @abstractmethod
    def notice(self, level: Level, text: str, command: str | None = None) -> None:
        """Put a line for people among the events."""

    @abstractmethod
    def _receipt(self, message: str) -> Message:
        """Return the receipt of a message that has just been accepted."""

    async def send(
        self, text: str, delivery: Literal["steer", "queue"] = "steer", *, id: str | None = None
    ) -> Message:
        """Say something to the agent, and return the receipt at once.

        Idle: a turn starts. Running, ``steer``: the agent reads it at its next step; ``queue``:
        it gets a turn of its own after the running one. ``id`` makes a repeated call harmless.
        """
        message = id or str(uuid.uuid4())
        await self.command(c.Send(text=text, delivery=delivery, id=message))
        return self._receipt(message)

    async def redirect(
        self, text: str, *, drop_queued: bool = False, id: str | None = None
    ) -> Message:
        """Stop the running turn with its tools, then start one for this text. Idle: like send."""
        message = id or str(uuid.uuid4())
        await self.command(c.Redirect(text=text, drop_queued=drop_queued, id=message))
        return self._receipt(message)

    async def interrupt(self, *, keep_queued: bool = False) -> None:
        """Stop the running turn and cancel what is queued. The session stays usable."""
        await self.command(c.Interrupt(keep_queued=keep_queued))

    async def answer(
        self,
        request: str | Request,
        decision: Literal["allow", "deny"] = "allow",
        *,
        reason: str = "",
        input: dict[str, Any] | None = None,
        answers: dict[str, str | list[str]] | None = None,
    ) -> None:
        """Resolve a request by its id. Raises `AlreadyAnswered` if somebody was faster."""
        asked = request if isinstance(request, str) else request.request
        await self.command(
            c.Answer(request=asked, decision=decision, reason=reason, input=input, answers=answers)
        )

    async def set_model(self, model: str) -> None:
        """Switch the model for the calls that follow."""
        await self.command(c.SetModel(model=model))

    async def set_permission_mode(self, mode: str) -> None:
        """Switch the permission mode for the tool calls that follow."""
        await self.command(c.SetPermissionMode(mode=mode))

    async def submit(self, command: c.Command) -> None:
        """Carry out a command from afar: what fails becomes a `Notice` that names the command."""
        try:
            await self.command(command)
        except MidflightError as error:
            self.notice("error", str(error), command=command.id)
