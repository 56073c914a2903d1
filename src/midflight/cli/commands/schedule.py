"""``midflight schedule``: tasks that begin by themselves, while a `midflight serve` runs."""

from __future__ import annotations

import argparse
import asyncio
import functools
import shlex
import shutil
from collections.abc import Sequence
from typing import Any

import msgspec

from midflight._util.sanitize import one_line, one_name
from midflight._util.text import dollars
from midflight.authorization import Caller
from midflight.cli.exit_codes import INTERRUPTED
from midflight.cli.options import name_source, resolve_options
from midflight.cli.output import BOLD, at_terminal, json_line, write
from midflight.cli.own_repository import checkout_of
from midflight.cli.parser import parse
from midflight.cli.standard_input import read_task
from midflight.cli.starting_options import SCHEDULE_ACTIONS
from midflight.cli.terminal.table import align
from midflight.cli.trust_question import Quit, ask, forget_typed, line_of_terminal
from midflight.client.client import connect
from midflight.errors import InvalidInput, InvalidOption, MidflightError, NotAllowed
from midflight.info import RunInfo, ScheduleInfo
from midflight.journal import Journal
from midflight.options import PERMISSION_MODES, Options
from midflight.schedules.cron import local, local_zone
from midflight.schedules.making import check_start, pause, resume, scheduled
from midflight.schedules.rules import MOST_COUNTED
from midflight.state.session import BUSY

RUNS = 50
"""How many runs a history shows."""

_ONLY_RUN = {
    "resume": "--resume",
    "go_on": "--continue",
    "notify": "--notify",
    "park_after": "--park-after",
    "no_journal": "--no-journal",
    "json": "--json",
    "journal": "--journal",
    "image": "--image",
    "with_changes": "--with-changes",
}
"""Options of `run` that have no meaning for a session that begins by itself."""

_HINTS = {
    "--notify": "set MIDFLIGHT_NOTIFY for the `midflight serve`: an address may hold a key",
    "--park-after": "set MIDFLIGHT_PARK_AFTER for the `midflight serve`",
    "--image": "name the file in the task",
    "--with-changes": "commit and push them",
    "--json": "midflight schedule … --json, in front of the --",
    "--journal": "midflight schedule … --journal J, in front of the --",
}

_EXAMPLE = 'midflight schedule "0 7 * * 1-5" -- run "your task"'
_NOBODY = "midflight: nothing fires while no `midflight serve` runs\n"
_NOBODY_ANYWHERE = "midflight: nothing fires while no `midflight serve` or worker of yours runs\n"
_ASKS = (
    "In the mode default the agent asks before it changes files or runs commands, and what nobody"
    " answers within ten minutes is denied"
)


def schedule(args: argparse.Namespace) -> int:
    """List the schedules, make one, or change one; return the exit code."""
    if Caller.this_process().held:
        raise NotAllowed("an agent makes and changes no schedules", "ask the user")
    if args.what is None:
        return asyncio.run(_list(args))
    if args.what not in SCHEDULE_ACTIONS:
        return _make(args)
    if args.schedule is None:
        raise InvalidInput(f"which schedule is to {args.what}?", "midflight schedule lists them")
    return asyncio.run(_change(args))


# Making -------------------------------------------------------------------------------------


def _make(args: argparse.Namespace) -> int:
    """Read what is to run, ask what would have to be asked then, and keep it."""
    if args.schedule is not None:
        raise InvalidInput("the times are one argument, in quotes", _EXAMPLE)
    if not args.run or args.run[0] != "run":
        raise InvalidInput("what is to begin stands behind --: run, with its task", _EXAMPLE)
    run = parse(args.run)
    if args.on is not None:
        if run.on not in {None, args.on}:
            raise InvalidOption("--on", "two labels are named", "name one, on either side of --")
        run.on = args.on
    for name, flag in _ONLY_RUN.items():
        if getattr(run, name):
            raise InvalidOption(flag, "a schedule cannot have it", _HINTS.get(flag, "leave it out"))
    if run.task is None:
        raise InvalidInput("there is no task", _EXAMPLE)
    if checkout_of(run) is not None:
        raise InvalidOption(
            "--repo",
            "each run begins with what is at the remote by then, and this is a folder",
            "name its address, which git remote get-url origin says"
            + ("" if run.repo else "; or with --cwd a folder of the worker"),
        )
    read_task(run)
    resolved = resolve_options(run)
    try:
        return asyncio.run(_keep(args, run, dict(resolved.options)))
    except Quit:
        return INTERRUPTED
    except InvalidOption as error:
        raise name_source(resolved.sources, error, resolved.options["agent"]) from error


async def _keep(args: argparse.Namespace, run: argparse.Namespace, options: dict[str, Any]) -> int:
    made = functools.partial(
        scheduled,
        args.what,
        args.zone or local_zone(),
        run.task,
        name=options.pop("name", None) or "",
        then=run.then or (),
        worktree=run.worktree,
        on=run.on,
    )
    new = made(options)  # what is wrong is said before anything is asked
    asks = at_terminal() and not args.json
    if asks:
        new = made(await _decided(new.options, on=run.on))
    notice = await check_start(new)
    async with Journal() as journal:
        await journal.schedules.add(new)
        _report(args, new, f"{_name(new)}: next on {_next(new)}\n")
        if notice:
            write(f"midflight: {one_line(notice, 1000)}\n", error=True)
        if new.options.get("permission_mode", "default") == "default" and not asks:
            write(f"midflight: {_ASKS}; --permission-mode says otherwise\n", error=True)
        await _warn(journal, new)
    return 0


