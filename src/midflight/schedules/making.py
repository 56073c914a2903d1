"""What can be scheduled, checked when it is: at seven in the morning there is nobody to ask."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from midflight._util.text import slug
from midflight.agents import cost_of, create, obeyed
from midflight.commands import check_text
from midflight.errors import AgentUnavailable, InvalidInput, InvalidOption, UnsupportedOption
from midflight.git.repository import Repository
from midflight.info import ScheduleInfo
from midflight.journal.schedules import ScheduleStore
from midflight.journal.waiting import check_label
from midflight.options import Options, check_option
from midflight.schedules.cron import next_run
from midflight.trust.decision import decide

STORED = (
    *("agent", "agent_path", "model", "cwd", "add_dirs", "permission_mode", "effort"),
    *("allowed_tools", "disallowed_tools", "plugins", "skills", "system_prompt", "server_url"),
    *("max_turns", "max_budget_usd", "timeout", "stall_timeout", "request_timeout"),
    *("on_usage_limit", "max_wait", "background_timeout", "max_depth", "max_children"),
    *("on_host_lost", "repo", "ref"),
)
"""The options that a schedule can have, beside ``trust=False``: nothing that may be secret."""

_REASONS = {
    "env": (
        "values of variables are never stored",
        "its sessions have the environment of the `midflight serve` that begins them",
    ),
    "mcp_servers": (
        "what a server is started with may be secret, and is never stored",
        "have the agent's own settings, or a plugin, name the server",
    ),
    "trust": (
        "it would obey whatever the folder has it run by then",
        "agree to what is there now with midflight trust, and leave this out",
    ),
    "resume": ("each run begins a conversation of its own", "leave it out"),
}


def scheduled(
    cron: str,
    zone: str,
    task: str,
    options: Mapping[str, Any],
    *,
    name: str = "",
    then: Sequence[str] = (),
    worktree: bool = False,
    on: str | None = None,
) -> ScheduleInfo:
    """Return a schedule whose parts have been checked as those of a session are.

    Raises `InvalidInput` and `InvalidOption`.
    """
    now = time.time()
    following = next_run(" ".join(cron.split()), zone, now)
    if following is None:
        raise InvalidInput(f"{cron!r} never comes", "such as 0 7 * * 1-5")
    for text in (task, *then):
        check_text(text)
    check_option("name", name or None)
    if on is not None:
        check_label(on)
        if worktree:
            raise InvalidOption("worktree", "a worker has other folders", "leave it out, or on")
    if worktree and options.get("repo"):
        raise InvalidOption("worktree", "repo is a checkout of each session's own", "leave it out")
    return ScheduleInfo(
        id=uuid.uuid4().hex,
        name=name or slug(task),
        cron=" ".join(cron.split()),
        zone=zone,
        task=task,
        then=tuple(then),
        worktree=worktree,
        options=_stored(options, on),
        on=on,
        next=following,
        created=now,
    )


def _stored(options: Mapping[str, Any], on: str | None) -> dict[str, Any]:
    """Return options as plain data: those that were given, and the folder."""
    for option, value in options.items():
        if option not in STORED and not (option == "trust" and value is False):
            why, hint = _REASONS.get(option, ("a schedule cannot have this", ""))
            raise InvalidOption(option, why, hint)
    built = Options.build(**options) if on is None else Options.build_elsewhere(**options)
    given = {option: getattr(built, option) for option in (*options, "cwd")}
    plain: dict[str, Any] = msgspec.to_builtins(given, enc_hook=str)
    return plain


async def pause(store: ScheduleStore, schedule: ScheduleInfo) -> None:
    """Let a schedule rest: what would have run meanwhile is not missed."""
    await store.set_next(schedule.id, None, paused=True)


async def resume(store: ScheduleStore, schedule: ScheduleInfo) -> None:
    """Let a schedule go on, with the next run that is still to come. Raises `InvalidInput`."""
    if schedule.next is None:
        following = next_run(schedule.cron, schedule.zone, time.time())
        await store.set_next(schedule.id, following, paused=False)


async def check_start(schedule: ScheduleInfo) -> str:
    """Look whether a session can begin with these options, and begin none.

    Return what its agent will start without, for a person; nothing where that is nothing. Raises
    what a begin raises, `AgentUnavailable` and `UnsupportedOption` among them.
    """
    if schedule.on is not None:
        with contextlib.suppress(AgentUnavailable):  # it need not be on this machine
            await create(Options.build_elsewhere(**schedule.options)).check()
        return ""
    options = Options.build(**schedule.options)
    if schedule.worktree:
        await Repository.of(options.cwd)
    if options.max_budget_usd is not None and cost_of(options.agent) == "not":
        raise UnsupportedOption("max_budget_usd", f"it is not known what {options.agent} costs")
    await create(options).check()
    if options.repo is not None:  # which is not there yet, and starts untrusted
        return ""
    files = obeyed(options.agent)
    return "" if files is None else decide(options, files).notice
