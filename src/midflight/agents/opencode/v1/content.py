"""Values inside OpenCode's events, in midflight's words, and which events are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midflight.agents.base import UsageLimit
from midflight.agents.opencode.content import FINISHES, is_too_long, waits
from midflight.events import Retry
from midflight.images import Image
from midflight.values import Status

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


def file_part(image: Image) -> dict[str, Any]:
    """Return an image as a part of a prompt."""
    return {
        "type": "file",
        "mime": image.media_type,
        "filename": image.name or "image",
        "url": f"data:{image.media_type};base64,{image.base64}",
    }


def is_summary(info: Mapping[str, Any]) -> bool:
    """Tell whether a message of the agent is the summary that a compaction makes."""
    return info.get("summary") is True


def retry(status: Mapping[str, Any], text: str, parent: str | None) -> Retry | UsageLimit:
    """Return what a ``session.status`` of this type means."""
    again = float(status.get("next") or 0) / 1000
    return waits(again, int(status["attempt"]), text, parent)


def outcome(finish: str, error: Mapping[str, Any] | None) -> tuple[Status, str, str]:
    """Return status, reason and, for a failure, the agent's error text."""
    if error is None:
        reason = FINISHES.get(finish)
        return ("failed", reason, "") if reason else ("completed", "end_turn", "")
    name, data = str(error.get("name")), error.get("data") or {}
    text = str(data.get("message") or name)
    if name == "MessageAbortedError":
        return "interrupted", "interrupted", ""
    if name == "APIError":
        if data.get("statusCode") in _AUTH:
            return "failed", "auth", text
        return "failed", "context_full" if is_too_long(text) else "api_error", text
    return "failed", _ERRORS.get(name, "agent_error"), text
