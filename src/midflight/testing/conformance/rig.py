"""The agents that the conformance suite runs on, and what each needs around it."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import midflight
from midflight import events as e
from midflight._util.programs import find_program
from midflight.agents import PRESETS, create
from midflight.agents.base import Agent, Died, Support, Up
from midflight.agents.claude import program as claude_program
from midflight.agents.claude.effects import TOOLS as CLAUDE_TOOLS
from midflight.agents.opencode.v1.effects import TOOLS as OPENCODE_TOOLS
from midflight.agents.opencode.v2.driver import PREVIEW_LACKS
from midflight.agents.opencode.v2.effects import TOOLS as OPENCODE2_TOOLS
from midflight.agents.shared.effects import Tool
from midflight.errors import AgentFailed
from midflight.options import Options
from midflight.testing.fake.agent import FakeModel
from midflight.testing.home import make_home
from midflight.testing.model.script import ModelRequest, Script
from midflight.testing.model.server import ScriptedModel

if TYPE_CHECKING:
    from midflight.testing.opencode import OpenCodeServer


PATIENCE_S = 60.0
"""How long a play waits for anything; only a fault makes it wait that long."""


class Models(NamedTuple):
    """Words by which three models of an agent are known: a usual one, another one, the best."""

    usual: str
    other: str
    best: str


CLAUDES = Models("sonnet", "haiku", "opus")


class Play:
    """One session on a stage, with the model that it asks."""

    def __init__(self, session: midflight.Session, model: ScriptedModel) -> None:
        """Take the two, both of them open."""
        self.session = session
        self.model = model

    @property
    def requests(self) -> list[ModelRequest]:
        """What the model was asked so far."""
        return self.model.requests

    async def ask(self, text: str = "go") -> midflight.Result:
        """Send a message and wait for its result."""
        async with asyncio.timeout(PATIENCE_S):
            message = await self.session.send(text)
            return await message.result()

    async def events(self) -> list[e.Event]:
        """Return what is new, up to the next quiet."""
        async with asyncio.timeout(PATIENCE_S):
            return [event async for event in self.session.stream()]

    async def everything(self) -> list[e.Event]:
        """Close the session and return all its durable events."""
        await self.session.close()
        async with asyncio.timeout(PATIENCE_S):
            return [event async for event in self.session.events() if event.durable]


_learnt: dict[Rig, tuple[Mapping[str, Support], Mapping[str, str]]] = {}


class Stage:
    """A rig set up for one use: a home, a working directory, a place for a model to listen."""

    def __init__(self, rig: Rig, folder: Path, *, own: bool = False) -> None:
        """Prepare the folders, below ``folder`` or, if the rig has a server, those it shares.

        ``own`` asks for folders and an agent of its own even so.
        """
        self.rig = rig
        self.folder = folder
        self._server = None if own else rig.server
        server = self._server
        self.home = folder / "home" if server is None else server.home
        self.cwd = folder / "cwd" if server is None else server.cwd
        make_home(self.home)
        self.cwd.mkdir(exist_ok=True, parents=True)
        if self._server is not None:
            for left in self.cwd.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        self.models: list[ScriptedModel] = []
        self.version = ""
        self.can = rig.capabilities
        self.limits = rig.limits

    async def learn(self) -> None:
        """Find out what the agent can do, where only the agent itself can tell."""
        if not self.rig.announces:
            return
        if self.rig not in _learnt:
            async with self.model([]) as model:
                agent = create(Options.build(**self.options(model)))
                try:
                    await _started(agent)
                    _learnt[self.rig] = (agent.capabilities, agent.limits)
                finally:
                    await agent.close()
        self.can, self.limits = _learnt[self.rig]

    def model(self, script: Script) -> ScriptedModel:
        """Return a scripted model where the agent will look for it; enter its block."""
        places = {} if self._server is None else {"port": self._server.model_port}
        model = self.rig.model(script, **places)
        self.models.append(model)
        return model

    def options(self, model: ScriptedModel) -> dict[str, Any]:
        """Return the options of a session whose agent asks this model."""
        if self.rig.prepare is not None and self._server is None:
            self.rig.prepare(self.home, model.url)
        env = model.env(self.home) | dict(self.rig.env())
        options: dict[str, Any] = {"agent": self.rig.agent, "cwd": self.cwd, "env": env}
        if self._server is not None:
            options |= {"env": env | self._server.env, "server_url": self._server.url}
        return options

    async def rest(self) -> None:
        """Wait until a shared server is at rest."""
        if self._server is not None:
            await self._server.rest()

    @contextlib.asynccontextmanager
    async def play(self, script: Script, **options: Any) -> AsyncIterator[Play]:
        """Open a session whose model plays the script: ``async with stage.play(steps) as on``."""
        async with self.model(script) as model, self.session(model, **options) as play:
            yield play

    @contextlib.asynccontextmanager
    async def session(self, asks: ScriptedModel, /, **options: Any) -> AsyncIterator[Play]:
        """Open a session that asks this model; several may do so one after another."""
        own = self.options(asks)
        env = {**own["env"], **options.pop("env", {})}
        async with midflight.open(**{**own, **options, "env": env}) as session:
            yield Play(session, asks)
        self.version = await _version(session) or self.version


async def _started(agent: Agent) -> None:
    """Start an agent's program and wait until it is up."""
    await agent.start()
    async with asyncio.timeout(PATIENCE_S):
        async for signal in agent.events():
            if isinstance(signal, Up):
                return
            if isinstance(signal, Died):
                raise AgentFailed(signal.detail)


