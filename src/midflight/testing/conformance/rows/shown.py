"""What is seen of a preset beside the capabilities: what its requests show, and its trust.

No driver claims these: they depend on what an agent says of its tools, which is its own business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from midflight import events as e
from midflight.agents import PRESETS
from midflight.effects import CommandEffect, EditEffect
from midflight.errors import AlreadyAnswered, UnsupportedOption
from midflight.testing.conformance.rig import Rig, Stage
from midflight.testing.conformance.rows import RowSeen
from midflight.testing.conformance.rows.verbs import in_turn, write
from midflight.testing.model.script import Step, Text, ToolCall

Seen = tuple[str, str]
"""A verdict, and how or why."""


class Look(NamedTuple):
    """A row: what it is about, and how it is looked at."""

    says: str
    at: Callable[[Stage], Awaitable[Seen]]


async def _effects(stage: Stage) -> Seen:
    """Ask for a command and for a new file, and allow both."""
    steps: list[Step] = [ToolCall("Bash", {"command": "touch made"}), write(stage.cwd / "a.txt")]
    shown: set[type] = set()
    async with stage.play(in_turn(steps), attended=True) as on:
        await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                shown.update(map(type, event.effects))
                await on.session.answer(event)
        assert (stage.cwd / "made").exists()
        assert (stage.cwd / "a.txt").exists()
    return _verdict(command=CommandEffect in shown, edit=EditEffect in shown)


async def _rules(stage: Stage) -> Seen:
    """Allow a command and an edit for the session, and ask for the like again."""
    command = ToolCall("Bash", {"command": "touch made"})
    files = [write(stage.cwd / name) for name in ("a.txt", "b.txt")]
    kinds: dict[str, str] = {}
    ruled: set[str] = set()
    async with stage.play(in_turn([command, command, *files]), attended=True) as on:
        await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.ToolStarted):
                kinds[event.call] = event.kind
            if isinstance(event, e.PermissionRequested):
                kinds[event.request] = kinds[event.call]
                with contextlib.suppress(AlreadyAnswered):  # by the rule
                    await on.session.answer(event, remember="session" if event.rule else None)
            if isinstance(event, e.PermissionResolved) and event.by == "rule":
                ruled.add(kinds[event.request])
        assert (stage.cwd / "b.txt").exists()
    return _verdict(command="execute" in ruled, edit="edit" in ruled)


def _verdict(*, command: bool, edit: bool) -> Seen:
    match command, edit:
        case True, True:
            return "supported", ""
        case False, True:
            return "partly", "of edits; what the agent says of a command is shown whole"
        case True, False:
            return "partly", "of commands; what the agent says of an edit is shown whole"
    return "not", "what the agent says of a call is shown whole"


async def _trust(stage: Stage) -> Seen:
    """Start where the folder has a file that the agent obeys: first without trust, then with."""
    own = stage.cwd / PRESETS[stage.rig.agent].files[0] / "commands" / "plum.md"
    own.parent.mkdir(parents=True)
    own.write_text("Speak of plums.\n")
    verdict: Seen = "supported", ""
    try:
        async with stage.play([Text("x")]) as on:
            await on.ask()
    except UnsupportedOption as error:
        if error.option != "trust":
            raise
        verdict = "emulated", "it is not started in a folder that is not trusted"
    async with stage.play([Text("x")], trust=True) as on:
        await on.ask()
    return verdict


LOOKS: Mapping[str, Look] = {
    "effects": Look("a request says what will happen", _effects),
    "rules": Look("an answer for the session covers more like it", _rules),
    "trust": Look("the settings of a folder that is not trusted are left out", _trust),
}


async def look(rig: Rig, name: str, folder: Path) -> RowSeen:
    """Look at one row. ``folder`` must be an empty folder for this one use."""
    stage = Stage(rig, folder)
    verdict, how = await LOOKS[name].at(stage)
    return RowSeen(rig.name, stage.version, name, verdict, how)
