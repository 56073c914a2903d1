"""The inside of Claude Code's frames: tokens, tool calls and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midflight.agents.shared.content import OUTPUT_CHARS
from midflight.images import Image
from midflight.values import Kind, TokenUsage

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("Read", "NotebookRead", "LS"), "read"),
    **dict.fromkeys(("Write", "Edit", "MultiEdit", "NotebookEdit"), "edit"),
    **dict.fromkeys(("Bash", "BashOutput", "KillShell"), "execute"),
    **dict.fromkeys(("Glob", "Grep", "WebSearch", "ToolSearch", "web_search"), "search"),
    **dict.fromkeys(("WebFetch", "web_fetch"), "fetch"),
}


def content(text: str, images: Sequence[Image]) -> list[dict[str, Any]]:
    """Return what a user's message says, as the Messages API has it."""
    return [
        {"type": "text", "text": text},
        *(
            {
                "type": "image",
                "source": {"type": "base64", "media_type": image.media_type, "data": image.base64},
            }
            for image in images
        ),
    ]


def tokens(usage: dict[str, Any] | None) -> TokenUsage:
    """Return the token counts of a model call."""
    usage = usage or {}
    return TokenUsage(
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
        cache_write_tokens=int(usage.get("cache_creation_input_tokens") or 0),
    )


def most(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """Return the larger of two counts, field by field: the start and the end of a call differ."""
    names = TokenUsage.__struct_fields__
    return TokenUsage(**{name: max(getattr(one, name), getattr(other, name)) for name in names})


def output(content: object) -> str:
    """Return a tool's output as text, cut to `OUTPUT_CHARS`."""
    if isinstance(content, list):
        content = "\n".join(_part(part) for part in content if part)
    elif isinstance(content, dict):
        content = _part(content)
    return str(content or "")[:OUTPUT_CHARS]


_SHOWN = ("text", "error_code", "error_message", "title", "url", "stdout", "stderr", "tool_name")
"""What of a part of an output is text; the rest is encrypted, or about how it is shown."""


def _part(part: dict[str, Any]) -> str:
    """Return one part of an output; what has no text is named by its type."""
    shown = [str(part[key]) for key in _SHOWN if part.get(key)]
    return " ".join(shown) or f"[{part.get('type')}]"


def is_error(block: dict[str, Any]) -> bool:
    """Tell whether a call that the model's service ran has failed.

    Each of its tools has a type of result for that, such as ``web_search_tool_result_error``.
    """
    content = block.get("content")
    kind = str(content.get("type")) if isinstance(content, dict) else ""
    return bool(block.get("is_error")) or kind.endswith("_error")


def joined(answers: dict[str, str | list[str]]) -> dict[str, str]:
    """Return the answers in the CLI's form: several labels are joined by commas."""
    return {
        question: ", ".join(answer) if isinstance(answer, list) else answer
        for question, answer in answers.items()
    }
