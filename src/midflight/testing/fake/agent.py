"""An agent without a program, and the model that it asks: scripts in process, for quick tests.

It behaves as the driver of Claude Code does: it reads a steer after the running tool, merges what
waits into the next turn, asks before it changes anything, tries again, keeps limits, and is woken
by background work. Bash, Read and Write are real; so are their effects.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import msgspec

from midflight.agents.base import (
    Died,
    Dropped,
    Idle,
    Memory,
    Remembered,
    Reply,
    Signal,
    Support,
    Up,
)
from midflight.agents.claude.content import content
from midflight.agents.claude.effects import TOOLS
from midflight.agents.shared.effects import effects_of
from midflight.agents.shared.obeyed import protected
from midflight.effects import Effect
from midflight.errors import AgentFailed, AgentUnavailable, ConversationLost, UnsupportedOption
from midflight.events import PermissionRequested
from midflight.images import Image
from midflight.options import Options
from midflight.testing.fake.conversation import FakeConversation, ModelError, as_line
from midflight.testing.fake.tools import Toolbox
from midflight.testing.model.script import (
    Drop,
    HttpError,
    Malformed,
    Mark,
    ModelRequest,
    Part,
    Script,
    Silence,
    StreamError,
    Text,
    Wait,
    Words,
)
from midflight.testing.model.server import ScriptedModel
from midflight.testing.model.wire.base import words_of
from midflight.values import PermissionMode

_models: dict[str, FakeModel] = {}
_numbers = itertools.count(1)

LACKS = (
    "server_url",
    "plugins",
    "skills",
    "mcp_servers",
    "system_prompt",
    "effort",
    "add_dirs",
    "subagents",
)
"""What it lacks of options and capabilities; the options are refused."""


class FakeAgent:
    """One conversation with the `FakeModel` that ``env`` names; see `FakeModel.env`."""

    name = "fake"
    capabilities: Mapping[str, Support] = {
        "steer": "supported",
        "queue": "emulated",
        "redirect": "emulated",
        "interrupt": "supported",
        "cancel": "supported",
        "permissions": "supported",
        "edited_input": "supported",
        "questions": "supported",
        "set_model": "supported",
        "set_permission_mode": "supported",
        "max_turns": "supported",
        "max_budget_usd": "supported",
        "set_limits": "emulated",
        "cost": "supported",
        "timeout": "emulated",
        "stall_timeout": "emulated",
        "plugins": "not",
        "skills": "not",
        "mcp_servers": "not",
        "system_prompt": "not",
        "effort": "not",
        "images": "supported",
        "add_dirs": "not",
        "resume": "supported",
        "relocate": "emulated",
        "retries": "supported",
        "plan": "supported",
        "background": "supported",
        "subagents": "not",
    }
    limits: Mapping[str, str] = {
        "queue": "kept in midflight's outbox",
        "redirect": "an interrupt, then the message",
        "set_limits": "the program is started anew where it keeps a lower one itself",
        "timeout": "midflight's clock, then an interrupt",
        "stall_timeout": "midflight's clock, then an interrupt",
        "relocate": "the history goes through the journal",
        **dict.fromkeys(LACKS[1:], "the fake agent has none"),
    }

    def __init__(self, options: Options) -> None:
        """Take the options; nothing is started. Raises `UnsupportedOption`."""
        for name in LACKS:
            if getattr(options, name, None):
                raise UnsupportedOption(name, "the fake agent has none")
        self._options = options
        self._signals: asyncio.Queue[Signal] = asyncio.Queue()
        self._stirred = asyncio.Event()
        self._tools = Toolbox(options, self._say, self._stirred.set)
        self._conversation: FakeConversation | None = None
        self._life: asyncio.Task[None] | None = None
        self._turn: asyncio.Task[None] | None = None
        self._dead = False

    # Life ---------------------------------------------------------------------------------

    async def check(self) -> None:
        """Find the model, and the conversation to resume."""
        self._find()

    def _find(self, memory: Memory | None = None) -> FakeModel:
        model = FakeModel.at(self._options.env.get("ANTHROPIC_BASE_URL"))
        if model is None:
            raise AgentUnavailable(
                "the fake agent has no model", "env=model.env(home) of a FakeModel"
            )
        resume = self._options.resume
        if resume and resume not in model.conversations and resume not in (memory or ()):
            raise ConversationLost(f"No conversation found with session ID: {resume}")
        return model

    async def start(self, memory: Memory | None = None) -> None:
        """Find the model and be up. Raises `ConversationLost` for one that it does not know."""
        model = self._find(memory)
        self._tools.protected = await asyncio.to_thread(protected, self._options)
        earlier = self._options.resume
        session = str(uuid.uuid4()) if self._options.fork else earlier or str(uuid.uuid4())
        if earlier and self._options.fork:
            model.conversations[session] = list(model.conversations[earlier])
        if memory is not None:
            self._bring_together(model.conversations, session, memory)
        self._conversation = FakeConversation(
            model,
            self._options,
            session,
            self._tools,
            self._say,
            remembers=memory is not None,
        )
        model.agents.append(self)
        self._say(Up())
        self._life = asyncio.get_running_loop().create_task(self._live(self._conversation))

    def _bring_together(
        self, here: dict[str, list[dict[str, Any]]], session: str, memory: Memory
    ) -> None:
        """Have this model know what is remembered, and report what it knows beyond that."""
        for part in memory:
            if part != session:
                self._say(Remembered(part, (), anew=True))
        known = [msgspec.json.decode(line) for line in memory.get(session, ())]
        history = here.get(session, [])
        if history[: len(known)] != known:
            history = here[session] = known
        if new := history[len(known) :]:
            self._say(Remembered(session, tuple(map(as_line, new))))

    async def _live(self, conversation: FakeConversation) -> None:
        """Work whenever there is something to do; an error in that is the agent's death."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while conversation.unread or self._tools.notes:
                self._turn = asyncio.get_running_loop().create_task(conversation.turn())
                await asyncio.wait({self._turn})
                if not self._turn.cancelled() and (error := self._turn.exception()):
                    self._end(f"{type(error).__name__}: {error}")
                    return
            self._say(Idle())

    def _say(self, signal: Signal) -> None:
        if not self._dead:
            self._signals.put_nowait(signal)

    def _end(self, last_words: str) -> None:
        self._say(Died(last_words))
        self._dead = True

    async def die(self, last_words: str = "killed by signal 9") -> None:
        """Die as a program does: at once, in the middle of whatever it was at."""
        self._end(last_words)
        for task in (self._life, self._turn):
            if task is not None and not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._tools.close()

    async def kill(self) -> None:
        """End at once, with every process that was started."""
        await self.die()

    async def close(self) -> None:
        """End, with every process that was started."""
        await self.die("it was closed")

    async def events(self) -> AsyncIterator[Signal]:
        """Yield what the agent reports; the last is `Died`."""
        signal: Signal = Idle()
        while not isinstance(signal, Died):
            signal = await self._signals.get()
            yield signal

    # Verbs --------------------------------------------------------------------------------

    def _alive(self) -> FakeConversation:
        if self._dead or self._conversation is None:
            raise AgentFailed("the fake agent is not running")
        return self._conversation

    async def send(
        self,
        message: str,
        text: str,
        *,
        steer: bool,
        typed: bool,
        images: Sequence[Image] = (),
    ) -> None:
        """Take a message: the running turn reads it after a tool, else the next turn does."""
        del steer, typed
        self._alive().unread[message] = content(text, images)
        self._stirred.set()

    async def cancel(self, message: str) -> None:
        """Give an unread message back."""
        if self._alive().unread.pop(message, None) is not None:
            self._say(Dropped(message))

    async def interrupt(self) -> None:
        """Stop the turn with its tools, and give back every unread message."""
        conversation = self._alive()
        while conversation.unread:
            message, _ = conversation.unread.popitem()
            self._say(Dropped(message))
        if self._turn is not None:
            self._turn.cancel()

    async def reply(self, reply: Reply) -> None:
        """Take the answer to a request."""
        self._alive()
        self._tools.reply(reply)

    def effects(self, request: PermissionRequested) -> tuple[Effect, ...]:
        """See `Agent.effects`. Its tools have the names and the keys of Claude Code's."""
        effects = effects_of(TOOLS, request.name, request.input, self._options.cwd)
        return self._tools.protected.marked(effects)

    async def set_model(self, model: str) -> None:
        """Name this model in the requests that follow."""
        self._alive().model_name = model

    def cost_with(self, model: str | None) -> Support:
        """See `Agent.cost_with`."""
        del model  # it prices each
        return "supported"

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """Ask by this mode before the tool calls that follow."""
        self._alive()
        self._tools.mode = mode

    async def stop_task(self, task: str) -> None:
        """Stop a background command."""
        self._alive()
        await self._tools.stop_task(task)


