"""A real OpenCode server for tests: started once, used by many sessions.

Such a server takes seconds to start, and another one for each new folder; a turn in a folder that
it knows takes a tenth of that. So tests share one server, its home and one folder. Its model's
address is fixed when it starts, so the scripted models of these tests follow each other on one
port.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import http.client
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from midflight._util.programs import find_program
from midflight.agents.opencode.permissions import BASE
from midflight.agents.opencode.program import GO_ON
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.agents.opencode.v2.client import OpenCode2Client
from midflight.agents.opencode.v2.names import PREVIEW
from midflight.agents.opencode.v2.program import in_v2
from midflight.agents.process.reaper import MARKER, Reaper
from midflight.errors import AgentUnavailable
from midflight.testing.home import make_home
from midflight.testing.model.environment import env_for

__all__ = ["SHARED", "OpenCode2Server", "OpenCodeServer", "free_port", "make_settings"]

SHARED = "MIDFLIGHT_TEST_SERVER"
"""This variable marks a server that tests share, unlike the agents that a test starts."""

PATIENCE_S = 60.0
PROBE_S = 1.0
"""How long one look at the server's health waits: the first connections are never answered."""

PAUSE_S = 0.05
LAST_WORDS = 2000
INSTALL = "npm install -g opencode-ai"

# Below what systems give to outgoing connections, so that a free port stays free.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a free port of the loopback interface; no other process gets it from here.

    A server may be away for a while, so that its port looks free: the datagram port of the same
    number stands for it, which nobody else wants.
    """
    for port in random.sample(_PORTS, 100):
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            mark.close()
        else:
            atexit.register(mark.close)
            return port
    raise OSError("no free port was found")


class OpenCodeServer:
    """One ``opencode serve`` of our own. A context manager.

    ``folder`` gets its home and the working directory that its sessions share. ``url`` is what
    ``server_url=`` takes, ``env`` what the sessions' ``env=`` needs beside it, ``model_port``
    where a `ScriptedModel` must listen to be asked.
    """

    program_name = "opencode"
    health = "/global/health"

    def __init__(self, folder: Path, program: Path | str | None = None) -> None:
        """Find the program. Raises `AgentUnavailable` if there is none."""
        found = program or find_program(self.program_name)
        if found is None:
            raise AgentUnavailable(f"{self.program_name} was not found on PATH", INSTALL)
        self._program = str(found)
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: Reaper | None = None
        self._marker = uuid.uuid4().hex
        self.home = folder / "home"
        self.cwd = folder / "cwd"
        self.model_port = free_port()
        self._port = free_port()
        self._own_password = secrets.token_urlsafe(16)

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def password(self) -> str:
        """The password that the server takes."""
        return self._own_password

    @property
    def env(self) -> dict[str, str]:
        """The environment in which a session finds the server's password."""
        return {"OPENCODE_SERVER_PASSWORD": self.password}

    async def rest(self) -> None:
        """Stop what an earlier session left at work: it would call the next one's model."""
        client = OpenCodeClient(self.url, self.password, self.cwd)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while busy := await client.get("/session/status"):
                    for session in busy:
                        await client.post(f"/session/{session}/abort")
                    await asyncio.sleep(PAUSE_S)
        finally:
            await client.close()

    async def forget(self, session: str) -> None:
        """Remove a session of the server's."""
        client = OpenCodeClient(self.url, self.password, self.cwd)
        try:
            await client.delete(f"/session/{session}")
        finally:
            await client.close()

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self._process is not None, "the server has not been started"
        return self._process.pid

    def suspend(self) -> None:
        """Take the processor from the server until `resume`; what it is asked meanwhile waits."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended server work again."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        """Start the server and wait until it answers. Raises `AgentUnavailable` if it does not."""
        make_home(self.home)
        self.cwd.mkdir()
        model = self._settings(f"http://127.0.0.1:{self.model_port}")
        log = self.home / "server.log"
        with log.open("wb") as output:
            marks = {MARKER: self._marker, SHARED: "1"}
            self._process = self._start(model | self.env | marks, output)
        try:
            self._reaper = Reaper(self._process.pid, self._marker, None)
            self._wait(log)
        except BaseException:
            self._kill()
            raise
        return self

    def _settings(self, model: str) -> dict[str, str]:
        """Return the environment of a server that asks the model at an address."""
        env = env_for(model, self.home)
        config = json.loads(env["OPENCODE_CONFIG_CONTENT"])
        return env | {"OPENCODE_CONFIG_CONTENT": json.dumps(config | GO_ON)}

    def _start(self, env: dict[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._program, "serve", "--hostname", "127.0.0.1", "--port", str(self._port)],
            env=env,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                output = log.read_text("utf-8", "replace")[-LAST_WORDS:]
                raise AgentUnavailable(f"the OpenCode server does not answer: {output}", INSTALL)
            time.sleep(PAUSE_S)

    def _answers(self) -> bool:
        key = base64.b64encode(f"opencode:{self.password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PROBE_S)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", self.health, headers={"Authorization": f"Basic {key}"})
            return connection.getresponse().status == http.client.OK
        return False

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill the server and all that it started."""
        self._kill()

    def _kill(self) -> None:
        """Kill at once: a server that has worked does not obey TERM."""
        process, self._process = self._process, None
        if process is None:
            return
        for one in _tree(process.pid):
            with contextlib.suppress(psutil.Error):
                one.kill()
        process.wait()
        if self._reaper is not None:
            self._reaper.let_go()


class OpenCode2Server(OpenCodeServer):
    """The same with the preview of OpenCode 2, ``lildax serve``.

    It makes its own password, and knows the model's address and the permission rules from a file of
    settings in its home.
    """

    program_name = "lildax"
    health = "/api/health"

    @property
    def password(self) -> str:
        """The password that the server has made; empty before it has."""
        file = self.home / ".local" / "state" / "opencode" / "password"
        return file.read_text(encoding="utf-8").strip() if file.is_file() else ""

    async def rest(self) -> None:
        """Stop what an earlier session left at work: it would call the next one's model."""
        client = OpenCode2Client(self.url, self.password)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while busy := await client.data("/api/session/active"):
                    for session in busy:
                        await client.post(f"/api/session/{session}/interrupt")
                    await asyncio.sleep(PAUSE_S)
        finally:
            await client.close()

    def _settings(self, model: str) -> dict[str, str]:
        make_settings(self.home, model, permissions=in_v2(BASE, PREVIEW))
        return env_for(model, self.home)


def make_settings(home: Path, model: str, **more: object) -> None:
    """Write the settings by which the preview of OpenCode 2 asks the model at an address."""
    file = home / ".config" / "opencode" / "opencode.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    api = {"type": "aisdk", "package": "@ai-sdk/anthropic", "url": f"{model}/v1"}
    providers = {"anthropic": {"api": api}}
    settings = {"model": "anthropic/claude-sonnet-4-5", "providers": providers, **more}
    file.write_text(json.dumps(settings), encoding="utf-8")


def _tree(pid: int) -> Iterator[psutil.Process]:
    """Yield the children of a process before itself, so that none is lost to another parent."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        yield from root.children(recursive=True)
        yield root
