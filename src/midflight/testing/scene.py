"""Bring a session into a chosen phase, on any agent, without a single sleep.

The scripted model's named signals hold each window open until the test lets it go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import midflight
from midflight import events as e
from midflight.testing.model_server import ScriptedModel
from midflight.testing.rig import PATIENCE_S, Stage
from midflight.testing.script import (
    HttpError,
    ModelRequest,
    Silence,
    Step,
    Text,
    Thinking,
    ToolCall,
    Wait,
)

__all__ = ["QUESTION", "Scene", "scene"]

GO = "go"
RETRY_AFTER_S = "2"

_E = TypeVar("_E", bound=e.Event)

QUESTION = {
    "questions": [
        {
            "question": "Which colour?",
            "header": "Colour",
            "multiSelect": False,
            "options": [
                {"label": "Blue", "description": "as the sky"},
                {"label": "Red", "description": "as a rose"},
            ],
        }
    ]
}


def _hold(started: Path, release: Path) -> str:
    """Return a shell command that says when it has started, and runs until it is released.

    It runs on for a moment, since nothing tells when a message that was sent has reached an agent.
    """
    until_released = f"while [ ! -e '{release}' ]; do sleep 0.05; done; sleep 0.3"
    return f"touch '{started}'; {until_released}; echo released"


class Scene:
    """One session in one phase. ``first`` is the receipt of the message that the phase is about."""

    def __init__(
        self, session: midflight.Session, model: ScriptedModel, phase: str, stage: Stage
    ) -> None:
        """Begin to record the session's events."""
        self.session = session
        self.model = model
        self.phase = phase
        self.stage = stage
        self.seen: list[e.Event] = []
        self.first: midflight.Message
        self._folder = stage.cwd
        self._news = asyncio.Event()
        self._recorder = asyncio.get_running_loop().create_task(self._record())

    async def _record(self) -> None:
        async for event in self.session.events():
            self.seen.append(event)
            self._news.set()

    async def until(self, kind: type[_E], when: Callable[[_E], bool] = lambda _: True) -> _E:
        """Wait for an event of a kind, seen already or to come, and return it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.seen:
                    if isinstance(event, kind) and when(event):
                        return event
                self._news.clear()
                await self._news.wait()

    async def enter(self) -> None:
        """Dispatch the phase's message and wait until the session is in the phase."""
        if self.phase == "accepted":
            # An agent that is up and idle, and a verb that follows with no chance to run between.
            warm_up = await self.session.send("warm up")
            await warm_up.result()
        self.first = await self.session.send(f"first: {self.phase}")
        await self._ENTER[self.phase](self)

    async def _at_wait(self) -> None:
        await self.model.reached(GO)
        await self.until(e.TurnStarted)

    async def _streaming(self) -> None:
        await self._at_wait()
        await self.until(e.TextDelta)

    async def _thinking(self) -> None:
        await self._at_wait()
        await self.until(e.ThinkingDelta)

    async def _tool(self) -> None:
        await self.until(e.ToolStarted)
        await self.file("started")

    async def _last_token(self) -> None:
        await self.until(e.Usage)

    async def _background(self) -> None:
        await self.until(e.TurnEnded)
        await self.until(e.TaskStarted)
        await self.file("started")

    async def _idle(self) -> None:
        await self.quiet()

    async def _accepted(self) -> None:
        pass

    async def _permission(self) -> None:
        await self.until(e.PermissionRequested)

    async def _question(self) -> None:
        await self.until(e.QuestionRequested)

    async def _back_off(self) -> None:
        await self.until(e.Retry)

    async def _just_ended(self) -> None:
        await self.first.result()

    _ENTER: ClassVar[Mapping[str, Any]] = {
        "accepted": _accepted,
        "first byte": _at_wait,
        "streaming": _streaming,
        "thinking": _thinking,
        "tool": _tool,
        "permission": _permission,
        "question": _question,
        "back-off": _back_off,
        "silent": _streaming,
        "last token": _last_token,
        "just ended": _just_ended,
        "background": _background,
        "idle": _idle,
    }

    async def file(self, name: str) -> None:
        """Wait until a tool has made a file."""
        async with asyncio.timeout(PATIENCE_S):
            while not (self._folder / name).exists():  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)

    async def release(self) -> None:
        """Let go whatever holds the phase: signals, files, requests, silence."""
        self.model.signal(GO)
        (self._folder / "release").touch()
        for request in self.session.pending:
            answers: dict[str, str | list[str]] | None = None
            if isinstance(request, e.QuestionRequested):
                answers = {question.question: "Blue" for question in request.questions}
            with contextlib.suppress(midflight.AlreadyAnswered):
                await self.session.answer(request, answers=answers)
        if self.phase == "silent" and self.first.state == "started":
            await self.session.interrupt(keep_queued=True)

    async def quiet(self) -> None:
        """Wait until the session is quiet."""
        async with asyncio.timeout(PATIENCE_S):
            async for _ in self.session.stream():
                pass

    def step(self) -> Step:
        """Return what the model says to the phase's message."""
        hold = _hold(self._folder / "started", self._folder / "release")
        steps: dict[str, Step] = {
            "first byte": [Wait(GO), Text("first answer")],
            "streaming": [Text("first "), Wait(GO), Text("answer")],
            "silent": [Text("first "), Wait(GO), Silence()],
            "thinking": [Thinking("let me see"), Wait(GO), Text("first answer")],
            "tool": [Text("running "), ToolCall("Bash", {"command": hold})],
            "permission": ToolCall(
                "Write", {"file_path": str(self._folder / "written"), "content": "by the agent"}
            ),
            "question": ToolCall("AskUserQuestion", QUESTION),
            "back-off": HttpError(429, headers={"retry-after": RETRY_AFTER_S}),
            "background": ToolCall("Bash", {"command": hold, "run_in_background": True}),
        }
        return steps.get(self.phase, Text("first answer"))


@contextlib.asynccontextmanager
async def scene(phase: str, stage: Stage, **options: Any) -> AsyncIterator[Scene]:
    """Open a session on a stage and bring it into a phase."""
    made: list[Scene] = []
    played: list[str] = []

    def script(request: ModelRequest) -> Step:
        """Play the phase's step once, when the phase's message is asked; else plain text."""
        if not played and made and f"first: {phase}" in str(request.messages):
            played.append(phase)
            return made[0].step()
        return Text("answer")

    async with stage.play(script, allowed_tools=["Bash"], attended=True, **options) as on:
        made.append(Scene(on.session, on.model, phase, stage))
        await made[0].enter()
        yield made[0]
