"""The driver for OpenCode 2: one session of its server, over HTTP. Experimental, see `names`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from midflight import events as e
from midflight.agents.base import (
    Calling,
    Finished,
    Memory,
    Signal,
    Support,
    Taken,
    Up,
    Woke,
)
from midflight.agents.opencode.driver import OpenCodeDriver
from midflight.agents.opencode.event_stream import GAP, GONE, FeedItem
from midflight.agents.opencode.models import ModelChoice
from midflight.agents.opencode.processes import RunningCommands
from midflight.agents.opencode.server import Refused, Server, join
from midflight.agents.opencode.v2 import conversation, program, trust
from midflight.agents.opencode.v2.effects import TOOLS
from midflight.agents.opencode.v2.events import EventTranslator
from midflight.agents.opencode.v2.feed import Connecting, Feed, is_active, missed
from midflight.agents.opencode.v2.names import PREVIEW, Names
from midflight.agents.opencode.v2.prompts import Prompts
from midflight.agents.opencode.v2.requests import Replies
from midflight.agents.shared.effects import effects_of
from midflight.effects import Effect
from midflight.errors import AgentFailed, UnsupportedOption
from midflight.images import Image
from midflight.options import Options
from midflight.trust.decision import Standing, look_again

QUIET_S = 2.0
"""After so long a silence the server is asked for its state, whatever it has reported."""

REFUSED_MOST = 3
"""How often in a row the server may refuse to tell its state."""

STOP_TIMEOUT_S = 5.0
STOP_PAUSE_S = 0.1

EXPERIMENTAL = (
    "OpenCode 2 is driven experimentally: tried on its preview, what only 2.x has was read;"
    " `midflight doctor --probe --agent opencode2` tries yours"
)

NUDGE: FeedItem = {"type": "server.heartbeat", "data": {}}
"""Wakes the reader, so that it looks whether something is unsettled."""


class OpenCode2Agent(OpenCodeDriver[Feed]):
    """One conversation with OpenCode 2."""

    name = "opencode2"
    obeyed = trust.OBEYED
    experimental = True
    capabilities: Mapping[str, Support] = {
        "steer": "supported",
        "queue": "emulated",
        "redirect": "emulated",
        "interrupt": "supported",
        "cancel": "supported",
        "permissions": "supported",
        "edited_input": "emulated",
        "questions": "supported",
        "set_model": "supported",
        "set_permission_mode": "emulated",
        "max_turns": "emulated",
        "max_budget_usd": "emulated",
        "timeout": "emulated",
        "stall_timeout": "emulated",
        "plugins": "emulated",
        "skills": "supported",
        "mcp_servers": "supported",
        "system_prompt": "supported",
        "effort": "supported",
        "images": "not",
        "add_dirs": "emulated",
        "resume": "supported",
        "relocate": "not",
        "retries": "supported",
        "plan": "supported",
        "background": "not",
        "subagents": "supported",
        "set_limits": "emulated",
        "cost": "supported",
    }
    limits: Mapping[str, str] = {
        "queue": "kept in midflight's outbox, then given to OpenCode's own queue",
        "redirect": "an interrupt, then the message",
        "edited_input": "the call is refused, and the agent asked to repeat it with that input",
        "set_permission_mode": "OpenCode asks, midflight answers by the mode",
        "max_turns": "model calls are counted, then an interrupt",
        "max_budget_usd": "OpenCode's figures are added up, then an interrupt",
        "timeout": "midflight's clock, then an interrupt",
        "stall_timeout": "midflight's clock, then an interrupt",
        "plugins": "of a plugin, OpenCode gets the skills",
        "add_dirs": "OpenCode asks, midflight allows",
        "background": "OpenCode's commands and sub-agents end with their turn",
        "set_limits": "midflight counts anyway",
        "images": "midflight does not hand them on to OpenCode 2 yet",
        "relocate": "OpenCode 2 takes in no conversation of another machine",
    }

    def __init__(self, options: Options) -> None:
        """Take the options; nothing is started. Raises `UnsupportedOption`."""
        super().__init__(options)
        if options.fork:
            raise UnsupportedOption("fork", "midflight does not copy conversations of OpenCode 2")
        self._replies: Replies
        self._feed: Feed
        self._translate: EventTranslator
        self._prompts: Prompts
        self._plugins = False
        self._pause = QUIET_S
        self._refused = 0

    # Starting and ending ------------------------------------------------------------------

    async def check(self) -> None:
        """Look for the program, its configuration, and what the folder has it obey."""
        standing = await asyncio.to_thread(self._look)
        if self._options.server_url is None:
            program.Launch.of(self._options, trusted=standing.trusted)

    async def start(self, memory: Memory | None = None) -> None:
        """Find or start a server, open a session there, and listen to it."""
        del memory  # it cannot take one in
        options = self._options
        standing = await asyncio.to_thread(self._look)
        self._server = await self._join(trusted=standing.trusted)
        self._commands = RunningCommands(self._server, options.cwd)
        try:
            self._feed = self._server.connection
            self._check(self._feed.names, standing)
            await self._feed.join(options.cwd)
            client = self._feed.client
            models = await conversation.models(client, options)
            self._model = ModelChoice(models)
            if options.model is not None:
                self._use(options.model)
            if options.effort is not None:
                self._model.think(options.effort)
            self._session, seq, model = await conversation.begin(client, self._feed.names, options)
            await self._choose()
            inventory = await conversation.inventory(client, self._feed.names, options)
            self._plugins = inventory.plugins
            self._replies = Replies(client, self._permissions, self._start_task)
            self._translate = EventTranslator(
                self._session,
                self._feed.names,
                models.price,
                self._replies,
                self._clean,
                directory=options.cwd,
                seq=seq,
            )
            self._replies.of(self._translate.requests.open)
            self._prompts = Prompts(
                self._feed, self._session, self._translate, self._inbox.put_nowait
            )
            self._feed.listen(self._session, self._inbox)
            if options.server_url is None:
                await asyncio.to_thread(look_again, options, trust.OBEYED, standing)
            self._inbox.put_nowait(Up())
            for text in filter(None, (standing.notice, EXPERIMENTAL)):
                self._inbox.put_nowait(e.Notice(level="warning", text=text))
            self._inbox.put_nowait(self._introduction(inventory, self._model.name or model))
        except BaseException:
            await self.kill()
            raise

    async def _join(self, *, trusted: bool) -> Server[Feed]:
        """Find or start the server."""
        options = self._options
        if options.server_url is not None:
            return await join(options, Connecting(None, None), None, program.password(options))
        launch = program.Launch.of(options, trusted=trusted)
        return await join(options, Connecting(launch.names, launch.password_file()), launch)

    def _check(self, names: Names, standing: Standing) -> None:
        """Take in what the server lacks. Raises `UnsupportedOption` or `AgentFailed`.

        The preview loads a folder's settings whatever it is told.
        """
        if names is not PREVIEW:
            return
        self.capabilities = {**self.capabilities, **PREVIEW_LACKS}
        self.limits = {**self.limits, **PREVIEW_LIMITS}
        if self._options.mcp_servers:
            raise UnsupportedOption("mcp_servers", "the preview of OpenCode 2 runs none")
        if standing.stake and not standing.trusted and self._options.server_url is None:
            raise AgentFailed(
                "the preview of OpenCode 2 cannot be told to leave out this folder's settings",
                f"midflight trust {self._options.cwd}",
            )

    async def _end(self, server: Server[Feed]) -> None:
        self._tasks.cancel()
        try:
            if self._session and server.is_alive():
                await self._commands.condemn()
                await self._stop(server)
                await self._commands.close()
            feed = server.connection
            feed.forget(self._session)
            if feed.leave(self._options.cwd):
                await self._commands.end_strays(feed.directories)
        finally:
            await server.leave()
            self._inbox.put_nowait(GONE)

    async def _stop(self, server: Server[Feed]) -> None:
        """Interrupt, and wait until the session rests; a server that does not obey is ended."""
        with contextlib.suppress(AgentFailed, TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while await is_active(self._feed, self._session):
                    await self._interrupt()
                    await asyncio.sleep(STOP_PAUSE_S)
                return
        await server.kill()

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
        """Send a prompt under an id of ours: for the next step, or for a run of its own.

        Files and commands have fields and routes of their own: a text is a text.
        """
        del typed, images
        self._translate.stopping = False
        await self._prompts.send(message, text, steer=steer)
        self._translate.unsettled = self._translate.unsettled or not self._translate.in_turn

    async def cancel(self, message: str) -> None:
        """Take back a prompt that the model has not got; the preview does not give it back."""
        await self._prompts.cancel(message)

    async def interrupt(self) -> None:
        """Stop the run, and take back what it has not read; note what must not survive it."""
        self._translate.stopping = True
        await self._commands.condemn()
        await self._interrupt()
        await self._prompts.cancel_all()
        self._inbox.put_nowait(NUDGE)

    async def _interrupt(self) -> None:
        await self._feed.client.post(f"/api/session/{self._session}/interrupt")

    def effects(self, request: e.PermissionRequested) -> tuple[Effect, ...]:
        """See `Agent.effects`. With plugins a tool may be another than its name says."""
        table = {} if self._plugins else TOOLS
        effects = effects_of(table, request.name, request.input, self._options.cwd)
        return self._permissions.protected.marked(effects)

    async def set_model(self, model: str) -> None:
        """Use this model from the next model call on. Raises `UnsupportedOption`."""
        self._use(model)
        await self._choose()

    async def _choose(self) -> None:
        """Tell the server which model the session uses, if one was chosen."""
        if (ref := self._model.ref()) is not None:
            await self._feed.client.post(f"/api/session/{self._session}/model", {"model": ref})

    def cost_with(self, model: str | None) -> Support:
        """See `Agent.cost_with`."""
        return self.capabilities["cost"] if self._model.priced(model) else "not"

    # Reports ------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Signal]:
        """Read events until the server is gone or the session has been closed."""
        while True:
            item = await self._next() if self._inbox.empty() else self._inbox.get_nowait()
            if item == GONE:
                break
            if isinstance(item, dict):
                signals = self._translate(item)
            elif item is None or item == GAP:
                signals = await self._look_for_news(gap=item == GAP)
            else:
                yield item
                continue
            for signal in signals:
                if not isinstance(signal, (e.TextDelta, e.ThinkingDelta)):
                    await self._watch(signal)
                yield signal
        for last in await self._last():
            yield last

    async def _next(self) -> FeedItem | Signal | None:
        """Wait for the next item; None when it is time to ask for the state."""
        translate = self._translate if self._session else None
        if translate is None or not (translate.in_turn or translate.unread):
            return await self._inbox.get()
        if translate.unsettled or translate.stopping:
            self._pause = min(self._pause, QUIET_S)
        else:
            self._pause = QUIET_S
        try:
            async with asyncio.timeout(self._pause):
                item = await self._inbox.get()
        except TimeoutError:
            self._pause *= 2
            return None
        self._pause = self._feed.names.settle_s
        return item

    async def _look_for_news(self, *, gap: bool) -> list[Signal]:
        """Ask for the state: what the server did not report, or does not do at all."""
        translate = self._translate
        try:
            active = await is_active(self._feed, self._session)
            if active and not gap:
                return []
            before = translate.seq
            signals = await missed(self._feed, translate)
            if active or translate.seq != before:
                return signals
            signals += translate.settle()
            if self._prompts.overdue:
                signals += await self._prompts.wake()
        except AgentFailed as error:
            # One that is not reached is asked again, until it counts as gone. What it refuses is a
            # mistake here, and must not hang the session.
            self._refused += isinstance(error, Refused)
            if self._refused > REFUSED_MOST:
                raise
            return []
        self._refused = 0
        return signals

    async def _watch(self, signal: Signal) -> None:
        """Keep track of what runs, and end what an interrupt has left running."""
        match signal:
            case e.ToolStarted() if signal.kind == "execute":
                self._commands.begin(signal)
            case e.ToolEnded() if not self._translate.stopping:
                self._commands.over(signal.call)
            case e.PermissionRequested():
                self._replies.note(signal)
            case Taken() | Calling() if self._translate.stopping:
                # The first interrupt came before there was a run to stop.
                with contextlib.suppress(AgentFailed):
                    await self._interrupt()
            case Woke() if self._translate.unwanted:
                self._translate.stopping = True
                with contextlib.suppress(AgentFailed):
                    await self._interrupt()
            case Finished():
                self._prompts.forget()
                self._translate.stopping = False
                self._replies.forget()
                await self._commands.close()


PREVIEW_LACKS: Mapping[str, Support] = {
    "cancel": "emulated",
    "cost": "estimated",
    "edited_input": "not",
    "effort": "not",
    "mcp_servers": "not",
    "permissions": "emulated",
    "retries": "not",
    "skills": "emulated",
    "subagents": "not",
}
"""What its preview cannot do that was read of stable 2.x."""

PREVIEW_LIMITS: Mapping[str, str] = {
    "cancel": "in midflight's outbox; the preview keeps what it has received",
    "cost": "the preview tells tokens, which are priced by its own list",
    "edited_input": "the preview keeps from the model why a call was refused",
    "effort": "the preview lists no variants of its models",
    "mcp_servers": "the preview has none",
    "permissions": "the preview offers the model what is not allowed, and midflight refuses it",
    "retries": "the preview makes a call again and says nothing of it",
    "skills": "the preview's model sees the others too, and is refused them",
    "subagents": "the preview has none",
}
