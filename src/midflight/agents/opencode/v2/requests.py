"""OpenCode 2's requests, permissions and questions: as signals, and how each is answered."""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from midflight import events as e
from midflight.agents.base import Reply, Signal, Withdrawn
from midflight.agents.opencode.permissions import OpenCodePermissions, PermissionRequest, Verdict
from midflight.agents.opencode.replies import REASONS, chosen, refusal, send
from midflight.agents.opencode.v2.client import OpenCode2Client
from midflight.agents.opencode.v2.content import form_answer, form_questions
from midflight.agents.opencode.v2.names import call_of, field, in_v1
from midflight.agents.opencode.v2.thread import Thread
from midflight.agents.shared.content import questions
from midflight.values import Denial


class Asked(NamedTuple):
    """A request that is open at the server: of which session, and the question if it is one.

    ``form`` is the form that the question stands in, which stable 2.x has.
    """

    session: str
    question: e.QuestionRequested | None = None
    form: Mapping[str, Any] | None = None


class TurnRequests:
    """The requests of one turn, its sub-agents' too, and what the options denied."""

    def __init__(self, judge: Callable[[str, PermissionRequest], Verdict], directory: Path) -> None:
        """``judge`` decides the permission requests of a session, where the options do."""
        self._judge = judge
        self._directory = directory
        self.open: dict[str, Asked] = {}
        self._denials: dict[str, Denial] = {}

    def over(self) -> tuple[Denial, ...]:
        """End the turn: return what was denied in it, and forget its requests."""
        denials = tuple(self._denials.values())
        self._denials.clear()
        self.open.clear()
        return denials

    def permission(self, data: Mapping[str, Any], thread: Thread) -> Iterator[Signal]:
        """Translate a permission request, unless it is repeated or decided already."""
        request = str(data["id"])
        if request in self.open:
            return
        source = data.get("source") or {}
        call = thread.call(field(source, "messageID"), call_of(source))
        name, input_ = thread.inputs.get(call, (str(data["action"]), data.get("metadata") or {}))
        self.open[request] = Asked(str(data["sessionID"]))
        asked = PermissionRequest(self._in_v1(data, call), in_v1(name), input_)
        decision, reason = self._judge(str(data["sessionID"]), asked)
        if decision == "deny":
            self._denials[call] = Denial(call=call, name=name, reason=reason)
        if decision != "ask":
            return
        why = REASONS.get(asked.permission, "").format(", ".join(asked.patterns))
        yield e.PermissionRequested(
            request=request,
            call=call,
            name=name,
            input=input_,
            reason=why or reason,
            parent=thread.parent,
        )

    def _in_v1(self, data: Mapping[str, Any], call: str) -> dict[str, Any]:
        """Return a request in version 1's words. The resources of an edit are the files."""
        action, resources = in_v1(str(data["action"])), list(data.get("resources") or ())
        files = [{"filePath": str(self._directory / each)} for each in resources]
        return {
            "id": data["id"],
            "permission": action,
            "patterns": resources,
            "tool": {"callID": call},
            "metadata": {"files": files} if action == "edit" else {},
        }

    def question(self, data: Mapping[str, Any], thread: Thread) -> Iterator[Signal]:
        """Translate a question of the preview, unless it is repeated."""
        asked = questions(data["questions"], "multiple")
        yield from self._question(str(data["id"]), str(data["sessionID"]), asked, None, thread)

    def form(self, form: Mapping[str, Any], thread: Thread) -> Iterator[Signal]:
        """Translate a form, by which stable 2.x asks, unless it is repeated."""
        asked = form_questions(form)
        yield from self._question(str(form["id"]), str(form["sessionID"]), asked, form, thread)

    def _question(
        self,
        request: str,
        session: str,
        asked: tuple[Any, ...],
        form: Mapping[str, Any] | None,
        thread: Thread,
    ) -> Iterator[Signal]:
        if request in self.open:
            return
        yield from thread.flush()  # A question often refers to the text before it.
        event = e.QuestionRequested(request=request, questions=asked, parent=thread.parent)
        self.open[request] = Asked(session, event, form)
        yield event

    def answered(self, data: Mapping[str, Any]) -> Iterator[Signal]:
        """Translate the end of a request."""
        request = field(data, "requestID", "id")
        if self.open.pop(request, None) is not None:
            yield Withdrawn(request)


