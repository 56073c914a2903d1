"""Google's Gemini API: ``generateContent`` and ``streamGenerateContent``.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from midflight.testing.model.script import ModelRequest, Part, ToolCall
from midflight.testing.model.wire.base import Wire, as_json, new_id, of, sse


class GeminiWire(Wire):
    """An answer of the Gemini API."""

    count: ClassVar[str] = "totalTokens"
    stops: ClassVar[Mapping[str, str]] = {
        "end_turn": "STOP",
        "stop_sequence": "STOP",
        "tool_use": "STOP",
        "max_tokens": "MAX_TOKENS",
        "refusal": "SAFETY",
    }
    faults: ClassVar[Mapping[str, str]] = {
        "api_error": "INTERNAL",
        "authentication_error": "UNAUTHENTICATED",
        "billing_error": "FAILED_PRECONDITION",
        "invalid_request_error": "INVALID_ARGUMENT",
        "not_found_error": "NOT_FOUND",
        "overloaded_error": "UNAVAILABLE",
        "permission_error": "PERMISSION_DENIED",
        "rate_limit_error": "RESOURCE_EXHAUSTED",
        "request_too_large": "INVALID_ARGUMENT",
        "timeout_error": "DEADLINE_EXCEEDED",
    }

    def __init__(self, request: ModelRequest, parts: tuple[Part, ...]) -> None:
        """Begin with no content."""
        super().__init__(request, parts)
        self._id = new_id("r")
        self._parts: list[dict[str, Any]] = []

    @classmethod
    def read(cls, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body in the words of the Messages API."""
        declared = [
            function
            for tool in of(body.get("tools"))
            for function in of(tool.get("functionDeclarations"))
        ]
        prompt = body.get("systemInstruction") or {}
        return {
            "model": path.rpartition("/")[2].partition(":")[0],
            "system": [{"type": "text", "text": prompt}]
            if isinstance(prompt, str)
            else _blocks(prompt),
            "messages": [
                {
                    "role": "assistant" if content.get("role") == "model" else "user",
                    "content": _blocks(content),
                }
                for content in of(body.get("contents"))
            ],
            "tools": [_tool(function) for function in declared],
        }

    @property
    def streams(self) -> bool:
        """Whether the request asks for a stream, which its path says."""
        return self.request.path.endswith(":streamGenerateContent")

    def text(self, pieces: list[str]) -> Iterator[bytes]:
        """Yield a part for each piece; without a stream, text that follows text is one part."""
        last = self._parts[-1] if self._parts else {}
        if last.keys() == {"text"}:
            last["text"] += "".join(pieces)
        else:
            self._parts.append({"text": "".join(pieces)})
        for piece in pieces:
            yield self._chunk({"text": piece})

    def thinking(self, text: str) -> Iterator[bytes]:
        """Yield a part that is a thought."""
        yield from self._whole_part({"text": text, "thought": True})

    def call(self, part: ToolCall) -> Iterator[bytes]:
        """Yield the call of a function, whose arguments come in one piece."""
        call = {
            "id": part.id or new_id("call"),
            "name": part.name,
            "args": dict(part.input),
        }
        yield from self._whole_part({"functionCall": call, "thoughtSignature": "c2lnbmVk"})

    def end(self) -> Iterator[bytes]:
        """Yield the reason to stop and the tokens."""
        yield sse(self._answer([{"text": ""}], self.reason))

    def answer(self) -> Mapping[str, Any]:
        """Return the answer."""
        return self._answer(self._parts, self.reason)

    @classmethod
    def error(cls, status: int, kind: str, message: str) -> Mapping[str, Any]:
        """Return the error object."""
        code = cls.faults.get(kind, kind)
        return {"error": {"code": cls.status(status), "message": message, "status": code}}

    def _whole_part(self, part: dict[str, Any]) -> Iterator[bytes]:
        self._parts.append(part)
        yield self._chunk(part)

    def _chunk(self, part: Mapping[str, Any]) -> bytes:
        return sse(self._answer([part]))

    def _answer(self, parts: list[Any], reason: str = "") -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        answer: dict[str, Any] = {
            "candidates": [candidate],
            "modelVersion": self.request.model,
            "responseId": self._id,
        }
        counts = self.tokens()
        if reason and counts is not None:
            given, cached, said = counts
            answer["usageMetadata"] = {
                "promptTokenCount": given,
                "cachedContentTokenCount": cached,
                "candidatesTokenCount": said,
                "totalTokenCount": given + said,
            }
        return answer


def _blocks(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parts of a content; results have no id where the model gave the call none."""
    return [block for part in of(content.get("parts")) for block in _block(part)]


def _block(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    match part:
        case {"functionCall": {"name": name, **call}}:
            given = call.get("args") or {}
            yield {"type": "tool_use", "id": call.get("id") or name, "name": name, "input": given}
        case {"functionResponse": {"name": name, **result}}:
            yield {
                "type": "tool_result",
                "tool_use_id": result.get("id") or name,
                "content": _told(result.get("response")),
            }
        case {"text": text, "thought": True}:
            yield {"type": "thinking", "thinking": text}
        case {"text": text}:
            yield {"type": "text", "text": text}
        case _:
            yield part


def _told(response: object) -> str:
    """Return what a tool told the model: its output, its error, or all that it told."""
    if isinstance(response, dict):
        for key in ("output", "error"):
            if isinstance(response.get(key), str):
                return str(response[key])
    return as_json(response).decode()


_SCHEMAS = ("parametersJsonSchema", "parameters_json_schema", "parameters")
"""Where a function's schema stands; Google's own client uses the second spelling."""


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": function.get("name", ""),
        "description": function.get("description", ""),
        "input_schema": next((function[key] for key in _SCHEMAS if function.get(key)), {}),
    }
