"""A team's machines: a database, workers that are started again when they end, and laptops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg
from tests.faults.chaos_parts import FAKE_URL, Folder
from tests.machines.checks import Files
from tests.machines.parts import CHECKOUTS, LABEL, MODEL_URL, ORIGIN, PLACES, TURNS
from tests.support.database_machine import DatabaseMachine
from tests.support.machines import Machine, Network

from midflight._util.aio import TaskSet
from midflight.agents.process.reaper import MARKER
from midflight.git.remote import session_ref
from midflight.journal import SessionRow
from midflight.testing.home import make_home
from midflight.testing.model.environment import env_for

__all__ = ["PATIENCE_S", "PAUSE_S", "Cluster", "Now", "patient"]

PATIENCE_S = 150.0
"""How long anything may take: a sender waits for 90 seconds by itself."""

PAUSE_S = 0.25

NOTICED_S = 60.0
"""How long a server may keep the connection of who is gone: half a minute, and some."""

_NOW = """
    SELECT hosts.machine, hosts.pid, sessions.status,
           (SELECT type FROM events WHERE session = sessions.id ORDER BY seq DESC LIMIT 1)
    FROM sessions JOIN leases ON leases.session = sessions.id
    LEFT JOIN hosts ON hosts.id = leases.host
    WHERE sessions.id = %s
"""
_CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_ANSWERED = """
    SELECT session, count(*) FROM events WHERE type = 'message.answered' GROUP BY session
"""


_FIRST_COMMIT = f"""
    git init --quiet --bare --initial-branch=main "$1"
    cd "$1"
    blob=$(git hash-object -w --stdin </dev/null)
    tree=$(printf '100644 blob %s\\t{TURNS}' "$blob" | git mktree)
    commit=$(git -c user.name=a -c user.email=a@example.com commit-tree -m first "$tree")
    git update-ref refs/heads/main "$commit"
