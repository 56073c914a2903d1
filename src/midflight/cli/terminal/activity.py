"""What a session does now, and how its last turn has ended: a fold of its events."""

from __future__ import annotations

from midflight import events as e
from midflight.cli.terminal.transcript import retry_reason

WAITS_FOR_MODEL = "waiting for the model"


class Activity:
    """A fold of a session's events, for a line about it.

    ``began`` is when the running turn began, by the clock that `take` is given; ``end`` is how the
    last one ended, and ``ended`` why the session did. ``wait`` is the usage limit whose reset is
    waited for. ``cost`` is None where it is not known, and ``estimated`` where it is computed.
    ``tools`` are the calls that run, each with its name and title; ``tasks`` the background work.
    ``doing`` is what the agent does where it is none of these.
    """

    def __init__(self) -> None:
        """Begin before the first turn."""
        self.running = False
        self.turn = 0
        self.began = 0.0
        self.end: e.TurnEnded | None = None
        self.ended = ""
        self.wait: e.UsageLimitReached | None = None
        self.cost: float | None = 0.0
        self.estimated = False
        self.doing = "starting"
        self.tools: dict[str, tuple[str, str]] = {}
        self.tasks: dict[str, str] = {}

    def take(self, event: e.Event, now: float) -> None:
        """Take in one event."""
        self._follow_wait(event)
        self._follow_cost(event)
        match event:
            case e.TurnStarted():
                self.running, self.turn, self.began = True, event.turn or 0, now
                self.doing, self.end = WAITS_FOR_MODEL, None
            case e.TurnEnded():
                self.running, self.end = False, event
                self.tools.clear()
            case e.SessionEnded(reason=reason):
                self.running, self.ended = False, reason
            case e.SessionResumed():
                self.ended = ""
            case _:
                self._follow_work(event)

    def _follow_work(self, event: e.Event) -> None:
        match event:
            case e.TextDelta():
                self.doing = "writing"
            case e.ThinkingDelta():
                self.doing = "thinking"
            case e.ToolStarted(call=call, name=name, title=title):
                self.tools[call] = name, title
            case e.ToolEnded(call=call):
                self.tools.pop(call, None)
                self.doing = WAITS_FOR_MODEL
            case e.Retry():
                self.doing = f"retrying in {event.delay_s:.0f} s: {retry_reason(event)}"
            case e.Stalled(silent_s=silent):
                self.doing = f"silent for {silent:.0f} s"
            case e.TaskStarted(task=task, title=title):
                self.tasks[task] = title
            case e.TaskEnded(task=task):
                self.tasks.pop(task, None)

    def _follow_cost(self, event: e.Event) -> None:
        match event:
            case e.Usage(total_cost_usd=None, estimated=True):
                pass  # the estimate follows
            case e.Usage(total_cost_usd=total, estimated=estimated):
                self.cost, self.estimated = total, estimated
            case e.TurnEnded(total_cost_usd=total):
                self.cost, self.estimated = total, False

    def _follow_wait(self, event: e.Event) -> None:
        """Know whether a usage limit's reset is waited for."""
        match event:
            case e.UsageLimitReached(message=message):
                self.wait = event if message else None
            case e.TurnStarted():
                self.wait = None
            case e.MessageCancelled(message=message) if self.wait:
                self.wait = None if message == self.wait.message else self.wait
