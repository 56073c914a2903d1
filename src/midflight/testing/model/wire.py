"""The bytes of an answer: a step's parts as the Messages API's stream, or in its plain form."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from midflight.testing.model.script import (
    Malformed,
    Part,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
    Words,
)

_WORD = re.compile(r"\s*\S+|\s+$")


def words_of(part: Words) -> list[str]:
    """Split into words that join to the text again; made-up words are numbered."""
    if isinstance(part.content, int):
        return [f"word{number} " for number in range(1, part.content + 1)]
    return _WORD.findall(part.content)


def sse(data: Mapping[str, Any]) -> bytes:
    """Write one server-sent event, named after its type."""
    return b"event: %s\ndata: %s\n\n" % (str(data["type"]).encode(), _json(data))


def error_body(kind: str, message: str) -> dict[str, Any]:
    """Return the API's error object."""
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": _new_id("req"),
    }


@dataclass
class Encoder:
    """Turns the parts of one step into stream events, and keeps the message for the plain form."""

    model: str
    usage: Usage
    stop_reason: str
    content: list[dict[str, Any]] = field(default_factory=list)
    raw: bytes | None = None
    _open: bool = False
    _begun: bool = False

    @classmethod
    def of(cls, parts: tuple[Part, ...], model: str) -> Encoder:
        """Make the encoder for a step; its first event needs usage that may stand last."""
        usage, reason = Usage(), "end_turn"
        if any(isinstance(part, ToolCall) for part in parts):
            reason = "tool_use"
        for part in parts:
            if isinstance(part, Usage):
                usage = part
            elif isinstance(part, Stop):
                reason = part.reason
        return cls(model, usage, reason)

    def encode(self, part: Part) -> Iterator[bytes]:
        """Yield the stream's bytes for one part, one delta at a time."""
        match part:
            case Text(text):
                yield from self._text([text])
            case Words():
                yield from self._text(words_of(part))
            case Thinking(text):
                signature = _new_id("sig")
                block: dict[str, Any] = {
                    "type": "thinking",
                    "thinking": text,
                    "signature": signature,
                }
                yield from self._block(
                    block,
                    {"type": "thinking", "thinking": "", "signature": ""},
                    {"type": "thinking_delta", "thinking": text},
                    {"type": "signature_delta", "signature": signature},
                )
            case ToolCall(name, arguments, call):
                block = {
                    "type": "tool_use",
                    "id": call or _new_id("toolu"),
                    "name": name,
                    "input": dict(arguments),
                }
                partial = _json(arguments).decode()
                half = len(partial) // 2
                yield from self._block(
                    block,
                    block | {"input": {}},
                    {"type": "input_json_delta", "partial_json": partial[:half]},
                    {"type": "input_json_delta", "partial_json": partial[half:]},
                )
            case Malformed(raw):
                self.raw = raw
                yield raw
            case _:  # The other parts say nothing.
                pass

    def end(self) -> Iterator[bytes]:
        """Yield the bytes that end a whole answer."""
        yield from self._begin()
        yield from self._close_block()
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        event: dict[str, Any] = {"type": "message_delta", "delta": delta}
        if usage := self.usage.as_json():
            event["usage"] = usage
        yield sse(event)
        yield sse({"type": "message_stop"})

    def message(self) -> bytes:
        """Return the plain form: everything encoded so far as one JSON message."""
        if self.raw is not None:
            return self.raw
        stop = {"stop_reason": self.stop_reason, "stop_sequence": None}
        return _json(self._skeleton() | {"content": self.content} | stop)

    def _skeleton(self) -> dict[str, Any]:
        message: dict[str, Any] = {
            "id": _new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        if usage := self.usage.as_json():
            message["usage"] = usage
        return message

    def _begin(self) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            message = self._skeleton()
            if "output_tokens" in message.get("usage", {}):
                message["usage"]["output_tokens"] = 1  # The API counts the rest at the end.
            yield sse({"type": "message_start", "message": message})

    def _close_block(self) -> Iterator[bytes]:
        if self._open:
            self._open = False
            yield sse({"type": "content_block_stop", "index": len(self.content) - 1})

    def _text(self, pieces: list[str]) -> Iterator[bytes]:
        """Yield text deltas. Text that follows text goes on in the same block."""
        yield from self._begin()
        if not self._open:
            self._open = True
            self.content.append({"type": "text", "text": ""})
            start = {"type": "text", "text": ""}
            index = len(self.content) - 1
            yield sse({"type": "content_block_start", "index": index, "content_block": start})
        self.content[-1]["text"] += "".join(pieces)
        # Thousands of deltas are written in benchmarks, so only the text of each is encoded anew.
        head = b"event: content_block_delta\ndata: " + (
            b'{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
            % (len(self.content) - 1)
        )
        for piece in pieces:
            yield b"%s%s}}\n\n" % (head, json.dumps(piece).encode())

    def _block(
        self, block: dict[str, Any], start: dict[str, Any], *deltas: dict[str, Any]
    ) -> Iterator[bytes]:
        """Yield a whole block that is not text."""
        yield from self._begin()
        yield from self._close_block()
        index = len(self.content)
        self.content.append(block)
        yield sse({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield sse({"type": "content_block_delta", "index": index, "delta": delta})
        yield sse({"type": "content_block_stop", "index": index})


def _json(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def _new_id(prefix: str) -> str:
    # Ids must differ across servers too: a resumed conversation brings the ids of an earlier one.
    return f"{prefix}_{uuid.uuid4().hex[:24]}"
