"""Claude Code's result frames: how a turn ended, what it cost, what was denied.

``subtype`` alone misleads: a failed API call is ``success`` with ``is_error``, and only
``terminal_reason`` tells an interrupt from an error.
"""

from __future__ import annotations

from typing import Any

from midflight.agents.base import Finished
from midflight.values import Denial, Status, TokenUsage

USAGE_LIMIT_REACHED = "usage_limit_reached"

_LIMITS = {"error_max_turns": "max_turns", "error_max_budget_usd": "max_budget"}
_STOPS = {
    "refusal": "refusal",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "context_full",
}
_AUTH = (401, 403)
_TOO_LONG = ("prompt is too long", "context window", "context length")


def finished(frame: dict[str, Any], messages: tuple[str, ...], error: str = "") -> Finished:
    """Translate a result frame; ``error`` is the error of the turn's last message."""
    status, reason = _outcome(frame, error)
    costs = [
        usage
        for usage in (frame.get("model_usage_since_last_result") or {}).values()
        if isinstance(usage, dict)
    ]
    return Finished(
        status=status,
        reason=reason,
        text=_text(frame, status),
        cost_usd=sum(float(usage.get("costUSD") or 0) for usage in costs) if costs else None,
        tokens=sum((_tokens(usage) for usage in costs), TokenUsage()) if costs else None,
        messages=messages,
        denials=tuple(
            Denial(call=denial.get("tool_use_id", ""), name=denial.get("tool_name", ""))
            for denial in frame.get("permission_denials") or ()
        ),
    )


def _outcome(frame: dict[str, Any], error: str) -> tuple[Status, str]:
    subtype, why = frame.get("subtype"), str(frame.get("terminal_reason") or "completed")
    if why.startswith("aborted"):
        return "interrupted", "interrupted"
    if subtype in _LIMITS:
        return "limit", _LIMITS[subtype]
    if frame.get("is_error") and error == USAGE_LIMIT_REACHED:
        return "limit", "usage_limit"
    if frame.get("is_error"):
        return "failed", _failure(frame, error)
    if subtype != "success" or why != "completed":
        return "failed", "agent_error"
    stop = frame.get("stop_reason")
    return ("failed", _STOPS[stop]) if stop in _STOPS else ("completed", "end_turn")


def _failure(frame: dict[str, Any], error: str) -> str:
    if frame.get("stop_reason") in _STOPS:
        return _STOPS[frame["stop_reason"]]
    text = str(frame.get("result") or "").lower()
    if frame.get("api_error_status") in _AUTH or "invalid api key" in text or "/login" in text:
        return "auth"
    if any(words in text for words in _TOO_LONG):
        return "context_full"
    if error == "max_output_tokens":
        return "max_tokens"
    return "api_error" if frame.get("terminal_reason") == "api_error" else "agent_error"


_LOGIN = "Please run /login"
"""What the program says: in its own terminal there is such a command."""

_HOW_TO_LOG_IN = (
    "export ANTHROPIC_API_KEY=…, or run the program that `midflight doctor` names and log in there"
)


def _text(frame: dict[str, Any], status: Status) -> str:
    """Return the final text; of the errors only those that are meant for people."""
    if isinstance(frame.get("result"), str):
        return str(frame["result"]).replace(_LOGIN, _HOW_TO_LOG_IN)
    if status == "interrupted":
        return ""
    errors = [str(error) for error in frame.get("errors") or ()]
    return "; ".join(error for error in errors if not error.startswith("["))


def _tokens(usage: dict[str, Any]) -> TokenUsage:
    return TokenUsage(
        input_tokens=int(usage.get("inputTokens") or 0),
        output_tokens=int(usage.get("outputTokens") or 0),
        cache_read_tokens=int(usage.get("cacheReadInputTokens") or 0),
        cache_write_tokens=int(usage.get("cacheCreationInputTokens") or 0),
    )
