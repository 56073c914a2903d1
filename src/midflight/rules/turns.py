"""The rules of turns: how they begin, how a stop works, and how everything in a turn ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from midflight import events as e
from midflight.agents import base
from midflight.rules.actions import Hand, Interrupt, Kill, Requeue
from midflight.rules.context import RulesContext
from midflight.rules.requests import RequestRules
from midflight.state.outbox import Entry
from midflight.state.pricing import money, sane
from midflight.state.session import USAGE_LIMIT
from midflight.values import Denial, Origin, Status

STOP_GRACE_S = 10.0
"""How long an agent may take to obey an interrupt before its program is killed."""

WAKE_GRACE_S = 2.0
"""How long after its end a background task may still wake the agent (measured: 0.1 s)."""

QUEUE_ENDS = frozenset({"auth", "agent_died", "max_budget"})
"""Reasons after which every waiting message would fail too, so it fails at once."""

UNKNOWN_COST = (
    "the agent has not told what this turn has cost, so max_budget_usd cannot be kept: "
    "no further turn starts until that limit is lifted"
)
"""Said once, when a session with a budget no longer knows what it has spent."""

CUT_OFF = (
    "(The program that ran you was cut off in the middle of your last turn: "
    "check what was really done before you go on.)"
)
"""Stands before the first message that the agent gets after the death of its host."""


class _Stop(msgspec.Struct, frozen=True, kw_only=True):
    """A stop under way: how the turn will end, and whether (``keep``) unread steers wait again."""

    status: Status
    reason: str
    keep: bool
    deadline: float
    text: str = ""


class TurnRules:
    """Hands messages to the agent, and ends each turn exactly once.

    ``resting`` says that the session was resumed and lets its messages wait until a command comes.
    ``wake_by`` is until when a background task that has ended may still wake the agent. Where
    places are ``rationed`` a message opens a turn only when it is given one, see `begin_turn`; one
    that is ``leaving`` opens none.
    """

    def __init__(self, context: RulesContext, requests: RequestRules) -> None:
        """Begin idle."""
        self._context = context
        self._requests = requests
        self._steps = 0
        self._began = 0.0
        self._stop: _Stop | None = None
        self.wake_by: float | None = None
        self.resting = False
        self.rationed = False
        self.leaving = False
        self._place_given = False

    @property
    def stopping(self) -> bool:
        """A stop is under way."""
        return self._stop is not None

    def set_elapsed(self, seconds: float) -> None:
        """Set for how long a turn that another process began has run."""
        self._began = self._context.now - seconds

    # Signals of the agent -----------------------------------------------------------------

    def taken(self, message: str) -> None:
        """The agent has read a message: it opens a turn, or steers the one that runs."""
        state = self._context.state
        entry = state.outbox.find(message)
        if entry is None or not entry.handed:
            return
        if state.turn is None:
            self._begin("message", (message,))
            self._context.emit(e.MessageStarted(message=message))
        else:
            self._context.emit(e.MessageSteered(message=message))

    def woke(self) -> None:
        """The agent has begun a turn by itself."""
        if self._context.state.turn is None:
            self._begin("background", ())

    def _begin(self, origin: Origin, messages: tuple[str, ...]) -> None:
        context = self._context
        self.wake_by = None
        self.cancel_wait("overtaken")  # by a turn that the agent began itself
        self._steps = 0
        self._began = context.now
        context.watchdog.begin(context.now)
        context.emit(e.TurnStarted(origin=origin, messages=messages, turn=context.state.turns + 1))

    def dropped(self, signal: base.Dropped) -> None:
        """The agent will not read a message: it was cancelled, stopped, or refused."""
        entry = self._context.state.outbox.find(signal.message)
        if entry is None or not entry.handed:
            return
        entry.handed = False
        stop = self._stop
        if entry.cancelling or (stop is None and not signal.reason):
            self._context.emit(e.MessageCancelled(message=entry.id, reason="cancelled"))
        elif stop is None:
            self._end_message(entry.id, "failed", signal.reason)
        elif entry.opener or not stop.keep:
            self._end_message(entry.id, stop.status, stop.reason)
        else:
            self._context.act(Requeue(entry.id))

    def calling(self) -> None:
        """The agent is about to make a model call: stop it if that is over ``max_turns``."""
        limit = self._context.limits.max_turns
        if limit and self._steps >= limit:
            self.stop("limit", "max_turns", keep=True)

    def step(self, step: base.Step) -> None:
        """Count a model call and its cost, and stop a turn that is over a limit."""
        context = self._context
        if context.state.turn is None and not context.state.tasks:
            return
        usage = context.state.ledger.step(
            step.model, step.tokens, step.cost_usd, estimated=step.estimated
        )
        context.emit(usage)
        self._steps += step.main
        if context.limits.max_turns and self._steps > context.limits.max_turns:
            self.stop("limit", "max_turns", keep=True)
        elif self._counts(step) and context.over_budget:
            self.stop("limit", "max_budget", keep=True)

    def _counts(self, step: base.Step) -> bool:
        """Tell whether a model call's money is a reason to stop: an estimate is, if all are."""
        return step.cost_usd is not None or self._context.support("cost") == "estimated"

    def finished(self, signal: base.Finished) -> None:
        """The agent reports the end of the turn; a second report of it changes nothing."""
        for message in signal.messages:
            self.taken(message)
        turn = self._context.state.turn
        if turn and signal.messages and not set(signal.messages) & set(turn.messages):
            return  # a late report about an earlier turn
        if self._stop and signal.status != "completed":
            stop = self._stop
            signal = msgspec.structs.replace(
                signal, status=stop.status, reason=stop.reason, text=signal.text or stop.text
            )
        self._end(signal)

    def died(self, detail: str, reason: str = "agent_died") -> None:
        """The agent has ended: end its turn, tools and tasks. The next message starts it anew."""
        context = self._context
        stop, self._stop = self._stop, None
        self.wake_by = None
        status: Status = stop.status if stop else "failed"
        reason = stop.reason if stop else reason
        self._end_background()
        # A kill can come between the start of a turn, on disk, and that of its messages.
        started = context.state.turn.messages if context.state.turn else ()
        for entry in context.state.outbox.handed():
            if entry.id in started:
                continue  # it ends with the turn
            if entry.cancelling:
                context.emit(e.MessageCancelled(message=entry.id, reason="cancelled"))
            elif stop and stop.keep and not entry.opener:
                entry.handed = False
                context.act(Requeue(entry.id))
            else:
                self._end_message(entry.id, status, reason)
        self._end(base.Finished(status=status, reason=reason, text=detail))
        if reason in QUEUE_ENDS and not self._on_hold and not context.closing:
            self.end_waiting(status, reason)

    def retired(self) -> None:
        """The agent's program was ended where no turn runs: its background work is over."""
        self.wake_by = None
        self._requests.cancel_all("cancelled")
        self._end_background()

    def _end_background(self) -> None:
        """End what cannot outlive the agent's program."""
        self._end_tools(background=True)
        for task in list(self._context.state.tasks.values()):
            ended = e.TaskEnded(task=task.task, title=task.title, status="cancelled")
            self._context.emit(ended)

    # Ends ---------------------------------------------------------------------------------

    def _end(self, end: base.Finished) -> None:
        """End everything that belongs to the turn, then the turn."""
        context = self._context
        turn, ledger = context.state.turn, context.state.ledger
        if turn is None:
            return
        if end.reason != USAGE_LIMIT:
            context.usage_limit = None
        if end.status != "completed" or not context.state.tasks:
            # What is pending when a turn completes was asked by background work, which goes on.
            self._requests.cancel_all(end.reason, inform=True)
        self._end_tools(background=False)
        for message in turn.messages:
            if context.state.outbox.is_open(message):  # else a host died before the turn's end
                self._end_message(message, end.status, end.reason)
        denials: dict[str, Denial] = {denial.call: denial for denial in end.denials} | turn.denials
        cost = ledger.turn_usd
        if end.cost_usd is not None:
            cost = money(end.cost_usd)
        elif end.used:
            cost = ledger.priced(end.used)
        settled, unknown = ledger.settled_usd, ledger.unknown
        context.emit(
            e.TurnEnded(
                turn=turn.id,
                status=end.status,
                reason=end.reason,
                text=end.text,
                cost_usd=cost,
                total_cost_usd=None if cost is None or settled is None else settled + cost,
                usage=ledger.tokens if end.tokens is None else sane(end.tokens),
                steps=self._steps,
                duration_s=context.now - self._began,
                messages=tuple(turn.messages),
                denials=tuple(denials.values()),
            )
        )
        if ledger.unknown and not unknown and context.limits.max_budget_usd:
            context.notice("error", UNKNOWN_COST)
        context.watchdog.end()
        if context.engaged:
            context.watchdog.begin(context.now)
        if end.reason in QUEUE_ENDS:
            self.end_waiting(end.status, end.reason)

    def _end_tools(self, *, background: bool) -> None:
        """End the open tool calls; those of a background agent outlive the turn."""
        tools = self._context.state.tools
        own = set(tools)
        for tool in list(tools.values()):
            if background or tool.parent is None or tool.parent in own:
                self._context.emit(
                    e.ToolEnded(
                        call=tool.call, name=tool.name, status="cancelled", parent=tool.parent
                    )
                )

    def _end_message(self, message: str, status: Status, reason: str) -> None:
        if status == "completed":
            self._context.emit(e.MessageAnswered(message=message))
        elif status == "interrupted":
            self._context.emit(e.MessageCancelled(message=message, reason=reason))
        else:
            self._context.emit(e.MessageFailed(message=message, reason=reason))

    def end_waiting(self, status: Status, reason: str) -> None:
        """End every message that the agent has not read."""
        for entry in self._context.state.outbox.waiting():
            self._end_message(entry.id, status, reason)

    # The usage limit; see `midflight.rules.usage_limit` ------------------------------------------

    @property
    def _on_hold(self) -> bool:
        """The session waits for the reset of a usage limit, or asks the user whether to wait."""
        return self._context.wait is not None or self._requests.asking

    def cancel_wait(self, reason: str) -> None:
        """Stop waiting for the reset of a usage limit, and asking whether to wait."""
        self._context.usage_limit = None
        self._requests.cancel_own(reason)
        wait = self._context.wait
        if wait is not None and wait.message is not None:
            self._context.emit(e.MessageCancelled(message=wait.message, reason=reason))

    # What comes next ----------------------------------------------------------------------

    def hand(self, entry: Entry, *, steer: bool) -> None:
        """Hand a waiting message to the agent."""
        entry.handed, entry.opener = True, not steer
        self._context.watchdog.begin(self._context.now)
        text = f"{CUT_OFF}\n\n{entry.text}" if self._context.state.cut_off else entry.text
        hand = Hand(entry.id, text, steer, entry.typed)
        entry.hand = hand
        self._context.act(hand)

    def stop(self, status: Status, reason: str, *, keep: bool, text: str = "") -> None:
        """Stop the agent's turn; of several stops the first gives the status and the reason."""
        context = self._context
        if self._stop and not keep:
            self._stop = msgspec.structs.replace(self._stop, keep=False)
        if self._stop or not context.engaged:
            return
        deadline = context.now + STOP_GRACE_S
        self._stop = _Stop(status=status, reason=reason, keep=keep, deadline=deadline, text=text)
        self._requests.cancel_all(reason)
        context.act(Interrupt())

    def advance(self) -> None:
        """If the agent is free, finish a stop and hand over the next message in line."""
        context = self._context
        if context.engaged:
            return
        context.watchdog.end()
        stop, self._stop = self._stop, None
        if stop and stop.reason in QUEUE_ENDS:
            self.end_waiting(stop.status, stop.reason)
        following = self._following()
        if following is None or context.closing:
            return
        if context.over_budget:
            self.end_waiting("limit", "max_budget")
        elif self._place_given or stop or not self.rationed:  # a stop leaves its place to the next
            self.hand(following, steer=False)

    def _following(self) -> Entry | None:
        """Return the message that is to open a turn now."""
        context = self._context
        if not self.waits or context.engaged or self.leaving:
            return None
        if context.wait and context.wall_clock() < (context.wait.at or 0.0):
            return None
        return context.state.outbox.waiting()[0]

    # Places ---------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Something waits that is to begin by itself, sooner or later."""
        waiting = self._context.state.outbox.waiting()
        return bool(waiting) and not self.resting and not self._requests.asking

    @property
    def wants_place(self) -> bool:
        """A message would open a turn, if there were a place for it."""
        return self.rationed and self._following() is not None

    @contextlib.contextmanager
    def place_given(self) -> Iterator[None]:
        """Within the block a turn may begin; none that rests is left to rest."""
        self.resting, self._place_given = False, True
        try:
            yield
        finally:
            self._place_given = False

    def paused(self) -> bool:
        """A silence is expected: a tool runs, or a request is pending."""
        return bool(self._context.state.requests.pending) or bool(self._context.state.tools)

    def due(self) -> float | None:
        """Return when to call `look` next (monotonic seconds), or None."""
        deadline = self._stop.deadline if self._stop else None
        silence = None if self._stop else self._context.watchdog.due(paused=self.paused())
        times = (silence, self.wake_by, deadline)
        return min((time for time in times if time is not None), default=None)

    def look(self) -> None:
        """Do what is due: report a silence, enforce a limit, kill an agent that does not stop."""
        context = self._context
        if self.wake_by is not None and context.now >= self.wake_by:
            self.wake_by = None
        verdict = context.watchdog.look(context.now, paused=self.paused())
        if verdict.limit:
            self.stop("limit", verdict.limit, keep=True)
        elif verdict.silent_s:
            context.emit(e.Stalled(silent_s=verdict.silent_s))
        if self._stop and context.now >= self._stop.deadline:
            deadline = context.now + STOP_GRACE_S
            self._stop = msgspec.structs.replace(self._stop, deadline=deadline)
            context.act(Kill())
