"""OpenCode 2's events, translated into midflight's words: a session's turns, and its children.

OpenCode 2 says which prompts the model has got (``delivered``), but not which of them a model call
answers: all that were delivered since the call before. Stable 2.x reports the end of each run, the
preview only that a session is not active any more. See docs/design/opencode-driver.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from midflight import events as e
from midflight._util.lines import MALFORMED
from midflight.agents.base import Calling, Dropped, Finished, Signal, Taken, Woke
from midflight.agents.opencode.content import GOES_ON, plan, waits
from midflight.agents.opencode.permissions import PermissionRequest, Verdict
from midflight.agents.opencode.v2.client import seq_of
from midflight.agents.opencode.v2.content import outcome
from midflight.agents.opencode.v2.names import EVENTS, SILENT, Names, field
from midflight.agents.opencode.v2.requests import TurnRequests
from midflight.agents.opencode.v2.thread import Price, Thread

Data = Mapping[str, Any]
Frame = dict[str, Any]

NEVER_RUN = "OpenCode has not run a message, and does not say why"


class EventTranslator:
    """Turns events into signals; remembers only what a later event refers to.

    ``unread`` are the prompts that the model has not got, by the server's ids. ``unsettled`` says
    that the server has to be asked for its state: what it does next it may not report. ``seq`` is
    the number of the last event of the session that was seen. ``unwanted`` says that the server
    runs a prompt that was taken back.
    """

    def __init__(
        self,
        session: str,
        names: Names,
        price: Price,
        judge: Callable[[str, PermissionRequest], Verdict],
        clean: Callable[[str], str],
        *,
        directory: Path,
        seq: int = 0,
    ) -> None:
        """``judge`` decides permission requests, where the options do.

        ``clean`` takes the secrets out of a provider's errors. ``seq`` is the last event of an
        earlier part of the conversation.
        """
        self.session = session
        self.unread: dict[str, str] = {}
        self.stopping = False
        self.unsettled = False
        self.seq = seq
        self.requests = TurnRequests(judge, directory)
        self._names = names
        self._price = price
        self._clean = clean
        self._threads: dict[str, Thread] = {session: Thread(price)}
        self._early: dict[str, list[Frame]] = {}
        self._seqs: dict[str, int] = {}
        self._turn: list[str] | None = None
        self.unwanted = False
        self._withdrawn: set[str] = set()
        self._called = False
        self._finish: str | None = None
        self._error: Data | None = None

    @property
    def in_turn(self) -> bool:
        """A turn is open."""
        return self._turn is not None

    @property
    def sub_agents(self) -> list[str]:
        """The sessions of the sub-agents that are known."""
        return [name for name in (*self._threads, *self._early) if name != self.session]

    def seq_of(self, session: str) -> int:
        """Return the number of the last event of a sub-agent's session that was seen."""
        return self._seqs.get(session, 0)

    def __call__(self, frame: Frame) -> list[Signal]:
        """Return what an event means; one of an unknown or broken form comes as `Raw`."""
        kind = EVENTS.get(str(frame.get("type")), "")
        handler = self._HANDLERS.get(kind)
        if handler is None:
            return [] if str(frame.get("type")).startswith(SILENT) else [e.Raw(data=frame)]
        signals: list[Signal] = []
        try:
            data = frame["data"]
            session = str(data.get("sessionID") or data["form"]["sessionID"])
            if self._is_new(session, seq_of(frame)) and not self._wait(session, frame):
                signals.extend(handler(self, data))
        except MALFORMED:
            signals.append(e.Raw(data=frame))
        return signals

    def _is_new(self, session: str, seq: int) -> bool:
        """Tell whether an event was not seen before; what is kept has a number in its session."""
        last = self.seq if session == self.session else self._seqs.get(session, 0)
        if not seq:
            return True
        if session == self.session:
            self.seq = max(last, seq)
        else:
            self._seqs[session] = max(last, seq)
        return seq > last

    def _wait(self, session: str, frame: Frame) -> bool:
        """Keep a sub-agent's first events until it is known which call it belongs to."""
        if session not in self._early or EVENTS[frame["type"]] == "created":
            return False
        self._early[session].append(frame)
        return True

    # The course of the conversation -------------------------------------------------------

    def _delivered(self, data: Data) -> Iterator[Signal]:
        """The model gets a prompt with its next call."""
        if data["sessionID"] != self.session:
            return
        known = _delivery_of(data)
        message = self.unread.pop(known, None)
        if self._turn is not None and self._is_over():
            # It went on without a pause: the messages before were answered, this one was not.
            yield from self._end()
        self.unwanted = message is None and known in self._withdrawn
        if message is None:
            return  # Where no turn is open, the call that follows begins one.
        if self._turn is None:
            self._begin()
        assert self._turn is not None  # noqa: S101 - just begun
        self._turn.append(message)
        self._finish, self._called = None, False
        self.unsettled = True  # A call that never begins is not reported.
        yield Taken(message)

    def withdraw(self, known: str) -> str | None:
        """Forget a prompt that was taken back; returns its message, or None if it was delivered."""
        self._withdrawn.add(known)
        return self.unread.pop(known, None)

    def _begin(self) -> None:
        self._turn, self._finish, self._error = [], None, None
        self._called, self.unsettled = False, True

    def _is_over(self) -> bool:
        """The last model call was one after which the agent makes no other."""
        return self._error is not None or (self._finish is not None and self._finish not in GOES_ON)

    def _executing(self, data: Data) -> Iterator[Signal]:
        """Another run begins; what one before has left open is over."""
        if data["sessionID"] == self.session and self._turn is not None and self._is_over():
            yield from self._end()

    def _executed(self, data: Data) -> Iterator[Signal]:
        """A run has ended."""
        if data["sessionID"] != self.session or self._turn is None:
            return
        self._error = data.get("error") or self._error
        if "reason" in data:
            self._error = {"type": "aborted"}
        yield from self._end()

    def _step(self, data: Data) -> Iterator[Signal]:
        """A model call begins."""
        thread = self._threads.get(data["sessionID"])
        if thread is None:
            return
        if thread.parent is None:
            if self._turn is None:
                self._begin()
                yield Woke()
            self._finish = self._error = None
            self._called, self.unsettled = True, False
        thread.begin(data)

    def _stepped(self, data: Data) -> Iterator[Signal]:
        """A model call has ended, or has failed."""
        thread = self._threads.get(data["sessionID"])
        if thread is None:
            return
        yield from thread.end(data)
        if thread.parent is not None or self._turn is None:
            return
        self._finish, self._error = str(data.get("finish") or ""), data.get("error")
        if self._is_over():
            self.unsettled = not self._names.executions or self.stopping
        else:
            yield Calling()

    def settle(self) -> Iterator[Signal]:
        """The session rests: end the turn that has not ended by itself."""
        if self._turn is not None:
            if not (self._called or self.stopping):
                self._error = {"type": "silent", "message": NEVER_RUN}
            yield from self._end()

    def lose(self) -> Iterator[Signal]:
        """The session rests, and will not give the model the prompts that it has."""
        for known in list(self.unread):
            yield e.Notice(level="error", text=NEVER_RUN)
            yield Dropped(self.unread.pop(known), "agent_error")

    def _end(self) -> Iterator[Signal]:
        """End the turn. A second end finds none."""
        thread = self._threads[self.session]
        error, finish = self._error, self._finish or ""
        if error is None and finish in GOES_ON:
            error = {"type": "aborted"}  # Between two calls a stop leaves no error.
        for each in self._threads.values():
            yield from each.cut()
        status, reason, text = outcome(finish, error)
        if error is not None and error.get("type") == "silent":
            reason = "agent_error"
        messages, denials, said = tuple(self._turn or ()), self.requests.over(), thread.text
        self._turn = self._finish = self._error = None
        self.unsettled = False
        for session in self.sub_agents:
            self._threads.pop(session, None)
        self._early.clear()
        thread.settle()
        yield Finished(
            status=status,
            reason=reason,
            text=self._clean(text) or said,
            messages=messages,
            denials=denials,
        )

    def _retry(self, data: Data) -> Iterator[Signal]:
        """A model call failed and is made again: what it has said comes a second time."""
        thread = self._threads.get(data["sessionID"])
        if thread is None:
            return
        thread.void()
        text = self._clean(field(data.get("error") or {}, "message") or "unknown")
        again = float(data.get("at") or 0) / 1000
        yield waits(again, int(data["attempt"]), text, thread.parent)

    # Content ------------------------------------------------------------------------------

    def _text_delta(self, data: Data) -> Iterable[Signal]:
        return self._delta("text", data)

    def _reasoning_delta(self, data: Data) -> Iterable[Signal]:
        return self._delta("reasoning", data)

    def _delta(self, kind: str, data: Data) -> Iterable[Signal]:
        # Deltas come by the thousand: no generator for each.
        thread = self._threads.get(data["sessionID"])
        signal = None if thread is None or self._turn is None else thread.delta(kind, data)
        return () if signal is None else (signal,)

    def _text(self, data: Data) -> Iterable[Signal]:
        return self._whole("text", data)

    def _reasoning(self, data: Data) -> Iterable[Signal]:
        return self._whole("reasoning", data)

    def _whole(self, kind: str, data: Data) -> Iterable[Signal]:
        if (thread := self._threads.get(data["sessionID"])) is not None:
            thread.whole(kind, data)
        return ()

    def _named(self, data: Data) -> Iterable[Signal]:
        if (thread := self._threads.get(data["sessionID"])) is not None:
            thread.named(data)
        return ()

    def _tool(self, data: Data) -> Iterable[Signal]:
        thread = self._threads.get(data["sessionID"])
        return () if thread is None else thread.called(data)

    def _progress(self, data: Data) -> Iterator[Signal]:
        thread = self._threads.get(data["sessionID"])
        if thread is None:
            return
        yield from thread.progress(data)
        facts = data.get("metadata") or data.get("structured") or {}
        child = str(facts.get("sessionID") or "")
        if child and child not in self._threads:
            self._threads[child] = Thread(self._price, thread.call_id(data))
            for frame in self._early.pop(child, ()):
                yield from self(_unnumbered(frame))

    def _succeeded(self, data: Data) -> Iterable[Signal]:
        thread = self._threads.get(data["sessionID"])
        return () if thread is None else thread.over(data, failed=False)

    def _failed(self, data: Data) -> Iterable[Signal]:
        thread = self._threads.get(data["sessionID"])
        return () if thread is None else thread.over(data, failed=True)

    def _created(self, data: Data) -> Iterable[Signal]:
        info = data.get("info") or data
        child = field(info, "sessionID", "id")
        if info.get("parentID") in self._threads and child not in self._threads:
            self._early.setdefault(child, [])
        return ()

    def _todos(self, data: Data) -> Iterator[Signal]:
        thread = self._threads.get(data["sessionID"])
        if thread is not None:
            yield e.Plan(entries=plan(data["todos"]), parent=thread.parent)

    # Requests -----------------------------------------------------------------------------

    def _permission(self, data: Data) -> Iterable[Signal]:
        thread = self._threads.get(data["sessionID"])
        return self.requests.permission(data, thread) if thread and self.in_turn else ()

    def _question(self, data: Data) -> Iterable[Signal]:
        thread = self._threads.get(data["sessionID"])
        return self.requests.question(data, thread) if thread and self.in_turn else ()

    def _form(self, data: Data) -> Iterable[Signal]:
        form = data["form"]
        thread = self._threads.get(form["sessionID"])
        return self.requests.form(form, thread) if thread and self.in_turn else ()

    def _answered(self, data: Data) -> Iterable[Signal]:
        return self.requests.answered(data)

    _HANDLERS: Mapping[str, Callable[[EventTranslator, Data], Iterable[Signal]]] = {
        "created": _created,
        "delivered": _delivered,
        "execution.started": _executing,
        "execution.succeeded": _executed,
        "execution.failed": _executed,
        "execution.interrupted": _executed,
        "step.started": _step,
        "step.ended": _stepped,
        "step.failed": _stepped,
        "text.delta": _text_delta,
        "text.ended": _text,
        "reasoning.delta": _reasoning_delta,
        "reasoning.ended": _reasoning,
        "tool.input.started": _named,
        "tool.called": _tool,
        "tool.progress": _progress,
        "tool.success": _succeeded,
        "tool.failed": _failed,
        "retry": _retry,
        "todos": _todos,
        "permission.asked": _permission,
        "question.asked": _question,
        "form.asked": _form,
        "request.ended": _answered,
    }


def _unnumbered(frame: Frame) -> Frame:
    """Return an event that was counted already when it came."""
    return {key: value for key, value in frame.items() if key != "durable"}


def _delivery_of(data: Data) -> str:
    return field(data, "inboxID", "inputID", "messageID")


def is_delivery(frame: Frame, known: str) -> bool:
    """Tell whether an event says that the model gets this prompt."""
    return (
        EVENTS.get(str(frame.get("type"))) == "delivered" and _delivery_of(frame["data"]) == known
    )


def asked_frames(kind: str, requests: Iterable[Data]) -> Iterator[Frame]:
    """Yield open requests as the events that would report them; ``kind`` is the event's."""
    for request in requests:
        yield {"type": kind, "data": {"form": request} if kind == "form.created" else request}
