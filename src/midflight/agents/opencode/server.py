"""OpenCode's server: started once for all sessions that can share it, and ended with the last one.

It listens on the loopback interface, on a port and with a password of its own. How it is spoken to
is up to each version of its API, which brings a `Connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from midflight._util.redact import server_secrets
from midflight.agents.process.process import AgentProcess
from midflight.errors import AgentFailed, AgentUnavailable
from midflight.options import Options

PASSWORD = "OPENCODE_SERVER_PASSWORD"  # noqa: S105 - the name of a variable
"""By this variable every version of the program takes its password."""

START_TIMEOUT_S = 45.0
FIND_TIMEOUT_S = 10.0
"""How long a server that runs already may take to answer."""

PROBE_PAUSE_S = 0.1
TRIES = 3
"""How often a server is started that did not get its port: another program may take it first."""

_LISTENING = b"listening on http://127.0.0.1:"


@dataclass(frozen=True, eq=False)
class RunningCommand:
    """A command that runs: its text, the age of the server when it began, and its folder.

    Two sessions may run the same one at the same moment: each is equal to itself alone.
    """

    text: str
    age_s: float
    directory: Path


class Refused(AgentFailed):
    """The server answered with an error; ``status`` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status = status


class Connection(Protocol):
    """How a version of the API speaks to a server, for all sessions that share it."""

    async def version(self) -> str:
        """Return the server's version, asked once.

        Raises `AgentUnavailable` for one that is not driven here, `Refused` or `AgentFailed`.
        """
        ...

    def end(self) -> None:
        """The server's program has ended."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


C = TypeVar("C", bound=Connection)

Connect = Callable[[str, str | None, Callable[[], bool]], C]
"""Makes a connection from an address, a password, and a function: whether the server lives.

