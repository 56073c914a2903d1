"""The two sides that are compared, with the same few verbs. Each is imported only where it runs.

Both use the agent's own system prompt and settings, no allowed tools, and text as it streams; with
Claude Code the model "sonnet", with OpenCode the configured one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from bench.base import MakeSide, OnText

if TYPE_CHECKING:
    from midflight.values import PermissionMode

__all__ = ["SIDES", "side"]

SIDES = ("raw", "midflight")


class Midflight:
    def __init__(self, text: str, **options: Any) -> None:
        import midflight

        self._midflight = midflight
        self._session = midflight.dispatch(text, **options)
        self.ended = 0.0

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def say(self, text: str) -> None:
        await self._session.send(text)

    async def listen(self, on_text: OnText) -> None:
        text_delta, turn_ended = self._midflight.TextDelta, self._midflight.TurnEnded
        async for event in self._session.stream():
            if isinstance(event, text_delta):
                on_text(event.text)
            elif isinstance(event, turn_ended):
                self.ended = time.perf_counter()

    async def interrupt(self) -> None:
        await self._session.interrupt()


class Raw:
    def __init__(
        self, text: str, resume: str | None = None, mode: PermissionMode = "default"
    ) -> None:
        import claude_agent_sdk as sdk

        self._sdk = sdk
        self._text = text
        self._client = sdk.ClaudeSDKClient(
            sdk.ClaudeAgentOptions(
                model="sonnet",
                system_prompt={"type": "preset", "preset": "claude_code"},
                permission_mode=mode,
                permission_prompt_tool_name="stdio",
                include_partial_messages=True,
                resume=resume,
            )
        )
        self.conversation = ""
        self.ended = 0.0

    async def __aenter__(self) -> Self:
        await self._client.connect()
        await self._client.query(self._text)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.disconnect()

    async def say(self, text: str) -> None:
        await self._client.query(text)

    async def listen(self, on_text: OnText) -> None:
        stream_event, result = self._sdk.StreamEvent, self._sdk.ResultMessage
        async for message in self._client.receive_response():
            if isinstance(message, stream_event):
                event: dict[str, Any] = message.event
                if event["type"] == "content_block_delta" and "text" in event["delta"]:
                    on_text(event["delta"]["text"])
            elif isinstance(message, result):
                self.conversation = message.session_id
                self.ended = time.perf_counter()

    async def interrupt(self) -> None:
        await self._client.interrupt()


def side(agent: str, name: str, *, accepts: bool = False) -> MakeSide:
    """Return what begins a conversation with an agent on one side.

    One that ``accepts`` edits is asked for none; OpenCode as it is asks for none anyway.
    """
    mode: PermissionMode = "acceptEdits" if accepts else "default"
    if name == "midflight":
        options = OPTIONS[agent]
        return lambda text: Midflight(text, agent=agent, permission_mode=mode, **options)
    if agent == "claude":
        return lambda text: Raw(text, mode=mode)
    from bench import opencode

    return opencode.Raw


OPTIONS: Mapping[str, Mapping[str, Any]] = {"claude": {"model": "sonnet"}, "opencode": {}}
