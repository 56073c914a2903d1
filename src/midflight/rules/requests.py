"""The rules of requests: which policy applies, who may answer, and when the deadline is."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from midflight import events as e
from midflight.agents import base
from midflight.commands import Answer
from midflight.effects import covers
from midflight.errors import AlreadyAnswered, InvalidInput, NotFound
from midflight.events import Request
from midflight.rules.actions import Reply
from midflight.rules.context import RulesContext
from midflight.state.requests import check_answers
from midflight.values import Decision, Question, Resolver, Who

UNATTENDED = "nobody is there to answer, so it was denied"

Answers = dict[str, str | list[str]]


class RequestRules:
    """Publishes the agent's requests and resolves each exactly once.

    The session itself can ask the user something in the same way; see `ask`.
    """

    def __init__(
        self,
        context: RulesContext,
        attended: Callable[[], bool | None],
        folders: Sequence[str] = (),
    ) -> None:
        """``attended`` returns what `midflight.Options.attended` means at this moment.

        ``folders`` are those that the session works in.
        """
        self._context = context
        self._attended = attended
        self._folders = folders
        self._deadlines: dict[str, float] = {}
        self._on_answers: dict[str, Callable[[Answers], None]] = {}
        self._renewed: dict[str, str] = {}  # id of a renewed request → the agent's own

    @property
    def _pending(self) -> dict[str, Request]:
        return self._context.state.requests.pending

    def accept(self, request: Request, *, refuse: bool) -> None:
        """Open a request of the agent, or ``refuse`` it unseen while the turn is being stopped."""
        if self._context.state.requests.known(request.request):
            return
        if refuse:
            self._reply(request, allow=False, reason="the turn is being stopped")
            return
        self._open(request)

    def ask(self, questions: tuple[Question, ...], on_answers: Callable[[Answers], None]) -> None:
        """Ask the user questions of the session's own.

        ``on_answers`` gets the answers, or an empty dict after a denial. It is not called after
        `cancel_own`.
        """
        request = str(uuid.uuid4())
        self._on_answers[request] = on_answers
        self._open(e.QuestionRequested(request=request, questions=questions))

    @property
    def asking(self) -> bool:
        """A question of the session's own is pending."""
        return bool(self._on_answers)

    def cancel_own(self, reason: str) -> None:
        """Cancel the session's own questions."""
        for request in list(self._on_answers):
            self._resolve(self._pending[request], "cancelled", "turn", reason)

    def _open(self, request: Request) -> None:
        timeout = self._context.limits.request_timeout
        self._deadlines[request.request] = self._context.now + timeout
        deadline = self._context.wall_clock() + timeout if self._attended() is None else None
        self._context.emit(msgspec.structs.replace(request, deadline=deadline))
        self._apply_policy(self._pending[request.request])

    def _apply_policy(self, request: Request) -> None:
        """Resolve a pending request if a policy decides it."""
        permission = isinstance(request, e.PermissionRequested)
        if permission and self._context.answering == "bypassPermissions":
            self._resolve(request, "allow", "policy", "permission mode bypassPermissions")
        elif rule := self._rule_for(request):
            self._resolve(request, "allow", "rule", "allowed for this session", rule=rule)
        elif permission and self._context.answering == "dontAsk":
            self._resolve(request, "deny", "policy", "permission mode dontAsk")
        elif self._attended() is False:
            self._resolve(request, "deny", "policy", UNATTENDED)

    def _rule_for(self, request: Request) -> str:
        """Return the session's rule that allows a request, or nothing; plan mode knows none."""
        if not isinstance(request, e.PermissionRequested) or self._context.mode == "plan":
            return ""
        rules = self._context.state.rules
        return next((rule for rule in rules if covers(rule, request.rule)), "")

    def review(self) -> None:
        """Apply the policies anew to every pending request: the mode or the attendance changed."""
        for request in list(self._pending.values()):
            self._apply_policy(request)

    def accept_edits(self) -> None:
        """Allow the edits that were asked for before the user has chosen `acceptEdits`.

        Only those: what the agent asks for in that mode, it has a reason to ask for.
        """
        for request in list(self._pending.values()):
            if isinstance(request, e.PermissionRequested) and self._edits_inside(request.rule):
                self._resolve(request, "allow", "policy", "permission mode acceptEdits")

    def _edits_inside(self, rule: str) -> bool:
        """Tell whether a request's rule is about edits in the session's folders."""
        return any(covers(f"Edit({folder}/**)", rule) for folder in self._folders)

    def attendance_changed(self) -> None:
        """A person came or left: each pending request gets the whole time limit anew."""
        for request in self._pending:
            self._deadlines[request] = self._context.now + self._context.limits.request_timeout
        self.review()

    def answer(self, answer: Answer, who: Who | None) -> None:
        """Resolve a request by the user's answer; ``who`` gives it.

        Raises `NotFound`, `AlreadyAnswered` or `InvalidInput`.
        """
        try:
            request = self._context.state.requests.get(answer.request)
        except AlreadyAnswered as first:
            if first.by in ("policy", "rule") and first.decision == answer.decision:
                return  # a program that answers all it reads says what was decided already
            raise
        if isinstance(request, e.QuestionRequested) and answer.decision == "allow":
            answers = check_answers(request.questions, answer.answers or {})
            self._resolve(request, "allow", "user", answer.reason, answers=answers, who=who)
            return
        if answer.answers:
            raise InvalidInput(f"request {answer.request} takes no answers", "allow or deny it")
        if answer.input is not None:
            self.editable(answer.request)
        rule = self._remembered(request, answer)
        self._resolve(
            request,
            answer.decision,
            "user",
            answer.reason,
            edited=answer.input,
            rule=rule,
            who=who,
        )
        if rule:
            self.review()

    def editable(self, request: str) -> e.PermissionRequested:
        """Return an open permission that can be given with another input.

        Raises `NotFound`, `AlreadyAnswered` or `InvalidInput`.
        """
        asked = self._context.state.requests.get(request)
        if not isinstance(asked, e.PermissionRequested):
            raise InvalidInput(f"request {request} is about no call", "answer its questions")
        if self._context.support("edited_input") == "not":
            raise InvalidInput(
                "the agent takes no other input for a call", "deny it, and say what to do instead"
            )
        return asked

    @staticmethod
    def _remembered(request: Request, answer: Answer) -> str:
        """Return the rule that an answer adds. Raises `InvalidInput` where there is none to add."""
        if answer.remember is None:
            return ""
        rule = request.rule if isinstance(request, e.PermissionRequested) else ""
        if answer.decision != "allow" or answer.input is not None or not rule:
            raise InvalidInput(
                "this cannot be allowed for the whole session: no narrow rule describes it",
                "allow it once",
            )
        return rule

    def revoke(self, rule: str) -> None:
        """Withdraw a rule of the session. Raises `NotFound`."""
        if rule not in self._context.state.rules:
            raise NotFound(f"the session has no rule {rule!r}", "session.rules lists them")
        self._context.emit(e.RuleRevoked(rule=rule))

    def renew(self, request: str, fresh: e.PermissionRequested) -> str:
        """Ask a pending request anew, because its effects have changed; return the new id.

        The agent waits on: only the answer to the new request goes to it.
        """
        parent = self._pending[request].parent
        renewed = str(uuid.uuid4())
        own = self._renewed.get(request, request)
        self._renewed = {new: old for new, old in self._renewed.items() if new in self._pending}
        self._renewed[renewed] = own
        self._deadlines.pop(request, None)
        self._context.emit(
            e.PermissionResolved(
                request=request,
                decision="cancelled",
                by="policy",
                reason="what it would do has changed since it was asked",
                parent=parent,
            )
        )
        self._open(msgspec.structs.replace(fresh, request=renewed))
        return renewed

    def withdraw(self, request: str) -> None:
        """The agent has withdrawn its request."""
        request = next((new for new, own in self._renewed.items() if own == request), request)
        if request in self._pending:
            self._resolve(self._pending[request], "cancelled", "turn", "the agent withdrew it")

    def cancel_all(self, reason: str, *, inform: bool = False) -> None:
        """Cancel all requests of the agent: its turn has ended or is being stopped.

        With ``inform`` the agent gets a denial too: it may still wait although its turn has ended.
        """
        for request in list(self._pending.values()):
            if request.request in self._on_answers:
                continue
            self._resolve(request, "cancelled", "turn", reason)
            if inform:
                self._reply(request, allow=False, reason=reason)

    def due(self) -> float | None:
        """Return the next deadline, or None; there is none while a person attends."""
        if self._attended() is True:
            return None
        return min((self._deadlines[request] for request in self._pending), default=None)

    def look(self) -> None:
        """Deny the requests whose deadline has passed."""
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
        rule: str = "",
        who: Who | None = None,
    ) -> None:
        """End a pending request, and reply to the agent unless its turn ends anyway."""
        self._deadlines.pop(request.request, None)  # one recovered from a journal has none
        event: e.Event
        if isinstance(request, e.PermissionRequested):
            event = e.PermissionResolved(
                request=request.request,
                decision=decision,
                by=by,
                reason=reason,
                rule=rule,
                who=who,
                parent=request.parent,
            )
        else:
            event = e.QuestionResolved(
                request=request.request,
                answers=answers or {},
                by=by,
                reason=reason,
                who=who,
                parent=request.parent,
            )
        self._context.emit(event)
        on_answers = self._on_answers.pop(request.request, None)
        if by == "turn":
            return
        if on_answers is not None:
            on_answers(answers or {})
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
                    request=self._renewed.get(request.request, request.request),
                    allow=allow,
                    reason=reason,
                    input=edited,
                    answers=answers,
                )
            )
        )
