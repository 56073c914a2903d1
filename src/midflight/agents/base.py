"""What midflight asks of an agent, and the words in which the agent reports.

A driver translates and decides nothing. It reports with the content events of
`midflight.events`, not yet stamped (`TextDelta`, `ToolStarted`, `PermissionRequested`, …), and
with the signals below, which are about the course of the conversation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from midflight.effects import Effect
from midflight.events import Event, PermissionRequested
from midflight.images import Image
from midflight.values import Denial, PermissionMode, Status, Support, TokenUsage

__all__ = [
    "CAPABILITIES",
    "Agent",
    "Calling",
    "Died",
    "Dropped",
    "Finished",
    "Idle",
    "Kept",
    "Memory",
    "ModeChanged",
    "Preparing",
    "Remembered",
    "Reply",
    "Signal",
    "Step",
    "Support",
    "Taken",
    "Unrecoverable",
    "Up",
    "UsageLimit",
    "Withdrawn",
    "Woke",
]

CAPABILITIES: Mapping[str, str] = {
    "steer": "a message is read by the running turn, at its next step",
    "queue": "a message waits for a turn of its own, and can be changed until then",
    "redirect": "the running turn is stopped and a message takes its place",
    "interrupt": "the running turn is stopped with its tools",
    "cancel": "a message that has not been read can be taken back",
    "permissions": "tools are asked for, allowed and denied",
    "edited_input": "a call can be allowed with another input",
    "questions": "the agent asks questions and gets their answers",
    "set_model": "the model can be switched while the session lives",
    "set_permission_mode": "the permission mode can be switched while the session lives",
    "max_turns": "a turn ends after so many model calls",
    "max_budget_usd": "the session ends its turn when the money is spent",
    "set_limits": "a limit can be raised while the session lives, also one that was reached",
    "cost": "what a turn costs is told, or estimated from its tokens",
    "timeout": "a turn ends after so many seconds",
    "stall_timeout": "a silence ends a turn",
    "plugins": "a plugin's folder brings its skills",
    "skills": "only the named skills are offered",
    "mcp_servers": "MCP servers give the agent tools",
    "system_prompt": "the agent's own prompt is replaced",
    "effort": "the effort of reasoning can be chosen",
    "images": "a message brings images, which the model sees",
    "add_dirs": "more folders can be worked in",
    "resume": "another session resumes the conversation",
    "relocate": "the session goes on on another machine, and remembers",
    "retries": "the agent reports that it repeats a model call",
    "plan": "the agent reports its list of things to do",
    "background": "work that outlives its turn is reported, and the turns that it wakes",
    "subagents": "what a sub-agent does is reported, with the call that it belongs to",
}
"""What an agent may be able to do. Every driver says of each whether it can."""


MEMORY_BYTES = 64 * 1024 * 1024
"""How large what an agent remembers may be, to be kept for another machine."""

Memory = Mapping[str, Sequence[str]]
"""What an agent remembers of a conversation: the lines of each part, as `Remembered` has them."""


class Up(msgspec.Struct, frozen=True):
    """The agent's program has started and answers."""


class Preparing(msgspec.Struct, frozen=True):
    """The program's start waits for something of the user's, such as a hook, that ``what`` names.

    It is empty once that is over.
    """

    what: str


class Taken(msgspec.Struct, frozen=True):
    """The agent has read this message: it opens a turn, or joins the one that runs."""

    message: str


class Dropped(msgspec.Struct, frozen=True):
    """The agent will never read this message: it was withdrawn, or refused with a ``reason``."""

    message: str
    reason: str = ""


class Kept(msgspec.Struct, frozen=True):
    """The agent does not give this message back: it will read it, unless it is stopped."""

    message: str


class Woke(msgspec.Struct, frozen=True):
    """The agent has begun a turn by itself."""


