"""An ACP agent's requests: permission for a tool, or a form. Each is answered once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from midflight import events as e
from midflight.agents.acp.jsonrpc import JsonRpc
from midflight.agents.acp.permissions import AcpPermissions
from midflight.agents.acp.updates import UpdateTranslator
from midflight.agents.base import Reply, Signal
from midflight.trust.protected import WHY
from midflight.values import Question, QuestionOption

_YES_NO = {"Yes": True, "No": False}

_ONCE = {True: "allow_once", False: "reject_once"}
_CANCELLED = {"outcome": {"outcome": "cancelled"}}

Choices = Mapping[str, str]
"""The kinds of answer that the agent offers, with its id of each."""


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
            answer = answers.get(field.question.question, "")
            if field.question.multiple:
                labels = [answer] if isinstance(answer, str) else answer
                content[field.key] = [field.values.get(label, label) for label in labels]
            elif (
                isinstance(answer, str) and answer not in field.values and field.key in self.others
            ):
                content[self.others[field.key]] = answer
            else:
                text = answer if isinstance(answer, str) else ", ".join(answer)
                content[field.key] = field.values.get(text, text)
        return content


class AcpRequests:
    """The requests that are open. Their ids are ours: an agent's begin anew with each program."""

    def __init__(
        self,
        rpc: JsonRpc,
        permissions: AcpPermissions,
        translate: UpdateTranslator,
        report: Callable[[Iterable[Signal]], None],
    ) -> None:
        """Begin with none."""
        self._rpc = rpc
        self._permissions = permissions
        self._translate = translate
        self._report = report
        self._open: dict[str, tuple[object, Form | Choices]] = {}

    def permission(self, request: object, params: Mapping[str, Any]) -> None:
        """Take a permission request: the options answer it, or the session does."""
        choices: dict[str, str] = {}
        for each in params["options"]:
            # Of two of a kind the first is the plain one: agents put those that do more behind it.
            choices.setdefault(str(each["kind"]), str(each["optionId"]))
        call, signals = self._translate.asked(params["toolCall"])
        self._report(signals)
        verdict = self._permissions.verdict(call)
        if verdict != "ask":
            if verdict == "deny":
                self._translate.deny(call)
            self._rpc.soon(self._decide(request, choices, allow=verdict == "allow"))
            return
        self._report(
            [
                e.PermissionRequested(
                    request=self._open_request(request, choices),
                    call=call.id,
                    name=call.name,
                    input=call.input,
                    reason=WHY if self._permissions.guards(call) else "",
                    parent=call.parent,
                )
            ]
        )

    def form(self, request: object, params: Mapping[str, Any]) -> None:
        """Take a form: it becomes questions, or is declined if it cannot."""
        form = read_form(params)
        if form is None:
            self._rpc.soon(self._rpc.answer(request, {"action": "decline"}))
            text = "the agent asked for something that cannot be put as questions"
            self._report([e.Notice(level="warning", text=text)])
        else:
            ours = self._open_request(request, form)
            self._report([e.QuestionRequested(request=ours, questions=form.questions)])

    def _open_request(self, request: object, asked: Form | Choices) -> str:
        ours = str(uuid.uuid4())
        self._open[ours] = (request, asked)
        return ours

    async def reply(self, reply: Reply) -> None:
        """Answer a request; one that has ended is ignored."""
        if reply.request not in self._open:
            return
        request, asked = self._open.pop(reply.request)
        if not isinstance(asked, Form):
            await self._decide(request, asked, allow=reply.allow)
        elif reply.allow:
            content = asked.fill_in(reply.answers or {})
            await self._rpc.answer(request, {"action": "accept", "content": content})
        else:
            await self._rpc.answer(request, {"action": "decline"})

    async def _decide(self, request: object, choices: Choices, *, allow: bool) -> None:
        """Answer for this one time; an agent that offers only *always* gets a denial."""
        if allow and _ONCE[True] not in choices:
            allow = False
            text = "the agent can be allowed this only for always, so it was not allowed"
            self._report([e.Notice(level="warning", text=text)])
        if not allow:
            self._translate.denied()
        chosen = choices.get(_ONCE[allow])
        outcome = {"outcome": {"outcome": "selected", "optionId": chosen}}
        await self._rpc.answer(request, outcome if chosen else _CANCELLED)

    async def withdraw(self) -> None:
        """Cancel every open request: its prompt is being stopped."""
        asks, self._open = self._open, {}
        for request, asked in asks.values():
            stopped = {"action": "cancel"} if isinstance(asked, Form) else _CANCELLED
            await self._rpc.answer(request, stopped)

    def forget(self) -> None:
        """Forget the requests of a prompt that has ended."""
        self._open.clear()


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
