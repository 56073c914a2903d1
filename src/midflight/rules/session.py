"""The rules: what every command and every report of the agent means, and what follows from it.

A `SessionRules` does no input or output and reads no clock. It is fed commands and signals, tells
what happened (``publish``: events) and what to do (``act``: actions), and is asked by `due` when to
`look` at the time. All of it is synchronous, so no two inputs can interleave. The rules of turns
stand in `midflight.rules.turns`, those of requests in `midflight.rules.requests`, those of messages
in `midflight.rules.messages`, those of the account's usage limit in `midflight.rules.usage_limit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.errors import Conflict, SessionClosed
from midflight.journal.base import Past
from midflight.rules.actions import Action, Hand, SetMode, SetModel, StopTask
from midflight.rules.context import RulesContext
from midflight.rules.messages import MessageRules
from midflight.rules.requests import RequestRules
from midflight.rules.turns import WAKE_GRACE_S, TurnRules
from midflight.rules.usage_limit import UsageLimitRules
from midflight.state.pricing import money
from midflight.state.session import AT_REST, State
from midflight.values import Limits, PermissionMode, SessionStatus

_GOES_ON = (c.Send, c.Redirect, c.Promote)
"""The commands that have a session work again in which nothing was to start by itself."""


class SessionRules:
    """One session's rules over its `State`."""

    def __init__(
        self,
        limits: Limits,
        *,
        publish: Callable[[e.Event], e.Event],
        act: Callable[[Action], None],
        attended: Callable[[], bool | None],
        can: Callable[[str], base.Support],
        wall: Callable[[], float],
        mode: PermissionMode = "default",
        spent_usd: float = 0.0,
    ) -> None:
        """Begin with nothing said; ``spent_usd`` is what the conversation cost before.

        ``publish`` returns the event with its place in the session filled in; ``can`` says of each
        of `midflight.agents.base.CAPABILITIES` whether the agent has it; ``wall`` tells the time
        of day.
        """
        self._context = RulesContext(
            limits, publish=publish, act=act, can=can, mode=mode, spent_usd=spent_usd, wall=wall
        )
        self._requests = RequestRules(self._context, attended)
        self._turns = TurnRules(self._context, self._requests)
        self._messages = MessageRules(self._context, self._turns)
        self._limits = UsageLimitRules(self._context, self._turns, self._requests, attended)

    @property
    def state(self) -> State:
        """What the events so far amount to."""
        return self._context.state

    @property
    def mode(self) -> PermissionMode:
        """The permission mode in force."""
        return self._context.mode

    @property
    def quiet(self) -> bool:
        """No turn runs, nothing waits, no background task lives or is about to wake the agent."""
        if self._turns.resting:
            return not self._context.engaged
        return not self.state.busy and not self.state.tasks and self._turns.wake_by is None

    @property
    def status(self) -> SessionStatus:
        """One word for the whole; messages that only go on waiting do not keep anybody busy."""
        status = self.state.status
        return "idle" if status == "running" and self._turns.resting else status

    def wants(self, order: Hand) -> bool:
        """Tell whether a message is still to be handed over, and by this very order.

        It may have failed with an agent that has died, or gone back in line, since it was given.
        """
        entry = self.state.outbox.find(order.message)
        return entry is not None and entry.handed and entry.hand is order

    @property
    def stopping(self) -> bool:
        """A stop is under way."""
        return self._turns.stopping

    @property
    def engaged(self) -> bool:
        """The agent works, or has been given something to work on."""
        return self._context.engaged

    # Commands -----------------------------------------------------------------------------

    def command(self, command: c.Command, now: float) -> None:
        """Carry out a command of a user. Raises the `MidflightError` that tells why not."""
        self._context.now = now
        if self.state.ended is not None or self._context.closing:
            raise SessionClosed("the session has ended", "dispatch a new one, or resume it")
        self._turns.resting &= not isinstance(command, _GOES_ON)
        match command:
            case c.Send():
                self._messages.accept(command.id or "", command.text, command.delivery)
            case c.Redirect():
                self._messages.redirect(command.id or "", command.text, drop=command.drop_queued)
            case c.Interrupt():
                self._interrupt(keep=command.keep_queued)
            case c.Cancel():
                self._messages.cancel(command.message)
            case c.Edit():
                self._messages.edit(command)
            case c.Move():
                self._messages.move(command)
            case c.Promote():
                self._messages.promote(command)
            case c.Answer():
                self._requests.answer(command)
            case c.SetModel(model=model):
                self._need("set_model")
                self._context.act(SetModel(model, command.id))
            case c.SetPermissionMode(mode=mode):
                self._need("set_permission_mode")
                self._context.mode = checked = cast("PermissionMode", mode)  # by the session
                self._context.act(SetMode(checked, command.id))
                self._requests.review()
        self._pump()

    def _pump(self) -> None:
        """After every input: decide what is open, and go on with what waits."""
        self._limits.decide()
        self._turns.pump()

    def _need(self, capability: str) -> None:
        """Raise `Conflict` if the agent does not have this."""
        if self._context.can(capability) == "not":
            raise Conflict(f"the agent has no {capability}", "see docs/capabilities.md")

    def _interrupt(self, *, keep: bool) -> None:
        """Stop the turn; where none runs, stop the background tasks."""
        self._turns.cut_wait("interrupted")
        if not self._context.engaged:
            for task in self.state.tasks:
                self._context.act(StopTask(task))
            self._requests.cancel_all("interrupted")
        if not keep:
            for entry in self.state.outbox.held():
                self._context.emit(e.MessageCancelled(message=entry.id, reason="interrupted"))
        self._turns.stop("interrupted", "interrupted", keep=keep)

    def charge(self, usd: float, now: float) -> None:
        """Count what others have cost so far on this session's account towards its budget."""
        self._context.now = now
        if self.state.ended is not None or money(usd) <= self.state.ledger.charged_usd:
            return
        self._context.emit(e.SessionCharged(usd=money(usd)))
        if self._context.over_budget:
            self._turns.stop("limit", "max_budget", keep=True)
        self._pump()

    # Signals ------------------------------------------------------------------------------

    def signal(self, signal: base.Signal, now: float) -> None:
        """Take in what the agent reports."""
        self._context.now = now
        if self.state.ended is not None:
            return
        self._context.watchdog.heard(now)
        match signal:
            case e.TextDelta() | e.ThinkingDelta():
                self._context.emit(signal)
                return
            case e.PermissionRequested() | e.QuestionRequested():
                self._requests.ask(signal, refuse=self._turns.stopping or self._context.closing)
            case e.Event():
                self._content(signal)
            case base.UsageLimit():
                self._limits.reached(signal)
            case _:
                self._course(signal)
        self._pump()

    def _course(self, signal: base.Signal) -> None:
        """Take in a signal about the course of the conversation."""
        match signal:
            case base.Taken(message=message):
                self._turns.taken(message)
            case base.Dropped():
                self._turns.dropped(signal)
            case base.Kept(message=message):
                self._messages.kept(message)
            case base.Woke():
                self._turns.woke()
            case base.Calling():
                self._turns.calling()
            case base.Step():
                self._turns.step(signal)
            case base.Finished():
                self._turns.finished(signal)
            case base.Withdrawn(request=request):
                self._requests.withdraw(request)
            case base.Unrecoverable():
                self._turns.stop("failed", signal.reason, keep=True, text=signal.text)
            case base.Idle():
                self._turns.wake_by = None
            case base.Died(detail=detail):
                self._died(detail)

    def _died(self, detail: str) -> None:
        if not self._context.closing:
            self._context.notice("warning", f"the agent has ended: {detail}")
        self._requests.cancel_all("agent_died")
        self._turns.died(detail)

    def _content(self, event: e.Event) -> None:
        """Pass on what the agent said or did, once; what came too late is left out."""
        match event:
            case e.SessionStarted(agent_session=told) if (
                self.state.started is not None and told == self.state.started.agent_session
            ):
                return  # it is told at every turn; another one means a conversation begun anew
            case e.ToolStarted(call=call) if self.state.seen(call):
                return
            case e.ToolEnded(call=call):
                if call not in self.state.tools:
                    return
                turn = self.state.turn
                if turn and call in turn.denials and event.status == "failed":
                    event = msgspec.structs.replace(event, status="denied")
            case e.ToolProgress(call=call) if call not in self.state.tools:
                return
            case e.TaskStarted(task=task) if task in self.state.tasks:
                return
            case e.TaskEnded(task=task):
                if task not in self.state.tasks:
                    return
                event = msgspec.structs.replace(event, title=self.state.tasks[task].title)
                self._turns.wake_by = self._context.now + WAKE_GRACE_S
            case e.Retry(delay_s=delay):
                self._context.watchdog.heard(self._context.now + delay)
        self._context.emit(event)

    def notice(self, level: e.Level, text: str, command: str | None = None) -> None:
        """Put a line for people among the events; ``command`` is the one that failed."""
        if self.state.ended is None:
            self._context.notice(level, text, command)

    def mode_refused(self, mode: PermissionMode, held: PermissionMode, now: float) -> None:
        """The agent has not taken this mode, and keeps to the one before, unless that is over."""
        self._context.now = now
        if self._context.mode == mode:
            self._context.mode = held
            self._requests.review()

    def reprice(self) -> None:
        """The price table is there: tell the estimates that had to wait for it."""
        usage = self.state.ledger.reprice() if self.state.ended is None else None
        if usage is not None:
            self._context.emit(usage)

    # Time ---------------------------------------------------------------------------------

    def due(self) -> float | None:
        """Return when `look` has something to do, on the monotonic clock, or None."""
        times = (self._turns.due(), self._requests.due(), self._limits.due())
        return min((time for time in times if time is not None), default=None)

    def look(self, now: float) -> None:
        """Do what the time demands."""
        self._context.now = now
        if self.state.ended is None:
            self._requests.look()
            self._turns.look()
            self._pump()

    def attendance_changed(self, now: float) -> None:
        """Somebody came or left: what nobody can answer any more is denied."""
        self._context.now = now
        self._requests.attendance_changed()

    # The end ------------------------------------------------------------------------------

    def begin_close(self, reason: str, now: float) -> None:
        """Stop for good: no further command is taken, and nothing that waits will start.

        Where the session is only laid to rest, what waits goes on waiting.
        """
        self._context.now = now
        keep = reason in AT_REST
        for entry in () if keep else self.state.outbox.held():
            self._context.emit(e.MessageCancelled(message=entry.id, reason="closed"))
        self._requests.drop("closed")
        self._turns.stop("interrupted", "interrupted", keep=keep)
        self._context.closing = True

    def finish(self, reason: str, now: float) -> None:
        """End whatever is left, and the session. The agent is gone by now."""
        self._context.now = now
        if self.state.ended is None:
            keep = reason in AT_REST
            self._turns.stop("interrupted", "interrupted", keep=keep)
            self._requests.drop("closed")
            self._turns.died("the session was closed")
            self._requests.cancel_all("closed")
            if not keep:
                self._turns.end_waiting("interrupted", "closed")
            self._pump()
            self._context.emit(e.SessionEnded(reason=reason))

    # From a journal -----------------------------------------------------------------------

    def recover(self, past: Past, now: float) -> None:
        """Take in what is on disk, and end what a host that died has left open.

        Nothing is started. A message that was never handed to the agent goes on waiting; of one
        that was, nobody can say what became of it.
        """
        self._context.now = now
        began = 0.0
        for event in past.events:
            self.state.apply(event)
            if isinstance(event, e.TurnStarted):
                began = event.time
        if self.state.turn is not None:
            self._turns.lasted(max(0.0, past.events[-1].time - began))
        for entry in self.state.outbox.waiting():
            entry.handed = entry.opener = self.state.ended is None and entry.id in past.handed
        if self.state.ended is None:
            self._requests.cancel_all("host_died")
            self._turns.died("the program that ran the session died", "host_died")
            self._context.emit(e.SessionEnded(reason="host_died"))

    def resume(self, now: float) -> None:
        """Go on with a session that has been settled."""
        self._context.now = now
        self._turns.resting = self.state.wait is None
        self._context.emit(e.SessionResumed(reason=self.state.ended or ""))
