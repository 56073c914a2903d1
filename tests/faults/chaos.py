"""Kills hosts, agents, models and clients at random moments, and checks what is left of a session.

    python -m tests.faults.chaos --kills 200 --agents claude,opencode,fake --record FILE

Each play is one session, driven by a client process that sends, queues, steers, redirects and
interrupts while the kills happen. What the model was asked and what the tools did is kept in
files, so that something that ran twice is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
from tests.faults import chaos_parts
from tests.faults.chaos_parts import SESSION, Folder

from midflight import events as e
from midflight.agents.process.reaper import MARKER
from midflight.journal import Journal
from midflight.testing.home import make_home
from midflight.testing.model.environment import env_for
from midflight.testing.opencode import free_port

__all__ = ["Play", "main"]

PATIENCE_S = 90.0
"""How long a session may take to go on after a kill: the machine may be busy."""

PAUSE_S = 0.1

NPM = Path(__file__).parents[1] / "agents" / "npm" / "node_modules" / ".bin"

TARGETS = ("host", "agent", "model", "client")


class Play:
    """One session, with everything around it in processes of their own."""

    def __init__(self, folder: Path, agent: str, chance: random.Random) -> None:
        """Prepare the folders; nothing is started."""
        self.folder = Folder(folder)
        self.agent = agent
        self.kills: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {"agent": agent}
        self.wrong: list[str] = []
        self._chance = chance
        self._port = free_port()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._began = time.monotonic()
        self.folder.work.mkdir(parents=True)
        make_home(self.folder.home)

    # Processes ----------------------------------------------------------------------------

    def _env(self) -> dict[str, str]:
        url = chaos_parts.FAKE_URL if self.agent == "fake" else f"http://127.0.0.1:{self._port}"
        env = env_for(url, self.folder.home) | {"PATH": f"{NPM}{os.pathsep}{os.environ['PATH']}"}
        # So that a copy of the sources can be tried while the sources themselves are changed.
        return env | {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}

    async def _start(self, part: str, *more: str) -> None:
        """Start a part and wait until it says that it is there."""
        with self.folder.errors.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.chaos_parts", part),
                *(str(self.folder.path), self.agent, *more),
                env=self._env(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        self._running[part] = process
        assert process.stdout is not None
        async with _patience(f"{part} does not begin"):
            line = await process.stdout.readline()
        assert line, f"{part} ended with {await process.wait()}: {self.folder.errors}"

    async def _end(self, part: str, number: signal.Signals) -> None:
        process = self._running.pop(part)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        async with _patience(f"{part} does not end"):
            await process.wait()

    async def run(self, kills: int) -> list[str]:
        """Play, and return what was found to be wrong."""
        if self.agent != "fake":
            await self._start("model", str(self._port))
        try:
            await self._start("client", str(self._chance.random()))
            for _ in range(kills):
                await self._kill()
            await self._end("client", signal.SIGTERM)
            await self._start("last")
            async with _patience("the last message is not answered"):
                ended = await self._running.pop("last").wait()
            wrong = [] if ended == 0 else [f"the last message failed: {self.folder.errors}"]
            return wrong + await self._look()
        finally:
            for part in list(self._running):
                await self._end(part, signal.SIGKILL)
            await self._end_hosts()

    # Kills --------------------------------------------------------------------------------

    async def _kill(self) -> None:
        """Kill something at a random moment, and wait until the session has gone on."""
        await asyncio.sleep(self._chance.uniform(0.05, 1.5))  # noqa: TID251 - a random moment
        targets = ("host", "client") if self.agent == "fake" else TARGETS
        target = self._chance.choice(targets)
        async with _patience(f"there is no {target} to kill"):
            while (pid := await self._pid(target)) is None:  # it is being started
                await self._pause()
        before, at = self._accepted(), time.monotonic()
        status = await self._status()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if target == "model":
            await self._end("model", signal.SIGKILL)
            await self._start("model", str(self._port))
        elif target == "client":
            await self._end("client", signal.SIGKILL)
            await self._start("client", str(self._chance.random()))
        kill = {
            "agent": self.agent,
            "target": target,
            "while": status,
            "at_s": round(at - self._began, 2),
        }
        self.kills.append(kill)
        async with _patience(f"nothing goes on after the death of the {target}"):
            while self._accepted() == before:
                await self._pause()
        kill["went_on_after_s"] = round(time.monotonic() - at, 2)

    async def _pause(self) -> None:
        """Wait a moment: other processes, and what they write, can only be looked at again."""
        client = self._running["client"]
        assert client.returncode is None, f"the client has ended by itself: {self.folder.errors}"
        await asyncio.sleep(PAUSE_S)  # noqa: TID251

    def _accepted(self) -> int:
        return sum("accepted" in line for line in self.folder.said())

    async def _status(self) -> str:
        async with Journal(self.folder.state) as journal:
            return (await journal.find(SESSION, exact=True)).status

    async def _pid(self, target: str) -> int | None:
        if target in self._running:
            return self._running[target].pid
        async with Journal(self.folder.state) as journal:
            owner = (await journal.find(SESSION, exact=True)).host
            host = next((one.pid for one in await journal.hosts() if one.id == owner), None)
        if host is None or target == "host":
            return host
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(host).children():
                with contextlib.suppress(psutil.Error):
                    if MARKER in child.environ():
                        return child.pid
        return None

    async def _end_hosts(self) -> None:
        async with Journal(self.folder.state) as journal:
            for host in await journal.hosts():
                if host.alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(host.pid, signal.SIGTERM)

    # What is left -------------------------------------------------------------------------

    async def _look(self) -> list[str]:
        """Return what is wrong with what is on disk, in the files, and among the processes."""
        for part in list(self._running):
            await self._end(part, signal.SIGKILL)
        await self._end_hosts()
        async with Journal(self.folder.state) as journal:
            events = await journal.events(SESSION, 0, None)
        said, asked = self.folder.said(), self.folder.asked()
        wrong = check_events(events)
        accepted = {event.message for event in events if isinstance(event, e.MessageAccepted)}
        for line in said:
            if "accepted" in line and line["accepted"] not in accepted:
                wrong.append(f"P1: {line['accepted']} was acknowledged and is not in the journal")
        ran = Counter(self.folder.effects())
        wrong += [f"{name} ran {times} times" for name, times in ran.items() if times > 1]
        answered = {event.message for event in events if isinstance(event, e.MessageAnswered)}
        wrong += self._check_asked(asked)
        self.facts |= {
            "events": len(events),
            "messages": dict(Counter(x.type for x in events if x.type.startswith("message."))),
            "turns": dict(Counter(x.reason for x in events if isinstance(x, e.TurnEnded))),
            "model_requests": len(asked),
            "tools_run": len(ran),
            "resumed": sum(isinstance(x, e.SessionResumed) for x in events),
            "errors_told": sum("error" in line for line in said),
            "answered_but_not_remembered": len((answered - {""}) & self._unremembered(asked)),
        }
        left = await asyncio.to_thread(self._processes_left)
        return wrong + [f"P5: left behind: {process}" for process in left]

    def _unremembered(self, asked: list[dict[str, Any]]) -> set[str]:
        """Return what was asked once and is not in the last request any more."""
        return {name for line in asked for name in line["all"]} - set(asked[-1]["all"])

    def _check_asked(self, asked: list[dict[str, Any]]) -> list[str]:
        """The agent asks again where the model died, and nowhere else."""
        again = sum(kill["target"] == "model" for kill in self.kills)
        opened = Counter(name for line in asked if not line["results"] for name in line["last"])
        wrong = [
            f"the model was asked {times} times about {name}"
            for name, times in opened.items()
            if times > 1 + 2 * again
        ]
        remembered = set(asked[-1]["all"])
        # What was said a moment before a kill the agent itself may not have written down yet.
        if "first" not in remembered:
            wrong.append(f"the agent has forgotten all but {sorted(remembered)}")
        return wrong

    def _processes_left(self) -> list[str]:
        """Wait for everything of this play to end, and return what has not."""
        home = str(self.folder.home)
        ours = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == home:
                    ours.append(process)
        _, alive = psutil.wait_procs(ours, 15)
        return [f"{one.pid} {one.name()} {one.cmdline()[:6]}" for one in alive]


def check_events(events: list[e.Event]) -> list[str]:
    """Return which promises the events of a whole session break."""
    wrong = []
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        wrong.append("P2: the numbers of the events have gaps")
    ends: dict[str, tuple[type[e.Event], tuple[type[e.Event], ...], str]] = {
        "message": (
            e.MessageAccepted,
            (e.MessageAnswered, e.MessageCancelled, e.MessageFailed),
            "message",
        ),
        "turn": (e.TurnStarted, (e.TurnEnded,), "turn"),
        "tool": (e.ToolStarted, (e.ToolEnded,), "call"),
        "permission": (e.PermissionRequested, (e.PermissionResolved,), "request"),
        "question": (e.QuestionRequested, (e.QuestionResolved,), "request"),
    }
    for what, (begins, final, name) in ends.items():
        begun = Counter(getattr(event, name) for event in events if isinstance(event, begins))
        ended = Counter(getattr(event, name) for event in events if isinstance(event, final))
        wrong += [
            f"P4: {what} {key} began {begun[key]} times, ended {ended[key]}"
            for key in begun | ended
            if (begun[key], ended[key]) != (1, 1)
        ]
    return wrong


@contextlib.asynccontextmanager
async def _patience(what: str) -> AsyncIterator[None]:
    """Bound a wait, and say what was waited for when it was in vain."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError as error:
        raise AssertionError(f"{what}, for {PATIENCE_S:.0f} seconds") from error


