"""What every API of a model has: requests to read, and answers to write, as a stream or whole.

A script has one vocabulary, that of the Messages API: each API's file turns it into its own words,
and its requests into those of the Messages API. A word that is not known there passes as it is.
"""

from __future__ import annotations

import json
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from midflight.testing.model.script import (
    Malformed,
    ModelRequest,
    Part,
    ServiceCall,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
    Words,
)

_WORD = re.compile(r"\s*\S+|\s+$")
_OVERLOADED = 529


class Wire(ABC):
    """One answer of one API: turns the parts of a step into bytes.

    What `encode` and `end` yield is the stream; `whole` is the same without one. Subclasses read
    the requests of their API as well.
    """

    stops: ClassVar[Mapping[str, str]] = {}
    """The API's words for the reasons to stop."""

    faults: ClassVar[Mapping[str, str]] = {}
    """The API's words for the types of errors."""

    count: ClassVar[str] = ""
    """The field for the number of tokens, where they can be counted without an answer."""

    def __init__(self, request: ModelRequest, parts: tuple[Part, ...]) -> None:
        """Take the request, and the whole step: an API may say first what stands last in it."""
        self.request = request
        self.usage = Usage()
        calls = any(isinstance(part, ToolCall) for part in parts)
        self.stop_reason = "tool_use" if calls else "end_turn"
        for part in parts:
            if isinstance(part, Usage):
                self.usage = part
            elif isinstance(part, Stop):
                self.stop_reason = part.reason
        self.raw: bytes | None = None

    # Reading ------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def read(cls, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a request's body as the Messages API would have it.

        That is ``model``, ``system``, ``messages`` and ``tools``, as far as the request has them.
        """

    @property
    def streams(self) -> bool:
        """Whether the request asks for a stream."""
        return bool(self.request.body.get("stream"))

    @property
    def reason(self) -> str:
        """The reason to stop, in the API's words."""
        return self.stops.get(self.stop_reason, self.stop_reason)

    # Writing ------------------------------------------------------------------------------

    def encode(self, part: Part) -> Iterator[bytes]:
        """Yield the stream's bytes for one part, one delta at a time."""
        match part:
            case Text(text):
                yield from self.text([text])
            case Words():
                yield from self.text(words_of(part))
            case Thinking(text):
                yield from self.thinking(text)
            case ToolCall():
                yield from self.call(part)
            case ServiceCall():
                yield from self.service_call(part)
            case Malformed(raw):
                self.raw = raw
                yield raw
            case _:  # The other parts say nothing.
                pass

    @abstractmethod
    def text(self, pieces: list[str]) -> Iterator[bytes]:
        """Yield text deltas. Text that follows text goes on in the same place."""

    @abstractmethod
    def thinking(self, text: str) -> Iterator[bytes]:
        """Yield a thought."""

    @abstractmethod
    def call(self, part: ToolCall) -> Iterator[bytes]:
        """Yield the call of a tool."""

    def service_call(self, part: ServiceCall) -> Iterator[bytes]:
        """Yield a call that the service has run, with its result; only some APIs have those."""
        del part
        yield from ()

    @abstractmethod
    def end(self) -> Iterator[bytes]:
        """Yield the bytes that end a whole answer."""

    def whole(self) -> bytes:
        """Return everything encoded so far as one answer without a stream."""
        return as_json(self.answer()) if self.raw is None else self.raw

    @abstractmethod
    def answer(self) -> Mapping[str, Any]:
        """Return the answer as the API's one object."""

    def tokens(self) -> tuple[int, int, int] | None:
        """Return input tokens with those from a cache, these alone, and output tokens.

        So all other APIs count them. None if the usage is left out.
        """
        usage = self.usage
        new, read, written = (
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
        )
        if all(count is None for count in (new, read, written, usage.output_tokens)):
            return None
        return (
            sum(count or 0 for count in (new, read, written)),
            read or 0,
            usage.output_tokens or 0,
        )

    # Failing ------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def error(cls, status: int, kind: str, message: str) -> Mapping[str, Any]:
        """Return the API's error object; ``kind`` is a type of error of the Messages API."""

    @classmethod
    def status(cls, status: int) -> int:
        """Return the API's status: only the Messages API has one of its own for "overloaded"."""
        return 503 if status == _OVERLOADED else status

    def broken(self, kind: str, message: str) -> bytes:
        """Return the error in the middle of a stream, which ends it."""
        return sse(self.error(500, kind, message))


def words_of(part: Words) -> list[str]:
    """Split into words that join to the text again; made-up words are numbered."""
    if isinstance(part.content, int):
        return [f"word{number} " for number in range(1, part.content + 1)]
    return _WORD.findall(part.content)


def sse(data: Mapping[str, Any], event: str = "") -> bytes:
    """Write one server-sent event, with a name or without."""
    head = b"event: %s\n" % event.encode() if event else b""
    return b"%sdata: %s\n\n" % (head, as_json(data))


def as_json(data: object) -> bytes:
    """Return a value as JSON, without spaces."""
    return json.dumps(data, separators=(",", ":")).encode()


def as_object(text: object) -> Mapping[str, Any]:
    """Return the object that a text has as JSON; an empty one if it has none."""
    try:
        value = json.loads(str(text))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def in_halves(text: str) -> tuple[str, str]:
    """Split a text, so that whoever reads the stream has to join it."""
    half = len(text) // 2
    return text[:half], text[half:]


_NO_DIGITS = str.maketrans("0123456789", "ghijklmnop")


def new_id(prefix: str) -> str:
    """Return an id. They differ across servers: a resumed conversation brings earlier ones.

    None has a digit: OpenCode takes a 429 or 500 anywhere in an error's body for a reason to ask
    again.
    """
    return f"{prefix}_{uuid.uuid4().hex[:24].translate(_NO_DIGITS)}"


def of(items: object) -> list[Mapping[str, Any]]:
    """Return the objects in a list, which a request may also leave out."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
