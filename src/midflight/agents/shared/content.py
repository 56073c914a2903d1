"""What the drivers' translations share: bounds, titles of tool calls, and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midflight.values import Question, QuestionOption

OUTPUT_CHARS = 10_000
"""How much of a tool's output an event carries."""

TITLE_CHARS = 200

_TITLES = (
    *("command", "file_path", "filePath", "notebook_path"),
    *("pattern", "url", "query", "description", "path", "session", "name"),
)
"""The inputs that say most, in Claude's and in OpenCode's words."""


def title(given: Mapping[str, Any]) -> str:
    """Return the most telling input of a tool, as one line."""
    for name in _TITLES:
        if isinstance(given.get(name), str):
            return " ".join(given[name].split())[:TITLE_CHARS]
    return ""


def questions(asked: Sequence[Mapping[str, Any]], multiple: str) -> tuple[Question, ...]:
    """Return the questions that an agent asks; ``multiple`` is its field for several answers."""
    return tuple(
        Question(
            question=one["question"],
            header=one.get("header", ""),
            multiple=bool(one.get(multiple)),
            options=tuple(
                QuestionOption(label=option["label"], description=option.get("description", ""))
                for option in one.get("options", ())
            ),
        )
        for one in asked
    )