class Replies:
    """Answers a session's requests, each ``once``: an "always" would hold for other sessions.

    One refusal refuses every request of its session that is open, the others without a word for the
    model. So it waits until none of them is undecided.
    """

    def __init__(
        self,
        client: OpenCode2Client,
        permissions: OpenCodePermissions,
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """``start`` runs the sending of an answer beside the reading."""
        self._client = client
        self._permissions = permissions
        self._start = start
        self._asked: Mapping[str, Asked] = {}
        self._inputs: dict[str, dict[str, Any]] = {}
        self._refusals: dict[str, Reply] = {}
        self._decided: set[str] = set()

    def of(self, asked: Mapping[str, Asked]) -> None:
        """Answer what is open there."""
        self._asked = asked

    def __call__(self, session: str, asked: PermissionRequest) -> Verdict:
        """Return what the options decide of a session's request, and answer it if they do."""
        verdict = self._permissions(asked)
        if verdict.decision != "ask":
            allow = verdict.decision == "allow"
            reply = Reply(request=asked.request, allow=allow, reason=verdict.reason)
            self._start(self.reply(reply))
        return verdict

    def note(self, request: e.PermissionRequested) -> None:
        """Keep what the answer will refer to."""
        self._inputs[request.request] = copy.deepcopy(request.input)

    def forget(self) -> None:
        """Forget the requests of a turn that has ended."""
        self._inputs.clear()
        self._refusals.clear()
        self._decided.clear()

    async def reply(self, reply: Reply) -> None:
        """Answer a request; one that has ended is refused, and that is no error."""
        asked = self._asked.get(reply.request)
        if asked is None:
            return
        if reply.input == self._inputs.pop(reply.request, None):
            reply = msgspec.structs.replace(reply, input=None)  # Nothing was changed.
        if asked.question is not None:
            await self._answer(asked, reply)
        elif reply.allow and reply.input is None:
            await self._send(asked, reply.request, "permission", "reply", {"reply": "once"})
        else:
            self._refusals[reply.request] = reply
        await self._refuse(asked.session)

    async def _refuse(self, session: str) -> None:
        """Send a session's refusals, once nothing else of it is undecided."""
        undecided = {
            request
            for request, asked in self._asked.items()
            if asked.session == session and asked.question is None
        } - self._decided
        if undecided - self._refusals.keys():
            return
        sending = [(self._asked[each], self._refusals.pop(each)) for each in undecided]
        for asked, reply in sending:
            await self._send(asked, reply.request, "permission", "reply", refusal(reply))

    async def _answer(self, asked: Asked, reply: Reply) -> None:
        """Answer a question, which is a form in stable 2.x."""
        assert asked.question is not None  # noqa: S101 - the caller has looked
        kind = "question" if asked.form is None else "form"
        if not reply.allow:
            verb = "reject" if asked.form is None else "cancel"
            await self._send(asked, reply.request, kind, verb, {})
            return
        if asked.form is not None:
            body: dict[str, Any] = {"answer": form_answer(asked.form, reply.answers or {})}
        else:
            body = {"answers": chosen(asked.question, reply)}
        await self._send(asked, reply.request, kind, "reply", body)

    async def _send(
        self, asked: Asked, request: str, kind: str, verb: str, body: dict[str, Any]
    ) -> None:
        self._decided.add(request)
        await send(self._client, f"/api/session/{asked.session}/{kind}/{request}/{verb}", body)
