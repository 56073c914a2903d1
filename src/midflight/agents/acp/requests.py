"""What an ACP agent waits for: leave for a tool, or a form. Answered once, by policy or a user."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from midflight import events as e
from midflight.agents.acp.jsonrpc import JsonRpc
from midflight.agents.acp.permissions import Policy
from midflight.agents.acp.questions import Form, read_form
from midflight.agents.acp.updates import Translator
from midflight.agents.base import Reply, Signal

__all__ = ["Asks"]

_ONCE = {True: "allow_once", False: "reject_once"}
_CANCELLED = {"outcome": {"outcome": "cancelled"}}

Choices = Mapping[str, str]
"""The kinds of answer that the agent offers, with its id of each."""


class Asks:
    """The requests that are open. Their ids are ours: an agent's begin anew with each program."""

    def __init__(
        self,
        wire: JsonRpc,
        policy: Policy,
        translate: Translator,
        report: Callable[[Iterable[Signal]], None],
    ) -> None:
        """Begin with none."""
        self._wire = wire
        self._policy = policy
        self._translate = translate
        self._report = report
        self._open: dict[str, tuple[object, Form | Choices]] = {}

    def permission(self, request: object, params: Mapping[str, Any]) -> None:
        """Take a request for leave: our own policy answers it, or the session is asked."""
        choices = {str(each["kind"]): str(each["optionId"]) for each in params["options"]}
        call, signals = self._translate.asked(params["toolCall"])
        self._report(signals)
        verdict = self._policy.verdict(call)
        if verdict != "ask":
            if verdict == "deny":
                self._translate.deny(call)
            self._wire.soon(self._decide(request, choices, allow=verdict == "allow"))
            return
        self._report(
            [
                e.PermissionRequested(
                    request=self._keep(request, choices),
                    call=call.id,
                    name=call.name,
                    input=call.input,
                    parent=call.parent,
                )
            ]
        )

    def form(self, request: object, params: Mapping[str, Any]) -> None:
        """Take a form: it is put as questions, or declined if it cannot be."""
        form = read_form(params)
        if form is None:
            self._wire.soon(self._wire.answer(request, {"action": "decline"}))
            text = "the agent asked for something that cannot be put as questions"
            self._report([e.Notice(level="warning", text=text)])
        else:
            ours = self._keep(request, form)
            self._report([e.QuestionRequested(request=ours, questions=form.questions)])

    def _keep(self, request: object, asked: Form | Choices) -> str:
        ours = str(uuid.uuid4())
        self._open[ours] = (request, asked)
        return ours

    async def reply(self, reply: Reply) -> None:
        """Answer a request; one that is gone is ignored."""
        if reply.request not in self._open:
            return
        request, asked = self._open.pop(reply.request)
        if not isinstance(asked, Form):
            await self._decide(request, asked, allow=reply.allow)
        elif reply.allow:
            content = asked.fill_in(reply.answers or {})
            await self._wire.answer(request, {"action": "accept", "content": content})
        else:
            await self._wire.answer(request, {"action": "decline"})

    async def _decide(self, request: object, choices: Choices, *, allow: bool) -> None:
        """Answer for this one time; an agent that offers only *always* gets no leave."""
        if allow and _ONCE[True] not in choices:
            allow = False
            text = "the agent can be allowed this only for always, so it was not allowed"
            self._report([e.Notice(level="warning", text=text)])
        chosen = choices.get(_ONCE[allow])
        outcome = {"outcome": {"outcome": "selected", "optionId": chosen}}
        await self._wire.answer(request, outcome if chosen else _CANCELLED)

    async def withdraw(self) -> None:
        """Answer everything that is open: its prompt is being stopped, and so is the wait."""
        asks, self._open = self._open, {}
        for request, asked in asks.values():
            stopped = {"action": "cancel"} if isinstance(asked, Form) else _CANCELLED
            await self._wire.answer(request, stopped)

    def forget(self) -> None:
        """The prompt has been answered, so nothing in it waits any more."""
        self._open.clear()
