"""The status line: which turn, for how long, for how much, doing what, and how much waits."""

from __future__ import annotations

from midflight import events as e
from midflight._util.sanitize import one_line
from midflight._util.text import dollars
from midflight.cli.terminal.transcript import clock, retry_reason


class StatusLine:
    """A fold of the events, for one line at the bottom of the terminal."""

    def __init__(self) -> None:
        """Begin before the first turn."""
        self.running = False
        self.model = ""
        self._turn = 0
        self._began = 0.0
        self._cost: float | None = 0.0
        self._estimated = False
        self._doing = "starting"
        self._tools: dict[str, str] = {}
        self._tasks: dict[str, str] = {}
        self._wait: e.UsageLimitReached | None = None

    def take(self, event: e.Event, now: float) -> None:
        """Take in one event at a time of the monotonic clock."""
        self._follow_wait(event)
        self._follow_cost(event)
        match event:
            case e.TextDelta():
                self._doing = "writing"
            case e.ThinkingDelta():
                self._doing = "thinking"
            case e.TurnStarted():
                self.running, self._turn, self._began = True, event.turn or 0, now
                self._doing = "waiting for the model"
            case e.TurnEnded():
                self.running = False
                self._tools.clear()
            case e.ToolStarted(call=call, name=name, title=title):
                self._tools[call] = f"running {name}: {title}" if title else f"running {name}"
            case e.ToolEnded(call=call):
                self._tools.pop(call, None)
                self._doing = "waiting for the model"
            case e.Retry():
                self._doing = f"retrying in {event.delay_s:.0f} s: {retry_reason(event)}"
            case e.Stalled(silent_s=silent):
                self._doing = f"silent for {silent:.0f} s"
            case e.TaskStarted(task=task, title=title):
                self._tasks[task] = f"in the background: {title}"
            case e.TaskEnded(task=task):
                self._tasks.pop(task, None)

    def _follow_cost(self, event: e.Event) -> None:
        match event:
            case e.Usage(total_cost_usd=None, estimated=True):
                pass  # the estimate follows
            case e.Usage(total_cost_usd=total, estimated=estimated):
                self._cost, self._estimated = total, estimated
            case e.TurnEnded(total_cost_usd=total):
                self._cost, self._estimated = total, False

    def _follow_wait(self, event: e.Event) -> None:
        """Know whether a usage limit's reset is waited for."""
        match event:
            case e.UsageLimitReached(message=message):
                self._wait = event if message else None
            case e.TurnStarted():
                self._wait = None
            case e.MessageCancelled(message=message) if self._wait:
                self._wait = None if message == self._wait.message else self._wait

    @property
    def cost(self) -> str:
        """The money so far; ``~`` marks an estimate."""
        return f"{'~' if self._estimated else ''}{dollars(self._cost)}"

    def line(self, now: float, width: int, *, asking: bool, queued: int, others: str = "") -> str:
        """Return the line, cut to the width of the terminal; ``others`` is of other sessions."""
        parts = [others] if others else []
        if self.running:
            minutes, seconds = divmod(int(now - self._began), 60)
            parts += [f"turn {self._turn}", f"{minutes}:{seconds:02}"]
        parts.append("cost unknown" if self._cost is None else self.cost)
        if queued:
            parts.append(f"{queued} waiting")
        parts.append(self._what(asking=asking))
        if self.model:
            parts.append(self.model)
        return one_line(" · ".join(parts), max(width - 2, 10))

    def _what(self, *, asking: bool) -> str:
        if asking:
            return "waiting for your answer"
        if self.running:
            return next(reversed(self._tools.values()), self._doing)
        if self._wait is not None and self._wait.at is not None:
            return f"usage limit: waits until {clock(self._wait.at)}; type to go on, Esc to stop"
        return next(reversed(self._tasks.values()), "idle; type, or /quit")
