"""The rules for the account's usage limit: wait for its reset, fail, or ask the user which.

The wait is a message of midflight's own in the outbox, so users see it, can cancel or promote it,
and it is resumed from a journal like any other. `midflight.state.session.State.wait` is the limit
that it waits for.
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
"""How long after the reset the session goes on: clocks differ, and agents report whole seconds."""

RETRY_S = 60.0
"""How long the session waits at least if the limit is still in force after its reset."""

CLOCK_CHECK_S = 30.0
"""How often the session compares the time of day: clocks are set, and machines sleep."""

CONTINUE = "(The usage limit that cut your last turn has been reset. Go on where you were cut.)"
"""The message that the agent gets after the wait."""

_WAIT, _STOP = "Wait", "Stop"


class UsageLimitRules:
    """Decides what follows a turn that ended at the account's usage limit."""

    def __init__(
        self,
        context: RulesContext,
        turns: TurnRules,
        requests: RequestRules,
        attended: Callable[[], bool | None],
    ) -> None:
        """``attended`` returns what `midflight.Options.attended` means at this moment."""
        self._context = context
        self._turns = turns
        self._requests = requests
        self._attended = attended

    def reached(self, signal: base.UsageLimit) -> None:
        """The agent reports the limit: note it, and stop an agent that keeps trying."""
        if self._context.state.turn is None or self._turns.stopping:
            return
        self._context.usage_limit = signal
        if signal.trying:
            self._turns.stop("limit", USAGE_LIMIT, keep=True, text=signal.text)

    def decide(self) -> None:
        """Wait, fail or ask, once the agent has nothing left to do."""
        context, limit = self._context, self._context.usage_limit
        if limit is None or context.engaged or context.closing:
            return
        context.usage_limit = None
        previous = self._previous()
        now = context.wall_clock()
        give_up_at = previous.give_up_at if previous else None
        choice = "wait" if previous else context.limits.on_usage_limit
        event = e.UsageLimitReached(
            resets_at=limit.resets_at,
            at=max((limit.resets_at or 0.0) + GRACE_S, now + (RETRY_S if previous else 0.0)),
            give_up_at=give_up_at or now + context.limits.max_wait,
        )
        if choice == "fail" or self._is_futile(event):
            self._fail(event)
        elif choice == "wait":
            self._wait(event)
        elif self._attended() is False:
            self._fail(event)
        else:
            self._ask(event)

    def _previous(self) -> e.UsageLimitReached | None:
        """Return the limit whose reset the session has just waited for in vain, if there is one."""
        state = self._context.state
        entry = state.outbox.find(state.limit.message or "") if state.limit else None
        again = entry is not None and entry.state == "failed" and entry.turn == state.turns
        return state.limit if again else None

    def _is_futile(self, event: e.UsageLimitReached) -> bool:
        """Tell whether the session cannot wait for this limit; if so, a notice says why."""
        if event.resets_at is None:
            text = "the reset of the usage limit is not known, so the session does not wait for it"
        elif event.at is not None and event.give_up_at is not None and event.at > event.give_up_at:
            until = _local_time(event.give_up_at)
            text = (
                f"the usage limit resets at {_local_time(event.at)}; max_wait allows until {until}"
            )
        else:
            return False
        self._context.notice("warning", text)
        return True

    def _wait(self, event: e.UsageLimitReached) -> None:
        """Put the message that continues after the reset at the head of the line."""
        context, message = self._context, str(uuid.uuid4())
        context.emit(
            e.UsageLimitReached(
                resets_at=event.resets_at,
                message=message,
                at=event.at,
                give_up_at=event.give_up_at,
            )
        )
        context.put_first(message, CONTINUE)

    def _fail(self, event: e.UsageLimitReached) -> None:
        """Fail what waits: it would only meet the same limit."""
        self._context.emit(e.UsageLimitReached(resets_at=event.resets_at))
        self._turns.end_waiting("limit", USAGE_LIMIT)

    def _ask(self, event: e.UsageLimitReached) -> None:
        at = _local_time(event.at or 0.0)
        question = Question(
            question=f"The usage limit is reached. Wait until {at} and go on then?",
            header="Usage limit",
            options=(
                QuestionOption(label=_WAIT, description=f"goes on by itself at {at}"),
                QuestionOption(label=_STOP, description="ends here; a message goes on later"),
            ),
        )

        def on_answers(answers: Answers) -> None:
            answer = answers.get(question.question)
            if isinstance(answer, str) and answer.strip().casefold() == _WAIT.casefold():
                self._wait(event)
            else:
                self._fail(event)

        self._requests.ask((question,), on_answers)

    def due(self) -> float | None:
        """Return when to compare the time of day next (monotonic seconds), or None."""
        context = self._context
        wait = context.wait
        if wait is None or context.engaged or context.closing or context.state.ended is not None:
            return None
        return context.now + min(max((wait.at or 0.0) - context.wall_clock(), 0.0), CLOCK_CHECK_S)


def _local_time(at: float) -> str:
    """Return a time of day in the local zone, with the date and the zone."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M %Z}"