@contextlib.asynccontextmanager
async def _play(agent: str, chance: random.Random) -> AsyncIterator[Play]:
    play = Play(Path(tempfile.mkdtemp(prefix="chaos-")), agent, chance)
    yield play
    if not play.wrong:  # otherwise all of it stays, to be looked at
        shutil.rmtree(play.folder.path, ignore_errors=True)


async def run(
    kills: int, agents: list[str], seed: int, per_play: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Play until enough has been killed, and return the record."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    record: dict[str, Any] = {"seed": seed, "wrong": [], "plays": [], "kills": []}
    while len(record["kills"]) < kills:
        agent = agents[len(record["plays"]) % len(agents)]
        async with _play(agent, chance) as play:
            try:
                play.wrong = await play.run(min(per_play, kills - len(record["kills"])))
            except AssertionError as error:
                play.wrong = [str(error)]
            record["plays"].append(play.facts)
            number = len(record["plays"])
            record["kills"] += [{"play": number, **kill} for kill in play.kills]
            wrong = play.wrong
            record["wrong"] += [{"play": number, "agent": agent, "what": what} for what in wrong]
            tell(f"{len(record['kills'])} kills, {agent} in {play.folder.path}: {wrong or 'fine'}")
            if not play.kills:  # nor will there be any
                break
    return record


def main() -> int:
    """Run from the command line; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--per-play", type=int, default=5)
    parser.add_argument("--agents", default="claude,opencode,fake")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    tell(f"seed {seed}")
    agents = re.split(r"[, ]+", given.agents)
    record = asyncio.run(run(given.kills, agents, seed, given.per_play, tell))
    if given.record:
        given.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if record["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
