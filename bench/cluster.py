"""Measures many machines with one PostgreSQL: the probes of ``python -m bench.probe cluster …``.

The raw side writes to the same PostgreSQL by hand; for a task it is the host of one's own machine.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from bench.background import end_hosts
from bench.base import Samples, Size
from bench.host import EVENTS_IN_A_TURN, text_after
from bench.host_other import Other, other
from bench.host_work import fill_waiting
from bench.postgresql import Server, server
from bench.repositories import make_remote
from bench.sides import OPTIONS
from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.commands import Relocate
from midflight.events import Event, MessageAccepted, Text, TextDelta, TurnEnded, TurnStarted
from midflight.journal.process_identity import MACHINE_VARIABLE
from midflight.testing.home import make_home

__all__ = ["PROBES"]

E = TypeVar("E", bound=Event)

LABEL = "bench"
PLACES = ("here", "there")
ROOM = 4
WORKERS = 3
TASKS = 30
KILLS = 4
PER_SECOND = 100
SETTLED_S = 1.0
ENDLESS = 10_000
"""So many deltas, so many milliseconds apart: a turn that ends long after all is measured."""
SETTLE_S = 5.0
PATIENCE_S = 120.0
SESSIONS = {"events_1": 1, "events_50": 50, "events_500": 500}


async def machine(stack: AsyncExitStack, number: int, name: str, *arguments: object) -> Other:
    """Start a program as on a machine of its own."""
    os.environ[MACHINE_VARIABLE] = f"machine-{number}"
    return await stack.enter_async_context(other(name, *arguments, module="bench.cluster_other"))


async def events(side: str, size: Size) -> Samples:
    """Durable events of all machines together: how long a thousand take."""
    samples: Samples = {}
    for key, sessions in SESSIONS.items():
        with server() as database:
            machines = min(WORKERS, sessions)
            each = -(-sessions // machines)
            turns = max(1, size.writes // EVENTS_IN_A_TURN // (each * machines))
            took = await _written(database, side, machines, each, turns)
        samples[key] = [took / (machines * each * turns * EVENTS_IN_A_TURN) * 1_000]
    return samples


async def _written(database: Server, side: str, machines: int, each: int, turns: int) -> float:
    name = "writer" if side == "midflight" else "raw_writer"
    async with AsyncExitStack() as stack:
        programs = [
            await machine(stack, number, name, database.url, each, turns)
            for number in range(machines)
        ]
        for program in programs:
            await program.told()
            program.say("go")
        took: list[float] = [await program.told() for program in programs]
        return max(took)


async def tasks(side: str, size: Size) -> Samples:
    """A task until its first text: on an idle worker, and in a host of one's own machine."""
    took = []
    with server() as database:
        async with AsyncExitStack() as stack:
            where: dict[str, Any] = {}
            if side == "midflight":
                await machine(stack, 1, "worker", database.url, LABEL, size.sessions)
                where = {"on": LABEL}
            client = await laptop(stack, database)
            for number in range(1 + size.warm):  # the first one starts what is there already later
                began = time.perf_counter()
                async with await client.dispatch("pong", model="sonnet", **where) as session:
                    text_s = await text_after(session, began)
                    await session.close()
                if number:
                    took.append(text_s)
            if side == "raw":
                await end_hosts(client)
    return {"task": took}


async def turns(side: str, size: Size) -> Samples:
    """With the `fake` agent: a task until its turn begins, a message until it is taken."""
    assert side == "midflight"
    started, taken, known = [], [], []
    with server() as database:
        async with AsyncExitStack() as stack:
            await machine(stack, 1, "worker", database.url, LABEL, size.sessions)
            client = await laptop(stack, database)
            for _ in range(size.starts * TASKS):
                began = time.time()
                session = await client.dispatch("pong", agent="fake", on=LABEL)
                async with session:
                    event = await seen(session, TurnStarted)
                    started.append(event.time - began)
                    await session.close()
            async with await client.dispatch("pong", agent="fake", on=LABEL) as session:
                end = await seen(session, TurnEnded)
                for _ in range(size.starts * TASKS):
                    began = time.time()
                    await session.send("pong")
                    known.append(time.time() - began)
                    taken.append((await seen(session, MessageAccepted, end.seq)).time - began)
                    end = await seen(session, TurnEnded, end.seq)
    return {
        **ranked("queued", started),
        **ranked("command", taken),
        **ranked("outcome", known),
    }


async def rest(side: str, size: Size) -> Samples:
    """What a worker and the database do while many sessions wait, and many are at rest."""
    assert side == "midflight"
    samples: Samples = {}
    for key, waiting in (("queued", True), ("parked", False)):
        with server() as database:
            async with AsyncExitStack() as stack:
                client = await laptop(stack, database)
                first = await machine(stack, 1, "worker", database.url, LABEL, 1)
                await first.told()
                text = f"stamps {ENDLESS} {ENDLESS}"
                async with await client.dispatch(text, agent="fake", on=LABEL) as session:
                    await seen(session, TurnStarted)
                    await asyncio.to_thread(
                        fill_waiting, database.url, LABEL if waiting else None, size.waiting
                    )
                    await asyncio.sleep(SETTLE_S if size.warm_up else 0)
                    used, spent = await _used(first), database.used()
                    await asyncio.sleep(size.idle)
                    samples[f"{key}_worker"] = [(await _used(first) - used) / size.idle]
                    samples[f"{key}_database"] = [(database.used() - spent) / size.idle]
    return samples


