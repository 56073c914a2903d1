"""Anthropic's Messages API, in which scripts are written.

https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from midflight.testing.model.script import ModelRequest, Part, ServiceCall, ToolCall
from midflight.testing.model.wire.base import Wire, as_json, in_halves, new_id, sse

_USAGE = {
    "input_tokens": "input_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "output_tokens": "output_tokens",
}


class MessagesWire(Wire):
    """An answer of the Messages API."""

    count: ClassVar[str] = "input_tokens"

    def __init__(self, request: ModelRequest, parts: tuple[Part, ...]) -> None:
        """Begin with an empty message."""
        super().__init__(request, parts)
        self._content: list[dict[str, Any]] = []
        self._open = False
        self._begun = False

    @classmethod
    def read(cls, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body: its words are those of all others."""
        return body

    def text(self, pieces: list[str]) -> Iterator[bytes]:
        """Yield text deltas. Text that follows text goes on in the same block."""
        yield from self._begin()
        if not self._open:
            self._open = True
            self._content.append({"type": "text", "text": ""})
            start = {"type": "text", "text": ""}
            index = len(self._content) - 1
            yield _event({"type": "content_block_start", "index": index, "content_block": start})
        self._content[-1]["text"] += "".join(pieces)
        # Thousands of deltas are written in benchmarks, so only the text of each is encoded anew.
        head = b"event: content_block_delta\ndata: " + (
            b'{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
            % (len(self._content) - 1)
        )
        for piece in pieces:
            yield b"%s%s}}\n\n" % (head, json.dumps(piece).encode())

    def thinking(self, text: str) -> Iterator[bytes]:
        """Yield a thinking block with a signature."""
        signature = new_id("sig")
        yield from self._block(
            {"type": "thinking", "thinking": text, "signature": signature},
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": text},
            {"type": "signature_delta", "signature": signature},
        )

    def call(self, part: ToolCall) -> Iterator[bytes]:
        """Yield a ``tool_use`` block."""
        yield from self._call("tool_use", part.id or new_id("toolu"), part)

    def service_call(self, part: ServiceCall) -> Iterator[bytes]:
        """Yield a ``server_tool_use`` block, and the block with its result."""
        call = part.id or new_id("srvtoolu")
        yield from self._call("server_tool_use", call, part)
        kind = part.kind or f"{part.name}_tool_result"
        result = {"type": kind, "tool_use_id": call, "content": part.result}
        yield from self._block(result, result)

    def _call(self, kind: str, call: str, part: ToolCall | ServiceCall) -> Iterator[bytes]:
        block = {"type": kind, "id": call, "name": part.name, "input": dict(part.input)}
        deltas = (
            {"type": "input_json_delta", "partial_json": half}
            for half in in_halves(as_json(part.input).decode())
        )
        yield from self._block(block, block | {"input": {}}, *deltas)

    def end(self) -> Iterator[bytes]:
        """Yield the stop reason, the tokens and the end."""
        yield from self._begin()
        if self._open:
            yield from self._close_block()
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        event: dict[str, Any] = {"type": "message_delta", "delta": delta}
        if usage := self._usage():
            event["usage"] = usage
        yield _event(event)
        yield _event({"type": "message_stop"})

    def answer(self) -> Mapping[str, Any]:
        """Return the message."""
        stop = {"stop_reason": self.stop_reason, "stop_sequence": None}
        return self._skeleton() | {"content": self._content} | stop

    @classmethod
    def error(cls, status: int, kind: str, message: str) -> Mapping[str, Any]:
        """Return the error object."""
        return {
            "type": "error",
            "error": {"type": kind, "message": message},
            "request_id": new_id("req"),
        }

    @classmethod
    def status(cls, status: int) -> int:
        """Return the status as it is."""
        return status

    def broken(self, kind: str, message: str) -> bytes:
        """Return an ``error`` event."""
        return _event(self.error(500, kind, message))

    def _usage(self) -> dict[str, int]:
        counts = {name: getattr(self.usage, ours) for name, ours in _USAGE.items()}
        return {name: count for name, count in counts.items() if count is not None}

    def _skeleton(self) -> dict[str, Any]:
        message: dict[str, Any] = {
            "id": new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": self.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        if usage := self._usage():
            message["usage"] = usage
        return message

    def _begin(self) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            message = self._skeleton()
            if "output_tokens" in message.get("usage", {}):
                message["usage"]["output_tokens"] = 1  # The API counts the rest at the end.
            yield _event({"type": "message_start", "message": message})

    def _close_block(self) -> Iterator[bytes]:
        self._open = False
        yield _event({"type": "content_block_stop", "index": len(self._content) - 1})

    def _block(
        self, block: dict[str, Any], start: dict[str, Any], *deltas: dict[str, Any]
    ) -> Iterator[bytes]:
        """Yield a whole block that is not text."""
        yield from self._begin()
        if self._open:
            yield from self._close_block()
        index = len(self._content)
        self._content.append(block)
        yield _event({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield _event({"type": "content_block_delta", "index": index, "delta": delta})
        yield _event({"type": "content_block_stop", "index": index})


def _event(data: Mapping[str, Any]) -> bytes:
    return sse(data, str(data["type"]))
