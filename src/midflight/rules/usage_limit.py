"""The rules for the account's usage limit: wait for its reset, fail, or ask which.

Waiting is a message of midflight's own in the outbox, so it can be seen, cancelled, promoted and
taken up again from a journal like any other; `midflight.state.session.State.wait` says since which
limit.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

from midflight import events as e
from midflight.agents import base
from midflight.rules.context import RulesContext
from midflight.rules.requests import Answers, RequestRules
from midflight.rules.turns import TurnRules
from midflight.state.session import USAGE_LIMIT
from midflight.values import Question, QuestionOption

GRACE_S = 1.0
"""How long after the reset the agent goes on: clocks differ, and the reset is told in seconds."""

AGAIN_S = 60.0
"""How long is waited at least when the limit is still there after its reset."""

LOOK_S = 30.0
"""How often the time of day is looked at: clocks are set, and machines sleep."""

GO_ON = "(The usage limit that cut your last turn has been reset. Go on where you were cut.)"
"""What the agent is told after the wait."""

_WAIT, _STOP = "Wait", "Stop"


class UsageLimitRules:
    """Decides what follows a turn that the account's usage limit has ended."""

    def __init__(
        self,
        context: RulesContext,
        turns: TurnRules,
        requests: RequestRules,
        attended: Callable[[], bool | None],
    ) -> None:
        """``attended`` is as in `midflight.Options`, and is asked anew each time."""
        self._context = context
        self._turns = turns
        self._requests = requests
        self._attended = attended

    def reached(self, signal: base.UsageLimit) -> None:
        """The agent says that the limit is reached: the turn ends, or must be ended."""
        if self._context.state.turn is None or self._turns.stopping:
            return
        self._context.limit = signal
        if signal.trying:
            self._turns.stop("limit", USAGE_LIMIT, keep=True, text=signal.text)

    def decide(self) -> None:
        """Say what follows, once the agent has nothing left to do."""
        context, limit = self._context, self._context.limit
        if limit is None or context.engaged or context.closing:
            return
        context.limit = None
        before = self._before()
        now = context.wall()
        give_up_at = before.give_up_at if before else None
        wanted = "wait" if before else context.limits.on_usage_limit
        event = e.UsageLimitReached(
            resets_at=limit.resets_at,
            at=max((limit.resets_at or 0.0) + GRACE_S, now + (AGAIN_S if before else 0.0)),
            give_up_at=give_up_at or now + context.limits.max_wait,
        )
        if wanted == "fail" or self._in_vain(event):
            self._fail(event)
        elif wanted == "wait":
            self._wait(event)
        elif self._attended() is False:
            self._fail(event)
        else:
            self._ask(event)

    def _before(self) -> e.UsageLimitReached | None:
        """Return the limit whose reset was waited for in vain just now, if this is one more."""
        state = self._context.state
        entry = state.outbox.find(state.limit.message or "") if state.limit else None
        again = entry is not None and entry.state == "failed" and entry.turn == state.turns
        return state.limit if again else None

    def _in_vain(self, event: e.UsageLimitReached) -> bool:
        """Tell whether there is no use in waiting, and why."""
        if event.resets_at is None:
            text = "it is not known when the usage limit resets, so nothing is waited for"
        elif event.at is not None and event.give_up_at is not None and event.at > event.give_up_at:
            until = _clock(event.give_up_at)
            text = f"the usage limit resets at {_clock(event.at)}; max_wait allows until {until}"
        else:
            return False
        self._context.notice("warning", text)
        return True

    def _wait(self, event: e.UsageLimitReached) -> None:
        """Put a message at the head of the line that goes on after the reset."""
        context, message = self._context, str(uuid.uuid4())
        first = next(iter(context.state.outbox.waiting()), None)
        context.emit(
            e.UsageLimitReached(
                resets_at=event.resets_at,
                message=message,
                at=event.at,
                give_up_at=event.give_up_at,
            )
        )
        context.emit(e.MessageAccepted(message=message, text=GO_ON, delivery="queue"))
        if first is not None:
            context.emit(
                e.MessageChanged(message=message, text=GO_ON, delivery="queue", before=first.id)
            )

    def _fail(self, event: e.UsageLimitReached) -> None:
        """Go no further: whatever waits would only meet the same limit."""
        self._context.emit(e.UsageLimitReached(resets_at=event.resets_at))
        self._turns.end_waiting("limit", USAGE_LIMIT)

    def _ask(self, event: e.UsageLimitReached) -> None:
        at = _clock(event.at or 0.0)
        question = Question(
            question=f"The usage limit is reached. Wait until {at} and go on then?",
            header="Usage limit",
            options=(
                QuestionOption(label=_WAIT, description=f"goes on by itself at {at}"),
                QuestionOption(label=_STOP, description="ends here; a message goes on later"),
            ),
        )

        def answered(answers: Answers) -> None:
            said = answers.get(question.question)
            if isinstance(said, str) and said.strip().casefold() == _WAIT.casefold():
                self._wait(event)
            else:
                self._fail(event)

        self._requests.inquire((question,), answered)

    def due(self) -> float | None:
        """Return when to look at the time of day again, or None; on the monotonic clock."""
        context = self._context
        wait = context.wait
        if wait is None or context.engaged or context.closing or context.state.ended is not None:
            return None
        return context.now + min(max((wait.at or 0.0) - context.wall(), 0.0), LOOK_S)


def _clock(at: float) -> str:
    """Return a time as people here say it, with the day and the zone."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M %Z}"