It connects to nothing yet.
"""


class Launch(Protocol):
    """How a version of the program is started as a server."""

    @property
    def path(self) -> Path:
        """The program."""
        ...

    def key(self) -> tuple[object, ...]:
        """Return what is the same for sessions that can share a server."""
        ...

    def environment(self, password: str, folder: Path) -> dict[str, str]:
        """Return the environment to start it with; ``folder`` is private, and lives as long."""
        ...


class Server(Generic[C]):
    """One server, started here or at a `server_url`, and its users."""

    def __init__(
        self,
        options: Options,
        connect: Connect[C],
        launch: Launch | None,
        password: str | None,
        forget: Callable[[], None],
    ) -> None:
        """``launch`` is how to start it; one that runs already has none, but perhaps a password.

        ``forget`` is called when no session may begin to use it any more.
        """
        self._options = options
        self._connect = connect
        self._launch_plan = launch
        self._password = password
        self._forget = forget
        self._process: AgentProcess | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._started: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._listening: asyncio.Future[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._users = 0
        self._connection: C | None = None
        self.version = ""
        self.commands: list[RunningCommand] = []  # of all sessions

    # Using --------------------------------------------------------------------------------

    async def join(self) -> None:
        """Use it; the first user starts it. Raises `AgentUnavailable` or `AgentFailed`."""
        self._users += 1
        if self._started is None:
            self._started = asyncio.get_running_loop().create_task(self._start())
        try:
            await asyncio.shield(self._started)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Use it no longer; with its last user it ends."""
        self._users -= 1
        if self._users:
            return
        self._forget()
        if self._started is not None and not self._started.done():
            self._started.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._started
        await self._end()

    @property
    def connection(self) -> C:
        """How it is spoken to."""
        assert self._connection is not None  # noqa: S101 - made before anybody has joined
        return self._connection

    def is_alive(self) -> bool:
        """Tell whether its program runs, as far as that can be seen from here."""
        return self._process is None or self._process.running

    async def survivors(self) -> list[int]:
        """If it has ended, wait until what it ran has too; return the processes that live on."""
        if self._process is None:
            return []
        if not self._process.running:
            await self._process.exited()
        return self._process.survivors

    @property
    def process(self) -> AgentProcess | None:
        """Its program, if it is ours."""
        return self._process

    async def kill(self) -> None:
        """End it for every session: it does not obey. One at a `server_url` is left alone."""
        if self._process is not None:
            await self._process.kill()

    def last_words(self) -> str:
        """Return how it ended, for a person."""
        if self._process is None:
            return f"the server at {self._options.server_url} does not answer any more"
        return self._process.last_words()

    # Starting -----------------------------------------------------------------------------

    async def _start(self) -> None:
        url = self._options.server_url
        bound_s = START_TIMEOUT_S if url is None else FIND_TIMEOUT_S
        try:
            async with asyncio.timeout(bound_s):
                if url is None:
                    await self._launch()
                else:
                    self._connection = self._connect(url, self._password, self.is_alive)
                self.version = await self._healthy()
        except TimeoutError:
            await self._end()
            what = f"did not answer within {bound_s:.0f} seconds"
            if url is not None:
                raise AgentUnavailable(
                    f"the server at {url} {what}", "start it, or leave out server_url"
                ) from None
            raise AgentUnavailable(
                f"OpenCode's server {what}: {self.last_words()}", "midflight doctor"
            ) from None
        except BaseException:
            await self._end()
            raise

    async def _launch(self) -> None:
        """Start the program, and wait until it reports its address."""
        options, how = self._options, self._launch_plan
        assert how is not None  # noqa: S101 - there is no other server
        password = secrets.token_urlsafe(24)
        self._folder = tempfile.TemporaryDirectory(prefix="midflight-")
        folder = Path(self._folder.name)
        env = how.environment(password, folder)
        for left in range(TRIES, 0, -1):
            self._process = AgentProcess()
            self._listening = asyncio.get_running_loop().create_future()
            port = _free_port()
            await self._process.start(
                [str(how.path), "serve", "--hostname=127.0.0.1", f"--port={port}"],
                env,
                options.cwd,
                secrets=server_secrets(options.mcp_servers),
                folder=folder,
            )
            self._reader = asyncio.get_running_loop().create_task(self._read(self._process))
            # Made while the program starts: what it is made with takes a while to load.
            url = f"http://127.0.0.1:{port}"
            self._connection = self._connect(url, password, self.is_alive)
            try:
                # Only its own output shows that this program is what listens there.
                await self._listening
            except AgentFailed:
                await self._process.kill()
                if left == 1 or "EADDRINUSE" not in self._process.last_words():
                    raise
            else:
                return

    async def _read(self, process: AgentProcess) -> None:
        """Read the program's output until it has ended."""
        listening = self._listening
        assert listening is not None  # noqa: S101 - made just before
        async for line in process.lines():
            if not listening.done() and _LISTENING in line:
                listening.set_result(None)
        await process.exited()
        if not listening.done():
            words = process.last_words()
            failed = AgentUnavailable if "exit code" not in words else AgentFailed
            listening.set_exception(
                failed(f"OpenCode's server did not start: {words}", "midflight doctor")
            )
            return  # Perhaps another try follows.
        self._forget()
        if self._connection is not None:
            self._connection.end()

    async def _healthy(self) -> str:
        """Return the version, once the server answers."""
        while True:
            try:
                return await self.connection.version()
            except Refused as error:
                if error.status in (401, 403):
                    raise AgentUnavailable(
                        "OpenCode's server does not accept the password",
                        f"set {PASSWORD} here, or in env=",
                    ) from error
                url = self._options.server_url
                raise AgentUnavailable(
                    f"this is no OpenCode server: {error.message}",
                    f"look at what listens at {url}" if url else "midflight doctor",
                ) from error
            except AgentFailed:
                if not self.is_alive():
                    raise AgentFailed(f"OpenCode did not start: {self.last_words()}") from None
            await asyncio.sleep(PROBE_PAUSE_S)

    # Ending -------------------------------------------------------------------------------

    async def _end(self) -> None:
        """End it, wholly, also if the caller is cancelled meanwhile."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._tear_down())
        await asyncio.shield(self._ending)

    async def _tear_down(self) -> None:
        """End the program and all that it started: it ignores TERM, and its state is on disk."""
        if self._connection is not None:
            await self._connection.close()
        if self._process is not None:
            await self._process.kill()
        if self._reader is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        listening = self._listening
        if listening is not None and listening.done() and not listening.cancelled():
            listening.exception()  # `_launch` has raised it.
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


# One set of servers for each event loop: what belongs to one cannot be used in another.
_servers: dict[tuple[object, ...], Server[Any]] = {}


async def join(
    options: Options, connect: Connect[C], launch: Launch | None, password: str | None = None
) -> Server[C]:
    """Return a server for these options, shared with every session that needs the same one.

    Without a ``launch`` it is the one at `server_url`, which takes the ``password``. The caller
    must `Server.leave` it. Raises `AgentUnavailable` or `AgentFailed`.
    """
    wants = (options.server_url, password) if launch is None else launch.key()
    key = (asyncio.get_running_loop(), connect, *wants)
    server: Server[C] | None = _servers.get(key)
    if server is None:

        def forget() -> None:
            if _servers.get(key) is server:
                del _servers[key]

        server = _servers[key] = Server(options, connect, launch, password, forget)
    await server.join()
    return server


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
