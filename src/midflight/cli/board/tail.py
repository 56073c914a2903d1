"""The newest of what a session has said and done, as it happens."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from midflight import events as e
from midflight.cli.board.wrap import Line, lines_of, wrap
from midflight.cli.output import DIM, YELLOW
from midflight.cli.terminal.running_tools import RunningTools
from midflight.cli.terminal.transcript import Transcript

KEPT = 300
"""How many lines are kept: more than a screen has."""


class Tail:
    """A session's last lines: the words of `midflight logs`."""

    def __init__(self, session: str, cwd: str) -> None:
        """Begin without a line."""
        self.session = session
        self.seq = 0
        self._transcript = Transcript(Path(cwd), whole=True)
        self._lines: deque[Line] = deque(maxlen=KEPT)
        self._open = False
        self._tools = RunningTools()

    def take(self, event: e.Event) -> None:
        """Take in an event; one that is known already is passed over."""
        if event.seq is not None:
            if event.seq <= self.seq:
                return
            self.seq = event.seq
        self._tools.take(event)
        fragments = self._transcript.take(event)
        if not fragments:
            return
        first, *more = lines_of(fragments)
        if self._open and self._lines:
            self._lines[-1] = [*self._lines[-1], *first]
        else:
            self._lines.append(first)
        self._lines += more
        self._open = not fragments[-1][1].endswith("\n")

    def say(self, text: str) -> None:
        """Add a line that no event tells."""
        self._lines.append([(YELLOW, f"  {text}")])
        self._open = False

    def lines(self, width: int, height: int, now: float) -> list[Line]:
        """Return as many of the last lines as there is room for, with what a command puts out."""
        height = max(1, height)
        lines = list(self._lines)[-height:]
        lines += [[(DIM, line)] for line in self._tools.lines(now, width)]
        return wrap(lines, width)[-height:]
