"""The tool calls that run: for how long, and the last lines of what they have put out so far."""

from __future__ import annotations

from dataclasses import dataclass

from midflight import events as e
from midflight._util.sanitize import one_name
from midflight.cli.terminal.render import lines_of_output
from midflight.cli.terminal.table import cut
from midflight.values import Kind

SHOWN_AFTER_S = 1.0
"""How long a call must have run to be shown: most are over by then."""

CALLS, LINES = 3, 5
"""How many calls are shown, the newest, and how many lines of what each has put out."""

KEPT_CHARS = 4_000
"""How much of what a call puts out is kept: its end."""


@dataclass
class Running:
    """A call that runs. ``began`` and ``first``, its first output, are seconds since the epoch.

    A call that waits for leave has not begun.
    """

    name: str
    kind: Kind
    began: float | None
    first: float | None = None
    output: str = ""

    def took(self, now: float) -> str:
        """Return for how long it has run, and when it has put out something first."""
        if self.began is None or now - self.began < SHOWN_AFTER_S:
            return ""
        first = (
            "" if self.first is None else f", first output after {_span(self.first - self.began)}"
        )
        return _span(now - self.began) + first


class RunningTools:
    """A fold of the events. Only some agents tell what a tool puts out before it ends."""

    def __init__(self) -> None:
        """Begin without a call."""
        self._calls: dict[str, Running] = {}
        self._asked: dict[str, str] = {}

    def take(self, event: e.Event) -> Running | None:
        """Take in one event; return the call that it ends, if it ends one."""
        match event:
            case e.ToolStarted(call=call):
                self._calls[call] = Running(event.name, event.kind, event.time)
            case e.ToolProgress(call=call) if running := self._calls.get(call):
                running.first = running.first or event.time
                running.output = (running.output + event.text)[-KEPT_CHARS:]
            case e.ToolEnded(call=call):
                return self._calls.pop(call, None)
            case e.PermissionRequested(call=call, request=request) if call in self._calls:
                self._asked[request], self._calls[call].began = call, None
            case e.PermissionResolved(request=request):
                if running := self._calls.get(self._asked.pop(request, "")):
                    running.began = event.time
            case e.TurnEnded():
                self._calls.clear()
                self._asked.clear()
        return None

    def lines(self, now: float, width: int) -> list[str]:
        """Return what is shown of them at a time; no line is longer than the terminal is wide."""
        shown: list[str] = []
        for running in list(self._calls.values())[-CALLS:]:
            if took := running.took(now):
                shown.append(f"  {one_name(running.name)}: {took}")
                lines = [line for line in lines_of_output(running.output) if line]
                shown += (f"    {line}" for line in lines[-LINES:])
        return [cut(line, width) for line in shown]


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"
