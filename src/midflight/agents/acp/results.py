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


def used(answer: RpcResponse, model: str) -> tuple[tuple[str, TokenUsage], ...]:
    """Return the turn's tokens by model, where the agent reports them; ``model`` is the one in use.

    ACP has a field for them, ``usage``. Gemini CLI (0.61) and codex-acp (2.6) say beside or instead
    of it which models they have really asked, in ``_meta.quota.model_usage``.
    """
    by_model = _field(_field(_field(answer.result, "_meta"), "quota"), "model_usage")
    told = tuple(
        (str(each.get("model")), tokens(counted))
        for each in (by_model if isinstance(by_model, list) else ())
        if isinstance(each, dict) and isinstance(counted := each.get("token_count"), dict)
    )
    usage = answer.result.get("usage")
    return told or (((model, tokens(usage)),) if isinstance(usage, dict) else ())


def used_by_call(update: Mapping[str, Any]) -> TokenUsage | None:
    """Return the tokens of one model call that come with a chunk of text, as Qwen Code's do."""
    usage = _field(_field(update, "_meta"), "usage")
    return tokens(usage) if isinstance(usage, dict) else None


def tokens(counted: Mapping[str, Any]) -> TokenUsage:
    """Return token counts; what was read from a cache stands beside the rest of the input.

    Qwen Code counts it among the input, and what the model has thought only in the total.
    """
    new, written = _count(counted, "input"), _count(counted, "output")
    read = _count(counted, "cachedRead", "cachedInput")
    stored = _count(counted, "cachedWrite", "cacheWriteInput")
    missing = _count(counted, "total") - (new + written + read + stored)
    if counted.get("totalTokens") and missing < 0:
        new, missing = max(0, new - read), missing + read
    return TokenUsage(
        input_tokens=new,
        output_tokens=written + max(0, missing),
        cache_read_tokens=read,
        cache_write_tokens=stored,
    )


def _count(counted: Mapping[str, Any], *names: str) -> int:
    found = [counted.get(key) for name in names for key in (f"{name}Tokens", f"{name}_tokens")]
    return next((count for count in found if isinstance(count, int)), 0)


def _field(whole: object, name: str) -> object:
    return whole.get(name) if isinstance(whole, Mapping) else None
