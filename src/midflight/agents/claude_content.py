"""The inside of Claude Code's frames: tokens, tool calls and questions in midflight's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midflight.values import Kind, Question, QuestionOption, TokenUsage

__all__ = ["KINDS", "most", "output", "questions", "title", "tokens"]

OUTPUT_CHARS = 10_000
"""How much of a tool's output an event carries."""

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("Read", "NotebookRead", "LS"), "read"),
    **dict.fromkeys(("Write", "Edit", "MultiEdit", "NotebookEdit"), "edit"),
    **dict.fromkeys(("Bash", "BashOutput", "KillShell"), "execute"),
    **dict.fromkeys(("Glob", "Grep", "WebSearch", "ToolSearch"), "search"),
    "WebFetch": "fetch",
}
_TITLES = ("command", "file_path", "notebook_path", "pattern", "url", "query", "description")


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


def title(given: dict[str, Any]) -> str:
    """Return the most telling input of a tool, as one line."""
    for name in _TITLES:
        if isinstance(given.get(name), str):
            return " ".join(given[name].split())[:200]
    return ""


def output(content: object) -> str:
    """Return a tool's output as text, cut to `OUTPUT_CHARS`."""
    if isinstance(content, list):
        content = "\n".join(
            str(part.get("text", f"[{part.get('type')}]")) for part in content if part
        )
    return str(content or "")[:OUTPUT_CHARS]


def questions(given: dict[str, Any]) -> tuple[Question, ...]:
    """Return the questions in the input of the tool that asks them."""
    return tuple(
        Question(
            question=question["question"],
            header=question.get("header", ""),
            multiple=bool(question.get("multiSelect")),
            options=tuple(
                QuestionOption(label=option["label"], description=option.get("description", ""))
                for option in question.get("options", ())
            ),
        )
        for question in given["questions"]
    )
