"""What has to be true of sessions after whatever has befallen their machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.faults.chaos import check_events
from tests.machines.parts import FIRST

from midflight import events as e

__all__ = ["check_effects", "check_session", "facts"]

Line = Mapping[str, Any]


def check_session(
    session: str, events: list[e.Event], said: Iterable[Line], asked: Sequence[Line]
) -> list[str]:
    """Return what is wrong with one session: its events, and what its model was asked."""
    wrong = [f"{session}: {what}" for what in check_events(events)]
    accepted = {event.message for event in events if isinstance(event, e.MessageAccepted)}
    wrong += [
        f"P1: {line['accepted']} was acknowledged and is not in the journal"
        for line in said
        if line.get("session") == session
        if "accepted" in line and line["accepted"] not in accepted
    ]
    opened = Counter(name for line in asked if not line["results"] for name in line["last"])
    wrong += [
        f"the model was asked {times} times about {name}"
        for name, times in opened.items()
        if times > 1
    ]
    wrong += _check_order(asked)
    if asked and f"{session}{FIRST}" not in asked[-1]["all"]:
        wrong.append(f"{session}: the agent has forgotten all but {asked[-1]['all']}")
    return wrong


def _check_order(asked: Sequence[Line]) -> list[str]:
    """No turn goes on, on another machine say, when the next one has begun."""
    order: list[str] = []
    wrong = []
    for line in asked:
        name = "".join(line["last"])
        if name in order[:-1]:
            wrong.append(f"{name} went on on {line['machine']} after {order[-1]} had begun")
        elif name not in order:
            order.append(name)
    return wrong


def check_effects(effects: Iterable[tuple[str, str]]) -> list[str]:
    """Return which tools have run more than once; each effect has a name and a machine."""
    ran = Counter(name for name, _ in effects)
    return [f"{name} ran {times} times" for name, times in ran.items() if times > 1]


def facts(events: Sequence[e.Event], asked: Sequence[Line]) -> dict[str, Any]:
    """Return what has happened in a session, in figures."""
    return {
        "events": len(events),
        "turns": dict(Counter(x.reason for x in events if isinstance(x, e.TurnEnded))),
        "messages": dict(Counter(x.type for x in events if x.type.startswith("message."))),
        "model_requests": len(asked),
        "machines": dict(Counter(line["machine"] for line in asked)),
        "resumed": sum(isinstance(x, e.SessionResumed) for x in events),
    }
