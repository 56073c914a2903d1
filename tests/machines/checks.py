"""What has to be true of sessions after whatever has befallen their machines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.faults.chaos import check_events
from tests.machines.parts import FIRST

from midflight import events as e

__all__ = ["Files", "check_effects", "check_files", "check_session", "facts"]

Line = Mapping[str, Any]

_MISSING = re.compile(r"what turns? (\d+)(?: to (\d+))? has changed was not pushed")


class Files(NamedTuple):
    """What tools have left of a session in its ref, and in the folder where it was last."""

    pushed: list[str]
    here: list[str]


def check_session(
    session: str,
    events: list[e.Event],
    said: Iterable[Line],
    asked: Sequence[Line],
    stopped: Container[str],
) -> list[str]:
    """Return what is wrong with one session: its events, and what its model was asked.

    ``stopped`` are machines whose worker has stood still. The agent of one wakes with it, or has
    never stopped, and may have taken a step before it is ended; nothing of that is recorded.
    """
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
    wrong += _check_order(line for line in asked if line["machine"] not in stopped)
    if asked and f"{session}{FIRST}" not in asked[-1]["all"]:
        wrong.append(f"{session}: the agent has forgotten all but {asked[-1]['all']}")
    return wrong


def _check_order(asked: Iterable[Line]) -> list[str]:
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


def check_files(
    session: str, events: Iterable[e.Event], effects: Iterable[tuple[str, str]], files: Files
) -> list[str]:
    """Return what is wrong with the files of a session that works in a checkout.

    A tool has added the name of its message to a file. What is missing there was told: it was done
    by a turn whose work went with its machine.
    """
    done = [name for name, _ in effects if re.fullmatch(rf"{session}m\d+", name)]
    wrong = []
    if files.here != files.pushed:
        wrong.append(f"{session}: its folder has {files.here}, its ref {files.pushed}")
    if files.pushed != [name for name in done if name in files.pushed]:
        wrong.append(f"{session}: its ref has {files.pushed}, its tools did {done}")
    turns = {
        name: event.turn
        for event in events
        if isinstance(event, e.ToolStarted)
        for name in done
        if name in str(event.input)
    }
    told = [
        range(int(first), int(last or first) + 1)
        for event in events
        if isinstance(event, e.Notice)
        for first, last in _MISSING.findall(event.text)
    ]
    return wrong + [
        f"{session}: nobody has said that the work of {name}, turn {turn}, is missing"
        for name, turn in turns.items()
        if name not in files.pushed and not any(turn in some for some in told)
    ]


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
