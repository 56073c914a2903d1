"""The rules of a session without an agent and without a clock, and a witness of its events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.rules.actions import Action, Hand, Interrupt
from midflight.rules.session import SessionRules
from midflight.state.session import State
from midflight.values import Limits

EPOCH = 1_700_000_000.0
"""The time of day at the start of the monotonic clock."""

ENDS = (e.MessageAnswered, e.MessageCancelled, e.MessageFailed)


class Witness:
    """Checks, event by event, that things begin once, end once, and are silent after that."""

    def __init__(self) -> None:
        self.log: list[e.Event] = []
        self.began: dict[str, set[object]] = {}
        self.ended: dict[str, set[object]] = {}
        self.turn: int | None = None
        self.turns = 0
        self.usage_total = 0.0
        self.turn_total: float | None = 0.0
        self.durable = 0
        self.over = False

    def _begin(self, kind: str, name: object) -> None:
        assert name not in self.began.setdefault(kind, set()), f"{kind} {name} begins twice"
        self.began[kind].add(name)

    def _alive(self, kind: str, name: object) -> None:
        assert name in self.began.get(kind, ()), f"{kind} {name} has not begun"
        assert name not in self.ended.get(kind, ()), f"{kind} {name} has ended"

    def _end(self, kind: str, name: object) -> None:
        self._alive(kind, name)
        self.ended.setdefault(kind, set()).add(name)

    def open(self) -> dict[str, set[object]]:
        return {
            kind: left
            for kind, names in self.began.items()
            if (left := names - self.ended.get(kind, set()))
        }

    def __call__(self, event: e.Event) -> e.Event:
        resumed = isinstance(event, e.SessionResumed)
        assert not self.over or resumed, f"{event} after the end of the session"
        self.durable += event.durable
        seq = self.durable if event.durable else None
        event = e.stamp(event, seq=seq, session="s", turn=event.turn, time=float(len(self.log)))
        self.log.append(event)
        self._thing(event)
        self._turn(event)
        self._money(event)
        self.over = isinstance(event, e.SessionEnded)
        return event

    def _thing(self, event: e.Event) -> None:
        match event:
            case e.MessageAccepted():
                self._begin("message", event.message)
            case e.MessageStarted() | e.MessageSteered():
                self._alive("message", event.message)
                self._begin("reading", event.message)
                self.ended.setdefault("reading", set()).add(event.message)
            case e.MessageChanged():
                self._alive("message", event.message)
                assert event.message not in self.began.get("reading", ())
            case e.MessageAnswered():
                assert event.message in self.began.get("reading", ())
                self._end("message", event.message)
            case e.MessageCancelled() | e.MessageFailed():
                self._end("message", event.message)
            case _:
                self._thing_of_a_turn(event)

    def _thing_of_a_turn(self, event: e.Event) -> None:
        match event:
            case e.PermissionRequested() | e.QuestionRequested():
                self._begin("request", event.request)
            case e.PermissionResolved() | e.QuestionResolved():
                self._end("request", event.request)
            case e.ToolStarted():
                self._begin("tool", event.call)
            case e.ToolProgress():
                self._alive("tool", event.call)
            case e.ToolEnded():
                self._end("tool", event.call)
            case e.TaskStarted():
                # Background work may begin again under the same id, after its end.
                self.ended.get("task", set()).discard(event.task)
                self.began.get("task", set()).discard(event.task)
                self._begin("task", event.task)
            case e.TaskEnded():
                self._end("task", event.task)

    def _turn(self, event: e.Event) -> None:
        match event:
            case e.TurnStarted():
                assert self.turn is None, "a turn starts while another runs"
                assert event.turn == self.turns + 1
                self.turn = self.turns = event.turn
            case e.TurnEnded():
                assert event.turn == self.turn
                for message in event.messages:
                    assert message in self.ended["message"], "a turn ends before its message"
                assert not self.open().get("request") or event.status == "completed"
                self.turn = None
            case _:
                assert event.turn == self.turn

    def _money(self, event: e.Event) -> None:
        if isinstance(event, (e.Usage, e.TurnEnded)):
            assert event.cost_usd is not None or event.total_cost_usd is None
        if isinstance(event, e.Usage) and event.total_cost_usd is not None:
            assert event.total_cost_usd >= self.usage_total
            self.usage_total = event.total_cost_usd
        if isinstance(event, e.TurnEnded):
            if event.total_cost_usd is not None:
                assert self.turn_total is not None, "what was not known is known"
                assert event.total_cost_usd >= self.turn_total
            self.turn_total = event.total_cost_usd
            tokens = (getattr(event.usage, name) for name in event.usage.__struct_fields__)
            assert min(tokens) >= 0
        if isinstance(event, (e.Usage, e.TurnEnded)) and event.cost_usd is not None:
            assert math.isfinite(event.cost_usd)
            assert event.cost_usd >= 0


class Rules:
    """The rules under test. Time passes only when a test says so."""

    def __init__(
        self,
        *,
        attended: bool | None = True,
        spent_usd: float = 0.0,
        folders: Sequence[str] = (),
        **limits: Any,
    ):
        self.witness = Witness()
        self.actions: list[Action] = []
        self.attended = attended
        self.awaited = False
        self.now = 100.0
        self.clock_is_off = 0.0
        self.closing = False
        self.barred: set[str] = set()
        self.interrupted = False
        self.lacks: dict[str, base.Support] = {}
        self.session = SessionRules(
            Limits(**limits),
            publish=self.witness,
            act=self._act,
            attended=lambda: self.attended,
            awaited=lambda: self.awaited,
            support=lambda capability: self.lacks.get(capability, "supported"),
            spent_usd=spent_usd,
            folders=folders,
            wall_clock=lambda: EPOCH + self.now + self.clock_is_off,
        )

    def _act(self, action: Action) -> None:
        assert not self.witness.over
        assert not (isinstance(action, Hand) and self.closing)
        assert not (isinstance(action, Hand) and action.message in self.barred)
        self.interrupted |= isinstance(action, Interrupt)
        self.actions.append(action)

    @property
    def wall(self) -> float:
        """The time of day."""
        return EPOCH + self.now

    @property
    def state(self) -> State:
        return self.session.state

    @property
    def stopping(self) -> bool:
        return self.session._turns.stopping  # noqa: SLF001 - what no event tells

    @property
    def events(self) -> list[e.Event]:
        return self.witness.log

    def of(self, *kinds: type[e.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    def do(self, *commands: c.Command) -> None:
        for command in commands:
            self.session.command(command, self.now)

    def hear(self, *signals: base.Signal) -> None:
        for signal in signals:
            self.session.signal(signal, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.session.look(self.now)

    def wait_until_due(self) -> None:
        due = self.session.due()
        assert due is not None
        self.wait(max(0.0, due - self.now))

    def bar(self, command: c.Command) -> None:
        """Remember the messages that must not be handed to the agent after this command."""
        if isinstance(command, c.Interrupt) and not command.keep_queued:
            self.barred = {event.message for event in self.of(e.MessageAccepted)}
        elif isinstance(command, c.Cancel):
            self.barred.add(command.message)

    def begin_close(self, reason: str = "closed") -> None:
        self.session.begin_close(reason, self.now)
        self.closing = True

    def finish(self) -> None:
        self.session.finish("closed", self.now)

    def obey(self) -> None:
        """Let the agent do what it was asked to do, as a well-behaved one does."""
        handed = [entry.id for entry in self.state.outbox.handed()]
        if self.interrupted:
            self.interrupted = False
            self.hear(*map(base.Dropped, handed), done(status="interrupted", reason="interrupted"))
        else:
            self.hear(*map(base.Taken, handed))
            self.hear(done(*(self.state.turn.messages if self.state.turn else ())))

    def taken(self) -> list[Action]:
        """Return the actions since the last call."""
        actions, self.actions = self.actions, []
        return actions


def send(message: str, delivery: Any = "steer", text: str = "") -> c.Send:
    return c.Send(text=text or f"text of {message}", delivery=delivery, id=message)


def redirect(message: str, *, drop_queued: bool = False) -> c.Redirect:
    return c.Redirect(text=f"text of {message}", id=message, drop_queued=drop_queued)


def done(*messages: str, status: Any = "completed", reason: str = "end_turn") -> base.Finished:
    return base.Finished(status=status, reason=reason, messages=messages)


def limit(*messages: str, resets_at: float | None) -> tuple[base.Signal, base.Signal]:
    """Return the signals of an agent whose turn has ended at the account's usage limit."""
    reason = "usage_limit"
    reached = base.UsageLimit(resets_at=resets_at, text="resets later")
    return reached, done(*messages, status="limit", reason=reason)


def facts(state: State) -> dict[str, Any]:
    """Return everything in a state that is folded from events."""
    turn = state.turn
    return {
        "messages": [(m.id, m.text, m.delivery, m.state, m.turn) for m in state.outbox],
        "line": [m.id for m in state.outbox.waiting()],
        "pending": state.requests.pending,
        "turn": turn and (turn.id, turn.messages, turn.denials),
        "turns": state.turns,
        "tasks": state.tasks,
        "tools": state.tools,
        "settled": state.ledger.settled_usd,
        "turn_usd": state.ledger.turn_usd,
        "tokens": state.ledger.tokens,
        "status": state.status,
        "ended": state.ended,
        "agent": state.started,
        "limit": state.limit,
        "wait": state.wait,
    }


def fold(events: Iterable[e.Event], spent_usd: float = 0.0) -> State:
    """Fold the state anew, from the events that a reader gets over the wire."""
    state = State(spent_usd)
    for event in events:
        if event.durable:
            state.apply(e.decode(e.encode(event)))
    return state
