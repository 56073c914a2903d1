"""What the drivers for all versions of OpenCode's API share: how one begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Coroutine
from typing import Any, ClassVar, Generic, Protocol

import msgspec

from midflight import events as e
from midflight._util.aio import TaskSet
from midflight._util.redact import Redactor, server_secrets
from midflight.agents.base import Died, Reply, Signal
from midflight.agents.opencode.event_stream import FeedItem
from midflight.agents.opencode.models import ModelChoice
from midflight.agents.opencode.permissions import OpenCodePermissions
from midflight.agents.opencode.processes import RunningCommands
from midflight.agents.opencode.program import check_options
from midflight.agents.opencode.server import C, Server
from midflight.agents.opencode.trust import only_here
from midflight.agents.process.tool_processes import last_signals
from midflight.agents.shared.obeyed import protected
from midflight.agents.shared.only_here import refuse
from midflight.errors import AgentFailed
from midflight.options import Options
from midflight.trust.decision import Standing, decide
from midflight.trust.stake import Obeyed
from midflight.values import PermissionMode


class Replies(Protocol):
    """Answers the requests of a session."""

    async def reply(self, reply: Reply) -> None:
        """Answer a request; one that has ended is refused, and that is no error."""
        ...


class Inventory(Protocol):
    """What a server has for a folder."""

    @property
    def skills(self) -> tuple[str, ...]:
        """The names of the skills."""
        ...

    @property
    def problems(self) -> Collection[str]:
        """What of the folder, or of the options, is not there."""
        ...


class OpenCodeDriver(ABC, Generic[C]):
    """One conversation with OpenCode, whatever its API."""

    name: str
    obeyed: ClassVar[Obeyed]
    """What the program obeys of a folder."""

    def __init__(self, options: Options) -> None:
        """Take the options; nothing is started. Raises `UnsupportedOption`."""
        check_options(options)
        self._options = options
        self._permissions = OpenCodePermissions(options)
        self._clean = Redactor({**os.environ, **options.env}, server_secrets(options.mcp_servers))
        self._inbox: asyncio.Queue[FeedItem | Signal] = asyncio.Queue()
        self._tasks = TaskSet()
        self._server: Server[C] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._replies: Replies
        self._commands: RunningCommands
        self._model: ModelChoice
        self._session = ""

    def _look(self) -> Standing:
        """Return how to start here; a server that runs already cannot be told.

        Raises `UnsupportedOption` for what the options name and only the folder has.
        """
        options = self._options
        told = options.server_url is None
        standing = decide(options, msgspec.structs.replace(self.obeyed, told=told))
        self._permissions.protected = protected(options, standing.stake)
        if not standing.trusted:
            refuse(options, only_here(options, standing.stake))
        return standing

    def _introduction(
        self, inventory: Inventory, model: str, tools: tuple[str, ...] = ()
    ) -> e.SessionStarted:
        assert self._server is not None  # noqa: S101 - taken by start
        return e.SessionStarted(
            agent=self.name,
            agent_version=self._server.version,
            agent_session=self._session,
            model=model,
            cwd=str(self._options.cwd),
            tools=tools,
            skills=inventory.skills,
            problems=tuple(map(self._clean, inventory.problems)),
        )

    async def close(self) -> None:
        """End the session: its turn, its tools, and the server if no other session uses it."""
        await self.kill()

    async def kill(self) -> None:
        """Stop what the session does, at once; its conversation stays on disk.

        Done once and wholly, also if the caller is cancelled meanwhile.
        """
        if self._ending is None and self._server is not None:
            self._ending = asyncio.get_running_loop().create_task(self._end(self._server))
        if self._ending is not None:
            await asyncio.shield(self._ending)

    @abstractmethod
    async def _end(self, server: Server[C]) -> None:
        """Stop what the session does, and leave the server."""

    async def _last(self) -> list[Signal]:
        """Return what is reported when no events come any more."""
        assert self._server is not None  # noqa: S101 - it was started
        words = self._server.last_words() if self._ending is None else "it was closed"
        return list(last_signals(await self._server.survivors(), Died(words)))

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the reading of events."""

        async def done() -> None:
            with contextlib.suppress(AgentFailed):
                await work

        self._tasks.start(done())

    async def reply(self, reply: Reply) -> None:
        """Answer a permission request or a question; one that has ended is ignored."""
        await self._replies.reply(reply)

    def _use(self, model: str) -> None:
        """Choose a model, and report what its name means here. Raises `UnsupportedOption`."""
        own = self._model.use(model)
        if own != model:
            text = f"the model {model!r} means {own} here"
            self._inbox.put_nowait(e.Notice(level="info", text=text))

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """Use this mode from the next request on."""
        self._permissions.mode = mode

    async def stop_task(self, task: str) -> None:
        """There is no background work."""
