"""How an ACP prompt ended: its stop reason or its error, in midflight's words."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from midflight.agents.acp.jsonrpc import RpcResponse
from midflight.agents.base import UsageLimit
from midflight.agents.shared.limit_text import is_usage_limit, resets_at
from midflight.values import Status, TokenUsage

AUTH_REQUIRED = -32000

_STOPS: Mapping[str, tuple[Status, str]] = {
    "end_turn": ("completed", "end_turn"),
    "cancelled": ("interrupted", "interrupted"),
    "max_turn_requests": ("limit", "max_turns"),
    "max_tokens": ("failed", "max_tokens"),
    "refusal": ("failed", "refusal"),
}

_AUTH = re.compile(
    r"authenti|unauthori[sz]ed|\b401\b|\b403\b|/login|log ?in|(api|x-api)[- ]key|credential",
    re.IGNORECASE,
)
_FULL = re.compile(r"prompt is too long|context (window|length)|contextoverflow", re.IGNORECASE)
_API = re.compile(
    r"api ?error|overloaded|rate.?limit|server_error|timeout|connection", re.IGNORECASE
)


def outcome(answer: RpcResponse, *, cancelled: bool) -> tuple[Status, str]:
    """Return how the turn ended, and why; ``cancelled`` says that we asked for its end."""
    if answer.error is None:
        stop = answer.result.get("stopReason")
        return _STOPS.get(str(stop), ("failed", "agent_error"))
    if cancelled:
        return "interrupted", "interrupted"
    limited = is_usage_limit(_words(answer.error))
    return ("limit", "usage_limit") if limited else ("failed", _why(answer.error))


def usage_limit(answer: RpcResponse, text: str) -> UsageLimit:
    """Return the usage limit that an error reports; ``text`` is for people."""
    return UsageLimit(resets_at=resets_at(_words(answer.error or {}), time.time()), text=text)


def _why(error: Mapping[str, Any]) -> str:
    """Return the reason that an agent's error amounts to; ACP has a code for one of them only."""
    words = _words(error)
    if error.get("code") == AUTH_REQUIRED or _AUTH.search(words):
        return "auth"
    if _FULL.search(words):
        return "context_full"
    return "api_error" if _API.search(words) else "agent_error"


def _words(error: Mapping[str, Any]) -> str:
    data = error.get("data")
    return f"{error.get('message')} {data if isinstance(data, dict) else ''}"


def tokens(usage: object) -> TokenUsage | None:
    """Return the turn's tokens, where the agent reports them."""
    if not isinstance(usage, dict):
        return None

    def count(name: str) -> int:
        value = usage.get(name)
        return value if isinstance(value, int) else 0

    return TokenUsage(
        input_tokens=count("inputTokens"),
        output_tokens=count("outputTokens"),
        cache_read_tokens=count("cachedReadTokens"),
        cache_write_tokens=count("cachedWriteTokens"),
    )
