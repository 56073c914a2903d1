"""The processes of a play over several machines: clients, hosts of the fake agent, models."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.faults.chaos_parts import FAKE_URL, Folder, tell

from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.errors import MidflightError
from midflight.options import SessionOptions
from midflight.testing import FakeModel, ModelRequest, ScriptedModel, Step, Text, ToolCall, Words
from midflight.worker import Worker

__all__ = ["CHECKOUTS", "FIRST", "LABEL", "MODEL_URL", "ORIGIN", "PLACES", "TURNS"]

FIRST = "first"
PAUSE_S = 0.5
LABEL = "play"
CHECKOUTS = "checkouts"
"""The folder of the workers' checkouts."""
ORIGIN = "origin.git"
"""The repository of those sessions that have one."""

TURNS = "turns"
"""The file in it that each tool adds the name of its message to."""

PLACES = 1
"""Fewer on all workers than there are sessions: so they are claimed and let go all the time."""

MODEL_PORT = 4010
MODEL_URL = f"http://127.0.0.1:{MODEL_PORT}"
_NAME = re.compile(r"<(s\d+(?:first|last|m\d+))(:tool)?>")


def has_repository(session: str) -> bool:
    """Tell whether a session works in a checkout: each second one does."""
    return int(session.removeprefix("s")) % 2 == 0


def script(folder: Folder) -> Callable[[ModelRequest], Step]:
    """Return a script that has a tool used for each message that asks for one, and says so."""
    machine = os.environ["MIDFLIGHT_MACHINE"]

    def step(request: ModelRequest) -> Step:
        last = [name for name, _ in _NAME.findall(request.last_user_text)[-1:]]
        tools = [name for name, tool in _NAME.findall(request.last_user_text)[-1:] if tool]
        names = sorted({name for name, _ in _NAME.findall(json.dumps(request.messages))})
        results = bool(request.tool_results)
        folder.note("asked", last=last, all=names, results=results, machine=machine)
        if tools and not results:
            did = f"echo {tools[0]} {machine} >> {folder.work}/effects;"
            if has_repository(tools[0].partition("m")[0]):
                did += f" echo {tools[0]} >> {TURNS};"
            if os.environ["PLAY_AGENT"] != "fake":  # whose tools are no processes of an agent's
                did += " setsid sleep 1000 > /dev/null 2>&1 &"  # in no group, and no session
            command = f"{did} sleep 0.3"
            return [Words(4, pace_s=0.02), ToolCall("Bash", {"command": command})]
        return [Words(6, pace_s=0.02), Text(f" {' '.join(last)} is done")]

    return step


# Hosts ------------------------------------------------------------------------------------


class Conversations(dict[str, list[dict[str, Any]]]):
    """What fake agents have said, each conversation in a file: it goes on on other machines."""

    def __init__(self, folder: Path) -> None:
        """Begin with none."""
        super().__init__()
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def __contains__(self, session: object) -> bool:
        """Look anew whether there is a conversation: this is asked when it is gone on with."""
        with contextlib.suppress(FileNotFoundError):
            self[str(session)] = json.loads((self._folder / str(session)).read_text())
        return super().__contains__(session)

    def save(self, request: ModelRequest) -> None:
        """Write the one that the model is asked in."""
        for name, said in self.items():
            if said == request.messages:
                fresh = self._folder / f"{name}.{os.environ['MIDFLIGHT_MACHINE']}"
                fresh.write_text(json.dumps(said))
                fresh.replace(self._folder / name)


async def worker(folder: Folder) -> None:
    """Be a worker with a fake model."""
    kept = Conversations(folder.path / "conversations")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    play = script(folder)

    def step(request: ModelRequest) -> Step:
        kept.save(request)
        return play(request)

    async with FakeModel(step) as fake:
        assert fake.url == FAKE_URL
        fake.conversations = kept
        work = folder.path / CHECKOUTS
        offered = ["ANTHROPIC_BASE_URL"]  # which its sessions are begun with
        async with Worker(labels=[LABEL], capacity=PLACES, variables=offered, work=work):
            tell("ready")
            await stopped.wait()


async def model(folder: Folder) -> None:
    """Be the model of a machine's agents, on that machine: no cut of ours cuts it off."""
    async with ScriptedModel(script(folder), port=MODEL_PORT):
        tell("ready")
        await asyncio.Event().wait()


