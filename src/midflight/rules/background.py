"""The rule of background work: how long it is waited for once no turn runs, and what is said of it.

A server that an agent has left running never ends by itself, and what waits for the session to be
quiet would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from midflight.rules.actions import Kill, StopTask
from midflight.rules.context import RulesContext

BACKGROUND_TIMEOUT_S = 600.0
"""How long silent background work is waited for where `Options.background_timeout` says nothing."""

SAY_AFTER_S = 5.0
"""After so long it is said what is waited for; after half of the timeout if that is shorter."""

STOP_GRACE_S = 10.0
"""How long background work may take to end when it is stopped, before the agent is killed."""


class BackgroundRules:
    """Says which background work is waited for, and stops what gives no sign of life."""

    def __init__(
        self,
        context: RulesContext,
        attended: Callable[[], bool | None],
        awaited: Callable[[], bool],
    ) -> None:
        """``attended`` returns what `midflight.Options.attended` means at this moment.

        ``awaited`` tells whether somebody waits for the session to be quiet.
        """
        self._context = context
        self._attended = attended
        self._awaited = awaited
        self._from = 0.0
        self._said = False
        self._spent = False
        self._kill_at: float | None = None

    def begin(self) -> None:
        """Count from now on: somebody begins to wait, or has come or left."""
        self._from = self._context.now

    def allow(self) -> None:
        """A message comes: what it makes the agent begin has its own time."""
        self._spent = False

    def _since(self) -> float | None:
        """Return since when there is silent background work and nothing else, None if not so."""
        context, state = self._context, self._context.state
        alone = not context.engaged and not state.busy and not state.tools
        return max(context.watchdog.last_heard, self._from) if state.tasks and alone else None

    def _limit(self) -> float | None:
        """Return how long it may be silent; what an agent began after a stop gets no more time."""
        limit = self._context.limits.background_timeout
        if limit is None and self._awaited() and self._attended() is not True:
            limit = BACKGROUND_TIMEOUT_S
        return 0.0 if self._spent and limit is not None else limit

    def due(self) -> float | None:
        """Return when to call `look` next (monotonic seconds), or None."""
        since, limit = self._since(), self._limit()
        if since is None or limit is None:
            return None
        if self._kill_at is not None:
            return self._kill_at
        return since + (limit if self._said else _say_after(limit))

    def look(self) -> None:
        """Say what is waited for; stop it when its time is up, and kill an agent that does not."""
        since, limit, now = self._since(), self._limit(), self._context.now
        if since is None:
            self._said, self._kill_at = False, None
        elif limit is None:
            return
        elif self._kill_at is not None:
            if now >= self._kill_at:
                self._kill_at = now + STOP_GRACE_S
                self._context.act(Kill(waited=True))
        elif now >= since + limit:
            self._stop(limit)
        elif not self._said and now >= since + _say_after(limit):
            self._said = True
            left = f"without a sign of life it is stopped in {since + limit - now:.0f} s"
            self._context.notice(
                "info", f"waiting for background work: {self._named()}; {left} (background_timeout)"
            )

    def _stop(self, limit: float) -> None:
        self._kill_at = self._context.now + STOP_GRACE_S
        why = "the agent has begun it anew" if self._spent else f"no sign of life for {limit:.0f} s"
        self._spent = True
        self._context.notice("warning", f"background work is stopped: {self._named()}; {why}")
        for task in list(self._context.state.tasks):
            self._context.act(StopTask(task))

    def cut(self) -> None:
        """Say what has ended with its host: the folder is kept as the last turn has left it."""
        if self._context.state.tasks:
            self._context.notice(
                "warning",
                f"background work was cut with its host: {self._named()}; what it has changed since"
                " the last turn may be missing where the session goes on",
            )

    def _named(self) -> str:
        """Return the background work by name, each with how long it has been running."""
        now = self._context.wall_clock()
        return ", ".join(
            f"{task.title or 'without a name'} (for {max(0.0, now - task.time):.0f} s)"
            for task in self._context.state.tasks.values()
        )


def _say_after(limit: float) -> float:
    return min(SAY_AFTER_S, limit / 2)
