"""What the parts of the rules share: the state, the time, and the two ways out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from midflight.agents.base import Support, UsageLimit
from midflight.events import Event, Level, Notice, UsageLimitReached
from midflight.rules.actions import Action
from midflight.rules.watchdog import Watchdog
from midflight.state.session import State
from midflight.values import Limits, PermissionMode


class RulesContext:
    """State and outlets of one conversation.

    ``now`` is the time of the input that is being worked on (monotonic seconds); ``mode`` the
    permission mode; ``closing`` says that nothing new may start; ``limit`` is the usage limit that
    ends the running turn; ``wall`` tells the time of day, in seconds since the epoch.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        publish: Callable[[Event], Event],
        act: Callable[[Action], None],
        can: Callable[[str], Support],
        mode: PermissionMode,
        spent_usd: float,
        wall: Callable[[], float],
    ) -> None:
        """Begin with nothing said."""
        self.state = State(spent_usd)
        self.limits = limits
        self.watchdog = Watchdog(limits.timeout, limits.stall_timeout)
        self.now = 0.0
        self.mode = mode
        self.closing = False
        self.limit: UsageLimit | None = None
        self.wall = wall
        self.act = act
        self.can = can
        self._publish = publish

    def emit(self, event: Event) -> None:
        """Stamp the running turn, publish the event and apply it to the state: always all three.

        The state is what the durable events amount to, as the world sees them; the others come
        by the thousand.
        """
        if event.turn is None and self.state.turn is not None:
            event = msgspec.structs.replace(event, turn=self.state.turn.id)
        event = self._publish(event)
        if event.durable:
            self.state.apply(event)

    def notice(self, level: Level, text: str, command: str | None = None) -> None:
        """Put a line for people among the events; ``command`` is the one that failed."""
        self.emit(Notice(level=level, text=text, command=command))

    @property
    def engaged(self) -> bool:
        """The agent works, or has been given something to work on."""
        return self.state.turn is not None or bool(self.state.outbox.handed())

    @property
    def wait(self) -> UsageLimitReached | None:
        """The usage limit whose reset is waited for; None once its message has been handed."""
        wait = self.state.wait
        handed = wait is not None and self.state.outbox.get(wait.message or "").handed
        return None if handed else wait

    @property
    def over_budget(self) -> bool:
        """The money for the session is spent, by itself or by others on its account."""
        cap, ledger = self.limits.max_budget_usd, self.state.ledger
        return cap is not None and ledger.total_usd + ledger.charged_usd >= cap
