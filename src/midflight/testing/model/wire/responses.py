"""OpenAI's Responses API.

https://platform.openai.com/docs/api-reference/responses and .../responses-streaming
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from midflight.testing.model.script import ModelRequest, Part, ToolCall
from midflight.testing.model.wire.base import as_json, as_object, in_halves, new_id, of, sse
from midflight.testing.model.wire.openai import OpenAiWire

_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_PROMPTS = ("system", "developer")
_IN = "__"
_SPACE = "mcp__"
"""How the namespaces of MCP servers begin."""

_INCOMPLETE = {"max_tokens": "max_output_tokens", "refusal": "content_filter"}


class ResponsesWire(OpenAiWire):
    """An answer of the Responses API."""

    stops: ClassVar[Mapping[str, str]] = _INCOMPLETE

    def __init__(self, request: ModelRequest, parts: tuple[Part, ...]) -> None:
        """Begin with no output."""
        super().__init__(request, parts)
        self._id = new_id("resp")
        self._created = int(time.time())
        self._output: list[dict[str, Any]] = []
        self._number = 0
        self._open = False
        self._begun = False

    @classmethod
    def read(cls, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body in the words of the Messages API."""
        said = body.get("input")
        items = [{"role": "user", "content": said}] if isinstance(said, str) else of(said)
        prompts = [item for item in items if item.get("role") in _PROMPTS]
        return {
            "model": body.get("model", ""),
            "system": [
                *_blocks(body.get("instructions")),
                *(block for item in prompts for block in _blocks(item.get("content"))),
            ],
            "messages": [message for item in items if (message := _message(item)) is not None],
            "tools": [_tool(tool) for tool in _spread(of(body.get("tools"))) if "name" in tool],
        }

    def text(self, pieces: list[str]) -> Iterator[bytes]:
        """Yield text deltas. Text that follows text goes on in the same message."""
        yield from self._begin()
        if not self._open:
            self._open = True
            item = {
                "id": new_id("msg"),
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [_text("")],
            }
            yield from self._add(item, {"status": "in_progress", "content": []})
            yield self._inside("response.content_part.added", content_index=0, part=_text(""))
        part = self._output[-1]["content"][0]
        part["text"] += "".join(pieces)
        for piece in pieces:
            yield self._inside(
                "response.output_text.delta", content_index=0, delta=piece, logprobs=[]
            )

    def thinking(self, text: str) -> Iterator[bytes]:
        """Yield a summary of reasoning, which is all that this API shows of it."""
        yield from self._begin()
        yield from self._close_text()
        part = {"type": "summary_text", "text": text}
        item = {
            "id": new_id("rs"),
            "type": "reasoning",
            "summary": [part],
            "encrypted_content": new_id("sig"),
        }
        yield from self._add(item, {"summary": []})
        empty = {**part, "text": ""}
        summary = "response.reasoning_summary_"
        yield self._inside(f"{summary}part.added", summary_index=0, part=empty)
        yield self._inside(f"{summary}text.delta", summary_index=0, delta=text)
        yield self._inside(f"{summary}text.done", summary_index=0, text=text)
        yield self._inside(f"{summary}part.done", summary_index=0, part=part)
        yield self._done()

    def call(self, part: ToolCall) -> Iterator[bytes]:
        """Yield the call of a function, or of a custom tool, whose one input is a text."""
        yield from self._begin()
        yield from self._close_text()
        tool = self._offered(part.name)
        custom = tool.get("type") == "custom"
        field = "input" if custom else "arguments"
        given = str(part.input.get("input", "")) if custom else as_json(part.input).decode()
        item = {
            "id": new_id("ctc" if custom else "fc"),
            "type": "custom_tool_call" if custom else "function_call",
            "status": "completed",
            "call_id": part.id or new_id("call"),
            **self._named(part.name),
            field: given,
        }
        yield from self._add(item, {"status": "in_progress", field: ""})
        kind = "custom_tool_call_input" if custom else "function_call_arguments"
        for half in in_halves(given):
            yield self._inside(f"response.{kind}.delta", delta=half)
        name = {} if custom else {"name": item["name"]}
        yield self._inside(f"response.{kind}.done", **{field: given}, **name)
        yield self._done()

    def end(self) -> Iterator[bytes]:
        """Yield the whole response as the last event."""
        yield from self._begin()
        yield from self._close_text()
        answer = self.answer()
        yield self._event(f"response.{answer['status']}", response=answer)

    def answer(self) -> Mapping[str, Any]:
        """Return the response."""
        why = _INCOMPLETE.get(self.stop_reason)
        details = {"incomplete_details": {"reason": why}} if why else {}
        return {
            **self._skeleton("incomplete" if why else "completed"),
            **details,
            "output": self._output,
            "usage": self._usage(),
        }

    def broken(self, kind: str, message: str) -> bytes:
        """Return the event that a response has failed."""
        error = {"code": self.faults.get(kind, kind), "message": message}
        response = {**self._skeleton("failed"), "output": self._output, "error": error}
        return b"".join(self._begin()) + self._event("response.failed", response=response)

    def _offered(self, name: str) -> Mapping[str, Any]:
        tools = of(self.request.body.get("tools"))
        return next((tool for tool in tools if tool.get("name") == name), {})

    def _named(self, name: str) -> Mapping[str, str]:
        """Return the name of a tool, and its namespace, which an MCP server's tools have.

        The request may leave such tools out, and have the model search for them.
        """
        space, _, tool = name.rpartition(_IN)
        if space.startswith(_SPACE) and not self._offered(name):
            return {"name": tool, "namespace": space}
        return {"name": name}

    def _skeleton(self, status: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self.request.model,
            "output": [],
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": None,
        }

    def _usage(self) -> dict[str, Any] | None:
        counts = self.tokens()
        if counts is None:
            return None
        given, cached, said = counts
        return {
            "input_tokens": given,
            "input_tokens_details": {
                "cached_tokens": cached,
                "cache_write_tokens": self.usage.cache_write_tokens or 0,
            },
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": given + said,
        }

    def _event(self, kind: str, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return sse({"type": kind, "sequence_number": number, **fields}, kind)

    def _inside(self, kind: str, **fields: Any) -> bytes:
        """Return an event of the item that was added last."""
        return self._event(
            kind,
            item_id=self._output[-1]["id"],
            output_index=len(self._output) - 1,
            **fields,
        )

    def _begin(self) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            for kind in ("response.created", "response.in_progress"):
                yield self._event(kind, response=self._skeleton("in_progress"))

    def _add(self, item: dict[str, Any], first: Mapping[str, Any]) -> Iterator[bytes]:
        """Add an item to the output; ``first`` is what differs in it before it is complete."""
        self._output.append(item)
        index = len(self._output) - 1
        yield self._event("response.output_item.added", output_index=index, item={**item, **first})

    def _done(self) -> bytes:
        index = len(self._output) - 1
        return self._event("response.output_item.done", output_index=index, item=self._output[-1])

    def _close_text(self) -> Iterator[bytes]:
        if self._open:
            self._open = False
            part = self._output[-1]["content"][0]
            text = part["text"]
            yield self._inside("response.output_text.done", content_index=0, text=text, logprobs=[])
            yield self._inside("response.content_part.done", content_index=0, part=part)
            yield self._done()


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an item of the input as a message; None for what the model said to itself alone."""
    kind, role = item.get("type", "message"), item.get("role")
    if kind in _CALLS:
        custom = {"input": item.get("input", "")}
        given = custom if kind == "custom_tool_call" else as_object(item.get("arguments"))
        call = {
            "type": "tool_use",
            "id": item.get("call_id"),
            "name": _IN.join(filter(None, (item.get("namespace"), item.get("name")))),
            "input": given,
        }
        return {"role": "assistant", "content": [call]}
    if kind in _OUTPUTS:
        result = {
            "type": "tool_result",
            "tool_use_id": item.get("call_id"),
            "content": _blocks(item.get("output")),
        }
        return {"role": "user", "content": [result]}
    if kind != "message" or role in _PROMPTS:
        return None
    return {"role": role, "content": _blocks(item.get("content"))}


def _blocks(content: object) -> list[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{**part, "type": "text"} if "text" in part else part for part in of(content)]


def _spread(tools: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the tools, those of a namespace by both names."""
    for tool in tools:
        if tool.get("type") == "namespace":
            for each in of(tool.get("tools")):
                yield {**each, "name": f"{tool.get('name')}{_IN}{each.get('name')}"}
        else:
            yield tool


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": tool["name"],
        "description": tool.get("description", ""),
        "input_schema": tool.get("parameters") or {},
    }
