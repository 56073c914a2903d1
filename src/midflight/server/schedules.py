"""Schedules on `midflight serve`: it fires them, and lists and changes them for who asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from midflight._util.aio import TaskSet
from midflight.errors import InvalidOption, LeaseLost, StoreFailed
from midflight.host.http.app import LIMIT, as_json, body_of, decoded, number
from midflight.host.http.new_session import option_fields
from midflight.host.http.operations import ApiRoute, Operation
from midflight.info import RunInfo, ScheduleInfo
from midflight.journal import Journal
from midflight.schedules.cron import local_zone
from midflight.schedules.firing import Firing
from midflight.schedules.making import STORED, check_start, pause, resume, scheduled

_WHAT = "a schedule, or a command for one"

RUNS = 20
"""How many runs are told unless more are asked for."""


# Firing -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def firing(journal: Journal, fires: Firing) -> AsyncIterator[None]:
    """Fire the schedules of a journal within the block, as a host of its own without a socket."""
    await journal.host.register("", fires=True)
    tasks = TaskSet()
    tasks.start(_beat(journal))
    tasks.start(journal.host.stay())
    tasks.start(fires.run())
    try:
        yield
    finally:
        await tasks.close()
        with contextlib.suppress(StoreFailed):
            await journal.host.leave()


async def _beat(journal: Journal) -> None:
    """Beat: a host that hangs is taken for dead, and others begin what it had to."""
    while True:
        await journal.host.until_beat()
        with contextlib.suppress(StoreFailed):  # which may pass
            try:
                await journal.host.beat()
            except LeaseLost:  # the machine has slept for long
                await journal.host.register("", fires=True)


# Asking -------------------------------------------------------------------------------------


class ScheduleCommand(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /schedules/{schedule}/commands``: let it rest, go on, or run at once."""

    type: Literal["pause", "resume", "run"]


class _Parts(msgspec.Struct):
    """What the body of ``POST /schedules`` has beside the options."""

    cron: str
    task: str
    zone: str = ""
    name: str = ""
    then: tuple[str, ...] = ()
    worktree: bool = False
    on: str | None = None


_PARTS = frozenset(_Parts.__struct_fields__)


def _new_schedule() -> type[msgspec.Struct]:
    """Return the type of a schedule that is wanted."""
    fields: list[Any] = [("cron", str), ("task", str), ("cwd", str), ("zone", str, "")]
    fields += [("name", str, ""), ("then", tuple[str, ...], ()), ("worktree", bool, False)]
    fields += [("on", str | None, None)]
    fields += option_fields({*STORED} - {"cwd"})
    return msgspec.defstruct(
        "NewSchedule",
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": "A task to be begun at set times: when, in which zone, and options."},
    )


_LIST = Operation("All schedules, the one that runs next first", {200: list[ScheduleInfo]})
_ADD = Operation(
    "Make a schedule",
    {201: ScheduleInfo},
    body=_new_schedule(),
    example={
        "cron": "0 7 * * 1-5",
        "zone": "Europe/Berlin",
        "task": "Fix what the night's build has broken",
        "name": "morning",
        "cwd": "/home/ada/shop",
        "max_budget_usd": 2.0,
    },
)
_SHOW = Operation("One schedule", {200: ScheduleInfo})
_REMOVE = Operation("Remove a schedule; its sessions stay", {200: ScheduleInfo})
_COMMAND = Operation(
    "Let a schedule rest, go on, or run at once",
    {202: ScheduleInfo},
    body=ScheduleCommand,
    example={"type": "pause"},
)
_RUNS = Operation(
    "What has become of a schedule's runs, the newest first", {200: list[RunInfo]}, {"limit": LIMIT}
)


def schedule_routes(journal: Journal, fires: Firing) -> list[ApiRoute]:
    """Return the routes of schedules."""
    api = _Api(journal, fires)
    one = "/schedules/{schedule}"
    return [
        ApiRoute("/schedules", api.list, _LIST),
        ApiRoute("/schedules", api.add, _ADD, "POST"),
        ApiRoute(one, api.show, _SHOW),
        ApiRoute(one, api.remove, _REMOVE, "DELETE"),
        ApiRoute(f"{one}/commands", api.command, _COMMAND, "POST"),
        ApiRoute(f"{one}/runs", api.runs, _RUNS),
    ]


class _Api:
    """The endpoints. Who has the token is the user; no agent has it."""

    def __init__(self, journal: Journal, fires: Firing) -> None:
        self._store = journal.schedules
        self._fires = fires

    async def list(self, request: Request) -> Response:
        return as_json(await self._store.all())

    async def add(self, request: Request) -> Response:
        body = await body_of(request)
        parts, options = decoded(body, _Parts, _WHAT), decoded(body, dict[str, Any], _WHAT)
        options = {name: value for name, value in options.items() if name not in _PARTS}
        if "cwd" not in options:
            raise InvalidOption("cwd", "a server has no folder of its own", "say where to work")
        new = await asyncio.to_thread(
            scheduled,
            parts.cron,
            parts.zone or local_zone(),
            parts.task,
            options,
            name=parts.name,
            then=parts.then,
            worktree=parts.worktree,
            on=parts.on,
        )
        await check_start(new)
        await self._store.add(new)
        return as_json(new, 201)

    async def _found(self, request: Request) -> ScheduleInfo:
        return await self._store.find(request.path_params["schedule"])

    async def show(self, request: Request) -> Response:
        return as_json(await self._found(request))

    async def remove(self, request: Request) -> Response:
        found = await self._found(request)
        await self._store.remove(found.id)
        return as_json(found)

    async def command(self, request: Request) -> Response:
        command = decoded(await body_of(request), ScheduleCommand, _WHAT)
        found = await self._found(request)
        match command.type:
            case "pause":
                await pause(self._store, found)
            case "resume":
                await resume(self._store, found)
            case "run":
                await self._fires.fire_now(found)
        return as_json(await self._store.find(found.id), 202)

    async def runs(self, request: Request) -> Response:
        found = await self._found(request)
        limit = number(request.query_params.get("limit"), least=1) or RUNS
        return as_json(await self._store.runs(found.id, limit))
