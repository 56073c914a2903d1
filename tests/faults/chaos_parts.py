"""The processes of a chaos run: the model, the client, the last message, a host for the fake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from midflight.address import Address
from midflight.client import placement
from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.errors import MidflightError
from midflight.host import Host
from midflight.journal.choice import JournalAddress
from midflight.testing import FakeModel, ModelRequest, ScriptedModel, Step, Text, ToolCall, Words

__all__ = ["FAKE_URL", "SESSION", "Folder"]

SESSION = "chaos"
FAKE_URL = "fake://1"

_NAME = re.compile(r"<(\w+?)(:tool)?>")


class Folder:
    """Where a play keeps its files."""

    def __init__(self, path: Path) -> None:
        """Nothing is made."""
        self.path = path
        self.home = path / "home"
        self.work = path / "work"
        self.state = path / "state"
        self.errors = path / "errors"

    def note(self, file: str, **facts: Any) -> None:
        """Add a line to a file; a line is written whole or, in a kill, not at all."""
        line = json.dumps(facts | {"time": time.time()}) + "\n"
        descriptor = os.open(self.path / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def _lines(self, file: str) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.path / file).read_text().splitlines()]
        return []

    def said(self) -> list[dict[str, Any]]:
        """Return what the clients have said, and what was acknowledged."""
        return self._lines("said")

    def asked(self) -> list[dict[str, Any]]:
        """Return what the model was asked: the names in the last text, and in all of it."""
        return self._lines("asked")

    def effects(self) -> list[str]:
        """Return what the tools have done."""
        with contextlib.suppress(FileNotFoundError):
            return (self.work / "effects").read_text().split()
        return []


# The model --------------------------------------------------------------------------------


def script(folder: Folder) -> Callable[[ModelRequest], Step]:
    """Return a script that has a tool used for each message that asks for one, and says so."""

    def step(request: ModelRequest) -> Step:
        # Agents put what was cut off in front of what is said next.
        last = _NAME.findall(request.last_user_text)[-1:]
        everything = [name for name, _ in _NAME.findall(json.dumps(request.messages))]
        results = bool(request.tool_results)
        names = [name for name, _ in last]
        folder.note("asked", last=names, all=sorted(set(everything)), results=results)
        tools = [name for name, tool in last if tool]
        if tools and not results:
            command = f"echo {tools[-1]} >> effects; sleep 0.3"
            return [Words(4, pace_s=0.02), ToolCall("Bash", {"command": command})]
        return [Words(6, pace_s=0.02), Text(f" {' '.join(names)} is done")]

    return step


async def model(folder: Folder, agent: str, port: str) -> None:
    """Be the model until killed."""
    async with ScriptedModel(script(folder), port=int(port)):
        tell("ready")
        await asyncio.Event().wait()


# The fake agent's host, which has its model in the same process ------------------------------


class Conversations(dict[str, list[dict[str, Any]]]):
    """What fake agents have said, in a file: several hosts follow each other on one session."""

    def __init__(self, file: Path) -> None:
        """Begin with what the file has."""
        super().__init__()
        self._file = file

    def __contains__(self, session: object) -> bool:
        """Look anew whether there is a conversation: this is asked when it is gone on with."""
        with contextlib.suppress(FileNotFoundError):
            self.update(json.loads(self._file.read_text()))
        return super().__contains__(session)

    def save(self) -> None:
        """Write all of it."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self))
        fresh.replace(self._file)


async def fake_host(folder: Folder, agent: str) -> None:
    """Be a host with a fake model, whose conversations are kept in a file."""
    kept = Conversations(folder.path / "conversations")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    play = script(folder)

    def step(request: ModelRequest) -> Step:
        kept.save()
        return play(request)

    async with FakeModel(step) as fake:
        assert fake.url == FAKE_URL
        fake.conversations = kept
        async with Host(folder.state) as host:
            tell(host.address())
            unused = asyncio.ensure_future(host.unused(20.0))
            stopping = asyncio.ensure_future(stopped.wait())
            await asyncio.wait({unused, stopping}, return_when=asyncio.FIRST_COMPLETED)