async def _version(session: midflight.Session) -> str:
    """Return the agent's version, as it reported at the start of a session that has ended."""
    async for event in session.events():
        if isinstance(event, e.SessionStarted):
            return event.agent_version
    return ""


async def _kill_program(on: Stage) -> None:
    """Kill the agent's program, and nothing else, as the system does when memory runs out."""
    import psutil

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.environ().get("HOME") == str(on.home):
                child.kill()


async def _kill_fake(on: Stage) -> None:
    model = on.models[-1]
    assert isinstance(model, FakeModel)
    await model.agents[-1].die()


async def _forget_files(on: Stage, conversation: str) -> None:
    """Leave nothing of what agents have kept in their home."""
    del conversation
    shutil.rmtree(on.home)
    make_home(on.home)


async def _forget_fake(on: Stage, conversation: str) -> None:
    model = on.models[-1]
    assert isinstance(model, FakeModel)
    del model.conversations[conversation]


async def _forget_opencode(on: Stage, conversation: str) -> None:
    if on.rig.server is None:
        await _forget_files(on, conversation)
    else:
        await on.rig.server.forget(conversation)


@dataclass(frozen=True)
class Rig:
    """An agent to run the suite on.

    name: what tables call it. agent: the option's value. model: the kind of scripted model.
    program: what must be on PATH, with ``install`` to get it. only_on: the system and the processor
    that there is a program for, where it is one kind only. env: what the agent needs in its
    environment beside that. prepare: writes into its home, by the model's address, what it takes
    from files only. skills: where it looks for those of a folder. announces: what it reports that
    it can do once it runs, beyond what its driver says of every agent; here it stands to be known
    before. kill: ends the agent's program as if it had crashed; a stage of its own is needed for
    that. forget: has this machine know nothing more of a conversation, by the agent's id of it, as
    if it had been on another one. server: the server that stages share. tools: the tools whose
    keys its driver knows.
    steers_at_once: it reads a steer while the model speaks, and does not wait for its next step.
    models: what the agent calls its models. turn_s: how long a turn may take in which the model
    says a word.
    """

    name: str
    agent: str
    model: Callable[..., ScriptedModel] = ScriptedModel
    program: str = ""
    install: str = ""
    only_on: tuple[str, str] | None = None
    env: Callable[[], Mapping[str, str]] = dict
    prepare: Callable[[Path, str], None] | None = None
    skills: str = ".claude/skills"
    announces: Mapping[str, Support] = field(default_factory=dict, hash=False)
    kill: Callable[[Stage], Awaitable[None]] = _kill_program
    forget: Callable[[Stage, str], Awaitable[None]] = _forget_files
    server: OpenCodeServer | None = None
    tools: Mapping[str, Tool] = field(default_factory=dict, hash=False)
    steers_at_once: bool = False
    models: Models = CLAUDES
    turn_s: float = 2.0

    def on(self, server: OpenCodeServer) -> Rig:
        """Return this rig with a server that its stages share."""
        return replace(self, server=server)

    def missing(self) -> str:
        """Return what has to be installed first, for a person; empty if nothing."""
        if self.program and not find_program(self.program):
            return f"{self.program} is not on PATH: {self.install}"
        return ""

    @property
    def possible(self) -> bool:
        """There is a program for this system."""
        return self.only_on in (None, (sys.platform, platform.machine()))

    @property
    def driver(self) -> Agent:
        """The agent's driver, which has started nothing."""
        return create(Options.build(agent=self.agent, cwd="/"))

    @property
    def capabilities(self) -> Mapping[str, Support]:
        """What the agent can do, as far as it is known before it runs."""
        return {**self.driver.capabilities, **self.announces}

    @property
    def limits(self) -> Mapping[str, str]:
        """How the driver says that it makes what the agent lacks, or why it does not."""
        return self.driver.limits


