"""Plays faults on several machines with one journal, and checks what is left of their sessions.

    python -m tests.machines.play --faults 100 --record FILE

What the model was asked and what the tools did is kept in files, with the machine that it was done
on, so that what ran twice, or on a machine that had lost its session, is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from tests.machines.checks import check_effects, check_files, check_session, facts
from tests.machines.cluster import PAUSE_S, Cluster, Now, chance_of, patient
from tests.machines.parts import has_repository
from tests.support.machines import Machine, Network

from midflight import events as e
from midflight.errors import MidflightError
from midflight.journal import Journal

__all__ = ["KINDS", "Play", "main"]

GONE_S = 20.0
"""How long what a worker has started may outlive it."""

PHASE_S = 10.0
"""How long a phase is waited for; then the fault comes as it may."""

LOOK_S = 0.005
"""How often it is looked for a phase, some of which are short."""

Fault = dict[str, Any]


class Play:
    """Some sessions on a cluster, more than it has places, and two people who talk in them."""

    def __init__(
        self,
        network: Network,
        chance: random.Random,
        *,
        agent: str = "fake",
        workers: int = 3,
        sessions: int = 4,
    ) -> None:
        """Start the database, and nothing else yet."""
        self.cluster = Cluster(network, agent, workers=workers, laptops=2)
        self.chance = chance
        self.faults: list[Fault] = []
        self.facts: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.tell: Callable[[str], None] = lambda line: None
        self._sessions = [f"s{number}" for number in range(sessions)]
        self._stopped: set[str] = set()
        self._began = time.monotonic()

    async def run(self, faults: Iterable[Fault]) -> list[str]:
        """Play faults, and return what was found to be wrong."""
        await self.cluster.start_workers()
        await self.cluster.finish("begin", self.cluster.agent, *self._sessions)
        for machine in self.cluster.laptops:
            await self._talk(machine)
        for fault in faults:
            await self._play(fault)
        for machine in self.cluster.laptops:
            await self.cluster.end(machine, signal.SIGTERM)
        async with patient("not all workers are back"):
            await self.cluster.restarted()
        await self.cluster.finish("last", *self._sessions)
        return self.wrong + await self._look()

    async def _talk(self, machine: Machine) -> None:
        await self.cluster.start_client(machine, str(self.chance.random()), *self._sessions)

    async def _play(self, fault: Fault) -> None:
        await asyncio.sleep(self.chance.uniform(0.05, 1.5))  # noqa: TID251 - a random moment
        fault["at_s"] = round(time.monotonic() - self._began, 2)
        self.faults.append(fault)
        await KINDS[fault["kind"]](self, fault)
        at, before = time.monotonic(), self.cluster.answered()
        try:
            async with patient(f"not all sessions go on after {fault}"):
                while self._behind(before, self.cluster.answered()):
                    before = before or self.cluster.answered()  # the database was away
                    self.cluster.check_clients()
                    await asyncio.sleep(PAUSE_S)  # noqa: TID251 - other machines are waited for
        except AssertionError as error:
            behind = self._behind(before, self.cluster.answered())
            self.wrong.append(str({session: self.cluster.now(session) for session in behind}))
            with contextlib.suppress(MidflightError):
                async with self._journal() as journal:
                    for session in self._sessions:
                        await self._keep_events(journal, session)
            raise error from None
        fault["went_on_after_s"] = round(time.monotonic() - at, 2)
        self.tell(str(fault))

    def _behind(self, before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
        """Return the sessions of which no message has been answered since."""
        if not (before and now):
            return self._sessions
        return [each for each in self._sessions if now[each] <= before[each]]

    # Faults -------------------------------------------------------------------------------

    async def owner(self, fault: Fault) -> Machine:
        """Return the worker's machine of a session, when it is in the phase that is asked for.

        Who says something in one at rest has it for a moment too, on a laptop.
        """
        workers = {machine.name for machine in self.cluster.workers}
        session = fault.setdefault("session", self.chance.choice(self._sessions))
        phase = PHASES[fault.setdefault("phase", self.chance.choice(list(PHASES)))]
        until, free = time.monotonic() + PHASE_S, False
        async with patient(f"nobody has the session of {fault}"):
            while True:
                now = self.cluster.now(session)
                if now is not None and now.machine in workers:
                    met = phase(now, free)
                    if met or time.monotonic() > until:
                        fault |= {"met": met, "while": now.status, "machine": now.machine}
                        return self.cluster.network.machines[now.machine]
                free = now is not None and now.machine is None
                await asyncio.sleep(LOOK_S)  # noqa: TID251 - the database is looked at again

    async def check_orphans(self, machine: Machine, fault: Fault) -> None:
        """What a killed worker has started ends, though nobody looks after its machine."""
        until = time.monotonic() + GONE_S
        while left := await asyncio.to_thread(self.cluster.orphans, machine):
            if time.monotonic() > until:
                self.wrong += [f"P5: {_shown(one)} outlives its worker: {fault}" for one in left]
                return
            await asyncio.sleep(PAUSE_S)  # noqa: TID251 - other programs are waited for

    def note_stopped(self, machine: Machine) -> None:
        """Keep in mind that a worker has stood still."""
        self._stopped.add(machine.name)

    async def drop_client(self, machine: Machine) -> None:
        """Kill somebody's client, and have them start another one."""
        await self.cluster.end(machine, signal.SIGKILL)
        await self._talk(machine)

    # Looking ------------------------------------------------------------------------------

    def _journal(self) -> Journal:
        return Journal(self.cluster.database.local_url, state=self.cluster.folder.state)

    async def _keep_events(self, journal: Journal, session: str) -> list[e.Event]:
        """Return what has happened in a session; it is kept with what else there is of the play."""
        events = await journal.events(session, 0, None)
        file = self.cluster.folder.path / f"{session}.jsonl"
        file.write_bytes(b"\n".join(map(e.encode, events)))
        return events

    async def _look(self) -> list[str]:
        """Return what is wrong with what is on disk, in the files, and among the processes."""
        await self.cluster.close()  # workers push what they have
        folder = self.cluster.folder
        said, asked, effects = folder.said(), folder.asked(), _effects(folder.work)
        wrong = check_effects(effects)
        async with self._journal() as journal:
            for session in self._sessions:
                events = await self._keep_events(journal, session)
                mine = [
                    line for line in asked if line["all"] and line["all"][0].startswith(session)
                ]
                wrong += check_session(session, events, said, mine, self._stopped)
                if has_repository(session):
                    files = self.cluster.files(await journal.find(session))
                    wrong += check_files(session, events, effects, files)
                self.facts[session] = facts(events, mine)
        errors = Counter(line["error"].split(":")[0] for line in said if "error" in line)
        self.facts |= {"tools_run": len(effects), "errors_told": dict(errors)}
        for machine in self.cluster.laptops:  # hosts that have recovered something, and would wait
            for process in machine.processes():
                process.terminate()
        for machine in self.cluster.network.machines.values():
            if machine is not self.cluster.database.machine:
                _, left = await asyncio.to_thread(psutil.wait_procs, machine.processes(), GONE_S)
                wrong += [f"P5: left on {machine.name}: {_shown(one)}" for one in left]
        if connections := await self.cluster.connections_left():
            wrong.append(f"the server has {connections} connections of nobody")
        self.cluster.disconnect()
        return wrong


