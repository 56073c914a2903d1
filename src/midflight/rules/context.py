"""What the parts of the rules share: the state, the time, and the two ways out."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from midflight.agents.base import Support, UsageLimit
from midflight.events import Event, Level, Notice, UsageLimitReached
from midflight.rules.actions import Action
from midflight.rules.watchdog import Watchdog
from midflight.state.session import State

__all__ = ["MAX_WAIT_S", "Limits", "RulesContext"]

MAX_WAIT_S = 6 * 3600.0
"""How long the reset of a usage limit is waited for if nothing else was said."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that the rules enforce; see `midflight.Options`."""

    max_turns: int | None = None
    max_budget_usd: float | None = None
    timeout: float | None = None
    stall_timeout: float | None = None
    request_timeout: float = 600.0
    on_usage_limit: str | None = None
    max_wait: float = MAX_WAIT_S


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
        tell: Callable[[Event], Event],
        act: Callable[[Action], None],
        can: Callable[[str], Support],
        mode: str,
        spent_usd: float,
        wall: Callable[[], float] = time.time,
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
        self._tell = tell

    def emit(self, event: Event) -> None:
        """Stamp the running turn, tell the world and change the state: always all three.

        The state is what the durable events amount to, as the world sees them; the others come
        by the thousand.
        """
        if event.turn is None and self.state.turn is not None:
            event = msgspec.structs.replace(event, turn=self.state.turn.id)
        event = self._tell(event)
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