class Calling(msgspec.Struct, frozen=True):
    """The turn makes one more model call; reported where the agent keeps no limit of its own."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One model call is over, with its tokens.

    ``cost_usd`` is None where the agent reports money only later, or never, and ``estimated`` where
    it is not the agent's own figure. ``main`` is False for what is no step of the turn: calls of
    sub-agents, and calls that were cut and are made again.
    """

    model: str
    tokens: TokenUsage
    cost_usd: float | None = None
    estimated: bool = False
    main: bool = True


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The turn has ended. ``messages`` are the ids that the agent says it answered.

    ``cost_usd`` and ``tokens`` are this turn's; None where the agent does not report them.
    ``used`` are the turn's tokens by model, where the agent reports those and no money.
    """

    status: Status
    reason: str
    text: str = ""
    cost_usd: float | None = None
    tokens: TokenUsage | None = None
    used: tuple[tuple[str, TokenUsage], ...] = ()
    messages: tuple[str, ...] = ()
    denials: tuple[Denial, ...] = ()


class Remembered(msgspec.Struct, frozen=True):
    """What the agent remembers has grown, or changed: an agent on another machine starts with it.

    The ``lines`` are added to a ``part`` of the driver's choice or, if they are ``anew``, stand in
    place of what that had. It is reported before what it led to: a turn's before `Finished`.
    """

    part: str
    lines: tuple[str, ...]
    anew: bool = False


class ModeChanged(msgspec.Struct, frozen=True):
    """The agent has changed its permission mode by itself, to what it calls ``own``.

    ``mode`` is None for one that midflight has no word for.
    """

    mode: PermissionMode | None
    own: str


class Withdrawn(msgspec.Struct, frozen=True):
    """The agent no longer waits for this request."""

    request: str


class Unrecoverable(msgspec.Struct, frozen=True):
    """The agent keeps trying in vain: the turn should fail now, for this reason."""

    reason: str
    text: str = ""


class UsageLimit(msgspec.Struct, frozen=True, kw_only=True):
    """The account's usage limit is reached, so the turn ends: it is lifted in hours, not seconds.

    ``resets_at`` is in seconds since the epoch, None where it is unknown. ``trying`` says
    that the agent waits by itself and must be stopped; else `Finished` follows with the reason
    ``usage_limit``.
    """

    resets_at: float | None
    text: str = ""
    trying: bool = False


class Idle(msgspec.Struct, frozen=True):
    """The agent says that it owes no further turn."""


class Died(msgspec.Struct, frozen=True):
    """The agent's program has ended; ``detail`` is for a person.

    ``lost`` says why: the conversation to resume does not exist.
    """

    detail: str
    lost: bool = False


Signal = (
    Event
    | Up
    | Preparing
    | Taken
    | Dropped
    | Kept
    | Woke
    | Calling
    | Step
    | Finished
    | Remembered
    | ModeChanged
    | Withdrawn
    | Unrecoverable
    | UsageLimit
    | Idle
    | Died
)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request of the agent, as `midflight.commands.Answer` has it."""

    request: str
    allow: bool
    reason: str = ""
    input: dict[str, Any] | None = None
    answers: dict[str, str | list[str]] | None = None


class Agent(Protocol):
    """A driver: one live conversation with one agent program.

    Every method may raise `midflight.errors.MidflightError`. None waits without a bound. What
    happens is reported by `events` only, also the consequences of the other calls.

    ``capabilities`` has every row of `CAPABILITIES`; it may change when the agent has come up.
    ``limits`` says of each row that is not plainly supported how it is emulated, or why not.
    """

    name: str
    capabilities: Mapping[str, Support]
    limits: Mapping[str, str]

    async def check(self) -> None:
        """Look whether it can be started, and start nothing. Raises as `start` does."""
        ...

    async def start(self, memory: Memory | None = None) -> None:
        """Start the program; it reports `Up` or `Died`.

        With a ``memory`` it reports `Remembered`, unless its capability ``relocate`` is ``not``:
        then it can resume a conversation that this machine does not have, or has no more than a
        part of. What it reports changes the memory, in which nothing of another conversation stays.

        Raises `AgentUnavailable` when there is none that can be run, `UnsupportedOption` when
        it cannot honour an option, `ConversationLost` when there is none to resume (which `Died`
        may report instead).
        """
        ...

    def events(self) -> AsyncIterator[Signal]:
        """Yield what the agent reports, in order; the last signal is `Died`. One reader."""
        ...

    async def send(
        self,
        message: str,
        text: str,
        *,
        steer: bool,
        typed: bool,
        images: Sequence[Image] = (),
    ) -> None:
        """Give the agent a message: for its next step if ``steer``, else for a turn of its own.

        What nobody has ``typed`` must reach the model as it is: where the agent takes some texts
        for commands of its own, or for names of files to read, it does not take this one so. There
        are ``images`` only where the capability of that name is not ``not``.
        """
        ...

    async def cancel(self, message: str) -> None:
        """Take back a message that the agent has not read; `Dropped` or `Kept` may follow."""
        ...

    async def interrupt(self) -> None:
        """Stop the turn and its tools, and take back every message not yet read (`Dropped`)."""
        ...

    async def reply(self, reply: Reply) -> None:
        """Answer a request. A request that the agent has withdrawn is ignored."""
        ...

    def effects(self, request: PermissionRequested) -> tuple[Effect, ...]:
        """Return what a call would do now, from exactly the keys that its tool obeys.

        It may read files and is called in a thread. What is not known for certain is
        `OtherEffect`.
        """
        ...

    async def set_model(self, model: str) -> None:
        """Use this model for the calls that follow."""
        ...

    def cost_with(self, model: str | None) -> Support:
        """Return the capability ``cost`` for one model, or for the one in use, of a live agent.

        Where the capability is ``estimated``, the price table has been loaded before. Raises
        `UnsupportedOption` for a model that the agent does not offer.
        """
        ...

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """Use this permission mode for the tool calls that follow."""
        ...

    async def stop_task(self, task: str) -> None:
        """Stop a piece of background work."""
        ...

    async def kill(self) -> None:
        """End the program and every process it started, at once."""
        ...

    async def close(self) -> None:
        """End the program in an orderly way, then every process that it started."""
        ...
