"""OpenAI's Chat Completions API, which many other services speak too.

https://platform.openai.com/docs/api-reference/chat and .../chat-streaming. The API has no words for
what a model thinks: ``reasoning_content`` is what services with such models have added.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from midflight.testing.model.script import ModelRequest, Part, ToolCall
from midflight.testing.model.wire.base import as_json, as_object, in_halves, new_id, of, sse
from midflight.testing.model.wire.openai import OpenAiWire


class ChatWire(OpenAiWire):
    """An answer of the Chat Completions API."""

    stops: ClassVar[Mapping[str, str]] = {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "refusal": "content_filter",
    }

    def __init__(self, request: ModelRequest, parts: tuple[Part, ...]) -> None:
        """Begin with an empty message."""
        super().__init__(request, parts)
        self._id = new_id("chatcmpl")
        self._created = int(time.time())
        self._text = ""
        self._thought = ""
        self._calls: list[dict[str, Any]] = []
        self._begun = False

    @classmethod
    def read(cls, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body in the words of the Messages API."""
        messages = of(body.get("messages"))
        return {
            "model": body.get("model", ""),
            "system": [
                block
                for message in messages
                if message.get("role") in ("system", "developer")
                for block in _blocks(message.get("content"))
            ],
            "messages": [
                _message(message)
                for message in messages
                if message.get("role") not in ("system", "developer")
            ],
            "tools": [
                _tool(tool["function"]) for tool in of(body.get("tools")) if "function" in tool
            ],
        }

    def text(self, pieces: list[str]) -> Iterator[bytes]:
        """Yield a delta for each piece."""
        yield from self._begin()
        self._text += "".join(pieces)
        for piece in pieces:
            yield self._delta({"content": piece})

    def thinking(self, text: str) -> Iterator[bytes]:
        """Yield a delta of reasoning."""
        yield from self._begin()
        self._thought += text
        yield self._delta({"reasoning_content": text})

    def call(self, part: ToolCall) -> Iterator[bytes]:
        """Yield a call: its name first, then its arguments."""
        yield from self._begin()
        index = len(self._calls)
        arguments = as_json(part.input).decode()
        call = {
            "id": part.id or new_id("call"),
            "type": "function",
            "function": {"name": part.name, "arguments": arguments},
        }
        self._calls.append(call)
        first = {"index": index, **call, "function": {"name": part.name, "arguments": ""}}
        yield self._delta({"tool_calls": [first]})
        for half in in_halves(arguments):
            yield self._delta({"tool_calls": [{"index": index, "function": {"arguments": half}}]})

    def end(self) -> Iterator[bytes]:
        """Yield the reason to stop, the tokens if they were asked for, and the end."""
        yield from self._begin()
        yield self._delta({}, self.reason)
        options = self.request.body.get("stream_options") or {}
        if options.get("include_usage") and (usage := self._usage()):
            yield sse({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    def answer(self) -> Mapping[str, Any]:
        """Return the completion."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self._text or None,
            "refusal": None,
        }
        if self._thought:
            message["reasoning_content"] = self._thought
        if self._calls:
            message["tool_calls"] = self._calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.reason}
        completion = {**self._head("chat.completion"), "choices": [choice]}
        return completion | ({"usage": usage} if (usage := self._usage()) else {})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self.request.model,
        }

    def _begin(self) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            yield self._delta({"role": "assistant", "content": ""})

    def _delta(self, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _usage(self) -> dict[str, Any] | None:
        counts = self.tokens()
        if counts is None:
            return None
        given, cached, said = counts
        return {
            "prompt_tokens": given,
            "completion_tokens": said,
            "total_tokens": given + said,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    blocks = _blocks(message.get("content"))
    match message.get("role"):
        case "tool":
            call = str(message.get("tool_call_id", ""))
            result = {"type": "tool_result", "tool_use_id": call, "content": blocks}
            return {"role": "user", "content": [result]}
        case "assistant":
            calls = map(_call, of(message.get("tool_calls")))
            return {"role": "assistant", "content": [*blocks, *calls]}
    return {"role": "user", "content": blocks}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": as_object(function.get("arguments")),
    }


def _blocks(content: object) -> list[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return of(content)


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": function.get("name", ""),
        "description": function.get("description", ""),
        "input_schema": function.get("parameters") or {},
    }
