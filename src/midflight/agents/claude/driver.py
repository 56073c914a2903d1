"""The driver for Claude Code: its own program, over its stream-json control protocol."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from midflight import events as e
from midflight._util.lines import MALFORMED, OVERLONG, json_object, unreadable
from midflight._util.redact import server_secrets
from midflight.agents.base import (
    Died,
    Dropped,
    Finished,
    Memory,
    ModeChanged,
    Remembered,
    Reply,
    Signal,
    Support,
    Up,
)
from midflight.agents.claude import program, trust
from midflight.agents.claude.allowances import Allowances
from midflight.agents.claude.content import content, joined
from midflight.agents.claude.effects import TOOLS
from midflight.agents.claude.frames import FrameTranslator
from midflight.agents.claude.hooks import Hooks
from midflight.agents.claude.transcripts import bring_together, project_folder
from midflight.agents.process.process import AgentProcess
from midflight.agents.process.tool_processes import OpenCalls, last_signals
from midflight.agents.shared.effects import effects_of
from midflight.agents.shared.obeyed import protected
from midflight.agents.shared.only_here import refuse
from midflight.effects import CommandEffect, Effect
from midflight.errors import AgentFailed
from midflight.images import Image
from midflight.options import Options
from midflight.trust.decision import Standing, decide
from midflight.values import PermissionMode

KEPT_UUIDS = 2_000
ANSWER_TIMEOUT_S = 5.0

_LOST = ("No conversation found", "does not match any session title")
"""What the CLI prints before it ends because the conversation to resume does not exist.

