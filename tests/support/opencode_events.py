"""OpenCode's events as it sends them, for tests of the translation without a server."""

from __future__ import annotations

from typing import Any

from midflight import events as e
from midflight.agents.base import Signal
from midflight.agents.opencode.permissions import PermissionRequest, Verdict
from midflight.agents.opencode.v1.events import EventTranslator

MAIN = "ses_main"

Frame = dict[str, Any]


def frame(kind: str, **properties: Any) -> Frame:
    return {"type": kind, "properties": properties}


def message(
    number: int, parent: int, session: str = MAIN, *, error: Any = None, **info: Any
) -> Frame:
    """An assistant message; ``finish`` makes it one that has ended."""
    over = "finish" in info or error is not None
    time = {"created": 1, "completed": 2} if over else {"created": 1}
    told = {
        "id": f"msg_{number}",
        "parentID": f"msg_{parent}",
        "role": "assistant",
        "sessionID": session,
        "providerID": "anthropic",
        "modelID": "plum",
        "time": time,
        **({"error": error} if error else {}),
        **info,
    }
    return frame("message.updated", sessionID=session, info=told)


def part(number: int, kind: str, session: str = MAIN, *, id: str = "", **rest: Any) -> Frame:
    told = {
        "id": id or f"prt_{number}_{kind}",
        "messageID": f"msg_{number}",
        "sessionID": session,
        "type": kind,
        **rest,
    }
    return frame("message.part.updated", sessionID=session, part=told)


def text(number: int, said: str, session: str = MAIN, **rest: Any) -> Frame:
    return part(number, "text", session, text=said, time={"start": 1, "end": 2}, **rest)


def delta(number: int, said: str, session: str = MAIN, kind: str = "text") -> Frame:
    return frame(
        "message.part.delta",
        sessionID=session,
        messageID=f"msg_{number}",
        partID=f"prt_{number}_{kind}",
        field="text",
        delta=said,
    )


def step_finish(number: int, session: str = MAIN, cost: float = 0.5, **rest: Any) -> Frame:
    tokens = {"input": 10, "output": 5, "reasoning": 1, "cache": {"read": 3, "write": 2}}
    return part(number, "step-finish", session, tokens=tokens, cost=cost, **rest)


def tool(number: int, call: str, status: str, session: str = MAIN, **state: Any) -> Frame:
    told = {"status": status, "input": {"command": "ls"}, **state}
    name = "task" if "metadata" in state and "sessionId" in state["metadata"] else "bash"
    return part(number, "tool", session, id=f"prt_{call}", callID=call, tool=name, state=told)


def status(kind: str, session: str = MAIN, **rest: Any) -> Frame:
    return frame("session.status", sessionID=session, status={"type": kind, **rest})


def idle(session: str = MAIN) -> Frame:
    return frame("session.idle", sessionID=session)


def failed(name: str, **data: Any) -> Frame:
    return frame("session.error", sessionID=MAIN, error={"name": name, "data": data})


def permission(number: int, request: str, session: str = MAIN, **rest: Any) -> Frame:
    asked = {
        "id": request,
        "sessionID": session,
        "permission": "bash",
        "patterns": ["ls"],
        "metadata": {},
        "tool": {"messageID": f"msg_{number}", "callID": "call"},
        **rest,
    }
    return frame("permission.asked", **asked)


class Told:
    """A translator, and everything that it has said."""

    def __init__(self, *unread: int, since: str = "", decided: Any = "ask") -> None:
        """``unread`` are the numbers of the messages that the server has been given."""
        self.asked: list[PermissionRequest] = []
        self.decided = decided
        self.translate = EventTranslator(
            MAIN,
            lambda _, used: used.output_tokens / 100,
            self._judge,
            lambda said: said.replace("sk-secret", "[redacted]"),
            since=since,
        )
        self.signals: list[Signal] = []
        for number in unread:
            self.hand(number)

    def _judge(self, asked: PermissionRequest) -> Verdict:
        self.asked.append(asked)
        return Verdict(self.decided, "the reason")

    def hand(self, number: int) -> None:
        self.translate.unread[f"msg_{number}"] = f"m{number}"

    def hear(self, *frames: Frame) -> list[Signal]:
        new = [signal for each in frames for signal in self.translate(each)]
        self.signals += new
        return new

    def kinds(self) -> list[str]:
        return [type(signal).__name__ for signal in self.signals]

    def of(self, kind: type[Any]) -> list[Any]:
        return [signal for signal in self.signals if isinstance(signal, kind)]

    @property
    def texts(self) -> list[str]:
        return [signal.text for signal in self.of(e.Text)]
