"""What the scripted model says: the parts of a step, and the request it answers.

A *step* answers one request to the model. It is one part or a sequence of parts, played in order:

    [Text("Looking."), ToolCall("Bash", {"command": "ls"})]
    [Words(3), Wait("go"), Words("and the rest")]
    HttpError(529, times=2)

Parts before the first content hold back even the response's headers, so
``[Wait("go"), Text("hi")]`` is a model that has not sent its first byte.
"""

from __future__ import annotations

import base64
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STEERED = re.compile(
    r"The user sent a new message while you were working:\n"
    r"(.*?)(?:\n\nThis is how Claude Code surfaces|\Z)",
    re.DOTALL,
)

_AROUND = re.compile(
    r"\s*<(session_context|environment_context|current_datetime)>.*?</\1>\s*", re.DOTALL
)
"""What agents put before a user's words: Gemini CLI, Codex and Copilot, in that order."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text in one delta."""

    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text in one delta a word: a text, or so many made-up words.

    ``pace_s`` is the pause before each word; 0 sends as fast as the client reads.
    """

    content: str | int
    pace_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block with a signature."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of one of the agent's tools. Several in one step are parallel calls."""

    name: str
    input: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A call of a tool that the model's service runs itself, with its result in the same answer.

    ``result`` is the content of the block that follows the call, and ``kind`` that block's type:
    by default it is the tool's name and ``_tool_result``.
    """

    name: str
    input: Mapping[str, Any] = field(default_factory=dict)
    result: Any = ()
    kind: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens this step reports. ``None`` leaves a field out; all ``None`` leave usage out.

    ``input_tokens`` are those that are no cache's; APIs that count them together get the sum.
    """

    input_tokens: int | None = 10
    output_tokens: int | None = 5
    cache_read_tokens: int | None = 0
    cache_write_tokens: int | None = 0


@dataclass(frozen=True, slots=True)
class HttpError:
    """An HTTP error instead of an answer; the last part of its step.

    In a list of steps it answers ``times`` requests before the script moves on. Claude Code retries
    429, 5xx and 401 with growing delays. After a 400 or 422 it asks again at once with fewer of its
    beta features, 6 times in all (version 2.1.330); 402 and 403 are final.
    """

    status: int
    type: str | None = None
    message: str = "scripted error"
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1

    @property
    def error_type(self) -> str:
        """The error type, by default the one the API uses for this status."""
        return self.type or _ERROR_TYPES.get(self.status, "api_error")


def usage_limit(resets_in: float, times: int = 1) -> HttpError:
    """The account's usage limit, lifted so many seconds from now.

    Claude Code knows it as such only with a subscription: ``env(home, subscription=True)``.
    OpenCode takes it for one if it lasts for more than five minutes.
    """
    return HttpError(
        429,
        message="This request would exceed your account's rate limit. Please try again later.",
        headers={
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-reset": str(math.ceil(time.time() + resets_in)),
            "anthropic-ratelimit-unified-representative-claim": "five_hour",
            "retry-after": str(math.ceil(resets_in)),
        },
        times=times,
    )


@dataclass(frozen=True, slots=True)
class Drop:
    """Cut the connection here, once everything before it has been sent."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing more; the connection stays open until the client leaves or the server stops."""


@dataclass(frozen=True, slots=True)
class StreamError:
    """An ``error`` event in the stream, which ends the answer."""

    type: str = "overloaded_error"
    message: str = "scripted stream error"


@dataclass(frozen=True, slots=True)
class Malformed:
    """Arbitrary bytes put into the stream; without streaming they are the whole body."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Mark ``signal`` as reached, then hold until the test gives that signal."""

    signal: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark ``name`` as reached: everything before it has been handed to the connection."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stop reason, instead of ``tool_use`` after a tool call and ``end_turn`` otherwise."""

    reason: str


