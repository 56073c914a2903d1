"""Standard input and output: every request gets a response, also one that cannot be read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import mcp_types as types
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage

COMPLAINT_CHARS = 300
"""How much is said of what is wrong with a request."""


@contextlib.asynccontextmanager
async def answered_stdio() -> AsyncIterator[tuple[Requests, Any]]:
    """Yield what the client sends, and where it is answered, as `stdio_server` does."""
    async with stdio_server() as (reading, writing):
        yield Requests(reading, writing), writing


class Requests:
    """What the client sends. What is no message is answered at once: its client waits for that.

    The protocol's own stream hands it on as an error, and nobody takes that further.
    """

    def __init__(self, reading: Any, writing: Any) -> None:
        """Read from one stream, and answer on the other."""
        self._reading = reading
        self._writing = writing

    def __getattr__(self, name: str) -> Any:
        """Leave all but the reading to the stream."""
        return getattr(self._reading, name)

    async def __aenter__(self) -> Self:
        """Enter the stream."""
        await self._reading.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool | None:
        """Close the stream."""
        return bool(await self._reading.__aexit__(kind, error, at))

    def __aiter__(self) -> Self:
        """Return the messages."""
        return self

    async def __anext__(self) -> SessionMessage:
        """Return the next message."""
        return await self._next(self._reading.__anext__)

    async def receive(self) -> SessionMessage:
        """Return the next message."""
        return await self._next(self._reading.receive)

    async def _next(self, read: Callable[[], Awaitable[Any]]) -> SessionMessage:
        while isinstance(item := await read(), Exception):
            if (response := refusal(item)) is not None:
                await self._writing.send(SessionMessage(response))
        return item  # type: ignore[no-any-return]  # the stream has nothing else


def refusal(error: Exception) -> types.JSONRPCError | None:
    """Return the response to what was no message; there is none to a notification."""
    problems = error.errors() if hasattr(error, "errors") else []
    body = next(filter(None, (_object(problem.get("input")) for problem in problems)), None)
    if body is not None and ("id" not in body or body.keys() & {"result", "error"}):
        return None
    request = body["id"] if body is not None else None
    if not isinstance(request, (str, int)) or isinstance(request, bool):
        request = None
    reason = str(problems[0].get("msg", "")) if problems else type(error).__name__
    readable = body is not None and not reason.startswith("Invalid JSON")
    return types.JSONRPCError(
        jsonrpc="2.0",
        id=request,
        error=types.ErrorData(
            code=types.INVALID_REQUEST if readable else types.PARSE_ERROR,
            message=f"not a message: {reason}"[:COMPLAINT_CHARS],
        ),
    )


def _object(text: object) -> dict[str, Any] | None:
    """Return the message that was not taken, as far as it can be read at all."""
    if isinstance(text, (str, bytes)):
        try:
            text = json.loads(text)
        except (ValueError, RecursionError):
            return None
    return text if isinstance(text, dict) and "jsonrpc" in text else None
