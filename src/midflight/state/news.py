"""What of a session's events is worth telling a person who looks elsewhere."""

from __future__ import annotations

from midflight import events as e
from midflight.effects import brief

CHARACTERS = 200


def news(event: e.Event, name: str, cwd: str) -> tuple[str, str] | None:
    """Return a title and a line about an event of the session of that name; None for most."""
    match event:
        case e.PermissionRequested():
            return f"{name} waits for you", _short(f"{event.name} {brief(event.effects, cwd)}")
        case e.QuestionRequested(questions=questions):
            return f"{name} asks you", _short(" / ".join(each.question for each in questions))
        case e.TurnEnded(status="completed", text=text):
            return f"{name} is done", _short(text) or "without a word"
        case e.TurnEnded(status="failed" | "limit", reason=reason, text=text):
            return f"{name} has failed: {reason}", _short(text) or reason
    return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CHARACTERS else f"{line[: CHARACTERS - 1]}…"
