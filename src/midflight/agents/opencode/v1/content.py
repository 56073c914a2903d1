"""Values inside OpenCode's events, in midflight's words, and which events are left out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from midflight.agents.base import UsageLimit
from midflight.events import Retry
from midflight.values import Kind, PlanEntry, Status, TokenUsage

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

SILENT = frozenset(
    {
        "catalog.updated",
        "command.executed",
        "file.edited",
        "file.watcher.updated",
        "installation.update-available",
        "installation.updated",
        "integration.updated",
        "lsp.client.diagnostics",
        "lsp.updated",
        "mcp.tools.changed",
        "message.part.removed",
        "message.removed",
        "plugin.added",
        "project.updated",
        "reference.updated",
        "server.connected",
        "server.heartbeat",
        "server.instance.disposed",
        "session.compacted",
        "session.deleted",
        "session.diff",
        "session.updated",
        "vcs.branch.updated",
    }
)
"""Events with nothing that a reader needs; what matters in them comes in other events."""

_AUTH = (401, 403)
_ERRORS = {
    "ProviderAuthError": "auth",
    "MessageOutputLengthError": "max_tokens",
    "ContextOverflowError": "context_full",
    "ContentFilterError": "refusal",
}
_FINISHES = {"length": "max_tokens", "content-filter": "refusal"}
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


def is_summary(info: Mapping[str, Any]) -> bool:
    """Tell whether a message of the agent is the summary that a compaction makes."""
    return info.get("summary") is True


def plan(todos: list[dict[str, Any]]) -> tuple[PlanEntry, ...]:
    """Return the agent's list of things to do."""
    return tuple(PlanEntry(text=str(todo["content"]), status=str(todo["status"])) for todo in todos)


def retry(status: Mapping[str, Any], text: str, parent: str | None) -> Retry | UsageLimit:
    """Return what a ``session.status`` of this type means: OpenCode waits however long it takes."""
    now, again = time.time(), float(status.get("next") or 0) / 1000
    if again - now > USAGE_LIMIT_S:
        return UsageLimit(resets_at=again, text=text, trying=True)
    delay = round(max(0.0, again - now), 3)
    return Retry(attempt=int(status["attempt"]), delay_s=delay, error=text, parent=parent)


def outcome(finish: str, error: Mapping[str, Any] | None) -> tuple[Status, str, str]:
    """Return status, reason and, for a failure, the agent's error text."""
    if error is None:
        reason = _FINISHES.get(finish)
        return ("failed", reason, "") if reason else ("completed", "end_turn", "")
    name, data = str(error.get("name")), error.get("data") or {}
    text = str(data.get("message") or name)
    if name == "MessageAbortedError":
        return "interrupted", "interrupted", ""
    if name == "APIError":
        if data.get("statusCode") in _AUTH:
            return "failed", "auth", text
        too_long = any(sign in text.lower() for sign in _TOO_LONG)
        return "failed", "context_full" if too_long else "api_error", text
    return "failed", _ERRORS.get(name, "agent_error"), text
