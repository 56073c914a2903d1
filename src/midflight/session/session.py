"""A live session: what can be said to it, and its life from beginning to end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from types import TracebackType
from typing import Self

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight._util.aio import finished
from midflight.errors import Conflict
from midflight.journal.base import Past
from midflight.options import Options
from midflight.session.workings import Workings
from midflight.state.outbox import Entry

__all__ = ["Session"]

CLOSE_GRACE_S = 2.0
"""How long a running turn may take to end by itself when the session is closed."""

WITHDRAW_TIMEOUT_S = 5.0
"""How long an agent may take to say whether it gives a message back."""


class Session(Workings):
    """One live conversation with one agent. The object is the state: there is nothing else to keep.

    Made by `midflight.dispatch` or `midflight.open`; use it as an async context manager. Leaving
    the block stops the agent and its tools. All of it belongs to one asyncio event loop.

    ``id`` is unique, ``name`` is for people, ``options`` are as given, ``capabilities`` tell what
    the agent supports itself, ``first`` is the receipt of the dispatched task.
    """

    # Verbs; the others are in `midflight.session.verbs` -------------------------------------------

    def attend(self, attended: bool | None) -> None:  # noqa: FBT001 - the value is the point
        """Say whether somebody is there to answer; see `Options.attended`."""
        self._attended = attended
        self._rules.attendance_changed(self._now())
        self._after()

    async def command(self, command: c.Command) -> None:
        """Carry out a command object. Every verb goes through here.

        Raises `SessionClosed`, `InvalidInput`, `InvalidOption`, `NotFound` or `Conflict`.
        """
        if isinstance(command, c.Close):
            await self.close()
            return
        if isinstance(command, (c.Send, c.Redirect, c.Edit)):
            c.check_text(command.text)
        command = c.checked(command)
        self._check_here()
        if isinstance(command, (c.Send, c.Redirect)) and not command.id:
            command = msgspec.structs.replace(command, id=str(uuid.uuid4()))
        if isinstance(command, c.SetModel):
            Options.build(model=command.model)
        if isinstance(command, c.SetPermissionMode):
            Options.build(permission_mode=command.mode)
        self._rules.command(command, self._now())
        self._after()
        await self._recorder.written()

    async def charge(self, usd: float) -> None:
        """Count what others have cost so far on this session's account towards its budget.

        Where that is spent, the turn ends with ``limit/max_budget``, as any that follows.
        """
        self._check_here()
        self._rules.charge(usd, self._now())
        self._after()
        await self._recorder.written()

    def _check_here(self) -> None:
        """A session works in the event loop that it was entered in, and in no other."""
        self._check_entered()
        if self._log.error is not None:
            raise self._log.error
        if self._loop is not asyncio.get_running_loop():
            raise Conflict("the session belongs to another event loop")

    def notice(self, level: e.Level, text: str, command: str | None = None) -> None:
        """Put a line for people among the events."""
        self._rules.notice(level, text, command)

    async def withdraw(self, message: str) -> bool:
        """Cancel a message and wait until it is known whether that worked; see `Message.cancel`."""
        try:
            await self.command(c.Cancel(message=message))
        except Conflict:
            return False
        entry = self._state.outbox.get(message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_TIMEOUT_S):
                while entry.state == "accepted" and entry.leaving:
                    await self._log.changed()
        await self._recorder.written()
        return entry.state == "cancelled"

    def entry(self, message: str) -> Entry | None:
        """Return a message's place in the outbox, or None if it is not known (any more)."""
        return self._state.outbox.find(message)

    # Life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the agent and hand it the first message.

        Raises `AgentUnavailable`, `UnsupportedOption` or `AgentFailed`; nothing is left running.
        A session with a past starts its agent with the next message.
        """
        if self._loop is not None:
            raise Conflict("a session is entered once", "dispatch a new one")
        self._loop = asyncio.get_running_loop()
        self._recorder.begin()
        if self._past is not None:
            self._go_on(self._past)
            return self
        try:
            await self._conductor.start()
            if self._task is not None:
                self.first = await self.send(self._task)
            await self._conductor.wait_up()
        except BaseException:
            await self.close("failed to start")
            raise
        return self

    def _go_on(self, past: Past) -> None:
        self._log.restore(past.recent)
        self._reader = self._log.reader(self._log.last_seq)
        self._rules.settle(past, self._now())
        self._rules.resume(self._now())
        for entry in self._state.outbox.waiting():
            told = e.MessageAccepted(message=entry.id, text=entry.text, delivery=entry.delivery)
            self._inform(told)
        self._conductor.begin()
        self._after()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop the agent and its tools, also when the block was cancelled."""
        await self.close()

    async def close(self, reason: str = "closed") -> None:
        """End the session: turn, messages, requests, agent, tools. Safe to call twice.

        Runs to its end even if the calling task is cancelled meanwhile.
        """
        if self._closer is None:
            self._closer = asyncio.get_running_loop().create_task(self._close(reason))
        await finished(self._closer)

    async def _close(self, reason: str) -> None:
        self._rules.begin_close(reason, self._now())
        self._after()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                while self._rules.engaged and self._conductor.alive:
                    await self._log.changed()
        try:
            await self._conductor.close()
        finally:
            self._rules.finish(reason, self._now())
            self._handling.close()
            self._alarm.set(None)
            self._recorder.note(self._summary)
            await self._recorder.close()
            self._log.end()
            self._over.set()

    @property
    def closing(self) -> bool:
        """The session takes no more commands: it has ended, or is about to."""
        return self._closer is not None

    @property
    def lost(self) -> Exception | None:
        """Why the journal has not taken all of the session; None as long as it does."""
        return self._log.error

    async def over(self) -> None:
        """Wait until the session has ended and its agent is gone."""
        await self._over.wait()

    @property
    def idle_since(self) -> float | None:
        """Since when nothing happens, by the event loop's clock; None while something does."""
        return self._idle_since
