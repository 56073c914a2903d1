"""JSON-RPC 2.0 over an agent's standard input and output, one message a line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from midflight._util.aio import TaskSet
from midflight._util.lines import OVERLONG, json_object, unreadable
from midflight.agents.process.process import AgentProcess
from midflight.errors import AgentFailed

METHOD_NOT_FOUND = -32601


class RpcResponse(msgspec.Struct, frozen=True):
    """The response to a request: a result, or an error."""

    result: dict[str, Any] = {}
    error: dict[str, Any] | None = None


class RpcError(AgentFailed):
    """The agent answered a request with an error; ``error`` is that error, unchanged."""

    def __init__(self, method: str, error: Mapping[str, Any], says: str) -> None:
        """Name what was asked for, and what the agent ``says``."""
        super().__init__(f"the agent refused {method}: {says}")
        self.error = error


def complaint(error: Mapping[str, Any]) -> str:
    """Return an error's text, with the details that agents put beside a general message."""
    data = error.get("data")
    details = data.get("details", data.get("message")) if isinstance(data, dict) else data
    parts = (error.get("message"), details)
    return ": ".join(part for part in parts if isinstance(part, str)) or "no reason given"


class JsonRpc:
    """Speaks to one agent. Responses go to their request, everything else to ``on_message``.

    ``on_noise`` gets a line for people about output that should have been a message. Both are
    called in the order of the agent's output, and so are the functions passed to `begin`.
    """

    def __init__(
        self,
        process: AgentProcess,
        on_message: Callable[[dict[str, Any]], None],
        on_noise: Callable[[str], None],
        redact: Callable[[str], str],
    ) -> None:
        """Speak to this program, which may be started later. ``redact`` takes out secrets."""
        self._redact = redact
        self._process = process
        self._on_message = on_message
        self._on_noise = on_noise
        self._asked: dict[int, Callable[[RpcResponse], None]] = {}
        self._waiting: set[asyncio.Future[RpcResponse]] = set()
        self._sending = TaskSet()
        self._last = 0

    async def read(self) -> None:
        """Take in messages until the program has ended, then fail every open `call`."""
        try:
            async for line in self._process.lines():
                self._take(line)
        finally:
            self._asked.clear()
            for future in self._waiting:
                if not future.done():
                    future.set_exception(AgentFailed("the agent has ended"))

    def _take(self, line: bytes) -> None:
        message = json_object(line)
        if message is None:
            # Agents print other things too, against the rules; only a broken message is reported.
            if line is OVERLONG or line.startswith(b"{"):
                self._on_noise(unreadable(line))
        elif "method" in message:
            self._on_message(message)
        else:
            number, error = message.get("id"), message.get("error")
            take = self._asked.pop(number, None) if isinstance(number, int) else None
            if take is None:
                return
            result = message.get("result")
            take(
                RpcResponse(
                    result if isinstance(result, dict) else {},
                    error if isinstance(error, dict) or error is None else {"message": str(error)},
                )
            )

    async def begin(
        self, method: str, params: Mapping[str, object], take: Callable[[RpcResponse], None]
    ) -> None:
        """Make a request. ``take`` gets its answer; it is not called when the agent ends first."""
        self._last += 1
        self._asked[self._last] = take
        await self._write({"id": self._last, "method": method, "params": params})

    async def call(
        self, method: str, params: Mapping[str, object], timeout_s: float
    ) -> dict[str, Any]:
        """Make a request and return its result. Raises `RpcError`, or `AgentFailed` for none."""
        future: asyncio.Future[RpcResponse] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)

        def take(answer: RpcResponse) -> None:
            if not future.done():
                future.set_result(answer)

        try:
            async with asyncio.timeout(timeout_s):
                await self.begin(method, params, take)
                answer = await future
        except TimeoutError:
            raise AgentFailed(f"no answer to {method} within {timeout_s:g} seconds") from None
        finally:
            self._waiting.discard(future)
        if answer.error is not None:
            raise RpcError(method, answer.error, self._redact(complaint(answer.error)))
        return answer.result

    async def tell(self, method: str, params: Mapping[str, object]) -> None:
        """Send a notification."""
        await self._write({"method": method, "params": params})

    async def answer(self, request: object, result: Mapping[str, object]) -> None:
        """Answer a request of the agent."""
        await self._write({"id": request, "result": result})

    async def refuse(self, request: object, code: int, text: str) -> None:
        """Answer a request of the agent with an error."""
        await self._write({"id": request, "error": {"code": code, "message": text}})

    def soon(self, sending: Coroutine[Any, Any, None]) -> None:
        """Carry out a sending beside the reading, which must never wait for the writing."""
        self._sending.start(_send(sending))

    async def _write(self, message: dict[str, object]) -> None:
        await self._process.write(msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n")


async def _send(sending: Coroutine[Any, Any, None]) -> None:
    # An agent that takes no more input has ended or is being killed: its `Died` reports that.
    with contextlib.suppress(AgentFailed):
        await sending
