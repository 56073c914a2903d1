"""What the drivers' translations share: bounds, titles of tool calls, and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midflight.values import Question, QuestionOption

OUTPUT_CHARS = 10_000
"""How much of a tool's output an event carries."""

OVERLAP_CHARS = 400
"""By how much of its end an output is found again in one that has lost its beginning."""

TITLE_CHARS = 200

_TITLES = (
    *("command", "file_path", "filePath", "notebook_path"),
    *("pattern", "url", "query", "description", "path", "session", "name"),
)
"""The inputs that say most, in Claude's and in OpenCode's words."""


def title(call_input: Mapping[str, Any]) -> str:
    """Return the most telling input of a tool, as one line."""
    for name in _TITLES:
        if isinstance(call_input.get(name), str):
            return " ".join(call_input[name].split())[:TITLE_CHARS]
    return ""


def put_out_since(before: str, now: str) -> str:
    """Return what a tool has put out since: agents tell all of it so far, or only its end."""
    if now.startswith(before):
        return now[len(before) :][-OUTPUT_CHARS:]
    known = before[-OVERLAP_CHARS:]
    at = now.rfind(known)
    return (now if at < 0 else now[at + len(known) :])[-OUTPUT_CHARS:]


def questions(asked: Sequence[Mapping[str, Any]], multiple: str) -> tuple[Question, ...]:
    """Return the questions that an agent asks; ``multiple`` is its field for several answers."""
    return tuple(
        Question(
            question=item["question"],
            header=item.get("header", ""),
            multiple=bool(item.get(multiple)),
            options=tuple(
                QuestionOption(label=option["label"], description=option.get("description", ""))
                for option in item.get("options", ())
            ),
        )
        for item in asked
    )