_OPENCODE = ("opencode", PRESETS["opencode-acp"].install)


def _own_claude() -> Mapping[str, str]:
    """Have the adapter start the Claude Code that midflight comes with, not another one."""
    return {"CLAUDE_CODE_EXECUTABLE": str(claude_program.find(None)), "IS_SANDBOX": ""}


def _opencode2_settings(home: Path, model: str) -> None:
    from midflight.testing.opencode import make_settings

    make_settings(home, model)


CLAUDE = Rig("claude", "claude", tools=CLAUDE_TOOLS)
FAKE = Rig("fake", "fake", FakeModel, kill=_kill_fake, forget=_forget_fake)
OPENCODE = Rig(
    "opencode",
    "opencode",
    ScriptedModel,
    *_OPENCODE,
    forget=_forget_opencode,
    tools=OPENCODE_TOOLS,
)
OPENCODE2 = Rig(
    "opencode2",
    "opencode2",
    ScriptedModel,
    "lildax",
    "the preview of OpenCode 2, npm @opencode-ai/cli-linux-x64",
    ("linux", "x86_64"),
    prepare=_opencode2_settings,
    skills=".opencode/skills",
    announces=PREVIEW_LACKS,
    tools=OPENCODE2_TOOLS,
)
_OPENCODE2_STABLE = replace(
    OPENCODE2,
    program="opencode",
    install="npm install -g @opencode/cli",
    only_on=None,
    prepare=None,
    skills=".claude/skills",
    announces={},
)


def opencode2_here() -> Rig:
    """Return the rig for the OpenCode 2 of this machine: its preview, else what ``opencode`` is."""
    return OPENCODE2 if find_program(OPENCODE2.program) else _OPENCODE2_STABLE


ACP_OPENCODE = Rig(
    "opencode-acp",
    "opencode-acp",
    ScriptedModel,
    *_OPENCODE,
    announces={
        "images": "supported",
        "set_model": "supported",
        "set_permission_mode": "supported",
        "effort": "supported",
        "resume": "supported",
    },
)
ACP_CLAUDE = Rig(
    "claude-acp",
    "claude-acp",
    ScriptedModel,
    "claude-agent-acp",
    PRESETS["claude-acp"].install,
    env=_own_claude,
    announces={
        "steer": "supported",
        "questions": "supported",
        "images": "supported",
        "set_model": "supported",
        "set_permission_mode": "supported",
        "effort": "supported",
        "add_dirs": "supported",
        "resume": "supported",
        "subagents": "emulated",
    },
    steers_at_once=True,
)

CODEX = Rig(
    "codex",
    "codex",
    ScriptedModel,
    "codex-acp",
    PRESETS["codex"].install,
    announces={
        "steer": "supported",
        "cost": "estimated",
        "max_budget_usd": "emulated",
        "set_model": "supported",
        "set_permission_mode": "supported",
        "effort": "supported",
        "add_dirs": "supported",
        "resume": "supported",
        "plan": "not",
    },
    models=Models("gpt-5.5", "gpt-5.6-luna", "gpt-6-sol"),
)
COPILOT = Rig(
    "copilot",
    "copilot",
    ScriptedModel,
    "copilot",
    PRESETS["copilot"].install,
    announces={
        "set_permission_mode": "supported",
        "resume": "supported",
        "plan": "not",
        "mcp_servers": "not",
    },
)
GEMINI = Rig(
    "gemini",
    "gemini",
    ScriptedModel,
    "gemini",
    PRESETS["gemini"].install,
    announces={
        "cost": "estimated",
        "max_budget_usd": "emulated",
        "set_model": "supported",
        "set_permission_mode": "supported",
        "plan": "not",
    },
    models=Models("gemini-2.5-pro", "gemini-3.5-flash-lite", "gemini-3.8-flash"),
    turn_s=3.0,
)
QWEN = Rig(
    "qwen",
    "qwen",
    ScriptedModel,
    "qwen",
    PRESETS["qwen"].install,
    announces={
        "cost": "estimated",
        "max_budget_usd": "emulated",
        "set_model": "supported",
        "set_permission_mode": "supported",
        "effort": "supported",
        "resume": "supported",
        "plan": "not",
    },
    # Whatever an OpenAI-compatible service has; Qwen's own models have no list price.
    models=Models("gpt-5.5", "gpt-5.6-luna", "gpt-5.5"),
    turn_s=5.0,
)

RIGS = (CLAUDE, OPENCODE, OPENCODE2, ACP_CLAUDE, ACP_OPENCODE, FAKE)
"""Every agent that the whole suite runs on."""

PRESET_RIGS = (CODEX, COPILOT, GEMINI, QWEN)
"""Agents behind ACP that only the rows are tried on."""
