"""OpenCode's events, translated into midflight's words: the turns of one session and its children.

OpenCode has no turns, and says which message it answers only by the ``parentID`` of what it
writes: the newest user message that it has read. What each event means was measured; see
docs/design/opencode-driver.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from midflight import events as e
from midflight._util.lines import MALFORMED
from midflight.agents.base import Calling, Dropped, Finished, Signal, Taken, Woke
from midflight.agents.opencode.content import GOES_ON, plan
from midflight.agents.opencode.permissions import PermissionRequest, Verdict
from midflight.agents.opencode.v1.content import SILENT, is_summary, outcome, retry
from midflight.agents.opencode.v1.requests import TurnRequests
from midflight.agents.opencode.v1.thread import Price, Thread


class EventTranslator:
    """Turns events into signals; remembers only what a later event refers to."""

    def __init__(
        self,
        session: str,
        price: Price,
        judge: Callable[[PermissionRequest], Verdict],
        clean: Callable[[str], str],
        *,
        since: str = "",
        replaced: Collection[str] = (),
    ) -> None:
        """``judge`` decides permission requests, where the options do.

        ``clean`` takes the secrets out of a provider's errors.

        ``since`` is the newest message of an earlier part of the conversation. ``replaced`` are the
        tools that a plugin has put in the place of OpenCode's own.
        """
        self.session = session
        self.unread: dict[str, str] = {}
        self.stopping = False
        self.unsettled = False
        self._price = price
        self._requests = TurnRequests(judge)
        self._clean = clean
        self._replaced = replaced
        self._threads: dict[str, Thread] = {session: Thread(price, replaced=replaced)}
        self._early: dict[str, list[dict[str, Any]]] = {}
        self._turn: list[str] | None = None
        self._reading = ""
        self._settled = since
        self._withdrawn: set[str] = set()
        self._last_info: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None
        self._busy = False
        self._idle = False
        self._goes_on_stopped = False

    @property
    def in_turn(self) -> bool:
        """A turn is open."""
        return self._turn is not None

    def unseen(self, call: str) -> bool:
        """Tell whether a permission was asked for before its call was seen."""
        return call in self._requests.unseen

    @property
    def reading(self) -> str:
        """The newest message of the agent."""
        return self._reading

    @property
    def since(self) -> str:
        """The newest message of the turns that have ended; later ones are not settled."""
        return self._settled

    def __call__(self, frame: dict[str, Any]) -> list[Signal]:
        """Return what an event means; one of an unknown or broken form comes as `Raw`."""
        kind = str(frame.get("type"))
        handler = self._HANDLERS.get(kind)
        if handler is None:
            return [] if kind in SILENT else [e.Raw(data=frame)]
        signals: list[Signal] = []
        try:
            signals.extend(handler(self, frame["properties"]))
        except MALFORMED:
            signals.append(e.Raw(data=frame))
        return signals

    def withdraw(self, known: str) -> str | None:
        """Forget a message that was taken back; returns its id, or None if it was read before."""
        self._withdrawn.add(known)
        return self.unread.pop(known, None)

    # Messages -----------------------------------------------------------------------------

    def _message(self, properties: dict[str, Any]) -> Iterator[Signal]:
        info = properties["info"]
        if info["role"] != "assistant":
            return
        thread = self._threads.get(info["sessionID"])
        if thread is None:
            return
        if thread.parent is not None:
            yield from thread.message(info)
            return
        if info["id"] <= self._settled or info["parentID"] in self._withdrawn:
            return
        if info["id"] > self._reading:
            yield from self._begin(info)
        yield from thread.message(info)
        if info["id"] == self._reading and info["time"].get("completed") is not None:
            goes_on = not info.get("error") and _goes_on(info)
            if goes_on and self._last_info is None:
                yield Calling()
            self._last_info = info
            if self._idle and not goes_on:
                yield from self._finish()

    def _begin(self, info: dict[str, Any]) -> Iterator[Signal]:
        """Another model call begins: for the same messages, or for others that were read now."""
        read = [known for known in self.unread if known <= info["parentID"]]
        if read and self._turn is not None and self._is_over():
            # It went on without a pause: the messages before were answered, these were not.
            yield from self._finish()
        self._reading = info["id"]
        self._last_info = None
        self._error = None
        self._goes_on_stopped = self.stopping and self._turn is not None
        if self._goes_on_stopped:
            yield Calling()  # An abort that meets a sub-agent ends that, and not always the turn.
        if self._turn is None:
            self._turn = []
            self._busy, self._idle = True, False
            if not read:
                yield Woke()
        for known in read:
            message = self.unread.pop(known)
            self._turn.append(message)
            yield Taken(message)

    def _is_over(self) -> bool:
        """The last model call was one after which the agent makes no other."""
        return self._last_info is not None and not _goes_on(self._last_info)

    def _part(self, properties: dict[str, Any]) -> Iterator[Signal]:
        part = properties["part"]
        thread = self._thread(part["sessionID"], "message.part.updated", properties)
        if thread is None or part["messageID"] <= self._settled:
            return
        if thread.parent is None and part["messageID"] != self._reading:
            return  # a user's message, or an answer to one that was taken back
        yield from thread.part(part)
        child = ((part.get("state") or {}).get("metadata") or {}).get("sessionId")
        if part["type"] == "tool" and child and child not in self._threads:
            call = thread.call(part["messageID"], part["callID"])
            self._threads[child] = Thread(self._price, call, replaced=self._replaced)
            for frame in self._early.pop(child, ()):
                yield from self(frame)

    def _delta(self, properties: dict[str, Any]) -> Iterable[Signal]:
        # Deltas come by the thousand: no generator for each.
        thread = self._threads.get(properties["sessionID"])
        if thread is None or properties.get("field") != "text":
            return ()
        if thread.parent is None and properties["messageID"] != self._reading:
            return ()
        signal = thread.delta(properties)
        return () if signal is None else (signal,)

    def _thread(self, session: str, kind: str, properties: dict[str, Any]) -> Thread | None:
        """Return the thread of a session; a child's first events wait until its call is known."""
        thread = self._threads.get(session)
        if thread is None and session in self._early:
            self._early[session].append({"type": kind, "properties": properties})
        return thread

    def _created(self, properties: dict[str, Any]) -> Iterator[Signal]:
        info = properties["info"]
        if info.get("parentID") in self._threads and info["id"] not in self._threads:
            self._early.setdefault(info["id"], [])
        yield from ()

    # The course of the conversation -------------------------------------------------------

    def _status(self, properties: dict[str, Any]) -> Iterator[Signal]:
        status, thread = properties["status"], self._threads.get(properties["sessionID"])
        if thread is None:
            return
        if status["type"] == "retry":
            thread.void()
            yield retry(status, self._clean(str(status.get("message") or "unknown")), thread.parent)
        elif status["type"] == "busy" and thread.parent is None:
            self._busy, self._idle = True, False

    def _idle_reported(self, properties: dict[str, Any]) -> Iterator[Signal]:
        if properties["sessionID"] != self.session or not self._busy:
            return
        if self._turn is None:
            yield from self._refused()
        elif self._last_info is not None or self._error is not None:
            yield from self._finish()
        else:
            # After an abort the message ends a moment later, or, in a retry's back-off, never.
            self._idle = self.unsettled = True

    def _refused(self) -> Iterator[Signal]:
        """The agent stopped before it read anything, and reported why."""
        if self._error is not None:
            error, self._error = self._error, None
            _, _, text = outcome("", error)
            yield e.Notice(level="error", text=f"OpenCode: {self._clean(text)}")
            for known in list(self.unread):
                yield Dropped(self.unread.pop(known), "agent_error")

    def _failed(self, properties: dict[str, Any]) -> Iterator[Signal]:
        error = properties.get("error") or {}
        if (
            properties.get("sessionID") == self.session
            and error.get("name") != "MessageAbortedError"
        ):
            self._error = error
            if self._turn is None and self.unread:
                yield from self._refused()

    def lose(self) -> Iterator[Signal]:
        """The server rests, and will not read the messages that it has."""
        for known in list(self.unread):
            yield e.Notice(
                level="error", text="OpenCode has not read a message, and does not say why"
            )
            yield Dropped(self.unread.pop(known), "agent_error")

    def settle(self) -> Iterator[Signal]:
        """The session rests: end the turn that has not ended by itself."""
        if self._turn is not None:
            yield from self._finish()

    def _finish(self) -> Iterator[Signal]:
        """End the turn. A second end finds none."""
        thread = self._threads[self.session]
        info = self._last_info or {}
        error = info.get("error") or self._error
        if error is None and (self.stopping or not info.get("finish")):
            # Between two steps, and in a retry's back-off, an abort leaves no error.
            stopped = self._goes_on_stopped or info.get("finish", "") in GOES_ON
            error = {"name": "MessageAbortedError"} if stopped else None
        for each in self._threads.values():
            yield from each.cut()
        status, reason, text = outcome(str(info.get("finish") or ""), error)
        messages = tuple(self._turn or ())
        denials = self._requests.over()
        self._turn, self._settled = None, self._reading
        self._busy = self._idle = self.unsettled = False
        self._last_info = self._error = None
        self._withdrawn = {known for known in self._withdrawn if known > self._settled}
        final_text = thread.text
        for session in [name for name in self._threads if name != self.session]:
            del self._threads[session]
        self._early.clear()
        thread.settle()
        yield Finished(
            status=status,
            reason=reason,
            text=self._clean(text) or final_text,
            messages=messages,
            denials=denials,
        )

    # Requests -----------------------------------------------------------------------------

    def _permission(self, properties: dict[str, Any]) -> Iterable[Signal]:
        thread = self._thread(properties["sessionID"], "permission.asked", properties)
        return (
            self._requests.permission(properties, thread)
            if thread and self._open(properties)
            else ()
        )

    def _question(self, properties: dict[str, Any]) -> Iterable[Signal]:
        thread = self._thread(properties["sessionID"], "question.asked", properties)
        return (
            self._requests.question(properties, thread) if thread and self._open(properties) else ()
        )

    def _open(self, properties: dict[str, Any]) -> bool:
        """Tell whether this request is not one that an aborted turn has left behind."""
        message = str((properties.get("tool") or {}).get("messageID", "~"))
        return message > self._settled and self.in_turn

    def _answered(self, properties: dict[str, Any]) -> Iterable[Signal]:
        return (
            self._requests.answered(properties) if properties["sessionID"] in self._threads else ()
        )

    def _todos(self, properties: dict[str, Any]) -> Iterator[Signal]:
        thread = self._threads.get(properties["sessionID"])
        if thread is not None:
            yield e.Plan(entries=plan(properties["todos"]), parent=thread.parent)

    _HANDLERS: Mapping[str, Callable[[EventTranslator, dict[str, Any]], Iterable[Signal]]] = {
        "message.updated": _message,
        "message.part.updated": _part,
        "message.part.delta": _delta,
        "session.created": _created,
        "session.status": _status,
        "session.idle": _idle_reported,
        "session.error": _failed,
        "permission.asked": _permission,
        "permission.replied": _answered,
        "question.asked": _question,
        "question.replied": _answered,
        "question.rejected": _answered,
        "todo.updated": _todos,
    }


def _goes_on(info: Mapping[str, Any]) -> bool:
    """Tell whether the agent makes another model call after this one, as after a summary."""
    return info.get("finish") in GOES_ON or is_summary(info)
