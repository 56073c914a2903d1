"""ACP's elicitations: forms that an agent asks to be filled in, as midflight's questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from midflight.values import Question, QuestionOption

__all__ = ["Form", "read_form"]

_YES_NO = {"Yes": True, "No": False}


class _Field(msgspec.Struct, frozen=True):
    """One field of a form: its key, its question, and the value behind each label."""

    key: str
    question: Question
    values: Mapping[str, object]


class Form(msgspec.Struct, frozen=True):
    """What an agent asks for. ``others`` are free fields that stand beside one with a choice."""

    fields: tuple[_Field, ...]
    others: Mapping[str, str]

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions, in the form's order."""
        return tuple(field.question for field in self.fields)

    def fill_in(self, answers: Mapping[str, str | list[str]]) -> dict[str, object]:
        """Return the form's content: labels become values, and other words go where they may."""
        content: dict[str, object] = {}
        for field in self.fields:
            given = answers.get(field.question.question, "")
            if field.question.multiple:
                labels = [given] if isinstance(given, str) else given
                content[field.key] = [field.values.get(label, label) for label in labels]
            elif isinstance(given, str) and given not in field.values and field.key in self.others:
                content[self.others[field.key]] = given
            else:
                word = given if isinstance(given, str) else ", ".join(given)
                content[field.key] = field.values.get(word, word)
        return content


def read_form(params: Mapping[str, Any]) -> Form | None:
    """Return the form in an elicitation, or None if it has none that can be asked as questions."""
    properties = params["requestedSchema"]["properties"] if params.get("mode") == "form" else {}
    choices = {key: _choices(schema) for key, schema in properties.items()}
    others = {
        key: f"{key}_custom" for key in choices if choices[key] and f"{key}_custom" in properties
    }
    asked = [key for key in properties if key not in others.values()]
    if not asked or any(properties[key].get("type") in ("number", "integer") for key in asked):
        return None
    lone = len(asked) == 1
    fields = tuple(
        _field(key, properties[key], choices[key], str(params.get("message", "")) if lone else "")
        for key in asked
    )
    return Form(fields, others)


def _field(
    key: str, schema: Mapping[str, Any], choices: list[tuple[str, str, object]], message: str
) -> _Field:
    question = Question(
        question=message or str(schema.get("description") or schema.get("title") or key),
        header=str(schema.get("title") or ""),
        multiple=schema.get("type") == "array",
        options=tuple(QuestionOption(label=label, description=more) for label, more, _ in choices),
    )
    return _Field(key, question, {label: value for label, _, value in choices})


def _choices(schema: Mapping[str, Any]) -> list[tuple[str, str, object]]:
    """Return label, description and value of each thing that can be chosen."""
    if schema.get("type") == "boolean":
        return [(label, "", value) for label, value in _YES_NO.items()]
    source = schema.get("items", schema)
    titled = source.get("oneOf") or source.get("anyOf") or ()
    return [_choice(str(each["const"]), str(each.get("title") or "")) for each in titled] or [
        (str(value), "", value) for value in source.get("enum", ())
    ]


def _choice(value: str, title: str) -> tuple[str, str, object]:
    """Tell label and description apart: some agents write both into the title."""
    if title.startswith(value):
        return value, title[len(value) :].strip(" —:-–"), value
    return title or value, "", value
