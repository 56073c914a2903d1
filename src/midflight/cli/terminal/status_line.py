"""The status line: which turn, for how long, for how much, doing what, and how much waits."""

from __future__ import annotations

from midflight._util.sanitize import one_line
from midflight._util.text import dollars
from midflight.cli.terminal.activity import Activity
from midflight.cli.terminal.transcript import clock


class StatusLine(Activity):
    """What the session of a terminal does, for one line at its bottom."""

    def __init__(self) -> None:
        """Begin before the first turn."""
        super().__init__()
        self.model = ""

    @property
    def money(self) -> str:
        """The money so far; ``~`` marks an estimate."""
        return f"{'~' if self.estimated else ''}{dollars(self.cost)}"

    def line(self, now: float, width: int, *, asking: bool, queued: int, others: str = "") -> str:
        """Return the line, cut to the width of the terminal; ``others`` is of other sessions."""
        parts = [others] if others else []
        if self.running:
            minutes, seconds = divmod(int(now - self.began), 60)
            parts += [f"turn {self.turn}", f"{minutes}:{seconds:02}"]
        parts.append("cost unknown" if self.cost is None else self.money)
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
            for name, title in reversed(self.tools.values()):
                return f"running {name}: {title}" if title else f"running {name}"
            return self.doing
        if self.wait is not None and self.wait.at is not None:
            return f"usage limit: waits until {clock(self.wait.at)}; type to go on, Esc to stop"
        for title in reversed(self.tasks.values()):
            return f"in the background: {title}"
        return "idle; type, or /quit"
