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
from midflight.testing.conformance.rig import PATIENCE_S, Play, Stage
from midflight.testing.model.script import (
    HttpError,
    ModelRequest,
    Silence,
    Step,
    Text,
    Thinking,
    ToolCall,
    Wait,
)

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

    It runs on for as many seconds as the file says.
    """
    until_released = (
        f"while [ ! -s '{release}' ]; do sleep 0.05; done; sleep \"$(cat '{release}')\""
    )
    return f"touch '{started}'; {until_released}; echo released"


class Scene:
    """A session in one phase. ``first`` is the receipt of the message that the phase is about.

    ``chosen`` is the model that was chosen in this scene, if one was.
    Scenes follow one another in a session, so each has signals and files by its own number.
    """

    def __init__(self, play: Play, phase: str, stage: Stage, number: int) -> None:
        """Record the session's events from now on."""
        self.session = play.session
        self.model = play.model
        self.phase = phase
        self.stage = stage
        self.seen: list[e.Event] = []
        self.first: midflight.Message
        self.chosen = ""
        self._number = number
        self._text = f"first: {phase}, scene {number}."
        self._go = f"go {number}"
        self._played = False
        self._news = asyncio.Event()
        self._recorder = asyncio.get_running_loop().create_task(self._record())

    async def _record(self) -> None:
        async for event in self.session.events(after=self.session.last_seq):
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
        await asyncio.sleep(0)  # A late reader misses the events that are not kept.
        if self.phase == "accepted":
            # An agent that is up and idle, and a verb that follows with no chance to run between.
            warm_up = await self.session.send("warm up")
            await warm_up.result()
        self.first = await self.session.send(self._text)
        await self._ENTER[self.phase](self)

    async def _at_wait(self) -> None:
        await self.model.reached(self._go)
        await self.until(e.TurnStarted)

    async def _streaming(self) -> None:
        await self._at_wait()
        await self.until(e.TextDelta)

    async def _thinking(self) -> None:
        await self._at_wait()
        await self.until(e.ThinkingDelta)

    async def _tool(self) -> None:
        await self.until(e.ToolStarted)
        await self._started()

    async def _last_token(self) -> None:
        await self.until(e.Usage)

    async def _background(self) -> None:
        await self.until(e.TurnEnded)
        await self.until(e.TaskStarted)
        await self._started()

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

    def _file(self, name: str) -> Path:
        return self.stage.cwd / f"{name}-{self._number}"

    async def _started(self) -> None:
        """Wait until the tool has made its file."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._file("started").exists():  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)

    async def release(self, *, after_s: float = 0.3) -> None:
        """Let go whatever holds the phase: signals, files (after a while), requests, silence."""
        self.model.signal(self._go)
        self._file("release").write_text(f"{after_s}\n")
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

    def answer(self, request: ModelRequest) -> Step:
        """Play the phase's step once, when the phase's message is asked; else plain text."""
        if self._played or self._text not in str(request.messages):
            return Text("answer")
        self._played = True
        return self._step()

    def _step(self) -> Step:
        """Return what the model says to the phase's message."""
        hold = _hold(self._file("started"), self._file("release"))
        steps: dict[str, Step] = {
            "accepted": [Wait(self._go), Text("first answer")],
            "first byte": [Wait(self._go), Text("first answer")],
            "streaming": [Text("first "), Wait(self._go), Text("answer")],
            "silent": [Text("first "), Wait(self._go), Silence()],
            "thinking": [Thinking("let me see"), Wait(self._go), Text("first answer")],
            "tool": [Text("running "), ToolCall("Bash", {"command": hold})],
            "permission": ToolCall(
                "Write", {"file_path": str(self._file("written")), "content": "by the agent"}
            ),
            "question": ToolCall("AskUserQuestion", QUESTION),
            "back-off": HttpError(429, headers={"retry-after": RETRY_AFTER_S}),
            "background": ToolCall("Bash", {"command": hold, "run_in_background": True}),
        }
        return steps.get(self.phase, Text("first answer"))


class Scenes:
    """A session that is brought into one phase after another."""

    def __init__(self, stage: Stage) -> None:
        """Begin with no scene; the session comes with the first."""
        self.play: Play
        self._stage = stage
        self._scenes: list[Scene] = []

    async def enter(self, phase: str) -> Scene:
        """Bring the session, which is idle, into a phase."""
        self._scenes.append(Scene(self.play, phase, self._stage, len(self._scenes) + 1))
        await self._scenes[-1].enter()
        return self._scenes[-1]

    def script(self, request: ModelRequest) -> Step:
        """Play what the scene says that the session is in."""
        return self._scenes[-1].answer(request) if self._scenes else Text("answer")


@contextlib.asynccontextmanager
async def scenes(stage: Stage, **options: Any) -> AsyncIterator[Scenes]:
    """Open a session on a stage, for scenes to follow: ``on = await acts.enter("tool")``."""
    acts = Scenes(stage)
    options = {"allowed_tools": ["Bash"], "attended": True, **options}
    async with stage.play(acts.script, **options) as acts.play:
        yield acts
