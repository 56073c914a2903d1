from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import midflight
from midflight import events as e

PROGRAM = Path(__file__).parent / "programs" / "acp_agent.py"


def words(text: str, kind: str = "agent_message_chunk") -> dict[str, Any]:
    """A step: the agent says something."""
    return {"update": {"sessionUpdate": kind, "content": {"type": "text", "text": text}}}


def tool(call: str, status: str, **fields: Any) -> dict[str, Any]:
    """A step: the agent tells of a tool call."""
    told = {"toolCallId": call, "status": status, **fields}
    return {"update": {"sessionUpdate": "tool_call_update", **told}}


def ask(call: str, *kinds: str, **fields: Any) -> dict[str, Any]:
    """A step: the agent asks leave for a tool call, and waits."""
    offered = kinds or ("allow_always", "allow_once", "reject_once")
    ids = [f"id-{kind}" + "-again" * offered[:at].count(kind) for at, kind in enumerate(offered)]
    options = [
        {"optionId": id, "kind": kind, "name": kind}
        for id, kind in zip(ids, offered, strict=True)  # noqa: A001 - as the protocol has it
    ]
    params = {"sessionId": "s-1", "toolCall": {"toolCallId": call, **fields}, "options": options}
    return {"request": "session/request_permission", "params": params}


def cost(amount: float) -> dict[str, Any]:
    """A step: the agent tells what the session has cost so far."""
    money = {"amount": amount, "currency": "USD"}
    return {"update": {"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": money}}


_E = TypeVar("_E", bound=e.Event)


class Scripted:
    """A session with the scripted agent, and what the agent was sent."""

    def __init__(self, session: midflight.Session, log: Path) -> None:
        self.session = session
        self.log = log

    def sent(self, method: str) -> list[dict[str, Any]]:
        """The parameters of each message of this method that the agent has read."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line.get("params", line) for line in lines if line.get("method") == method]

    def methods(self) -> list[str]:
        """The method of each message that the agent has read; empty for an answer."""
        return [json.loads(line).get("method", "") for line in self.log.read_text().splitlines()]

    def answered(self) -> list[dict[str, Any]]:
        """The answers that the agent has read."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if "method" not in line]

    async def until(self, kind: type[_E], count: int = 1) -> _E:
        """Wait for the so-manieth event of a kind."""
        async with asyncio.timeout(60):
            async for event in self.session.events():
                count -= isinstance(event, kind)
                if isinstance(event, kind) and not count:
                    return event
        raise AssertionError("the session has ended")

    async def play(self, *steps: Any) -> midflight.Message:
        """Send a message that is a script for the agent."""
        return await self.session.send(json.dumps(list(steps)))

    async def run(self, *steps: Any) -> tuple[midflight.Result, list[e.Event]]:
        """Have the agent play a script to the end; return the result and the events."""
        message = await self.play(*steps)
        events = [event async for event in self.session.stream()]
        return await message.result(), events


Open = Callable[..., AbstractAsyncContextManager[Scripted]]