"""


class Now(NamedTuple):
    """Where a session is, by the journal: its owner, None for nobody, and its newest event."""

    machine: str | None
    pid: int | None
    status: str
    event: str


class Cluster:
    """The machines, and what runs on them. A context manager, which leaves nothing."""

    def __init__(self, network: Network, agent: str, *, workers: int, laptops: int) -> None:
        """Make the machines, and start the database."""
        self.folder = Folder(network.folder)
        self.folder.work.mkdir()
        self.agent = agent
        self.network = network
        self.database = DatabaseMachine(network)
        self.workers = [network.machine(f"worker{number}") for number in range(workers)]
        self.laptops = [network.machine(f"laptop{number}") for number in range(laptops)]
        for machine in (*self.workers, *self.laptops):
            make_home(network.folder / machine.name)
        self._make_origin()
        checkouts = network.folder / CHECKOUTS
        checkouts.mkdir()
        for machine in self.workers:  # one path, and on each machine another disk
            machine.run("mount", "-t", "tmpfs", "none", str(checkouts))
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._models: list[psutil.Process] = []
        self._starts = TaskSet()
        self._connection: psycopg.Connection[Any] | None = None

    def _make_origin(self) -> None:
        """Make the repository, with a first commit that has the file of the turns, empty."""
        origin = self.network.folder / ORIGIN
        subprocess.run(["sh", "-ec", _FIRST_COMMIT, "sh", origin], check=True, timeout=PATIENCE_S)

    # Programs -----------------------------------------------------------------------------

    def _env(self, machine: Machine) -> dict[str, str]:
        url = FAKE_URL if self.agent == "fake" else MODEL_URL
        sources = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        return env_for(url, self.network.folder / machine.name) | {
            "MIDFLIGHT_JOURNAL": self.database.url,
            "MIDFLIGHT_MACHINE": machine.name,
            "PLAY_AGENT": self.agent,
            "PYTHONPATH": os.pathsep.join(filter(None, sources)),
        }

    async def start(self, machine: Machine, *command: str) -> subprocess.Popen[bytes]:
        """Start a Python program on a machine, and wait until it says something."""
        process = machine.start(
            sys.executable, "-m", *command, env=self._env(machine), errors=self.folder.errors
        )
        assert process.stdout is not None
        try:
            async with patient(f"{command} does not begin"):
                line = await asyncio.to_thread(process.stdout.readline)
            assert line, f"{command} does not begin: {self.said()}"
        except BaseException:
            _kill(process)
            raise
        return process

    async def part(self, machine: Machine, part: str, *more: str) -> subprocess.Popen[bytes]:
        """Start one of `tests.machines.parts`."""
        command = ("tests.machines.parts", part, str(self.folder.path), *more)
        return await self.start(machine, *command)

    async def finish(self, part: str, *more: str) -> None:
        """Have a part run to its end, which must be a good one."""
        process = await self.part(self.laptops[0], part, *more)
        ended = await self._ended(process, part)
        assert ended == 0, f"{part} failed: {self.said()}"

    async def _ended(self, process: subprocess.Popen[bytes], what: str) -> int:
        """Wait for the end of a program, which is killed if that does not come."""
        try:
            return await asyncio.to_thread(process.wait, PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{what} does not end: {self.said()}") from error
        finally:
            _kill(process)

    async def start_workers(self) -> None:
        """Start every worker, beside the model of its agents."""
        async with asyncio.TaskGroup() as group:
            for machine in self.workers:
                group.create_task(self._start_first(machine))

    async def _start_first(self, machine: Machine) -> None:
        if self.agent != "fake":
            outside = await self.part(machine, "model")
            self._models += psutil.Process(outside.pid).children()
        await self.start_worker(machine)

    async def start_worker(self, machine: Machine) -> None:
        """Start the worker of a machine."""
        if self.agent == "fake":
            process = await self.part(machine, "worker")
        else:
            work = str(self.network.folder / CHECKOUTS)
            given = ("--label", LABEL, "--capacity", str(PLACES), "--work", work)
            process = await self.start(machine, "midflight", "worker", *given)
        self._running[machine.name] = process

    def restart_later(self, machine: Machine, seconds: float) -> None:
        """Start a worker again, as a supervisor does."""

        async def restart() -> None:
            await asyncio.sleep(seconds)  # noqa: TID251 - a supervisor does that
            await self._again(self.start_worker(machine), machine)

        self._starts.start(restart())

    async def _again(self, start: Awaitable[None], machine: Machine) -> None:
        """Start it until that works: the database may be away."""
        with contextlib.suppress(AssertionError):
            await start
            return
        self.restart_later(machine, 1.0)

    async def restarted(self) -> None:
        """Wait until every worker is there."""
        # Other programs can only be looked at again.
        while any(self.worker_of(one) is None for one in self.workers):  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_S)  # noqa: TID251

    async def start_client(self, machine: Machine, seed: str, *sessions: str) -> None:
        """Have somebody at a laptop say this and that in some sessions."""
        self._running[machine.name] = await self.part(machine, "client", seed, *sessions)

    def worker_of(self, machine: Machine) -> psutil.Process | None:
        """Return the worker, or the client, of a machine: it is a child of who has gone in."""
        outside = self._running.get(machine.name)
        if outside is not None and outside.poll() is None:
            for process in psutil.Process(outside.pid).children():
                return process
        return None

    async def end(self, machine: Machine, number: signal.Signals) -> None:
        """Send the worker, or the client, of a machine a signal that ends it."""
        process, outside = self.worker_of(machine), self._running.pop(machine.name)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        machine.wake()
        await self._ended(outside, f"what runs on {machine.name}")

    def check_clients(self) -> None:
        """Raise AssertionError where a client has ended by itself."""
        for machine in self.laptops:
            outside = self._running.get(machine.name)
            ended = outside is not None and outside.poll() is not None
            assert not ended, f"the client on {machine.name} has ended: {self.said()}"

    def said(self) -> str:
        """Return what programs have said last when they failed."""
        return self.folder.errors.read_text(errors="replace")[-4_000:]

    async def close(self) -> None:
        """End the workers in good order, and the models."""
        await self._starts.close()
        for machine in (*self.laptops, *self.workers):
            if machine.name in self._running:
                await self.end(machine, signal.SIGTERM)
        for process in self._models:
            process.kill()

    async def connections_left(self) -> int:
        """Return how many connections the server has kept when all who had one are gone.

        It is told of their ends, but for those that were cut off: these it has to notice itself.
        """
        until = time.monotonic() + NOTICED_S
        while True:
            ((left,),) = self._query(_CONNECTIONS)
            if not left or time.monotonic() > until:
                return int(left)
            await asyncio.sleep(PAUSE_S)  # noqa: TID251 - the server is waited for

    def disconnect(self) -> None:
        """Let the database go."""
        if self._connection is not None:
            self._connection.close()

    # The journal --------------------------------------------------------------------------

    def _query(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask the database, nothing where it does not answer."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self.database.local_url, autocommit=True)
            return self._connection.execute(statement.encode(), values).fetchall()
        except psycopg.Error:
            self._connection = None
            return []

    def now(self, session: str) -> Now | None:
        """Return where a session is; None where the database does not answer."""
        rows = self._query(_NOW, session)
        return Now(*rows[0]) if rows else None

    def answered(self) -> dict[str, int]:
        """Return how many messages of each session have been answered."""
        return dict(self._query(_ANSWERED))

    # Files --------------------------------------------------------------------------------

    def files(self, session: SessionRow) -> Files:
        """Return what tools have written into a session's repository, from where they are done."""
        assert session.repository is not None
        machine = self.network.machines[session.repository.machine]
        origin = str(self.network.folder / ORIGIN)
        pushed = ("--git-dir", origin, "show", f"{session_ref(session.id)}:{TURNS}")
        here = machine.run("cat", str(Path(session.cwd, TURNS)))
        return Files(machine.run("git", *pushed).split(), here.split())

    # Processes ----------------------------------------------------------------------------

    def outside(self, machine: Machine, pid: int) -> psutil.Process | None:
        """Return the process that has this id on a machine."""
        for process in machine.processes():
            with contextlib.suppress(OSError):
                if _inside(process) == pid:
                    return process
        return None

    def orphans(self, machine: Machine) -> list[psutil.Process]:
        """Return what belongs on a machine to a midflight process that is dead."""
        alive = {}
        for process in machine.processes():
            with contextlib.suppress(OSError, psutil.Error):
                alive[_inside(process)] = (process, process.environ().get(MARKER, ""))
        return [
            process
            for process, marker in alive.values()
            if marker and int(marker.split("-")[1]) not in alive
        ]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program on a machine, and who has gone in for it; it may have ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    with process:
        process.wait(PATIENCE_S)


def _inside(process: psutil.Process) -> int:
    """Return the id that a process has on its machine."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(status.partition("NSpid:")[2].splitlines()[0].split()[-1])


@contextlib.asynccontextmanager
async def patient(what: str) -> Any:
    """Bound a wait, and say what was waited for in vain."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError as error:
        raise AssertionError(f"{what}, for {PATIENCE_S:.0f} seconds") from error


def chance_of(seed: int) -> random.Random:
    """Return what decides at random, the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - no secret
