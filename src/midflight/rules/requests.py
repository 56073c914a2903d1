"""The rules of requests: who may answer, what a policy decides, and when time is up."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from midflight import events as e
from midflight.agents import base
from midflight.commands import Answer
from midflight.errors import InvalidInput
from midflight.events import Request
from midflight.rules.actions import Reply
from midflight.rules.context import RulesContext
from midflight.state.requests import check_answers
from midflight.values import Decision, Question, Resolver

NOBODY = "nobody is there to answer, so it was denied"

Answers = dict[str, str | list[str]]


class RequestRules:
    """Puts the agent's requests to whoever can answer, and brings each to its one end."""

    def __init__(self, context: RulesContext, attended: Callable[[], bool | None]) -> None:
        """``attended`` is as in `midflight.Options`, and is asked anew each time."""
        self._context = context
        self._attended = attended
        self._deadlines: dict[str, float] = {}
        self._own: dict[str, Callable[[Answers], None]] = {}

    @property
    def _pending(self) -> dict[str, Request]:
        return self._context.state.requests.pending

    def ask(self, request: Request, *, refuse: bool) -> None:
        """Take a request in; ``refuse`` it unseen while the turn is being stopped."""
        if self._context.state.requests.known(request.request):
            return
        if refuse:
            self._reply(request, allow=False, reason="the turn is being stopped")
            return
        self._put(request)

    def inquire(self, questions: tuple[Question, ...], then: Callable[[Answers], None]) -> None:
        """Ask something that the session wants to know, and not the agent.

        ``then`` gets the answers, none of them if it is denied, and is not called after `drop`.
        """
        request = str(uuid.uuid4())
        self._own[request] = then
        self._put(e.QuestionRequested(request=request, questions=questions))

    @property
    def inquiring(self) -> bool:
        """The session's own question waits for its answer."""
        return bool(self._own)

    def drop(self, reason: str) -> None:
        """The session wants to know no longer."""
        for request in list(self._own):
            self._resolve(self._pending[request], "cancelled", "turn", reason)

    def _put(self, request: Request) -> None:
        timeout = self._context.limits.request_timeout
        self._deadlines[request.request] = self._context.now + timeout
        shown = self._context.wall() + timeout if self._attended() is None else None
        self._context.emit(msgspec.structs.replace(request, deadline=shown))
        self._judge(self._pending[request.request])

    def _judge(self, request: Request) -> None:
        """Resolve a pending request by policy, if a policy says how."""
        permission = isinstance(request, e.PermissionRequested)
        if permission and self._context.mode == "bypassPermissions":
            self._resolve(request, "allow", "policy", "permission mode bypassPermissions")
        elif permission and self._context.mode == "dontAsk":
            self._resolve(request, "deny", "policy", "permission mode dontAsk")
        elif self._attended() is False:
            self._resolve(request, "deny", "policy", NOBODY)

    def review(self) -> None:
        """Judge every pending request again: the mode changed, or somebody came or left."""
        for request in list(self._pending.values()):
            self._judge(request)

    def attendance_changed(self) -> None:
        """Somebody came or left: what is asked has as long as at first, from now on."""
        for request in self._pending:
            self._deadlines[request] = self._context.now + self._context.limits.request_timeout
        self.review()

    def answer(self, answer: Answer) -> None:
        """Take a user's answer. Raises `NotFound`, `AlreadyAnswered` or `InvalidInput`."""
        request = self._context.state.requests.get(answer.request)
        if isinstance(request, e.QuestionRequested) and answer.decision == "allow":
            answers = check_answers(request.questions, answer.answers or {})
            self._resolve(request, "allow", "user", answer.reason, answers=answers)
            return
        if answer.answers:
            raise InvalidInput(f"request {answer.request} takes no answers", "allow or deny it")
        if answer.input is not None and self._context.can("edited_input") == "not":
            raise InvalidInput(
                "the agent takes no other input for a call", "deny it and say what to do instead"
            )
        self._resolve(request, answer.decision, "user", answer.reason, edited=answer.input)

    def withdraw(self, request: str) -> None:
        """The agent waits no longer."""
        if request in self._pending:
            self._resolve(self._pending[request], "cancelled", "turn", "the agent withdrew it")

    def cancel_all(self, reason: str, *, inform: bool = False) -> None:
        """The turn is over, or about to be: what the agent asked is void.

        ``inform`` answers the agent too: one whose turn has ended may still wait elsewhere.
        """
        for request in list(self._pending.values()):
            if request.request in self._own:
                continue
            self._resolve(request, "cancelled", "turn", reason)
            if inform:
                self._reply(request, allow=False, reason=reason)

    def due(self) -> float | None:
        """Return when the next deadline is, or None; there is none while somebody attends."""
        if self._attended() is True:
            return None
        return min((self._deadlines[request] for request in self._pending), default=None)

    def look(self) -> None:
        """Deny what nobody answered in time."""
        if self._attended() is True:
            return
        for request in list(self._pending.values()):
            if self._context.now >= self._deadlines[request.request]:
                self._resolve(request, "deny", "deadline", "nobody answered in time")

    def _resolve(
        self,
        request: Request,
        decision: Decision,
        by: Resolver,
        reason: str,
        *,
        edited: dict[str, Any] | None = None,
        answers: Answers | None = None,
    ) -> None:
        """End a pending request, and tell the agent unless its turn does so."""
        self._deadlines.pop(request.request, None)  # one that a dead host was asked has none
        event: e.Event
        if isinstance(request, e.PermissionRequested):
            event = e.PermissionResolved(
                request=request.request,
                decision=decision,
                by=by,
                reason=reason,
                parent=request.parent,
            )
        else:
            event = e.QuestionResolved(
                request=request.request,
                answers=answers or {},
                by=by,
                reason=reason,
                parent=request.parent,
            )
        self._context.emit(event)
        own = self._own.pop(request.request, None)
        if by == "turn":
            return
        if own is not None:
            own(answers or {})
        else:
            allow = decision == "allow"
            self._reply(request, allow=allow, reason=reason, edited=edited, answers=answers)

    def _reply(
        self,
        request: Request,
        *,
        allow: bool,
        reason: str,
        edited: dict[str, Any] | None = None,
        answers: Answers | None = None,
    ) -> None:
        self._context.watchdog.heard(self._context.now)
        self._context.act(
            Reply(
                base.Reply(
                    request=request.request,
                    allow=allow,
                    reason=reason,
                    input=edited,
                    answers=answers,
                )
            )
        )
