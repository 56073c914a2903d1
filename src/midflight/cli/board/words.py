"""What the board says of a session: its mark, what it does, for how long, and for how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from midflight import events as e
from midflight._util.sanitize import one_line
from midflight._util.text import dollars
from midflight.cli.answers import summary
from midflight.cli.board.groups import is_held
from midflight.cli.output import BLUE, BOLD, DIM, GREEN, MAGENTA, RED, YELLOW
from midflight.cli.terminal.activity import Activity
from midflight.cli.terminal.transcript import clock
from midflight.effects import CommandEffect, EditEffect, FetchEffect, ReadEffect
from midflight.events import Request
from midflight.info import SessionInfo

WAITS = f"{BOLD};{YELLOW}"

MARKS = {
    "waits": ("?", WAITS),
    "runs": ("*", BLUE),
    "held": ("=", MAGENTA),
    "done": ("+", GREEN),
    "seen": ("-", DIM),
    "limit": ("!", BOLD),
    "failed": ("!", RED),
    "ended": ("x", DIM),
}
"""A letter and its style for each state; the letter alone says enough."""

_LIMITS = {
    "max_turns": "all its steps are used",
    "max_budget": "its budget is spent",
    "timeout": "the turn took too long",
    "stalled": "it was silent for too long",
    "usage_limit": "the account's usage limit is reached",
}
_FAILURES = {
    "agent_died": "the agent died",
    "host_died": "its host died",
    "api_error": "the model's service failed",
    "auth": "no key or login",
    "context_full": "the context is full",
}
_INTERRUPTED = {"interrupted": "stopped", "redirected": "stopped", "denied": "stopped at a denial"}
_COUNTED = ("waits", "asks"), ("runs", "run"), ("held", "held"), ("failed", "failed")


def state(info: SessionInfo, activity: Activity, *, new: bool) -> str:
    """Return the word for a session's state, of `MARKS`; ``new`` is one that nobody has seen."""
    if info.pending:
        return "waits"
    if is_held(info):
        return "held"
    if info.status in ("running", "starting"):
        return "runs"
    end = activity.end
    if end is not None and end.status in ("limit", "failed"):
        return end.status
    if info.status == "closed" or (end is not None and end.status == "interrupted"):
        return "ended"
    return "done" if new else "seen"


def doing(info: SessionInfo, activity: Activity) -> str:
    """Return in one line what a session asks, does, or has come to."""
    if info.pending:
        return one_line(f"asks: {summary(info.pending[0], info.cwd)}")
    if info.waits_for:
        return one_line(f"waits for {info.waits_for}")
    if is_held(info):
        at = activity.wait.at if activity.wait else None
        return f"usage limit, goes on at {clock(at)}" if at else "usage limit"
    if info.status == "starting":
        return "starting"
    return one_line(_now(info, activity) if info.status == "running" else _rest(info, activity))


def _now(info: SessionInfo, activity: Activity) -> str:
    for name, title in reversed(activity.tools.values()):
        return f"{name} {title}"
    return activity.doing if activity.running else info.last


def _rest(info: SessionInfo, activity: Activity) -> str:
    end = activity.end
    if activity.ended == "host_died":
        return "its host is gone; a message starts it again"
    if end is None:
        return info.last or ("ended" if info.status == "closed" else "nothing yet")
    match end.status:
        case "limit":
            return f"limit: {_LIMITS.get(end.reason, end.reason)}"
        case "failed":
            why = _FAILURES.get(end.reason, end.reason)
            return f"failed: {why}{': ' if end.text else ''}{end.text}"
        case "interrupted":
            return _INTERRUPTED.get(end.reason, end.reason)
    return f"done: {info.last}" if info.last else "done"


def folded(members: Iterable[tuple[SessionInfo, Activity]]) -> str:
    """Return what sessions do that are hidden below their parent: how many do what."""
    states = Counter(state(info, activity, new=False) for info, activity in members)
    counts = [f"{states[each]} {word}" for each, word in _COUNTED if states[each]]
    rest = states.total() - sum(states[each] for each, _ in _COUNTED)
    return f"{states.total()}: {', '.join([*counts, *([f'{rest} rest'] if rest else [])])}"


def cost(info: SessionInfo, activity: Activity) -> str:
    """Return what a session has cost so far; ``~`` marks an estimate."""
    return money(info.total_cost_usd, estimated=activity.running and activity.estimated)


def money(usd: float | None, *, estimated: bool = False) -> str:
    """Return an amount; ``~`` marks an estimate, and one that is not known is ``?``."""
    return "?" if usd is None else f"{'~' if estimated else ''}{dollars(usd, 2)}"


def time_of(info: SessionInfo, activity: Activity, now: float) -> str:
    """Return since when it waits, how long its turn runs, or for how long it has been at rest."""
    if info.pending:
        return since(now - info.pending[0].time)
    if info.status in ("running", "starting", "waiting"):
        return running(now - activity.began) if activity.running and activity.began else ""
    return since(now - info.updated)


def since(seconds: float) -> str:
    """Return a span of time in one unit: ``31 s``, ``4 min``."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def running(seconds: float) -> str:
    """Return a clock that runs: ``0:41``, ``18:40``, ``1:12 h``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    if minutes < 60:  # noqa: PLR2004 - minutes of an hour
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02} h"


def asks(request: Request, cwd: str) -> str:
    """Return what kind of thing a request is about, in words that no agent has written."""
    if isinstance(request, e.QuestionRequested):
        return "answer a question"
    kinds = list(dict.fromkeys(_kind(effect, cwd) for effect in request.effects))
    return ", ".join(kinds) or "use a tool, of which it does not say what it will do"


def _kind(effect: object, cwd: str) -> str:
    match effect:
        case CommandEffect():
            return "run a command"
        case EditEffect(protected=True):
            return "edit a file that decides what may run next time"
        case EditEffect():
            return f"edit a file{_outside(effect, cwd)}"
        case ReadEffect():
            return f"read a file{_outside(effect, cwd)}"
        case FetchEffect():
            return "fetch an address"
    return "use a tool; midflight does not know what it does"


def _outside(effect: EditEffect | ReadEffect, cwd: str) -> str:
    place = effect.target or effect.path
    inside = place == cwd or place.startswith(f"{cwd}/") or not place.startswith("/")
    return "" if inside else " outside its folder"


def folder(path: str) -> str:
    """Return a folder's path, the home folder as ``~``."""
    return at_home(f"{path}/").removesuffix("/")


def at_home(text: str) -> str:
    """Return a text with paths below the home folder shown from there."""
    return text.replace(f"{Path.home()}/", "~/")