Part = (
    Text
    | Words
    | Thinking
    | ToolCall
    | ServiceCall
    | Usage
    | HttpError
    | Drop
    | Silence
    | StreamError
    | Malformed
    | Wait
    | Mark
    | Stop
)
Step = Part | Sequence[Part]

_ENDS = (HttpError, Drop, Silence, StreamError)


def parts_of(step: Step) -> tuple[Part, ...]:
    """Return the step's parts, checked: nothing may follow a part that ends the answer."""
    parts: tuple[object, ...] = tuple(step) if isinstance(step, Sequence) else (step,)
    checked = tuple(part for part in parts if isinstance(part, Part))
    if len(checked) < len(parts):
        raise TypeError(f"a step is made of parts such as Text or ToolCall, not {step!r}")
    for part in checked[:-1]:
        if isinstance(part, _ENDS):
            raise ValueError(  # noqa: TRY004 - the type is right, the place is not.
                f"{part!r} ends the answer, so nothing can follow it in the step"
            )
    return checked


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One recorded request. ``headers`` are in lower case, without the values of keys.

    ``body`` is what was sent, ``said`` the same in the words of the Messages API where another API
    was asked. All other properties are in these words, whatever API was asked.
    """

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    said: Mapping[str, Any] | None = None

    @property
    def _said(self) -> Mapping[str, Any]:
        return self.body if self.said is None else self.said

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self._said.get("model", ""))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far."""
        return list(self._said.get("messages", []))

    @property
    def system(self) -> str:
        """The system prompt as one text."""
        return _text_of(self._said.get("system", ""))

    @property
    def tools(self) -> list[str]:
        """The names of the tools on offer."""
        return [str(tool.get("name", "")) for tool in self._said.get("tools") or []]

    @property
    def schemas(self) -> dict[str, Mapping[str, Any]]:
        """The JSON schema of each tool's input, by the tool's name."""
        tools = self._said.get("tools") or []
        return {str(tool.get("name", "")): tool.get("input_schema") or {} for tool in tools}

    @property
    def last_user_text(self) -> str:
        """The text of the last user message that has one, without what the agent put around it.

        A steered message counts: Claude Code passes it on as a system message within the turn.
        """
        for message in reversed(self.messages):
            content = message.get("content", "")
            if message.get("role") == "user":
                text = _text_of(content, reminders=False)
            else:
                text = "\n".join(_STEERED.findall(_text_of(content)))
            if text:
                return text
        return ""

    @property
    def images(self) -> list[tuple[str, bytes]]:
        """The images in the conversation: the media type and the bytes of each."""
        found: list[tuple[str, bytes]] = []
        for message in self.messages:
            content = message.get("content")
            for block in content if isinstance(content, list) else []:
                source = block.get("source") or {} if block.get("type") == "image" else {}
                if source.get("type") == "base64":
                    found.append((source["media_type"], base64.b64decode(source["data"])))
        return found

    @property
    def tool_results(self) -> dict[str, str]:
        """The tool results since the model last spoke: the call's id and its text."""
        results: dict[str, str] = {}
        for message in reversed(self.messages):
            if message.get("role") == "assistant":
                break
            content = message.get("content")
            for block in content if isinstance(content, list) else []:
                if block.get("type") == "tool_result":
                    call = str(block.get("tool_use_id"))
                    results[call] = _text_of(block.get("content", ""))
        return results


Script = Sequence[Step] | Callable[[ModelRequest], Step | None]
SideRule = Callable[[ModelRequest], Step | None]


def _text_of(content: object, *, reminders: bool = True) -> str:
    """Join the text blocks of a message's content, which may also be a plain string."""
    blocks = [content] if isinstance(content, str) else content
    if not isinstance(blocks, list):
        return ""
    texts = [block if isinstance(block, str) else str(block.get("text", "")) for block in blocks]
    if not reminders:
        texts = [_AROUND.sub("", text) for text in texts]
        texts = [text for text in texts if not text.lstrip().startswith("<system-reminder>")]
    return "\n".join(text for text in texts if text)
