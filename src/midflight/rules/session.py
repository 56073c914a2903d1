"""The rules of a session: what follows from each command, each signal of the agent, and the time.

`SessionRules` does no I/O and reads no clock. Its inputs are commands, signals and the time; its
outputs are events (``publish``) and actions (``act``). `due` says when the next call of `look` is
due. All of it is synchronous, so no two inputs can interleave. The rules of messages, turns,
requests and the account's usage limit stand in the modules beside this one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.errors import Conflict, SessionClosed
from midflight.journal.base import Past
from midflight.narrowing import strictest
from midflight.rules.actions import Action, Hand, SetLimits, SetModel, SetPermissionMode, StopTask
from midflight.rules.background import BackgroundRules
from midflight.rules.context import RulesContext
from midflight.rules.host_lost import TOO_MANY_LOST, cut_words, known_end
from midflight.rules.messages import MessageRules
from midflight.rules.requests import RequestRules
from midflight.rules.turns import WAKE_GRACE_S, TurnRules
from midflight.rules.usage_limit import UsageLimitRules
from midflight.state.pricing import money
from midflight.state.session import AT_REST, FOR_A_PLACE, MOST_LOST, State
from midflight.values import Limits, PermissionMode, SessionStatus, Who

_RESUMING = (c.Send, c.Redirect, c.Promote)
"""The commands after which a resumed session starts what waits; see `TurnRules.resting`."""


class SessionRules:
    """One session's rules over its `State`."""

    def __init__(
        self,
        limits: Limits,
        *,
        publish: Callable[[e.Event], e.Event],
        act: Callable[[Action], None],
        attended: Callable[[], bool | None],
        awaited: Callable[[], bool],
        support: Callable[[str], base.Support],
        wall_clock: Callable[[], float],
        mode: PermissionMode = "default",
        spent_usd: float | None = 0.0,
        folders: Sequence[str] = (),
        rationed: bool = False,
    ) -> None:
        """Begin with an empty state; ``spent_usd`` is what the conversation has cost before.

        ``publish`` makes an event known and returns it with its place in the session filled in;
        ``act`` takes an action to carry out; ``attended`` returns what `Options.attended` means at
        this moment; ``awaited`` tells whether somebody waits for the session to be quiet;
        ``support`` tells how the agent supports one of `midflight.agents.base.CAPABILITIES`;
        ``wall_clock`` returns the time of day in seconds since the epoch; ``folders`` are those
        that the session works in. Where places are ``rationed`` no turn begins without `begin_turn`
        but one that takes the place of another.
        """
        self._context = RulesContext(
            limits,
            publish=publish,
            act=act,
            support=support,
            mode=mode,
            spent_usd=spent_usd,
            wall_clock=wall_clock,
        )
        self._requests = RequestRules(self._context, attended, folders)
        self._turns = TurnRules(self._context, self._requests)
        self._turns.rationed = rationed
        self._waited = False
        self._messages = MessageRules(self._context, self._turns)
        self._usage_limits = UsageLimitRules(self._context, self._turns, self._requests, attended)
        self._background = BackgroundRules(self._context, attended, awaited)

    @property
    def state(self) -> State:
        """The fold of the events so far."""
        return self._context.state

    @property
    def mode(self) -> PermissionMode:
        """The permission mode in force."""
        return self._context.mode

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._context.limits

    @property
    def quiet(self) -> bool:
        """No turn runs, nothing waits, no background task lives or is about to wake the agent."""
        if self._turns.resting:
            return not self._context.engaged
        return not self.state.busy and not self.state.tasks and self._turns.wake_by is None

    @property
    def status(self) -> SessionStatus:
        """The state's status, but ``idle`` while a resumed session lets its messages wait."""
        status = self.state.status
        return "idle" if status == "running" and self._turns.resting else status

    def is_current(self, hand: Hand) -> bool:
        """Tell whether an action to hand over a message is still the newest one for it.

        Since the action was made, the message may have failed with the death of the agent, or may
        wait in line again.
        """
        entry = self.state.outbox.find(hand.message)
        return entry is not None and entry.handed and entry.hand is hand

    @property
    def stopping(self) -> bool:
        """A stop is under way."""
        return self._turns.stopping

    @property
    def engaged(self) -> bool:
        """A turn runs, or the agent has been handed a message."""
        return self._context.engaged

    # Places ---------------------------------------------------------------------------------

    @property
    def wants_place(self) -> bool:
        """A message would open a turn now, and places are rationed."""
        return self._turns.wants_place

    @property
    def waits(self) -> bool:
        """Places are rationed, and something waits for one, or would if no turn ran."""
        return self._turns.rationed and self._turns.waits and not self._context.engaged

    @property
    def left(self) -> bool:
        """The session leaves this host, and nothing holds it any more."""
        return self._turns.leaving and not self._context.engaged

    def leave_host(self, *, leaving: bool) -> None:
        """Begin no further turn here, or do so again: what waits does so for another host."""
        self._turns.leaving = leaving
        self._turns.rationed = True

    def begin_turn(self, now: float) -> None:
        """Let the next message open a turn: there is a place for it. None may wait any more."""
        self._context.now = now
        if self.state.ended is None and not self._context.closing:
            self._background.allow()
            with self._turns.place_given():
                self._advance()

    # Commands -----------------------------------------------------------------------------

    def command(self, command: c.Command, now: float, who: Who | None = None) -> None:
        """Carry out a user's command; ``who`` gives it.

        Raises `SessionClosed`, `NotFound`, `Conflict` or `InvalidInput`.
        """
        self._context.now = now
        if self.state.ended is not None or self._context.closing:
            raise SessionClosed("the session has ended", "dispatch a new one, or resume it")
        if isinstance(command, _RESUMING):
            self._turns.resting = False
            self._background.allow()
        match command:
            case c.Send():
                self._messages.accept(command, who)
            case c.Redirect():
                self._messages.redirect(command, who)
            case c.Interrupt():
                self._interrupt(keep=command.keep_queued)
            case c.Cancel():
                self._messages.cancel(command.message)
            case c.Edit():
                self._messages.edit(command, who)
            case c.Move():
                self._messages.move(command)
            case c.Promote():
                self._messages.promote(command)
            case c.Answer():
                self._requests.answer(command, who)
            case c.Revoke(rule=rule):
                self._requests.revoke(rule)
            case _:
                self._configure(command)
        self._advance()

    def _configure(self, command: c.Command) -> None:
        """Carry out a command that changes the agent."""
        match command:
            case c.Relocate():
                raise Conflict("this session is its own program's", "those in the background move")
            case c.SetModel(model=model):
                self._require("set_model")
                self._context.act(SetModel(model, command.id))
            case c.SetPermissionMode(mode=mode):
                self._require("set_permission_mode")
                checked = cast("PermissionMode", mode)  # by Session.command
                self._context.mode = self._context.chosen = checked
                self._context.act(SetPermissionMode(checked, command.id))
                self._requests.review()
                if checked == "acceptEdits":
                    self._requests.accept_edits()
            case c.SetLimits():
                self._set_limits(command.given())

    def _set_limits(self, changed: dict[str, int | float | None]) -> None:
        """Keep other limits from now on; one that is passed already ends the running turn."""
        context = self._context
        context.limits = msgspec.structs.replace(context.limits, **changed)
        context.watchdog.limit(context.limits.timeout)
        context.emit(e.LimitsChanged(limits=context.limits.in_force()))
        context.act(SetLimits(changed))
        if context.over_budget:
            self._turns.stop("limit", "max_budget", keep=True)

    def _advance(self) -> None:
        """After every input: decide about a usage limit, then hand over the next message."""
        self._usage_limits.decide()
        self._turns.advance()
        self._background.look()

    def _require(self, capability: str) -> None:
        """Raise `Conflict` if the agent does not support this."""
        if self._context.support(capability) == "not":
            raise Conflict(f"the agent does not support {capability}", "see docs/capabilities.md")

    def _interrupt(self, *, keep: bool) -> None:
        """Stop the turn or, where none runs, the background tasks; ``keep`` keeps the queue."""
        self._turns.cancel_wait("interrupted")
        if not self._context.engaged:
            for task in self.state.tasks:
                self._context.act(StopTask(task))
            self._requests.cancel_all("interrupted")
        if not keep:
            for entry in self.state.outbox.held():
                self._context.emit(e.MessageCancelled(message=entry.id, reason="interrupted"))
        self._turns.stop("interrupted", "interrupted", keep=keep)

    def charge(self, usd: float, now: float) -> None:
        """Count the total that others have spent on this session's account towards its budget."""
        self._context.now = now
        if self.state.ended is not None or money(usd) <= self.state.ledger.charged_usd:
            return
        self._context.emit(e.SessionCharged(usd=money(usd)))
        if self._context.over_budget:
            self._turns.stop("limit", "max_budget", keep=True)
        self._advance()

    # Signals ------------------------------------------------------------------------------

    def signal(self, signal: base.Signal, now: float) -> None:
        """Apply a signal of the agent."""
        self._context.now = now
        if self.state.ended is not None:
            return
        self._context.watchdog.heard(now)
        match signal:
            case e.TextDelta() | e.ThinkingDelta():
                self._context.emit(signal)
                return
            case e.PermissionRequested() | e.QuestionRequested():
                self._requests.accept(signal, refuse=self._turns.stopping or self._context.closing)
            case e.Event():
                self._content(signal)
            case base.UsageLimit():
                self._usage_limits.reached(signal)
            case base.ModeChanged():
                self._mode_changed(signal)
            case _:
                self._lifecycle(signal)
        self._advance()

    def _lifecycle(self, signal: base.Signal) -> None:
        """Apply a signal about messages, turns, requests or the agent itself."""
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
        """Emit what the agent said or did; drop what is a repetition or comes too late."""
        match event:
            case e.SessionStarted(agent_session=conversation) if (
                self.state.started is not None and conversation == self.state.started.agent_session
            ):
                return  # drivers repeat it at every turn; another id means a new conversation
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
        """Emit a line for people, unless the session has ended; ``command`` is one that failed."""
        if self.state.ended is None:
            self._context.notice(level, text, command)

    def mode_refused(self, mode: PermissionMode, previous: PermissionMode, now: float) -> None:
        """The agent refused a mode: return to the previous one, unless the mode changed again."""
        self._context.now = now
        if self._context.mode == mode:
            self._context.mode = self._context.chosen = previous
            self._requests.review()

    def mode_taken(self, mode: PermissionMode, now: float) -> None:
        """The agent has taken a mode, whatever it had changed to meanwhile."""
        self._context.now = now
        if self._context.chosen == mode:
            self._context.mode = mode
            self._requests.review()

    def _mode_changed(self, signal: base.ModeChanged) -> None:
        """Follow the agent to another permission mode, but to none that is wider than it may have.

        It plans when it likes, and may stop that again once its plan has been approved.
        """
        context = self._context
        granted, mode = context.granted, signal.mode
        if mode is None or strictest((mode, granted)) != mode:
            text = f"the agent went over to its own mode {signal.own}, and is put back to {granted}"
            context.notice("warning", text)
            context.mode = granted
            context.act(SetPermissionMode(granted))
        elif mode != context.mode:
            context.mode = mode
            if context.chosen == "plan":
                context.chosen = mode  # the plan that the user has chosen is over
            context.notice("info", f"the agent changed its permission mode to {mode}")
        self._requests.review()

    def retired(self, now: float) -> None:
        """The agent's program has been ended, to be started anew for the message it is handed."""
        self._context.now = now
        self._turns.retired()

    def renew(self, request: str, fresh: e.PermissionRequested, now: float) -> str:
        """Ask a pending request anew with other effects; return the new request's id."""
        self._context.now = now
        return self._requests.renew(request, fresh)

    def editable(self, request: str) -> e.PermissionRequested:
        """Return an open permission that can be given with another input; see `RequestRules`."""
        return self._requests.editable(request)

    def reprice(self) -> None:
        """The price table is loaded: emit the estimates that waited for it."""
        usage = self.state.ledger.reprice() if self.state.ended is None else None
        if usage is not None:
            self._context.emit(usage)

    # Time ---------------------------------------------------------------------------------

    def due(self) -> float | None:
        """Return when to call `look` next (monotonic seconds), or None."""
        rules = (self._turns, self._requests, self._usage_limits, self._background)
        times = (each.due() for each in rules)
        return min((time for time in times if time is not None), default=None)

    def look(self, now: float) -> None:
        """Do what is due by this time."""
        self._context.now = now
        if self.state.ended is None:
            self._requests.look()
            self._turns.look()
            self._advance()

    def attendance_changed(self, now: float) -> None:
        """A person came or left: deny the requests that nobody can answer now."""
        self._context.now = now
        self._background.begin()
        self._requests.attendance_changed()

    def await_quiet(self, now: float) -> None:
        """Somebody begins to wait for the session to be quiet."""
        self._context.now = now
        self._background.begin()

    # The end ------------------------------------------------------------------------------

    def begin_close(self, reason: str, now: float) -> None:
        """Stop the turn and accept no further command; nothing that waits will start.

        What waits is cancelled, unless the session is only parked.
        """
        self._context.now = now
        keep = reason in AT_REST
        if self._turns.rationed and self._context.engaged:
            self._turns.resting = True  # what was cut goes on when somebody says so
        for entry in () if keep else self.state.outbox.held():
            self._context.emit(e.MessageCancelled(message=entry.id, reason="closed"))
        self._requests.cancel_own("closed")
        self._turns.stop("interrupted", "interrupted", keep=keep)
        self._context.closing = True

    def finish(self, reason: str, now: float) -> None:
        """End whatever is open, then the session. The agent has ended before."""
        self._context.now = now
        if self.state.ended is None:
            keep = reason in AT_REST
            self._turns.stop("interrupted", "interrupted", keep=keep)
            self._requests.cancel_own("closed")
            self._turns.died("the session was closed")
            self._requests.cancel_all("closed")
            if not keep:
                self._turns.end_waiting("interrupted", "closed")
            self._advance()
            self._end(reason)

    def _end(self, reason: str) -> None:
        goes_on = reason in AT_REST and self.waits
        self._context.emit(e.SessionEnded(reason=FOR_A_PLACE if goes_on else reason))

    # From a journal -----------------------------------------------------------------------

    def recover(self, past: Past, now: float, *, go_on: bool = False, lost: int = 0) -> None:
        """Restore the state from a journal, and end what a host that died has left open.

        Nothing is started. A message that was never handed to the agent goes on waiting; one that
        was handed fails, since it is not known whether the agent read it. To ``go_on`` where it was
        cut, the agent gets another one in its place. ``lost`` is how many hosts in a row have died
        with the session: from `MOST_LOST` on nothing begins by itself.
        """
        self._context.now = now
        self._waited = past.waiting_since is not None and self._turns.rationed
        began = 0.0
        for event in past.events:
            self.state.apply(event)
            if isinstance(event, e.TurnStarted):
                began = event.time
        if self.state.turn is not None:
            self._turns.set_elapsed(max(0.0, past.events[-1].time - began))
        for entry in self.state.outbox.waiting():
            entry.handed = entry.opener = self.state.ended is None and entry.id in past.handed
        if self.state.ended is None:
            in_turn = self.state.turn.messages if self.state.turn else []
            if (end := known_end(past.events, in_turn)) is not None:
                self._turns.finished(end)
                in_turn = []
            handed = [entry.id for entry in self.state.outbox.handed()]
            words = cut_words(past.events, [*in_turn, *handed])
            self._requests.cancel_all("host_died")
            if self._turns.rationed:  # else it goes on where its folder is
                self._background.cut()
            self._turns.died("the program that ran the session died", "host_died")
            if self.state.cut_off and go_on:
                self._context.put_first(str(uuid.uuid4()), words)
            if lost >= MOST_LOST and self.state.outbox.waiting():
                self._context.notice("error", TOO_MANY_LOST)
            rests = self.state.cut_off and not go_on
            self._turns.resting = rests or lost >= MOST_LOST
            self._end("host_died")
        else:
            self._turns.resting = past.waiting_since is None or lost >= MOST_LOST

    def refuse(self, why: str, now: float) -> None:
        """What waits in a recovered session fails, since it cannot be resumed."""
        self.resume(now)
        self._context.notice("error", why)
        self._turns.end_waiting("failed", "agent_error")
        self.finish("parked", now)

    def resume(self, now: float) -> None:
        """Resume a recovered session. Nothing starts by itself but a wait for a usage limit."""
        self._context.now = now
        self._turns.resting = self.state.wait is None and not self._waited
        self._context.emit(e.SessionResumed(reason=self.state.ended or ""))