# Clients ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _connected(folder: Folder) -> Any:
    """Return a client, also where the server is away for the moment."""
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                client = await stack.enter_async_context(connect())
                break
            except MidflightError as error:
                folder.note("said", error=f"{error.code}: {error}")
                await asyncio.sleep(PAUSE_S)  # noqa: TID251 - another machine is waited for
        yield client


async def begin(folder: Folder, agent: str, *sessions: str) -> None:
    """Begin the sessions."""
    env = {"ANTHROPIC_BASE_URL": FAKE_URL} if agent == "fake" else {}
    tell("ready")
    async with connect() as client:
        for session in sessions:
            text = f"<{session}{FIRST}>"
            options: SessionOptions = {"agent": agent, "env": env, "cwd": folder.work}
            if has_repository(session):
                options |= {"repo": str(folder.path / ORIGIN), "cwd": "."}
            made = await client.dispatch(text, id=session, on=LABEL, **options)
            async with made:
                assert made.first is not None
                result = await made.first.result()
                assert result.status == "completed", result
                folder.note("said", accepted=made.first.id, session=session)


async def client(folder: Folder, seed: str, *sessions: str) -> None:
    """Say this and that in each session, and answer what is asked, until told to end."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    tell("ready")

    async def all_of_them() -> None:
        async with _connected(folder) as found, asyncio.TaskGroup() as group:
            for session in sessions:
                chance = random.Random(f"{seed}{session}")  # noqa: S311 - no secret
                group.create_task(_be_there(found, session, folder, chance))

    talking = asyncio.ensure_future(all_of_them())
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({talking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if talking.done():
        talking.result()
    talking.cancel()
    await asyncio.wait({talking})


async def _be_there(client: Client, name: str, folder: Folder, chance: random.Random) -> None:
    while True:
        try:
            async with await client.session(name) as session, asyncio.TaskGroup() as group:
                group.create_task(_answer(session, folder, chance))
                await _talk(session, folder, chance)
        except MidflightError as error:
            folder.note("said", error=f"{error.code}: {error}", session=name)
        await asyncio.sleep(PAUSE_S)  # noqa: TID251 - people do that


async def _answer(session: RemoteSession, folder: Folder, chance: random.Random) -> None:
    """Allow what is asked, though it may be somebody else who did."""
    while True:
        for request in session.pending:
            await asyncio.sleep(chance.uniform(0.0, 0.4))  # noqa: TID251 - people do that
            try:
                await session.answer(request, "allow")
            except MidflightError as error:
                folder.note("said", error=f"{error.code}: {error}", session=session.id)
        await asyncio.sleep(0.3)  # noqa: TID251 - people do that


async def _talk(session: RemoteSession, folder: Folder, chance: random.Random) -> None:
    while True:
        name = f"{session.id}m{chance.randrange(10**9)}"
        text = f"do <{name}{':tool' if chance.random() < 0.6 else ''}>"
        verb = chance.choice(["send", "send", "queue", "redirect", "stop", "wait", "wait"])
        try:
            if verb == "stop":
                await session.interrupt(keep_queued=chance.random() < 0.5)
            elif verb == "redirect":
                await session.redirect(text, id=name)
            else:
                message = await session.send(text, "queue" if verb == "queue" else "steer", id=name)
            if verb != "stop":
                folder.note("said", accepted=name, session=session.id)
            if verb == "wait":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(30):
                        await message.result()
        except MidflightError as error:
            folder.note("said", error=f"{error.code}: {error}", session=session.id)
        await asyncio.sleep(chance.uniform(0.2, 2.5))  # noqa: TID251 - people do that


async def last(folder: Folder, *sessions: str) -> None:
    """Say the last message in each, which must be answered.

    In all at once: a session that asks something has a place that another one waits for.
    """
    tell("ready")

    async def say(found: Client, name: str) -> None:
        async with await found.session(name) as session:
            await session.interrupt()
            async for _ in session.stream():
                pass
            result = await (await session.send(f"<{name}last>")).result()
            assert result.status == "completed", result

    async with connect() as found, asyncio.TaskGroup() as group:
        for name in sessions:
            group.create_task(say(found, name))


def main() -> None:
    """Be one of the parts."""
    parts: dict[str, Callable[..., Awaitable[None]]] = {
        "begin": begin,
        "client": client,
        "last": last,
        "model": model,
        "worker": worker,
    }
    part, path, *more = sys.argv[1:]
    folder = Folder(Path(path))

    async def be() -> None:
        await parts[part](folder, *more)

    asyncio.run(be())


if __name__ == "__main__":
    main()
