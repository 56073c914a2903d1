"""Values that every version of OpenCode has in its answers, in midflight's words."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from midflight.agents.base import UsageLimit
from midflight.events import Retry
from midflight.values import Kind, PlanEntry, TokenUsage

USAGE_LIMIT_S = 300.0
"""A pause that is longer than this is the account's usage limit and no passing trouble.

OpenCode's own pauses are of half a minute at most; a longer one was set by the service.
"""

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("read", "list"), "read"),
    **dict.fromkeys(("write", "edit", "multiedit", "patch", "apply_patch"), "edit"),
    "bash": "execute",
    **dict.fromkeys(("glob", "grep", "websearch", "codesearch"), "search"),
    "webfetch": "fetch",
}

FINISHES: Mapping[str, str] = {"length": "max_tokens", "content-filter": "refusal"}
"""How a model call ends that fails its turn, and the reason."""

GOES_ON = ("tool-calls", "unknown", "")
"""How a model call ends after which the agent makes another one."""

CHARS_PER_TOKEN = 4
"""About; for the estimate of a model call that was cut off."""

_TOO_LONG = ("prompt is too long", "context window", "context length")


def tokens(counts: Mapping[str, Any]) -> TokenUsage:
    """Return the token counts of a model call; reasoning is output."""
    cache = counts.get("cache") or {}
    return TokenUsage(
        input_tokens=int(counts.get("input") or 0),
        output_tokens=int(counts.get("output") or 0) + int(counts.get("reasoning") or 0),
        cache_read_tokens=int(cache.get("read") or 0),
        cache_write_tokens=int(cache.get("write") or 0),
    )


class CutCall:
    """Estimates a model call that was broken off, of which the server does not say what it took."""

    def __init__(self) -> None:
        """Begin before the first call."""
        self._streamed = 0
        self._context = 0

    def streamed(self, text: str) -> None:
        """Take in a piece of what the model writes."""
        self._streamed += len(text)

    def counted(self, used: TokenUsage) -> None:
        """A call has ended and was counted; the next one reads all of it."""
        self._context = sum(getattr(used, name) for name in used.__struct_fields__)
        self._streamed = 0

    def void(self) -> None:
        """The call is made again."""
        self._streamed = 0

    def estimate(self) -> TokenUsage | None:
        """Return about what a call took that was broken off now; None if it wrote nothing.

        What it read is about what the one before had in its context; what it wrote is what was
        streamed.
        """
        if not self._streamed:
            return None
        written = -(-self._streamed // CHARS_PER_TOKEN)
        self._streamed = 0
        return TokenUsage(input_tokens=self._context, output_tokens=written)


def plan(todos: Iterable[Mapping[str, Any]]) -> tuple[PlanEntry, ...]:
    """Return the agent's list of things to do."""
    return tuple(PlanEntry(text=str(todo["content"]), status=str(todo["status"])) for todo in todos)


def is_too_long(text: str) -> bool:
    """Tell whether a provider's error says that the conversation does not fit any more."""
    return any(sign in text.lower() for sign in _TOO_LONG)


def waits(again: float, attempt: int, text: str, parent: str | None) -> Retry | UsageLimit:
    """Return what it means that a model call is made again at a time, in seconds since the epoch.

    OpenCode waits however long that takes.
    """
    now = time.time()
    if again - now > USAGE_LIMIT_S:
        return UsageLimit(resets_at=again, text=text, trying=True)
    delay = round(max(0.0, again - now), 3)
    return Retry(attempt=attempt, delay_s=delay, error=text, parent=parent)
