"""The driver for OpenCode: one session of its server, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from midflight import events as e
from midflight.agents.base import (
    Calling,
    Dropped,
    Finished,
    Kept,
    Memory,
    Signal,
    Support,
    Taken,
    Up,
)
from midflight.agents.opencode import program, trust
from midflight.agents.opencode.driver import OpenCodeDriver
from midflight.agents.opencode.event_stream import GAP, GONE, FeedItem
from midflight.agents.opencode.ids import Ids
from midflight.agents.opencode.models import ModelChoice
from midflight.agents.opencode.processes import RunningCommands
from midflight.agents.opencode.server import PASSWORD, Refused, Server, join
from midflight.agents.opencode.v1 import conversation
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.agents.opencode.v1.content import file_part
from midflight.agents.opencode.v1.effects import OwnTools
from midflight.agents.opencode.v1.events import EventTranslator
from midflight.agents.opencode.v1.feed import Feed, Feeds, adopt, missed
from midflight.agents.opencode.v1.memory import NEWEST, Remembering, bring_together
from midflight.agents.opencode.v1.requests import Replies
from midflight.agents.shared.effects import effects_of
from midflight.effects import Effect
from midflight.errors import AgentFailed
from midflight.images import Image
from midflight.options import Options
from midflight.trust.decision import look_again

SETTLE_S = 0.3
"""How long after an unclear end the server is asked for its state."""

STOP_TIMEOUT_S = 5.0
STOP_PAUSE_S = 0.02
NOT_PLANNING = "OpenCode's setting default_agent: plan is not obeyed: permission_mode says it"

NUDGE: FeedItem = {"type": "server.heartbeat", "properties": {}}
"""Wakes the reader, so that it looks whether something is unsettled."""


class OpenCodeAgent(OpenCodeDriver[Feeds]):
    """One conversation with OpenCode."""

    name = "opencode"
    obeyed = trust.OBEYED
    capabilities: Mapping[str, Support] = {
        "steer": "supported",
        "queue": "emulated",
        "redirect": "emulated",
        "interrupt": "supported",
        "cancel": "emulated",
        "permissions": "supported",
        "edited_input": "emulated",
        "questions": "supported",
        "set_model": "supported",
        "set_permission_mode": "emulated",
        "max_turns": "emulated",
        "max_budget_usd": "emulated",
        "set_limits": "emulated",
        "cost": "supported",
        "timeout": "emulated",
        "stall_timeout": "emulated",
        "plugins": "emulated",
        "skills": "supported",
        "mcp_servers": "supported",
        "system_prompt": "supported",
        "effort": "supported",
        "images": "supported",
        "add_dirs": "emulated",
        "resume": "supported",
        "relocate": "emulated",
        "retries": "supported",
        "plan": "supported",
        "background": "not",
        "subagents": "supported",
    }
    limits: Mapping[str, str] = {
        "queue": "kept in midflight's outbox",
        "redirect": "an abort, then the message",
        "cancel": "in midflight's outbox; a server at work keeps what it has received",
        "edited_input": "the call is refused, and the agent asked to repeat it with that input",
        "set_permission_mode": "OpenCode asks, midflight answers by the mode",
        "max_turns": "model calls are counted, then an abort",
        "set_limits": "midflight counts anyway",
        "max_budget_usd": "OpenCode's figures are added up, then an abort",
        "timeout": "midflight's clock, then an abort",
        "stall_timeout": "midflight's clock, then an abort",
        "plugins": "of a plugin, OpenCode gets the skills",
        "add_dirs": "OpenCode asks, midflight allows",
        "relocate": "what its server tells of it goes through the journal, into another server",
        "background": "OpenCode's commands and sub-agents end with their turn",
    }

    def __init__(self, options: Options) -> None:
        """Take the options; nothing is started. Raises `UnsupportedOption`."""
        super().__init__(options)
        trust.check_name(options)
        self._replies: Replies
        self._feed: Feed | None = None
        self._client: OpenCodeClient
        self._own_tools = OwnTools()
        self._translate: EventTranslator
        self._agent = ""
        self._ids = Ids()
        self._sent = 0.0
        self._memory: Remembering | None = None
        self._tool_begun = False

    # Starting and ending ------------------------------------------------------------------

    async def check(self) -> None:
        """Look for the program, its configuration, and what the folder has it obey."""
        standing = await asyncio.to_thread(self._look)
        if self._options.server_url is None:
            program.Launch.of(self._options, trusted=standing.trusted)

    async def start(self, memory: Memory | None = None) -> None:
        """Find or start a server, open a session there, and listen to it."""
        options = self._options
        standing = await asyncio.to_thread(self._look)
        self._server = await self._join(trusted=standing.trusted)
        self._commands = RunningCommands(self._server, options.cwd)
        try:
            self._feed = await self._server.connection.join(options.cwd)
            self._client = self._feed.client
            models, inventory = await asyncio.gather(
                conversation.models(self._client), conversation.inventory(self._client, options)
            )
            self._model = ModelChoice(models)
            self._own_tools = OwnTools(inventory.tools)
            if options.model is not None:
                await self.set_model(options.model)
            if options.effort is not None:
                self._model.think(options.effort)
            self._replies = Replies(self._client, self._permissions, self._start_task)
            if memory is not None:
                await bring_together(self._client, options, memory)
            self._session, since, self._agent = await conversation.begin(self._client, options)
            if memory is not None:
                self._memory = Remembering(self._client, self._session, memory)
            self._translate = EventTranslator(
                self._session,
                models.price,
                self._replies,
                self._clean,
                since=since,
                replaced=self._own_tools.replaced,
            )
            self._feed.listen(self._session, self._inbox)
            if options.resume is not None:
                await adopt(self._feed, self._session, self._session)
            if options.server_url is None:
                await asyncio.to_thread(look_again, options, trust.OBEYED, standing)
            self._inbox.put_nowait(Up())
            if standing.notice:
                self._inbox.put_nowait(e.Notice(level="warning", text=standing.notice))
            self._inbox.put_nowait(self._introduction(inventory, self._model.name, inventory.tools))
            if self._agent:
                self._inbox.put_nowait(e.Notice(level="info", text=NOT_PLANNING))
        except BaseException:
            await self.kill()
            raise

    async def _join(self, *, trusted: bool) -> Server[Feeds]:
        """Find or start the server."""
        options = self._options
        if options.server_url is None:
            return await join(options, Feeds, program.Launch.of(options, trusted=trusted))
        password = options.env.get(PASSWORD, os.environ.get(PASSWORD))
        return await join(options, Feeds, None, password)

    async def _end(self, server: Server[Feeds]) -> None:
        self._tasks.cancel()
        try:
            if self._session and server.is_alive():
                await self._commands.condemn()
                if self._translate.in_turn or self._translate.unread:
                    await self._stop(server)
                await self._commands.close()
            if self._feed is not None:
                self._feed.forget(self._session)
                if await server.connection.leave(self._feed):
                    await self._commands.end_strays(server.connection.directories)
        finally:
            await server.leave()
            self._inbox.put_nowait(GONE)

    async def _stop(self, server: Server[Feeds]) -> None:
        """Have the session rest; a server that does not obey is ended."""
        with contextlib.suppress(AgentFailed, TimeoutError):
            await self._halt()
            return
        await server.kill()

    async def _halt(self) -> None:
        """Abort until the session rests, and take back what it has not read.

        An abort does nothing between the acceptance of a prompt and the beginning of its loop.
        Raises `AgentFailed` or `TimeoutError`.
        """
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await self._abort()
            while not await self._rests():
                await asyncio.sleep(STOP_PAUSE_S)
                await self._abort()

    async def _rests(self) -> bool:
        """Take back what has not been read; tell whether all is, and the session is at rest."""
        for known in list(self._translate.unread):
            if not await self._take_back(known):
                return False
        return self._session not in await self._client.get("/session/status")

    # Verbs --------------------------------------------------------------------------------

    async def send(
        self,
        message: str,
        text: str,
        *,
        steer: bool,
        typed: bool,
        images: Sequence[Image] = (),
    ) -> None:
        """Send a prompt under an id of ours; a running loop reads it by itself.

        The server takes no text for anything but a text.
        """
        del steer, typed
        newest = max(self._translate.reading, self._translate.since)
        known = self._ids.after(newest)
        self._translate.unread[known] = message
        self._translate.stopping = False
        self._sent = time.monotonic()
        if images:
            self._model.check_images()
        parts = [{"type": "text", "text": text}, *map(file_part, images)]
        body: dict[str, Any] = {"messageID": known, "parts": parts, **self._model.prompt_fields()}
        if self._agent:
            body["agent"] = self._agent
        try:
            await self._client.post(f"/session/{self._session}/prompt_async", body)
        except AgentFailed:
            self._translate.unread.pop(known, None)
            raise

    async def cancel(self, message: str) -> None:
        """Take back a prompt that has not been read; a server at work does not give it back."""
        for known in [k for k, unread in self._translate.unread.items() if unread == message]:
            if not await self._take_back(known):
                self._inbox.put_nowait(Kept(message))

    async def _take_back(self, known: str) -> bool:
        """Delete a prompt; False while the server is at work, or has not stored it yet.

        One that is not stored it would run all the same, and yet say that it was deleted.
        """
        path = f"/session/{self._session}/message/{known}"
        try:
            await self._client.get(path)
            await self._client.delete(path)
        except Refused:
            return False
        if (message := self._translate.withdraw(known)) is not None:
            self._inbox.put_nowait(Dropped(message))
        return True

    async def interrupt(self) -> None:
        """Abort the turn, and take back unread messages; note what must not survive it."""
        self._translate.stopping = self._translate.unsettled = True
        await self._commands.condemn()
        self._inbox.put_nowait(NUDGE)
        await self._halt()

    async def _abort(self) -> None:
        await self._client.post(f"/session/{self._session}/abort")

    def effects(self, request: e.PermissionRequested) -> tuple[Effect, ...]:
        """See `Agent.effects`."""
        seen = not self._translate.unseen(request.call)
        table = self._own_tools.table(request.name, seen=seen)
        effects = effects_of(table, request.name, request.input, self._options.cwd)
        return self._permissions.protected.marked(effects)

    async def set_model(self, model: str) -> None:
        """Use this model from the next message on. Raises `UnsupportedOption`."""
        self._use(model)

    def cost_with(self, model: str | None) -> Support:
        """See `Agent.cost_with`."""
        return "supported" if self._model.priced(model) else "not"

    # Reports ------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Signal]:
        """Read events until the server is gone or the session has been closed."""
        while True:
            if self._tool_begun and self._inbox.empty():
                for signal in await self._remember(NEWEST):
                    yield signal
            item = await self._next() if self._inbox.empty() else self._inbox.get_nowait()
            if isinstance(item, dict):
                signals = self._translate(item)
            elif item is None or item == GAP:
                assert self._feed is not None  # noqa: S101 - events come from it
                signals = await missed(self._feed, self._translate, self._sent)
            elif item == GONE:
                break
            else:
                signals = [item]
            for signal in signals:
                if not isinstance(signal, (e.TextDelta, e.ThinkingDelta)):
                    for before in await self._watch(signal):
                        yield before
                yield signal
        for last in await self._last():
            yield last

    async def _next(self) -> FeedItem | Signal | None:
        """Wait for the next item; None when it is time to ask for the state."""
        if not (self._session and self._translate.unsettled):
            return await self._inbox.get()
        try:
            async with asyncio.timeout(SETTLE_S):
                return await self._inbox.get()
        except TimeoutError:
            return None

    async def _remember(self, newest: int | None = None) -> list[Signal]:
        """Return what is new of the conversation, if it is to be remembered elsewhere."""
        self._tool_begun = False
        if self._memory is None:
            return []
        try:
            return [*await self._memory.changed(newest)]
        except AgentFailed as error:
            why = f"what OpenCode remembers could not be read: {error.message}"
            return [e.Notice(level="warning", text=why)]

    async def _watch(self, signal: Signal) -> list[Signal]:
        """Keep track of what runs, and end what an abort has left running.

        Returns what is to be reported before.
        """
        self._tool_begun |= isinstance(signal, e.ToolStarted)
        match signal:
            case e.ToolStarted() if signal.kind == "execute":
                self._commands.begin(signal)
            case e.ToolEnded() if not self._translate.stopping:
                self._commands.over(signal.call)
            case e.QuestionRequested() | e.PermissionRequested():
                self._replies.note(signal)
            case Taken() | Calling() if self._translate.stopping:
                # The first abort came before there was a turn. Nothing may be sent before this
                # one is through: it would be aborted too.
                with contextlib.suppress(AgentFailed):
                    await self._abort()
            case Finished():
                self._translate.stopping = False
                self._replies.forget()
                await self._commands.close()
                return await self._remember()
        return []