async def _used(worker: Other) -> float:
    worker.say("used")
    used: float = await worker.told()
    return used


async def failover(side: str, size: Size) -> Samples:
    """Kill a worker amid a turn: how long until the next message's turn runs on another one."""
    assert side == "midflight"
    took = []
    with server() as database:
        async with AsyncExitStack() as stack:
            client = await laptop(stack, database)
            pid = await (await machine(stack, 1, "worker", database.url, LABEL, 1)).told()
            text = f"stamps {ENDLESS} {ENDLESS}"
            async with await client.dispatch(text, agent="fake", on=LABEL) as session:
                begun = await seen(session, TurnStarted)
                for number in range(size.starts * KILLS):
                    other = await machine(stack, 2 + number, "worker", database.url, LABEL, 1)
                    following = await other.told()
                    began = time.time()
                    os.kill(pid, signal.SIGKILL)
                    await session.send(text)
                    begun = await seen(session, TurnStarted, begun.seq)
                    took.append(begun.time - began)
                    pid = following
    return {"failover_p50": [statistics.median(took)], "failover_worst": [max(took)]}


async def deltas(side: str, size: Size) -> Samples:
    """How old deltas are when another machine has them, and what they cost the database."""
    assert side == "midflight"
    with server() as database:
        async with AsyncExitStack() as stack:
            owner = await machine(stack, 1, "streams", database.url, size.sessions, PER_SECOND)
            far = await machine(stack, 2, "reader", database.url, *await owner.told())
            await far.told()
            spent = database.used()
            owner.say(size.idle)
            await owner.told()
            spent = (database.used() - spent) / size.idle
            await asyncio.sleep(SETTLED_S)
            far.say("enough")
            ages = await far.told()
    return {**ranked("far", ages), "far_database": [spent]}


async def moves(side: str, size: Size) -> Samples:
    """A live session with much in its repository goes on at another worker.

    The first move is to one that has never seen the repository, the others know it already.
    """
    assert side == "midflight"
    samples: Samples = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, server() as database:
        remote = await asyncio.to_thread(make_remote, Path(folder), size.files)
        async with AsyncExitStack() as stack:
            for number, label in enumerate(PLACES):
                await at_home(stack, Path(folder, label), number, database, label)
            client = await laptop(stack, database)
            for agent, options in OPTIONS.items():
                for label in PLACES:  # a server that is warm has a session already
                    begun = await client.dispatch("pong", agent=agent, on=label, **options)
                    await seen(await stack.enter_async_context(begun), TurnEnded)
                begun = await client.dispatch(
                    "pong", agent=agent, on=PLACES[0], repo=remote, **options
                )
                async with begun as session:
                    end = await seen(session, TurnEnded)
                    took = []
                    for number in range(1 + 2 * size.starts):
                        began = time.perf_counter()
                        target = PLACES[(number + 1) % 2]
                        await client.carry_out(session.id, Relocate(on=target, at_once=True))
                        await session.send("pong")
                        await seen(session, (Text, TextDelta), end.seq)
                        took.append(time.perf_counter() - began)
                        end = await seen(session, TurnEnded, end.seq)
                samples[f"moved_{agent}_cold"], samples[f"moved_{agent}"] = took[:1], took[1:]
    return samples


async def at_home(
    stack: AsyncExitStack, home: Path, number: int, database: Server, label: str
) -> None:
    """Start a worker with a home of its own."""
    make_home(home)
    before, os.environ["HOME"] = os.environ["HOME"], str(home)
    started = await machine(
        stack, number, "worker", database.url, label, ROOM, str(home / "checkouts")
    )
    os.environ["HOME"] = before
    await started.told()


async def laptop(stack: AsyncExitStack, database: Server) -> Client:
    """Return a client on a machine that has no worker."""
    os.environ[MACHINE_VARIABLE] = "laptop"
    return await stack.enter_async_context(connect(database.url))


async def seen(
    session: RemoteSession, kind: type[E] | tuple[type[E], ...], after: int | None = 0
) -> E:
    """Wait for an event of a kind, and return it."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session.events(after or 0):
            if isinstance(event, kind):
                return event
    raise AssertionError(kind)


def ranked(key: str, samples: list[float]) -> Samples:
    in_order = sorted(samples)
    count = len(in_order)
    return {f"{key}_p50": [in_order[count // 2]], f"{key}_p99": [in_order[count * 99 // 100]]}


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {
    "events": events,
    "tasks": tasks,
    "turns": turns,
    "rest": rest,
    "failover": failover,
    "moves": moves,
    "deltas": deltas,
}