async def start_fake_host(journal: JournalAddress, **_: object) -> Address:
    """Start such a host instead of one in the background."""
    return Address.parse(await asyncio.to_thread(_start_fake_host, journal))


def _start_fake_host(journal: JournalAddress) -> str:
    assert journal.folder is not None
    folder = journal.folder.parent
    command = [sys.executable, "-m", "tests.faults.chaos_parts", "fake_host", str(folder), "fake"]
    with (folder / "errors").open("ab") as errors:
        process = subprocess.Popen(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    with process:
        assert process.stdout is not None
        return process.stdout.readline().decode().strip()


# The client -------------------------------------------------------------------------------


async def _session(client: Client, folder: Folder, agent: str) -> RemoteSession:
    """Return the session; the first client begins it."""
    if any("accepted" in line for line in folder.said()):
        return await client.session(SESSION)
    env = {"ANTHROPIC_BASE_URL": FAKE_URL} if agent == "fake" else {}
    return await client.dispatch(
        "<first>",
        id=SESSION,
        agent=agent,
        cwd=folder.work,
        env=env,
        permission_mode="bypassPermissions",
    )


async def client(folder: Folder, agent: str, seed: str) -> None:
    """Say this and that until told to end."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with connect(folder.state) as found, await _session(found, folder, agent) as session:
        if not folder.said():
            assert session.first is not None
            result = await session.first.result()
            assert result.status == "completed", result
            folder.note("said", accepted=session.first.id)
        tell("ready")
        talking = asyncio.ensure_future(_talk(session, folder, chance))
        await asyncio.wait(
            {talking, asyncio.ensure_future(stopped.wait())},
            return_when=asyncio.FIRST_COMPLETED,
        )
        if talking.done():
            talking.result()
        talking.cancel()
        await asyncio.wait({talking})


async def _talk(session: RemoteSession, folder: Folder, chance: random.Random) -> None:
    while True:
        name = f"m{chance.randrange(10**9)}"
        text = f"do <{name}{':tool' if chance.random() < 0.6 else ''}>"
        try:
            match chance.choice(["send", "send", "send", "queue", "redirect", "stop", "wait"]):
                case "send":
                    message = await session.send(text, id=name)
                case "queue":
                    message = await session.send(text, "queue", id=name)
                case "redirect":
                    message = await session.redirect(text, id=name)
                case "stop":
                    await session.interrupt(keep_queued=chance.random() < 0.5)
                    continue
                case _:
                    message = await session.send(text, id=name)
                    folder.note("said", accepted=name)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(60):  # it may be in line behind a dead host
                            await message.result()
                    continue
            folder.note("said", accepted=name)
        except MidflightError as error:
            folder.note("said", error=f"{error.code}: {error}")
        await asyncio.sleep(chance.uniform(0.0, 0.8))  # noqa: TID251 - people do that


async def last(folder: Folder, agent: str) -> None:
    """Say the last message, which must be answered, and end the session."""
    tell("ready")
    async with connect(folder.state) as found, await found.session(SESSION) as session:
        await session.interrupt()
        async for _ in session.stream():
            pass
        result = await (await session.send("<last>")).result()
        assert result.status == "completed", result
        await session.close()


def tell(line: str) -> None:
    """Say something to whoever has started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Be one of the parts."""
    parts: dict[str, Callable[..., Awaitable[None]]] = {
        "model": model,
        "client": client,
        "last": last,
        "fake_host": fake_host,
    }
    part, folder, agent, *more = sys.argv[1:]
    if agent == "fake":
        vars(placement)["start_host"] = start_fake_host

    async def be() -> None:
        await parts[part](Folder(Path(folder)), agent, *more)

    asyncio.run(be())


if __name__ == "__main__":
    main()
