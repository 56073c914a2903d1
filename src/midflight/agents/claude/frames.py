"""Claude Code's frames, translated into midflight's words.

A frame is one line of the CLI's ``stream-json`` output. What each means was measured; see
docs/design/claude-driver.md.
"""

from __future__ import annotations

import copy
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from midflight import events as e
from midflight._util.lines import MALFORMED
from midflight.agents.base import Dropped, Signal, Step, Taken, UsageLimit, Withdrawn, Woke
from midflight.agents.claude.content import KINDS, is_error, most, output, tokens
from midflight.agents.claude.results import USAGE_LIMIT_REACHED, finished
from midflight.agents.claude.system import SystemFrames
from midflight.agents.claude.transcripts import told
from midflight.agents.shared.content import questions, title
from midflight.values import PlanEntry, TokenUsage

KEPT_IDS = 256
"""How many frames and messages are remembered, so that one that is repeated counts once."""

_GOES_ON = ("assistant", "result", "stream_event", "user")

BLOCKED = "blocked"
"""The reason of a turn or a message that a hook of the user's has kept from the agent."""

_LOCAL_OUTPUT = re.compile(
    r"<local-command-std(?:out|err)>(.*)</local-command-std(?:out|err)>", re.DOTALL
)
"""The same of a command that changes the conversation, such as ``/compact``."""

_UNREAD = {"cancelled": "", "discarded": "agent_error", "refused": "agent_error"}


@dataclass
class _ModelCall:
    """A model call as it streams; ``whole`` once its end has come."""

    id: str = ""
    model: str = ""
    tokens: TokenUsage = TokenUsage()  # noqa: RUF009 - it is frozen
    blocks: int = 0
    whole: bool = False


