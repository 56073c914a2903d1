"""What OpenCode asks in a turn, as signals: permissions and questions, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from midflight import events as e
from midflight.agents.base import Signal, Withdrawn
from midflight.agents.opencode.permissions import Asked, Verdict
from midflight.agents.opencode.v1.thread import Thread
from midflight.agents.shared.content import questions
from midflight.values import Denial

__all__ = ["Requests"]

_REASONS: Mapping[str, str] = {
    "doom_loop": "the same call, again and again",
    "external_directory": "outside the folder: {}",
    "task": "on this server, a sub-agent does what it does without asking",
}


class Requests:
    """The requests of one turn, its sub-agents' too, and what was denied without anybody asked."""

    def __init__(self, judge: Callable[[Asked], Verdict]) -> None:
        """``judge`` decides permission requests, as far as nobody needs to be asked."""
        self._judge = judge
        self._known: set[str] = set()
        self._denials: dict[str, Denial] = {}

    def over(self) -> tuple[Denial, ...]:
        """The turn is over: return what was denied in it, and forget its requests."""
        denials = tuple(self._denials.values())
        self._denials.clear()
        self._known.clear()
        return denials

    def permission(self, given: dict[str, Any], thread: Thread) -> Iterator[Signal]:
        """Translate a request for permission, unless it has come before or is decided already."""
        if given["id"] in self._known:
            return
        about = given.get("tool") or {}
        call = thread.call(str(about.get("messageID")), str(about.get("callID", "")))
        name, input_ = thread.inputs.get(call, (given["permission"], given.get("metadata") or {}))
        asked = Asked(given, name, input_)
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
            reason=_REASONS.get(asked.permission, "").format(", ".join(asked.patterns)),
            parent=thread.parent,
        )

    def question(self, given: dict[str, Any], thread: Thread) -> Iterator[Signal]:
        """Translate a question, unless it has come before."""
        if given["id"] in self._known:
            return
        self._known.add(given["id"])
        yield from thread.flush()  # What is asked often says "this" of the text before it.
        yield e.QuestionRequested(
            request=given["id"],
            questions=questions(given["questions"], "multiple"),
            parent=thread.parent,
        )

    def answered(self, given: dict[str, Any]) -> Iterator[Signal]:
        """A request has its answer."""
        request = str(given.get("requestID") or given.get("permissionID"))
        if request in self._known:
            yield Withdrawn(request)