class FakeModel(ScriptedModel):
    """A scripted model that a `FakeAgent` of the same process asks, used like its parent.

    ``async with FakeModel([...]) as model``, then ``agent="fake"`` and ``env=model.env(home)``.
    ``conversations`` holds what agents said, by their own session id, and is what ``resume``
    goes on with; ``agents`` are those that have been started, so that a test can have one `die`.
    """

    def __init__(self, script: Script, *, timeout_s: float = 30.0) -> None:
        """Check the script. ``timeout_s`` bounds every wait, in the script and in the test."""
        super().__init__(script, timeout_s=timeout_s)
        self._url = f"fake://{next(_numbers)}"
        self.conversations: dict[str, list[dict[str, Any]]] = {}
        self.agents: list[FakeAgent] = []

    @property
    def url(self) -> str:
        """The name under which agents find this model."""
        return self._url

    @classmethod
    def at(cls, url: str | None) -> FakeModel | None:
        """Return the model of this name, while its block lasts."""
        return _models.get(url or "")

    async def __aenter__(self) -> Self:
        """Let agents find this model."""
        _models[self._url] = self
        return self

    async def _close(self) -> None:
        _models.pop(self._url, None)

    async def answer(self, request: ModelRequest) -> AsyncIterator[Part]:
        """Yield what the next step says, word by word. Raises `ModelError`."""
        for part in self._parts_for(request):
            match part:
                case HttpError():
                    retry_after_s = float(part.headers.get("retry-after", 0))
                    resets_at = part.headers.get("anthropic-ratelimit-unified-reset")
                    limit = None if resets_at is None else float(resets_at)
                    raise ModelError(part.status, part.message, retry_after_s, limit)
                case Drop() | Malformed():
                    raise ModelError(None, "the connection was dropped")
                case StreamError():
                    return
                case Silence():
                    await asyncio.get_running_loop().create_future()
                case Mark(name):
                    self._signals.reached[name].set()
                case Wait(name):
                    self._signals.reached[name].set()
                    await self._hold(name)
                case Words(pace_s=pace_s):
                    for word in words_of(part):
                        await asyncio.sleep(pace_s)
                        yield Text(word)
                case _:
                    yield part

    async def _hold(self, name: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._signals.released[name].wait()
        except TimeoutError as error:
            problem = f"signal {name!r} was not given within {self._timeout_s:g} s"
            self._problems.append(problem)
            raise ModelError(None, problem) from error