async def _decided(options: dict[str, Any], *, on: str | None) -> dict[str, Any]:
    """Return options with what a person at the terminal has decided. Raises `Quit`."""
    decided = {**options}
    if "permission_mode" not in decided:
        decided["permission_mode"] = await _mode()
    # What the folder there has the agent run is for the worker's user; a new checkout has no trust.
    if on is not None or decided.get("repo"):
        return decided
    trust = (await ask(Options.build(**decided))).trust
    return decided if trust is None else decided | {"trust": trust}


async def _mode() -> str:
    while True:
        forget_typed()
        write(f"{_ASKS}.\nPermission mode ({', '.join(PERMISSION_MODES)}; Enter: default)? ")
        word = (await line_of_terminal()).strip() or "default"
        if word in PERMISSION_MODES:
            return word


# Looking and changing -----------------------------------------------------------------------


async def _list(args: argparse.Namespace) -> int:
    async with Journal() as journal:
        found = await journal.schedules.all()
        if args.json:
            write(json_line(msgspec.json.encode(found)))
        elif not found:
            write(f"No schedules yet. To make one: {_EXAMPLE}\n")
        else:
            _write_table([["NAME", "WHEN", "NEXT", "LAST", "TASK"], *map(_row, found)])
        await _warn(journal, *found)
    return 0


async def _change(args: argparse.Namespace) -> int:
    async with Journal() as journal:
        store = journal.schedules
        found = await store.find(args.schedule)
        match args.what:
            case "history":
                _history(args, found, await store.runs(found.id, RUNS))
                return 0
            case "now":
                return await _now(args, journal, found)
            case "pause":
                await pause(store, found)
                said = "rests"
            case "resume":
                await resume(store, found)
                said = f"next on {_next(await store.find(found.id))}"
            case _:
                await store.remove(found.id)
                said = "removed"
        _report(args, found, f"{_name(found)}: {said}\n")
        if args.what == "resume":
            await _warn(journal, found)
    return 0


async def _now(args: argparse.Namespace, journal: Journal, found: ScheduleInfo) -> int:
    """Begin a run from here, whether anybody serves or not."""
    from midflight.client.scheduled import RunStarter
    from midflight.schedules.firing import Firing

    async with connect(door="command") as client:
        await journal.host.register("")  # for as long as it takes
        try:
            run = await Firing(journal, RunStarter(client)).fire_now(found)
        finally:
            await journal.host.leave()
    if run.state != "begun":
        raise MidflightError(f"{found.name} could not begin: {run.note}")
    name = one_name(run.session)
    _report(args, run, f"{name}\nTo follow it: midflight attach {shlex.quote(name)}\n")
    return 0


def _history(args: argparse.Namespace, of: ScheduleInfo, runs: Sequence[RunInfo]) -> None:
    if args.json:
        write(json_line(msgspec.json.encode(runs)))
    elif not runs:
        write(f"{_name(of)} has not run yet; next on {_next(of)}\n")
    else:
        cells = [
            [
                _at(run.due, of.zone),
                _came_to(run),
                dollars(run.total_cost_usd, 2) if run.session else "",
                one_name(run.session),
                one_line(run.note) or ("by hand" if run.by_hand else ""),
            ]
            for run in runs
        ]
        _write_table([["DUE", "CAME TO", "COST", "SESSION", "NOTE"], *cells])


async def _warn(journal: Journal, *made: ScheduleInfo) -> None:
    store = journal.schedules
    if any(each.on is None for each in made) and not await store.is_fired():
        write(_NOBODY, error=True)
    label = next((each.on for each in made if each.on is not None), None)
    if label is not None and not await store.is_fired(label):
        write(_NOBODY_ANYWHERE, error=True)


def _report(args: argparse.Namespace, what: object, text: str) -> None:
    write(json_line(msgspec.json.encode(what)) if args.json else text)


# Words --------------------------------------------------------------------------------------


def _write_table(rows: Sequence[Sequence[str]]) -> None:
    lines = align(rows, shutil.get_terminal_size().columns if at_terminal() else None)
    write([("" if at else BOLD, f"{line}\n") for at, line in enumerate(lines)])


def _row(info: ScheduleInfo) -> list[str]:
    last = "" if info.last is None else _came_to(info.last)
    return [_name(info), info.cron, _next(info), last, one_line(info.task)]


def _name(info: ScheduleInfo) -> str:
    return one_name(info.name)


def _next(info: ScheduleInfo) -> str:
    if info.next is None:
        return "paused" if info.paused else "never"
    return _at(info.next, info.zone)


def _at(moment: float, zone: str) -> str:
    return f"{local(moment, zone):%a %Y-%m-%d %H:%M} {zone}"


def _came_to(run: RunInfo) -> str:
    """Return what has come of a run, in a word or two."""
    match run.state:
        case "begun" if not run.session:
            return "removed"
        case "begun" if run.status in BUSY or not run.outcome:
            return run.status or ""
        case "begun":
            return run.outcome if run.outcome == "completed" else f"{run.outcome}: {run.reason}"
        case "missed" if run.missed > 1:
            many = f"{run.missed} or more" if run.missed >= MOST_COUNTED else run.missed
            return f"{many} missed from then on"
    return run.state
