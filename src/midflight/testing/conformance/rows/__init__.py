"""One check for each row of the capabilities: what an agent can do is seen, not believed.

@pytest.mark.parametrize("row", ROWS)
async def test_my_agent(row, tmp_path):
    await check_row(MY_RIG, row, tmp_path)
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from midflight.testing.conformance.rig import Rig, Stage
from midflight.testing.conformance.rows import options, verbs

__all__ = ["ROWS", "Row", "RowSeen", "check_row", "record", "recorded"]

Check = Callable[[Stage], Awaitable[None]]


class Row(NamedTuple):
    """How a row is seen on an agent that has it, and on one that lacks it.

    ``own`` is set where the agent must be started for the row, or must find a new folder.
    """

    has: Check
    lacks: Check | None = None
    own: bool = False


class RowSeen(NamedTuple):
    """What was seen of one row: the driver's claim, which has been checked.

    ``version`` is empty where the agent was not even started; ``how`` says how it is made, or
    why it is not there. ``strange`` are the beginnings of what the agent asked the model beside the
    conversation, and the kit does not know.
    """

    agent: str
    version: str
    row: str
    verdict: str
    how: str
    strange: tuple[str, ...] = ()


def _option(name: str, value: object) -> Check:
    return partial(options.refused, option=name, value=value)


_SERVERS = {"good": {"command": "true"}}

ROWS: Mapping[str, Row] = {
    "steer": Row(verbs.steer),
    "queue": Row(verbs.queue),
    "redirect": Row(verbs.redirect),
    "interrupt": Row(verbs.interrupt, own=True),
    "cancel": Row(verbs.cancel),
    "permissions": Row(verbs.permissions),
    "edited_input": Row(verbs.edited_input, verbs.no_edited_input),
    "questions": Row(verbs.questions, verbs.no_questions),
    "set_model": Row(verbs.set_model, verbs.no_set_model),
    "set_permission_mode": Row(verbs.set_permission_mode, verbs.no_set_permission_mode),
    "max_turns": Row(verbs.max_turns, _option("max_turns", 2)),
    "max_budget_usd": Row(verbs.max_budget_usd, _option("max_budget_usd", 1.0)),
    "set_limits": Row(verbs.set_limits),
    "cost": Row(verbs.cost, verbs.no_cost),
    "timeout": Row(verbs.timeout),
    "stall_timeout": Row(verbs.stall_timeout),
    "plugins": Row(options.plugins, _option("plugins", ["plugin"]), own=True),
    "skills": Row(options.skills, _option("skills", ["alpha"]), own=True),
    "mcp_servers": Row(options.mcp_servers, _option("mcp_servers", _SERVERS), own=True),
    "system_prompt": Row(
        options.system_prompt, _option("system_prompt", "You are a gardener."), own=True
    ),
    "effort": Row(options.effort, _option("effort", "low")),
    "images": Row(options.images, options.no_images),
    "add_dirs": Row(options.add_dirs, _option("add_dirs", ["/tmp"])),  # noqa: S108 - it exists
    "resume": Row(options.resume, _option("resume", "some-conversation")),
    "relocate": Row(options.relocate, options.no_relocate),
    "retries": Row(options.retries, options.retries),
    "plan": Row(options.plan, options.plan),
    "background": Row(options.background, options.no_background),
    "subagents": Row(options.subagents, options.subagents, own=True),
}
"""The rows of `midflight.agents.base.CAPABILITIES`, each with its check."""


async def check_row(rig: Rig, name: str, folder: Path, *, tried: bool = True) -> RowSeen:
    """Do what a row is about, and raise AssertionError if it is not as the driver says.

    ``folder`` must be an empty folder for this one use. Without ``tried`` driver and rig are only
    asked: for a row that is tried elsewhere.
    """
    row = ROWS[name]
    stage = Stage(rig, folder, own=row.own)
    if tried:
        await stage.learn()
    verdict = stage.can[name]
    how = "" if verdict == "supported" else stage.limits.get(name, "")
    check = row.lacks if verdict == "not" else row.has
    if check is None:
        raise AssertionError(f"every agent has {name}; {rig.name} says it has not")
    if tried:
        await check(stage)
    if verdict != "supported" and not how:
        raise AssertionError(f"{rig.name} does not say how it comes that {name} is {verdict!r}")
    strange = {r.last_user_text[:60] for model in stage.models for r in model.strange_requests}
    return RowSeen(rig.name, stage.version, name, verdict, how, tuple(sorted(strange)))


def record(seen: RowSeen, folder: Path) -> None:
    """Write down what was seen, one file for each row, so that tests at once do not meet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{seen.agent}.{seen.row}.json"
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(seen._asdict()) + "\n", encoding="utf-8")
    part.replace(path)


def recorded(folder: Path) -> list[RowSeen]:
    """Return what was written down."""
    return [RowSeen(**json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")]
