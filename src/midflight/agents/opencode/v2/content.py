"""Values inside OpenCode 2's events, in midflight's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midflight.agents.opencode import content as shared
from midflight.agents.opencode.content import FINISHES, is_too_long
from midflight.agents.opencode.v2.names import field, in_v1
from midflight.values import Kind, Question, QuestionOption, Status

_STOPPED = "Provider turn interrupted"
"""The preview's only word for it."""

_REASONS = {
    "provider.auth": "auth",
    "provider.content-filter": "refusal",
}
_AUTH = (401, 403)


def kind_of(tool: str) -> Kind:
    """Return what kind of tool it is, by the agent's own name."""
    return shared.KINDS.get(in_v1(tool), "other")


def output_of(data: Mapping[str, Any]) -> str:
    """Return the text that a tool has put out."""
    pieces = data.get("content") or ()
    return "\n".join(str(piece["text"]) for piece in pieces if piece.get("type") == "text")


def outcome(finish: str, error: Mapping[str, Any] | None) -> tuple[Status, str, str]:
    """Return status, reason and, for a failure, the agent's error text."""
    if error is None:
        reason = FINISHES.get(finish)
        return ("failed", reason, "") if reason else ("completed", "end_turn", "")
    kind, text = field(error, "type"), field(error, "message", "type")
    if is_stop(error):
        return "interrupted", "interrupted", ""
    if kind in _REASONS:
        return "failed", _REASONS[kind], text
    if error.get("status") in _AUTH or any(f"HTTP {status}" in text for status in _AUTH):
        return "failed", "auth", text
    return "failed", "context_full" if is_too_long(text) else "api_error", text


def is_stop(error: Mapping[str, Any]) -> bool:
    """Tell whether an error is that of a model call that was interrupted."""
    return field(error, "type") == "aborted" or field(error, "message") == _STOPPED


def form_questions(form: Mapping[str, Any]) -> tuple[Question, ...]:
    """Return the questions of a form: one for each of its fields."""
    return tuple(
        Question(
            question=field(each, "description", "title", "key"),
            header=field(each, "title"),
            multiple=each.get("type") == "multiselect",
            options=tuple(
                QuestionOption(label=option["label"], description=option.get("description") or "")
                for option in each.get("options") or ()
            ),
        )
        for each in form.get("fields") or ()
    )


def form_answer(form: Mapping[str, Any], answers: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Return the answers as a form has them: by the keys of its fields, in the fields' types."""
    found: dict[str, Any] = {}
    for each, question in zip(form["fields"], form_questions(form), strict=True):
        if question.question in answers:
            found[each["key"]] = _value(each, answers[question.question])
    return found


def _value(each: Mapping[str, Any], answer: str | list[str]) -> Any:
    """Return an answer as a field has it; what is chosen by its label is sent by its value."""
    values = {option["label"]: option["value"] for option in each.get("options") or ()}
    chosen = [values.get(one, one) for one in ([answer] if isinstance(answer, str) else answer)]
    if each.get("type") == "multiselect":
        return chosen
    text = ", ".join(chosen)
    try:
        match each.get("type"):
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return text.casefold() in ("yes", "y", "true", "1")
    except ValueError:
        return text  # The server says what is wrong with it.
    return text
