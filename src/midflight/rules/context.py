"""What all the rules share: the state, the time, and the two outlets for events and actions."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from midflight.agents.base import Support, UsageLimit
from midflight.events import (
    Event,
    Level,
    MessageAccepted,
    MessageChanged,
    Notice,
    UsageLimitReached,
)
from midflight.rules.actions import Action
from midflight.rules.watchdog import Watchdog
from midflight.state.session import State
from midflight.values import Limits, PermissionMode


class RulesContext:
    """State and outlets of one session.

    ``now`` is the time of the current input (monotonic seconds); ``mode`` the permission mode in
    force, and ``chosen`` the one that the user has chosen last: an agent may plan by itself;
    ``closing`` says that nothing new may start; ``usage_limit`` is the limit that ends the running
    turn; ``wall_clock`` returns the time of day, in seconds since the epoch.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        publish: Callable[[Event], Event],
        act: Callable[[Action], None],
        support: Callable[[str], Support],
        mode: PermissionMode,
        spent_usd: float | None,
        wall_clock: Callable[[], float],
    ) -> None:
        """Begin with an empty state."""
        self.state = State(spent_usd)
        self.limits = limits
        self.watchdog = Watchdog(limits.timeout, limits.stall_timeout)
        self.now = 0.0
        self.mode = self.chosen = mode
        self.closing = False
        self.usage_limit: UsageLimit | None = None
        self.wall_clock = wall_clock
        self.act = act
        self.support = support
        self._publish = publish

    def emit(self, event: Event) -> None:
        """Stamp the running turn, publish the event and apply it to the state: always all three.

        The state is a fold of the durable events alone; the ephemeral ones, which come by the
        thousand, are only published.
        """
        if event.turn is None and self.state.turn is not None:
            event = msgspec.structs.replace(event, turn=self.state.turn.id)
        event = self._publish(event)
        if event.durable:
            self.state.apply(event)

    def notice(self, level: Level, text: str, command: str | None = None) -> None:
        """Emit a line for people; ``command`` is the id of the command that failed, if one did."""
        self.emit(Notice(level=level, text=text, command=command))

    def put_first(self, message: str, text: str) -> None:
        """Accept a message of midflight's own, at the head of the line."""
        first = next(iter(self.state.outbox.waiting()), None)
        self.emit(MessageAccepted(message=message, text=text, delivery="queue"))
        if first is not None:
            changed = MessageChanged(message=message, text=text, delivery="queue", before=first.id)
            self.emit(changed)

    @property
    def engaged(self) -> bool:
        """A turn runs, or the agent has been handed a message."""
        return self.state.turn is not None or bool(self.state.outbox.handed())

    @property
    def granted(self) -> PermissionMode:
        """The widest permission mode that the agent may change to by itself, after its plan."""
        return "default" if self.chosen == "plan" else self.chosen

    @property
    def answering(self) -> PermissionMode:
        """The permission mode that answers requests: a plan of the agent's own changes none."""
        return self.chosen if self.mode == "plan" else self.mode

    @property
    def wait(self) -> UsageLimitReached | None:
        """The usage limit whose reset the session waits for; None once its message is handed."""
        wait = self.state.wait
        handed = wait is not None and self.state.outbox.get(wait.message or "").handed
        return None if handed else wait

    @property
    def over_budget(self) -> bool:
        """The budget is spent, by the session itself or by others on its account."""
        cap = self.limits.max_budget_usd
        return cap is not None and self.state.ledger.spent(cap)