The second is about what cannot be an id, and stands beside the CLI's own usage.
"""


class ClaudeAgent:
    """One conversation with Claude Code."""

    name = "claude"
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
        "plugins": "supported",
        "skills": "supported",
        "mcp_servers": "supported",
        "system_prompt": "supported",
        "effort": "supported",
        "images": "supported",
        "add_dirs": "supported",
        "resume": "supported",
        "relocate": "emulated",
        "retries": "supported",
        "plan": "supported",
        "background": "supported",
        "subagents": "supported",
    }
    limits: Mapping[str, str] = {
        "queue": "kept in midflight's outbox",
        "redirect": "an interrupt, then the message",
        "set_limits": "the program is started anew where it keeps a lower one itself",
        "timeout": "midflight's clock, then an interrupt",
        "stall_timeout": "midflight's clock, then an interrupt",
        "relocate": "the entries of its files go through the journal, and the files are made again",
    }

    def __init__(self, options: Options) -> None:
        """Take the options; nothing is started. Raises `UnsupportedOption`."""
        self._options = options
        self._process = AgentProcess()
        self._problems: list[str] = []
        self._translate = FrameTranslator(self._message_of, options.skills or (), self._problems)
        self._standing = Standing()
        self._chosen: PermissionMode = options.permission_mode
        self._own_mode: str = program.own_mode(options.permission_mode)
        self._hooks = Hooks(options)
        self._messages: dict[str, str] = {}
        self._uuids: dict[str, str] = {}
        self._controls: dict[str, tuple[str, asyncio.Future[str] | None]] = {}
        self._calls = OpenCalls(self._process)
        self._tasks: set[str] = set()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._session = str(uuid.uuid4())
        self._brought: list[Remembered] = []
        program.arguments(options, self._session)

    # Starting and ending ------------------------------------------------------------------

    async def check(self) -> None:
        """Look for the program, its version, and what the folder has it obey."""
        await program.check(program.find(self._options.agent_path))
        await asyncio.to_thread(self._look)

    async def start(self, memory: Memory | None = None) -> None:
        """Start the program and greet it, with or without what the folder has it obey."""
        path = program.find(self._options.agent_path)
        await program.check(path)
        self._standing, instructions = await asyncio.to_thread(self._look)
        env = program.environment(self._options)
        mirrored = memory is not None and await self._bring_together(memory, env)
        prompt = self._options.system_prompt
        argv = program.arguments(
            self._options,
            self._session,
            self._mcp_config(),
            self._file("system.md", prompt) if prompt else None,
            trusted=self._standing.trusted,
            instructions=self._file("instructions.md", instructions) if instructions else None,
            mirrored=mirrored,
        )
        await self._process.start(
            [str(path), *argv],
            env,
            self._options.cwd,
            secrets=server_secrets(self._options.mcp_servers),
            folder=Path(self._folder.name) if self._folder else None,
        )
        skills = self._options.skills
        hello: dict[str, object] = {"hooks": {"PreToolUse": self._hooks.registered()}}
        if skills is not None:
            hello["skills"] = list(skills)
        await self._control("initialize", hello)

    async def _bring_together(self, memory: Memory, env: Mapping[str, str]) -> bool:
        """Have the conversation to resume be here; tell whether what follows is to be remembered.

        Raises `AgentFailed`.
        """
        resume = None if self._options.fork else self._options.resume
        folder = project_folder(self._options.cwd, env)
        brought = await asyncio.to_thread(bring_together, memory, resume, folder)
        self._brought = brought or []
        return brought is not None

    def _look(self) -> tuple[Standing, str]:
        """Return how to start here, and the folder's instructions where it starts without the rest.

        Raises `UnsupportedOption` for what the options name and only the folder has.
        """
        options = self._options
        standing = decide(options, trust.OBEYED)
        self._hooks.protected = protected(options, standing.stake)
        allowed, problems = trust.user_settings(options.env)
        self._problems += (*problems, *standing.stake.problems)
        if standing.trusted:
            self._hooks.allowances = Allowances(options, standing.stake, allowed)
            return standing, ""
        refuse(options, trust.only_here(options, standing.stake))
        if not standing.replaced:
            return standing, ""
        text, cut = trust.instructions(options)
        self._problems += cut
        return standing, text

    def _mcp_config(self) -> Path | None:
        """Write the MCP servers to a file of our own: their secrets must not show in ``ps``."""
        if not self._options.mcp_servers:
            return None
        return self._file("mcp.json", program.mcp_config(self._options))

    def _file(self, name: str, text: str) -> Path:
        """Write a private file for the program, which lives as long as it does."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="midflight-")
        path = Path(self._folder.name) / name
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8")
        return path

    async def close(self) -> None:
        """End the program in an orderly way, then everything it started."""
        await self._process.close()
        self._clean_up()

    async def kill(self) -> None:
        """End the program and everything it started, at once."""
        await self._process.kill()
        self._clean_up()

    def _clean_up(self) -> None:
        for _, answer in self._controls.values():
            if answer is not None and not answer.done():
                answer.set_result("it has ended")
        self._controls.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

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
        """Write a user message under a new uuid: the CLI ignores a uuid that it has seen.

        In a text without ``text_not_typed`` it carries out ``/config …``, which writes the user's
        settings, and other commands, and reads each ``@file``, wherever that is, without asking.
        """
        frame_uuid = str(uuid.uuid4())
        self._messages[frame_uuid] = message
        self._uuids[message] = frame_uuid
        if len(self._messages) > KEPT_UUIDS:
            self._uuids.pop(self._messages.pop(next(iter(self._messages))), None)
        said = content(text, images) if images else text
        await self._write(
            {
                "type": "user",
                "uuid": frame_uuid,
                "session_id": self._session,
                "message": {"role": "user", "content": said},
                "parent_tool_use_id": None,
                **({"priority": "next"} if steer else {}),
                **({} if typed else {"text_not_typed": True}),
            }
        )

    def _message_of(self, frame_uuid: str) -> str | None:
        return self._messages.get(frame_uuid)

    async def cancel(self, message: str) -> None:
        """Take back a message that waits in the CLI's own queue.

        Its response is not final: a message may be cancelled after ``{"cancelled": false}``. Only
        the frames of the message's lifecycle are.
        """
        frame_uuid = self._uuids.get(message, "")
        await self._control("cancel_async_message", {"message_uuid": frame_uuid})

    async def interrupt(self) -> None:
        """Stop the turn and everything queued; note which processes must not survive it."""
        await self._calls.condemn(detached=not self._tasks)
        await self._control("interrupt", {"cancel_queued": True})

    async def reply(self, reply: Reply) -> None:
        """Answer a permission request or a question."""
        call_input = self._translate.inputs.pop(reply.request, None)
        if call_input is None:
            return
        if not reply.allow:
            reason = reply.reason or "the user denied this"
            body: dict[str, object] = {"behavior": "deny", "message": reason}
        else:
            changed = call_input if reply.input is None else reply.input
            if reply.answers is not None:
                changed = {**changed, "answers": joined(reply.answers)}
            body = {"behavior": "allow", "updatedInput": changed}
        await self._respond(reply.request, {"subtype": "success", "response": body})

    def effects(self, request: e.PermissionRequested) -> tuple[Effect, ...]:
        """See `Agent.effects`. A shell keeps the folder that an earlier command changed to."""
        effects = effects_of(TOOLS, request.name, request.input, self._options.cwd)
        cwd = self._hooks.folder_of(request.call)
        return self._hooks.protected.marked(
            msgspec.structs.replace(each, cwd=cwd) if isinstance(each, CommandEffect) else each
            for each in effects
        )

    async def set_model(self, model: str) -> None:
        """Use this model from the next call on."""
        await self._ask("set_model", {"model": model})

    def cost_with(self, model: str | None) -> Support:
        """See `Agent.cost_with`."""
        del model  # it prices each
        return "supported"

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """Use this mode; a bypass is made by the session, see `program.own_mode`."""
        before, self._own_mode = self._own_mode, program.own_mode(mode)
        try:
            await self._ask("set_permission_mode", {"mode": self._own_mode})
        except BaseException:
            self._own_mode = before
            raise
        self._chosen = mode
        self._hooks.set_mode(mode)

    def _own_change(self, signal: ModeChanged) -> ModeChanged | None:
        """Return what a report of the program's mode means; None if it is what we have set."""
        if signal.own == self._own_mode:
            return None
        self._own_mode = signal.own
        bypasses = self._chosen == "bypassPermissions"
        if bypasses and signal.own == program.own_mode(self._chosen):
            signal = ModeChanged(self._chosen, signal.own)
        if signal.mode is not None:
            self._hooks.set_mode(signal.mode)
        return signal

    async def stop_task(self, task: str) -> None:
        """Stop a piece of background work."""
        await self._control("stop_task", {"task_id": task})

    async def _ask(self, subtype: str, fields: Mapping[str, object]) -> None:
        """Make a control request and wait for its response. Raises `AgentFailed` for a refusal."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await self._control(subtype, fields, answer)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            refusal = await answer
        if refusal:
            raise AgentFailed(f"Claude Code refused: {refusal}")

    async def _control(
        self,
        subtype: str,
        fields: Mapping[str, object],
        answer: asyncio.Future[str] | None = None,
    ) -> None:
        request = str(uuid.uuid4())
        self._controls[request] = (subtype, answer)
        body = {"subtype": subtype, **fields}
        await self._write({"type": "control_request", "request_id": request, "request": body})

    async def _respond(self, request: str, body: dict[str, object]) -> None:
        response = {**body, "request_id": request}
        await self._write({"type": "control_response", "response": response})

    async def _write(self, frame: dict[str, object]) -> None:
        await self._process.write(msgspec.json.encode(frame) + b"\n")

    # Reports ------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Signal]:
        """Read frames until the program has ended, and yield what they mean."""
        async for line in self._process.lines():
            frame = json_object(line)
            if frame is None:
                # Output that is no frame is the CLI's chatter.
                if line is OVERLONG or line.startswith(b"{"):
                    yield e.Notice(level="error", text=unreadable(line))
                continue
            kind = frame.get("type")
            if kind == "control_response":
                for signal in self._answered(frame):
                    yield signal
            elif kind == "control_request":
                signal_or_none = await self._asked(frame)
                if signal_or_none is not None:
                    yield signal_or_none
            else:
                for signal in self._translate(frame):
                    if isinstance(signal, (e.TextDelta, e.ThinkingDelta)):
                        yield signal
                    elif (new := await self._watch(signal)) is not None:
                        yield new
        await self._process.exited()
        words = self._process.last_words()
        died = Died(
            words, lost=self._options.resume is not None and any(each in words for each in _LOST)
        )
        for signal in last_signals(self._process.survivors, died):
            yield signal

    async def _watch(self, signal: Signal) -> Signal | None:
        """Keep track of what runs, and end what an interrupt has left running.

        Returns the signal, or None for one that tells of what we have done ourselves.
        """
        if isinstance(signal, ModeChanged):
            return self._own_change(signal)
        self._calls.note(signal)
        match signal:
            case e.TaskStarted():
                self._tasks.add(signal.task)
            case e.TaskEnded():
                self._tasks.discard(signal.task)
            case Finished():
                await self._calls.close()
        return signal

    def _answered(self, frame: dict[str, Any]) -> list[Signal]:
        """Take the response to a control request of ours."""
        response = frame.get("response") or {}
        subtype, answer = self._controls.pop(str(response.get("request_id")), ("", None))
        body = response.get("response") or {}
        refusal = str(response.get("error")) if response.get("subtype") == "error" else ""
        if answer is not None:
            if not answer.done():
                answer.set_result(refusal)
            return []
        if refusal:
            return [e.Notice(level="error", text=f"Claude Code refused {subtype}: {refusal}")]
        if subtype == "initialize":
            notice = self._standing.notice
            return [
                *self._brought,
                Up(),
                *([e.Notice(level="warning", text=notice)] if notice else []),
            ]
        if subtype == "interrupt":
            messages = (self._message_of(known) for known in body.get("cancelled") or ())
            return [Dropped(message) for message in messages if message]
        return []

    async def _asked(self, frame: dict[str, Any]) -> Signal | None:
        """Take a request of the CLI: a permission request, or a call of a hook of ours."""
        try:
            if frame["request"]["subtype"] == "can_use_tool":
                return self._translate.request(frame)
            if (answer := self._hooks.answer(frame["request"])) is not None:
                await self._respond(frame["request_id"], {"subtype": "success", "response": answer})
                return None
            error = f"{frame['request']['subtype']} is not supported"
        except MALFORMED:
            error = "the request is not understood"
        with contextlib.suppress(AgentFailed):
            await self._respond(frame.get("request_id", ""), {"subtype": "error", "error": error})
        return e.Raw(data=frame)
