"""What OpenCode asks: decided by the policy where that decides, and answered in its form."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from midflight.agents.base import Reply
from midflight.agents.opencode.permissions import Asked, Policy, Verdict
from midflight.agents.opencode.v1.client import Client, Refused
from midflight.errors import AgentFailed
from midflight.events import PermissionRequested, QuestionRequested

__all__ = ["Asks"]

TRIES = 3
PAUSE_S = 1.0

EDITED = "The user changed this call. Make it again with exactly this input: {}"


class Asks:
    """Answers a session's requests, each ``once``: an "always" would hold for other sessions."""

    def __init__(
        self, client: Client, policy: Policy, do: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        """``do`` has an answer sent beside what is going on."""
        self._client = client
        self._policy = policy
        self._do = do
        self._questions: dict[str, QuestionRequested] = {}
        self._inputs: dict[str, dict[str, Any]] = {}

    def __call__(self, asked: Asked) -> Verdict:
        """Return what the policy says of a request, which is answered if it decides."""
        verdict = self._policy(asked)
        if verdict.decision != "ask":
            allow = verdict.decision == "allow"
            self._do(self.reply(Reply(request=asked.request, allow=allow, reason=verdict.reason)))
        return verdict

    def note(self, request: QuestionRequested | PermissionRequested) -> None:
        """Keep what the answer will be about."""
        if isinstance(request, QuestionRequested):
            self._questions[request.request] = request
        else:
            self._inputs[request.request] = copy.deepcopy(request.input)

    def forget(self) -> None:
        """The turn is over, and with it its requests."""
        self._questions.clear()
        self._inputs.clear()

    async def reply(self, reply: Reply) -> None:
        """Answer a request; a stale one is refused, and that is all."""
        question = self._questions.pop(reply.request, None)
        kind = "permission" if question is None else "question"
        verb = "reject" if question is not None and not reply.allow else "reply"
        if reply.input == self._inputs.pop(reply.request, None):
            reply = msgspec.structs.replace(reply, input=None)  # Nothing was changed.
        body = _permission(reply) if question is None else _answers(question, reply)
        for left in reversed(range(TRIES)):
            try:
                await self._client.post(f"/{kind}/{reply.request}/{verb}", body)
            except Refused:
                return  # It is no request any more.
            except AgentFailed:
                if not left:
                    raise
                await asyncio.sleep(PAUSE_S)  # An answer that is lost would hang the turn.
            else:
                return


def _permission(reply: Reply) -> dict[str, Any]:
    """Return a reply in the server's form. A refusal without a word would end the turn."""
    if reply.allow and reply.input is None:
        return {"reply": "once"}
    reason = reply.reason or "the user denied this"
    if reply.allow:
        reason = EDITED.format(json.dumps(reply.input, ensure_ascii=False))
    return {"reply": "reject", "message": reason}


def _answers(question: QuestionRequested, reply: Reply) -> dict[str, Any] | None:
    """Return the answers to each question, in order; a rejection has none."""
    if not reply.allow:
        return None
    given = [(reply.answers or {}).get(one.question, []) for one in question.questions]
    return {"answers": [[each] if isinstance(each, str) else list(each) for each in given]}