def _effects(work: Path) -> list[tuple[str, str]]:
    with contextlib.suppress(FileNotFoundError):
        lines = (work / "effects").read_text().splitlines()
        return [(name, machine) for name, machine in map(str.split, lines)]
    return []


def _shown(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {process.cmdline()[:6]}"
    return str(process.pid)


# What befalls them --------------------------------------------------------------------------


async def _kill(play: Play, fault: Fault) -> None:
    """Kill the worker of a session; its supervisor takes its time."""
    machine = await play.owner(fault)
    fault["again_after_s"] = round(play.chance.choice([0.0, 3.0, 15.0]), 1)
    await play.cluster.end(machine, signal.SIGKILL)
    await play.check_orphans(machine, fault)
    play.cluster.restart_later(machine, fault["again_after_s"])


async def _stop(play: Play, fault: Fault) -> None:
    """Have a worker stand still, alone or with its machine, perhaps until it is replaced."""
    machine = await play.owner(fault)
    fault.setdefault("seconds", play.chance.choice([3.0, 20.0]))
    alone = fault.setdefault("alone", play.chance.random() < 0.5)
    worker = play.cluster.worker_of(machine)
    play.note_stopped(machine)
    stopped = [worker] if alone and worker is not None else machine.processes()
    for process in stopped:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    await asyncio.sleep(fault["seconds"])  # noqa: TID251 - that long
    for process in stopped:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    machine.wake()


async def _cut(play: Play, fault: Fault) -> None:
    """Pull the cable of a machine."""
    seconds = fault.setdefault("seconds", play.chance.choice([5.0, 5.0, 5.0, 60.0]))
    if "machine" not in fault:
        if play.chance.random() < 0.6:
            await play.owner(fault)
        else:
            others = [play.cluster.database.machine, *play.cluster.laptops]
            fault["machine"] = play.chance.choice(others).name
    play.cluster.network.cut(fault["machine"])
    await asyncio.sleep(seconds)  # noqa: TID251 - that long
    play.cluster.network.mend(fault["machine"])


async def _restart(play: Play, fault: Fault) -> None:
    """Start the database anew, also as after a crash."""
    mode = fault.setdefault("mode", play.chance.choice(["fast", "immediate"]))
    await asyncio.to_thread(play.cluster.database.stop, mode)
    away = fault.setdefault("seconds", round(play.chance.uniform(0.0, 3.0), 1))
    await asyncio.sleep(away)  # noqa: TID251 - that long
    await asyncio.to_thread(play.cluster.database.start)


async def _fill(play: Play, fault: Fault) -> None:
    """Fill the disk of the database."""
    await asyncio.to_thread(play.cluster.database.fill)
    seconds = fault.setdefault("seconds", round(play.chance.uniform(1.0, 8.0), 1))
    await asyncio.sleep(seconds)  # noqa: TID251 - that long
    fault["gave_up"] = not await asyncio.to_thread(play.cluster.database.runs)
    await asyncio.to_thread(play.cluster.database.make_room)


async def _drop_client(play: Play, fault: Fault) -> None:
    machine = play.chance.choice(play.cluster.laptops)
    fault["machine"] = machine.name
    await play.drop_client(machine)


KINDS: Mapping[str, Callable[[Play, Fault], Awaitable[None]]] = MappingProxyType(
    {
        "kill -9": _kill,
        "stop": _stop,
        "cut": _cut,
        "restart": _restart,
        "disk full": _fill,
        "drop a client": _drop_client,
    }
)

PHASES: Mapping[str, Callable[[Now, bool], bool]] = MappingProxyType(
    {
        "any": lambda now, free: True,
        "at rest": lambda now, free: now.status == "idle",
        "claimed": lambda now, free: free,
        "agent starting": lambda now, free: now.event in {"session.resumed", "session.started"},
        "in text": lambda now, free: now.event in {"turn.started", "message.started"},
        "waiting for an answer": lambda now, free: now.event == "permission.requested",
        "in a tool": lambda now, free: now.event == "permission.resolved",
        "at the turn's end": lambda now, free: now.event in {"message.answered", "turn.ended"},
    }
)
"""By what the journal tells, and whether the session was nobody's a moment ago."""


# The command line ---------------------------------------------------------------------------


class Record:
    """All that was played, and what was wrong."""

    def __init__(self, given: argparse.Namespace) -> None:
        """``given`` are the arguments of the command line."""
        self.given = given
        seed = given.seed
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.plays: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.wrong: list[Fault] = []

    async def play(self) -> None:
        """Play until there were enough faults."""
        chance = chance_of(self.seed)
        self._tell(f"seed {self.seed}")
        kinds = self.given.kind or list(KINDS)
        while (left := self.given.faults - len(self.faults)) > 0:
            some = [{"kind": chance.choice(kinds)} for _ in range(min(left, self.given.per_play))]
            with Network() as network:
                play = Play(network, chance, agent=self.given.agent)
                play.tell = self._tell
                try:
                    wrong = await play.run(some)
                except (AssertionError, MidflightError) as error:
                    wrong = [*play.wrong, str(error)]
                self._note(play, wrong)
            if not play.faults:
                break

    def _note(self, play: Play, wrong: list[str]) -> None:
        number = len(self.plays) + 1
        self.plays.append(play.facts)
        self.faults += [{"play": number, **fault} for fault in play.faults]
        self.wrong += [{"play": number, "what": what} for what in wrong]
        self._tell(f"{len(self.faults)} faults: {wrong or 'fine'}")
        if self.given.keep and wrong:
            keep = Path(f"{self.given.keep}-{number}")
            shutil.copytree(
                play.cluster.folder.path,
                keep,
                ignore_dangling_symlinks=True,
                ignore=shutil.ignore_patterns("*.sock", ".s.*"),
            )
            (keep / "faults.json").write_text(json.dumps(play.faults, indent=1))
        if self.given.record:
            whole = {name: vars(self)[name] for name in ("seed", "wrong", "plays", "faults")}
            self.given.record.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def _tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def main() -> int:
    """Run from the command line; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agent", default="fake")
    parser.add_argument("--faults", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="where what was wrong is kept")
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--per-play", type=int, default=12)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--seed", type=int)
    record = Record(parser.parse_args())
    asyncio.run(record.play())
    return 1 if record.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
