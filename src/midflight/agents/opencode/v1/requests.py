"""OpenCode's requests, permissions and questions: as signals, and how each is answered."""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import msgspec

from midflight import events as e
from midflight.agents.base import Reply, Signal, Withdrawn
from midflight.agents.opencode.permissions import OpenCodePermissions, PermissionRequest, Verdict
from midflight.agents.opencode.replies import REASONS, chosen, refusal, send
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.agents.opencode.v1.thread import Thread
from midflight.agents.shared.content import questions
from midflight.values import Denial


class TurnRequests:
    """The requests of one turn, its sub-agents' too, and what the options denied."""

    def __init__(self, judge: Callable[[PermissionRequest], Verdict]) -> None:
        """``judge`` decides permission requests, where the options do.

        ``unseen`` are the calls that were asked for before they were seen.
        """
        self._judge = judge
        self._known: set[str] = set()
        self.unseen: set[str] = set()
        self._denials: dict[str, Denial] = {}

    def over(self) -> tuple[Denial, ...]:
        """End the turn: return what was denied in it, and forget its requests."""
        denials = tuple(self._denials.values())
        self._denials.clear()
        self._known.clear()
        self.unseen.clear()
        return denials

    def permission(self, properties: dict[str, Any], thread: Thread) -> Iterator[Signal]:
        """Translate a permission request, unless it is repeated or decided already."""
        if properties["id"] in self._known:
            return
        about = properties.get("tool") or {}
        call = thread.call(str(about.get("messageID")), str(about.get("callID", "")))
        if call not in thread.inputs:
            self.unseen.add(call)
        name, input_ = thread.inputs.get(
            call, (properties["permission"], properties.get("metadata") or {})
        )
        asked = PermissionRequest(properties, name, input_)
        self._known.add(asked.request)
        decision, reason = self._judge(asked)
        if decision == "deny":
            self._denials[call] = Denial(call=call, name=name, reason=reason)
        if decision != "ask":
            return
        yield e.PermissionRequested(
            request=asked.request,
            call=call,
            name=name,
            input=input_,
            reason=REASONS.get(asked.permission, "").format(", ".join(asked.patterns)) or reason,
            parent=thread.parent,
        )

    def question(self, properties: dict[str, Any], thread: Thread) -> Iterator[Signal]:
        """Translate a question, unless it is repeated."""
        if properties["id"] in self._known:
            return
        self._known.add(properties["id"])
        yield from thread.flush()  # A question often refers to the text before it.
        yield e.QuestionRequested(
            request=properties["id"],
            questions=questions(properties["questions"], "multiple"),
            parent=thread.parent,
        )

    def answered(self, properties: dict[str, Any]) -> Iterator[Signal]:
        """Translate the end of a request."""
        request = str(properties.get("requestID") or properties.get("permissionID"))
        if request in self._known:
            yield Withdrawn(request)


class Replies:
    """Answers a session's requests, each ``once``: an "always" would hold for other sessions."""

    def __init__(
        self,
        client: OpenCodeClient,
        permissions: OpenCodePermissions,
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """``start`` runs the sending of an answer beside the reading."""
        self._client = client
        self._permissions = permissions
        self._start = start
        self._questions: dict[str, e.QuestionRequested] = {}
        self._inputs: dict[str, dict[str, Any]] = {}

    def __call__(self, asked: PermissionRequest) -> Verdict:
        """Return what the options decide of a request, and answer it if they do."""
        verdict = self._permissions(asked)
        if verdict.decision != "ask":
            allow = verdict.decision == "allow"
            self._start(
                self.reply(Reply(request=asked.request, allow=allow, reason=verdict.reason))
            )
        return verdict

    def note(self, request: e.QuestionRequested | e.PermissionRequested) -> None:
        """Keep what the answer will refer to."""
        if isinstance(request, e.QuestionRequested):
            self._questions[request.request] = request
        else:
            self._inputs[request.request] = copy.deepcopy(request.input)

    def forget(self) -> None:
        """Forget the requests of a turn that has ended."""
        self._questions.clear()
        self._inputs.clear()

    async def reply(self, reply: Reply) -> None:
        """Answer a request; one that has ended is refused, and that is no error."""
        question = self._questions.pop(reply.request, None)
        kind = "permission" if question is None else "question"
        verb = "reject" if question is not None and not reply.allow else "reply"
        if reply.input == self._inputs.pop(reply.request, None):
            reply = msgspec.structs.replace(reply, input=None)  # Nothing was changed.
        body = _permission(reply) if question is None else _answers(question, reply)
        await send(self._client, f"/{kind}/{reply.request}/{verb}", body)


def _permission(reply: Reply) -> dict[str, str]:
    """Return a reply in the server's form."""
    return {"reply": "once"} if reply.allow and reply.input is None else refusal(reply)


def _answers(question: e.QuestionRequested, reply: Reply) -> dict[str, Any] | None:
    """Return the answers; a rejection has none."""
    return {"answers": chosen(question, reply)} if reply.allow else None
