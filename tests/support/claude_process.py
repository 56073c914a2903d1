"""The bundled Claude Code CLI, driven over its pipes without the SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from midflight.agents.claude import program

CLI = program.find(None)
ARGUMENTS = (
    "--output-format stream-json --verbose --input-format stream-json --include-partial-messages "
    "--permission-prompt-tool stdio --model sonnet"
)


class ClaudeProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, env: dict[str, str], cwd: Path) -> AsyncIterator[Self]:
        process = await asyncio.create_subprocess_exec(
            CLI,
            *ARGUMENTS.split(),
            env=env,
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=2**24,
        )
        try:
            self = cls(process)
            self.write(
                type="control_request",
                request_id="1",
                request={"subtype": "initialize", "hooks": None},
            )
            await self.until("control_response")
            yield self
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()

    def write(self, **frame: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(frame).encode() + b"\n")

    def say(self, text: str) -> None:
        self.write(
            type="user",
            uuid=str(uuid.uuid4()),
            message={"role": "user", "content": text},
            parent_tool_use_id=None,
            session_id="default",
        )

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Return the frames up to and with the first of this type."""
        assert self._process.stdout is not None
        frames: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while not frames or frames[-1]["type"] != kind:
                line = await self._process.stdout.readline()
                assert line, f"the agent ended before a {kind} frame"
                frames.append(json.loads(line))
        return frames

    async def turn(self, text: str) -> dict[str, Any]:
        """Say something and return the result frame."""
        self.say(text)
        return (await self.until("result"))[-1]
