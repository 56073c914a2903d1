"""The tools of `FakeAgent`, and the rules by which it asks before it uses them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from midflight import events as e
from midflight._util.own_variables import for_others
from midflight.agents.base import Reply, Signal, Withdrawn
from midflight.agents.shared.content import questions
from midflight.options import Options
from midflight.testing.model.script import ToolCall
from midflight.trust.protected import Protected
from midflight.values import Denial, Kind, PlanEntry

TOOLS: Mapping[str, Kind] = {
    "AskUserQuestion": "other",
    "Bash": "execute",
    "Read": "read",
    "TodoWrite": "other",
    "Write": "edit",
}
STOPPED = "The user doesn't want to proceed with this tool use; it was stopped while running."

_OUTPUT_CHARS = 10_000
_TELL_S = 0.1
"""How often a program that runs is asked what it has put out."""

_HARMLESS = re.compile(r"(cat|echo|ls|pwd|true)(\s[^;&|<>`$\n]*)?")


class _ToolFailedError(Exception):
    """The text is what the model gets."""


class Toolbox:
    """Runs tool calls, asks for permission, and keeps what runs in the background.

    ``notes`` tell the model of background work that has ended. ``protected`` is known once the
    session starts.
    """

    protected: Protected

    def __init__(
        self, options: Options, say: Callable[[Signal], None], wake: Callable[[], None]
    ) -> None:
        """``wake`` is called when there is a new note, or when a task was stopped."""
        self._options = options
        self._say = say
        self._wake = wake
        self._asked: dict[str, asyncio.Future[Reply]] = {}
        self._tasks: dict[str, tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = {}
        self.mode = options.permission_mode
        self.notes: deque[str] = deque()
        self.denials: list[Denial] = []

    @property
    def offered(self) -> list[str]:
        """The names of the tools that the model may call."""
        return [name for name in TOOLS if name not in (self._options.disallowed_tools or ())]

    async def use(self, call: str, tool: ToolCall) -> str:
        """Run one call to its end, and return what the model gets."""
        try:
            output = await self._use(call, tool.name, dict(tool.input))
            ended = e.ToolEnded(call=call, name=tool.name, status="completed", output=output)
        except (_ToolFailedError, OSError, KeyError, ValueError) as error:
            ended = e.ToolEnded(call=call, name=tool.name, status="failed", output=str(error))
        self._say(ended)
        return ended.output

    async def _use(self, call: str, name: str, args: dict[str, Any]) -> str:
        if name not in self.offered:
            raise _ToolFailedError(f"No such tool available: {name}")
        if name == "AskUserQuestion":
            return await self._question(call, args)
        args = await self._permitted(call, name, args)
        match name:
            case "Bash" if args.get("run_in_background"):
                return await self._background(args)
            case "Bash":
                return await self._bash(call, args["command"])
            case "Read":
                return self._path(args).read_text("utf-8")[:_OUTPUT_CHARS]
            case "Write":
                self._path(args).write_text(args["content"], "utf-8")
                return f"File written: {args['file_path']}"
            case _:
                entries = (PlanEntry(text=t["content"], status=t["status"]) for t in args["todos"])
                self._say(e.Plan(entries=tuple(entries)))
                return "Todos have been modified"

    # Permissions --------------------------------------------------------------------------

    async def _permitted(self, call: str, name: str, args: dict[str, Any]) -> dict[str, Any]:
        """Return the input to run with, which may have been edited."""
        verdict = self._verdict(name, args)
        if verdict == "allow":
            return args
        if verdict == "deny":
            self._say(e.Notice(level="warning", text=f"{name} was denied"))
            self.denials.append(Denial(call=call, name=name))
            raise _ToolFailedError(f"{name} is not allowed in permission mode {self.mode}")
        request = str(uuid.uuid4())
        asked = e.PermissionRequested(request=request, call=call, name=name, input=args)
        reply = await self._ask(asked, call, name)
        return args if reply.input is None else reply.input

    def _verdict(self, name: str, args: dict[str, Any]) -> Literal["allow", "ask", "deny"]:
        match name:
            case "Bash":
                harmless = bool(_HARMLESS.fullmatch(args["command"]))
            case "Read":
                harmless = self._inside(args)
            case _:
                harmless = name == "TodoWrite"
        if harmless:
            return "allow"
        if self.mode == "plan" and name != "Read":
            return "deny"
        if self._guards(name, args):
            return "ask"
        accepted = self.mode == "acceptEdits" and name == "Write" and self._inside(args)
        if accepted or name in (self._options.allowed_tools or ()):
            return "allow"
        return "deny" if self.mode == "dontAsk" else "ask"

    def _guards(self, name: str, args: dict[str, Any]) -> bool:
        if name == "Bash":
            return self.protected.named_in(args["command"], str(self._options.cwd))
        return name == "Write" and self.protected(str(args["file_path"]))

    def _path(self, args: dict[str, Any]) -> Path:
        return self._options.cwd / str(args["file_path"])

    def _inside(self, args: dict[str, Any]) -> bool:
        path = self._path(args).resolve()
        folders = (self._options.cwd, *self._options.add_dirs)
        return any(path.is_relative_to(folder.resolve()) for folder in folders)

    async def _question(self, call: str, args: dict[str, Any]) -> str:
        asked = e.QuestionRequested(
            request=str(uuid.uuid4()), questions=questions(args["questions"], "multiSelect")
        )
        reply = await self._ask(asked, call, "AskUserQuestion")
        answers = [f'"{text}"="{answer}"' for text, answer in (reply.answers or {}).items()]
        return f"User has answered your questions: {', '.join(answers)}"

    async def _ask(
        self, asked: e.PermissionRequested | e.QuestionRequested, call: str, name: str
    ) -> Reply:
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[asked.request] = answer
        self._say(asked)
        try:
            reply = await answer
        except asyncio.CancelledError:
            self._say(Withdrawn(asked.request))
            raise
        finally:
            del self._asked[asked.request]
        if not reply.allow:
            self.denials.append(Denial(call=call, name=name, reason=reply.reason))
            raise _ToolFailedError(reply.reason or "the user denied this")
        return reply

    def reply(self, reply: Reply) -> None:
        """Take an answer; one to a request that no longer waits is ignored."""
        answer = self._asked.get(reply.request)
        if answer is not None and not answer.done():
            answer.set_result(reply)

    # Programs -----------------------------------------------------------------------------

    async def _spawn(self, command: str, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            cwd=self._options.cwd,
            env={**for_others(os.environ), **self._options.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    async def _bash(self, call: str, command: str) -> str:
        # A file and not a pipe: what the shell leaves in the background would hold a pipe open.
        with tempfile.TemporaryFile() as file:
            process = await self._spawn(command, file.fileno())
            try:
                code = await self._watch(call, process, file.fileno())
            finally:
                await _end(process)
            file.seek(0)
            output = file.read(_OUTPUT_CHARS).decode(errors="replace").rstrip("\n")
        if code:
            raise _ToolFailedError(f"Exit code {code}\n{output}")
        return output

    async def _watch(self, call: str, process: asyncio.subprocess.Process, file: int) -> int:
        """Tell what the program puts out, until it has ended."""
        told = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TELL_S):
                    return await process.wait()
            new = os.pread(file, _OUTPUT_CHARS, told)  # which leaves the program's place in it
            told += len(new)
            if new:
                self._say(e.ToolProgress(call=call, text=new.decode(errors="replace")))

    async def _background(self, args: dict[str, Any]) -> str:
        process = await self._spawn(args["command"], asyncio.subprocess.DEVNULL)
        task = f"b{process.pid}"
        title = args.get("description", args["command"])
        self._say(e.TaskStarted(task=task, title=title))
        waiter = asyncio.get_running_loop().create_task(self._wait(task, process))
        self._tasks[task] = (process, waiter)
        return f"Command running in background with ID: {task}"

    async def _wait(self, task: str, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        await _end(process)
        del self._tasks[task]
        if code == -signal.SIGKILL:
            self._say(e.TaskEnded(task=task, status="cancelled"))
        else:
            self._say(e.TaskEnded(task=task, status="failed" if code else "completed"))
            self.notes.append(f"Background command {task} ended with exit code {code}")
        self._wake()

    async def stop_task(self, task: str) -> None:
        """End a background command; its end is reported, and does not wake the agent."""
        if task in self._tasks:
            process, waiter = self._tasks[task]
            await _end(process)
            await waiter

    async def close(self) -> None:
        """End every program that is left."""
        for task in list(self._tasks):
            await self.stop_task(task)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a program and everything in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