class FrameTranslator:
    """Turns frames into signals; remembers only what a later frame refers to."""

    def __init__(
        self,
        message_of: Callable[[str], str | None],
        skills: Iterable[str] = (),
        problems: Collection[str] = (),
    ) -> None:
        """``message_of`` gives the message's id for the uuid under which the CLI knows it.

        ``skills`` and ``problems``: see `SystemFrames`.
        """
        self._message_of = message_of
        self._system_frames = SystemFrames(skills, problems)
        self._tools: dict[str, tuple[str, str | None]] = {}
        self._in_turn = False
        self._frames: dict[str, None] = {}
        self._call = _ModelCall()
        self._void = False
        self._counted: deque[str] = deque(maxlen=KEPT_IDS)
        self._error = ""
        self._blocked = ""
        self._read: dict[str, bool] = {}  # steers whose model call is still to come: are they over?
        self._rejected: dict[str, Any] | None = None
        self.inputs: dict[str, dict[str, Any]] = {}

    def __call__(self, frame: dict[str, Any]) -> list[Signal]:
        """Return what a frame means; a frame of an unknown or broken form comes as `Raw`."""
        handler = self._HANDLERS.get(str(frame.get("type")))
        if handler is None:
            return [e.Raw(data=frame)]
        signals: list[Signal] = []
        try:
            if self._is_new(frame.get("uuid")):
                if self._read and _is_main(frame):
                    signals.extend(map(Taken, self._read))
                    self._read.clear()
                signals.extend(handler(self, frame))
        except MALFORMED:
            signals.append(e.Raw(data=frame))
        return signals

    def _is_new(self, known: str | None) -> bool:
        """Tell whether this frame has not come before; one without an id always is."""
        if known is None:
            return True
        if known in self._frames:
            return False
        self._frames[known] = None
        if len(self._frames) > KEPT_IDS:
            del self._frames[next(iter(self._frames))]
        return True

    # Streaming ----------------------------------------------------------------------------

    def _stream(self, frame: dict[str, Any]) -> Iterable[Signal]:
        # Deltas come by the thousand: no generator for each.
        event, parent = frame["event"], frame.get("parent_tool_use_id")
        if event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                return (e.TextDelta(text=delta["text"], parent=parent),)
            if delta["type"] == "thinking_delta":
                return (e.ThinkingDelta(text=delta["thinking"], parent=parent),)
        elif parent is None:
            return self._follow(event, frame.get("abandoned_blocks") or {})
        return ()

    def _follow(self, event: dict[str, Any], abandoned: dict[str, Any]) -> Iterator[Signal]:
        """Follow a model call of the main conversation. One that was cut is no step of the turn."""
        call = self._call
        match event["type"]:
            case "message_start":
                yield from self._voided()
                message = event["message"]
                self._call = _ModelCall(
                    message["id"], message["model"], tokens(message.get("usage"))
                )
            case "content_block_start":
                call.blocks += 1
            case "message_delta":
                call.whole = True
                call.tokens = most(call.tokens, tokens(event.get("usage")))
            case "message_stop":
                # The CLI repeats the call by itself, sometimes without a retry frame.
                self._void = abandoned.get("from_block_index", call.blocks) < call.blocks
                yield Step(model=call.model, tokens=call.tokens, main=call.whole)

    def _voided(self) -> Iterator[Signal]:
        """Void the text that was streamed, where the CLI has not reported a retry."""
        if self._void:
            self._void = False
            yield e.Retry(attempt=1, delay_s=0.0, error="stream_cut")

    # Whole messages -----------------------------------------------------------------------

    def _assistant(self, frame: dict[str, Any]) -> Iterator[Signal]:
        message, parent = frame["message"], frame.get("parent_tool_use_id")
        if frame.get("error"):
            limited = frame.get("api_error") == USAGE_LIMIT_REACHED
            self._error = USAGE_LIMIT_REACHED if limited else str(frame["error"])
            info = (frame.get("api_error_params") or {}).get("rate_limit_info")
            self._rejected = info or self._rejected
            return
        if message["model"] == "<synthetic>":
            if frame.get("local_command_source"):  # what a command of the CLI's own has to say
                said = (each["text"] for each in message["content"] if each["type"] == "text")
                yield from (e.Text(text=text) for text in said)
            return
        if parent is None:
            yield from self._voided()
        # Calls of sub-agents, and those repeated after a cut stream, are not streamed.
        if message["id"] != self._call.id and message["id"] not in self._counted:
            self._counted.append(message["id"])
            used = tokens(message.get("usage"))
            yield Step(model=message["model"], tokens=used, main=parent is None)
        for block in message["content"]:
            match block["type"]:
                case "text":
                    yield e.Text(text=block["text"], parent=parent)
                case "thinking":
                    yield e.Thinking(text=block["thinking"], parent=parent)
                case "tool_use" | "server_tool_use" | "mcp_tool_use":
                    yield from self._tool(block, parent)
                case kind if kind.endswith("_tool_result"):  # of a call that the service has run
                    yield self._tool_ended(block, parent, failed=is_error(block))

    def _tool(self, block: dict[str, Any], parent: str | None) -> Iterator[Signal]:
        name, call_input = block["name"], block["input"]
        self._tools[block["id"]] = (name, parent)
        yield e.ToolStarted(
            call=block["id"],
            name=name,
            kind=KINDS.get(name, "other"),
            title=title(call_input),
            input=call_input,
            parent=parent,
        )
        if name == "TodoWrite":
            yield e.Plan(
                entries=tuple(
                    PlanEntry(text=todo["content"], status=todo["status"])
                    for todo in call_input["todos"]
                ),
                parent=parent,
            )

    def _user(self, frame: dict[str, Any]) -> Iterator[Signal]:
        content = frame["message"]["content"]
        if isinstance(content, str):
            said = _LOCAL_OUTPUT.fullmatch(content) if frame.get("isReplay") else None
            if said and said[1].strip():
                yield e.Text(text=said[1].strip())
            return
        for block in content:
            if block["type"] != "tool_result":
                continue
            parent = frame.get("parent_tool_use_id")
            yield self._tool_ended(block, parent, failed=bool(block.get("is_error")))

    def _tool_ended(
        self, block: dict[str, Any], parent: str | None, *, failed: bool
    ) -> e.ToolEnded:
        call = block["tool_use_id"]
        return e.ToolEnded(
            call=call,
            name=self._tools.pop(call, ("", None))[0],
            status="failed" if failed else "completed",
            output=output(block.get("content")),
            parent=parent,
        )

    # The course of the conversation -------------------------------------------------------

    def _lifecycle(self, frame: dict[str, Any]) -> Iterator[Signal]:
        message, state = self._message_of(frame["command_uuid"]), frame["state"]
        if message is None:
            return
        if state == "started" and self._in_turn:
            self._read[message] = False  # A hook may still keep it back: the next frames tell.
        elif state == "started":
            self._in_turn = True
            yield Taken(message)
        elif state == "completed" and message in self._read:
            self._read[message] = True
        elif state in _UNREAD:
            self._read.pop(message, None)
            yield Dropped(message, _UNREAD[state])

    def _result(self, frame: dict[str, Any]) -> Iterator[Signal]:
        self._in_turn = False
        self._void = False
        error, self._error = self._error, ""
        blocked, self._blocked = self._blocked, ""
        uuids = frame.get("user_message_uuids") or ()
        messages = (self._message_of(each) for each in uuids)
        if frame.get("is_error") and error == "rate_limit" and self._rejected:
            error = USAGE_LIMIT_REACHED  # as older versions report it
        if frame.get("is_error") and error == USAGE_LIMIT_REACHED:
            resets_at = (self._rejected or {}).get("resetsAt")
            yield UsageLimit(
                resets_at=None if resets_at is None else float(resets_at),
                text=str(frame.get("result") or ""),
            )
        ended = finished(frame, tuple(message for message in messages if message), error)
        if blocked and not frame.get("num_turns"):
            ended = msgspec.structs.replace(ended, status="failed", reason=BLOCKED, text=blocked)
        yield ended

    def _rate_limit(self, frame: dict[str, Any]) -> Iterator[Signal]:
        """Keep the state of the account's limit: the CLI reports only changes."""
        info = frame["rate_limit_info"]
        self._rejected = info if info["status"] == "rejected" else None
        yield from ()

    def _system(self, frame: dict[str, Any]) -> Iterator[Signal]:
        subtype = frame.get("subtype")
        if subtype == "api_retry":
            self._void = False
        if frame.get("prevent_continuation") and (outcome := frame.get("prompt_submit_outcome")):
            yield from self._kept_back(str(outcome.get("reason") or frame["content"]))
            return
        yield from self._system_frames(frame)
        if subtype == "init" and not self._in_turn:
            self._in_turn = True
            yield Woke()

    def _kept_back(self, why: str) -> Iterator[Signal]:
        """A hook of the user's has kept a message from the agent: that of the turn, or a steer."""
        message = next((each for each, over in self._read.items() if over), None)
        if message is not None:
            del self._read[message]
            yield e.Notice(level="warning", text=f"a hook has blocked a message: {why}")
            yield Dropped(message, BLOCKED)
        else:
            self._blocked = f"a hook has blocked the message: {why}"

    # Requests -----------------------------------------------------------------------------

    def request(self, frame: dict[str, Any]) -> Signal:
        """Translate a ``can_use_tool`` request, and keep its input for the reply."""
        body, request = frame["request"], frame["request_id"]
        # A copy: what a reader does to the event must not change the input that is allowed.
        self.inputs[request] = copy.deepcopy(body["input"])
        call = body.get("tool_use_id") or ""
        parent = self._tools.get(call, ("", None))[1]
        if body["tool_name"] == "AskUserQuestion":
            return e.QuestionRequested(
                request=request,
                questions=questions(body["input"]["questions"], "multiSelect"),
                parent=parent,
            )
        return e.PermissionRequested(
            request=request,
            call=call,
            name=body["tool_name"],
            input=body["input"],
            reason=str(body.get("decision_reason") or ""),
            parent=parent,
        )

    def _withdrawn(self, frame: dict[str, Any]) -> Iterator[Signal]:
        self.inputs.pop(frame["request_id"], None)
        yield Withdrawn(frame["request_id"])

    def _mirror(self, frame: dict[str, Any]) -> Iterator[Signal]:
        """What the program has added to a file of the conversation, where it was told to say so."""
        yield from told(frame)

    def _nothing(self, frame: dict[str, Any]) -> Iterator[Signal]:
        del frame
        yield from ()

    _HANDLERS: Mapping[str, Callable[[FrameTranslator, dict[str, Any]], Iterable[Signal]]] = {
        "stream_event": _stream,
        "assistant": _assistant,
        "user": _user,
        "command_lifecycle": _lifecycle,
        "result": _result,
        "rate_limit_event": _rate_limit,
        "system": _system,
        "control_cancel_request": _withdrawn,
        "transcript_mirror": _mirror,
        "keep_alive": _nothing,
    }


def _is_main(frame: Mapping[str, Any]) -> bool:
    """Tell whether a frame shows that the main conversation goes on."""
    if frame.get("type") == "system":
        return frame.get("subtype") == "status"
    return frame.get("type") in _GOES_ON and frame.get("parent_tool_use_id") is None
