"""Claude Code's frames, translated into midflight's words.

A frame is one line of the CLI's ``stream-json`` output. What each means was measured; see
docs/design/claude-driver.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from midflight import events as e
from midflight.agents.base import (
    Dropped,
    Idle,
    Signal,
    Step,
    Taken,
    Unrecoverable,
    Withdrawn,
    Woke,
)
from midflight.agents.claude_results import finished
from midflight.values import Kind, PlanEntry, Question, QuestionOption, TokenUsage

__all__ = ["Translator"]

OUTPUT_CHARS = 10_000
"""How much of a tool's output an event carries."""

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("Read", "NotebookRead", "LS"), "read"),
    **dict.fromkeys(("Write", "Edit", "MultiEdit", "NotebookEdit"), "edit"),
    **dict.fromkeys(("Bash", "BashOutput", "KillShell"), "execute"),
    **dict.fromkeys(("Glob", "Grep", "WebSearch", "ToolSearch"), "search"),
    "WebFetch": "fetch",
}
_TITLES = ("command", "file_path", "notebook_path", "pattern", "url", "query", "description")
_TASK_STATUS = {"completed": "completed", "failed": "failed"}
_UNREAD = {"cancelled": "", "discarded": "agent_error", "refused": "agent_error"}
_SILENT_SYSTEM = frozenset(
    {"status", "task_updated", "task_progress", "task_started", "hook_started", "hook_response"}
)
"""System frames that say nothing a reader needs; what matters in them comes by other frames."""


class Translator:
    """Turns frames into signals; remembers only what a later frame refers to."""

    def __init__(self, message_of: Callable[[str], str | None], cwd: str) -> None:
        """``message_of`` gives the message's id for the uuid under which the CLI knows it."""
        self._message_of = message_of
        self._cwd = cwd
        self._tools: dict[str, str] = {}
        self._tasks: set[str] = set()
        self._in_turn = False
        self._model = ""
        self._tokens = TokenUsage()
        self._counted: set[str] = set()
        self.questions: dict[str, dict[str, Any]] = {}
        self.inputs: dict[str, dict[str, Any]] = {}

    def __call__(self, frame: dict[str, Any]) -> Iterator[Signal]:
        """Yield what a frame means; a frame of an unknown or broken form comes as `Raw`."""
        handler = self._HANDLERS.get(str(frame.get("type")))
        if handler is None:
            yield e.Raw(data=frame)
            return
        try:
            yield from handler(self, frame)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            yield e.Raw(data=frame)

    # Streaming ----------------------------------------------------------------------------

    def _stream(self, frame: dict[str, Any]) -> Iterator[Signal]:
        event = frame["event"]
        kind = event["type"]
        if kind == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                yield e.TextDelta(text=delta["text"], parent=frame.get("parent_tool_use_id"))
            elif delta["type"] == "thinking_delta":
                parent = frame.get("parent_tool_use_id")
                yield e.ThinkingDelta(text=delta["thinking"], parent=parent)
        elif kind == "message_start":
            self._model = event["message"]["model"]
            self._tokens = _tokens(event["message"].get("usage"))
        elif kind == "message_delta" and frame.get("parent_tool_use_id") is None:
            told = _tokens(event.get("usage"))
            names = TokenUsage.__struct_fields__
            most = {name: max(getattr(told, name), getattr(self._tokens, name)) for name in names}
            self._tokens = TokenUsage(**most)
        elif kind == "message_stop" and frame.get("parent_tool_use_id") is None:
            yield Step(model=self._model, tokens=self._tokens)

    # Whole messages -----------------------------------------------------------------------

    def _assistant(self, frame: dict[str, Any]) -> Iterator[Signal]:
        message, parent = frame["message"], frame.get("parent_tool_use_id")
        if frame.get("error"):
            return
        if parent is not None and message["id"] not in self._counted:
            self._counted.add(message["id"])
            yield Step(model=message["model"], tokens=_tokens(message.get("usage")), main=False)
        for block in message["content"]:
            match block["type"]:
                case "text":
                    yield e.Text(text=block["text"], parent=parent)
                case "thinking":
                    yield e.Thinking(text=block["thinking"], parent=parent)
                case "tool_use" | "server_tool_use" | "mcp_tool_use":
                    yield from self._tool(block, parent)

    def _tool(self, block: dict[str, Any], parent: str | None) -> Iterator[Signal]:
        name, given = block["name"], block["input"]
        self._tools[block["id"]] = name
        yield e.ToolStarted(
            call=block["id"],
            name=name,
            kind=_KINDS.get(name, "other"),
            title=_title(given),
            input=given,
            parent=parent,
        )
        if name == "TodoWrite":
            yield e.Plan(
                entries=tuple(
                    PlanEntry(text=todo["content"], status=todo["status"])
                    for todo in given["todos"]
                ),
                parent=parent,
            )

    def _user(self, frame: dict[str, Any]) -> Iterator[Signal]:
        content = frame["message"]["content"]
        for block in content if isinstance(content, list) else []:
            if block["type"] != "tool_result":
                continue
            call = block["tool_use_id"]
            yield e.ToolEnded(
                call=call,
                name=self._tools.pop(call, ""),
                status="failed" if block.get("is_error") else "completed",
                output=_output(block.get("content")),
                parent=frame.get("parent_tool_use_id"),
            )

    # The course of the conversation -------------------------------------------------------

    def _lifecycle(self, frame: dict[str, Any]) -> Iterator[Signal]:
        message, state = self._message_of(frame["command_uuid"]), frame["state"]
        if message is None:
            return
        if state == "started":
            self._in_turn = True
            yield Taken(message)
        elif state in _UNREAD:
            yield Dropped(message, _UNREAD[state])

    def _result(self, frame: dict[str, Any]) -> Iterator[Signal]:
        self._in_turn = False
        uuids = frame.get("user_message_uuids") or ()
        messages = (self._message_of(each) for each in uuids)
        yield finished(frame, tuple(message for message in messages if message))

    def _system(self, frame: dict[str, Any]) -> Iterator[Signal]:
        subtype = frame.get("subtype")
        if subtype == "init":
            yield self._init(frame)
            if not self._in_turn:
                self._in_turn = True
                yield Woke()
        elif subtype == "api_retry":
            yield from _retry(frame)
        elif subtype == "background_tasks_changed":
            yield from self._background(frame["tasks"])
        elif subtype == "task_notification":
            yield from self._task_end(frame["task_id"], frame["status"])
        elif subtype == "session_state_changed":
            if frame["state"] == "idle":
                yield Idle()
        elif subtype == "permission_denied":
            yield e.Notice(level="warning", text=f"{frame.get('tool_name', 'a tool')} was denied")
        elif subtype not in _SILENT_SYSTEM:
            yield e.Raw(data=frame)

    def _init(self, frame: dict[str, Any]) -> Signal:
        problems = [
            f"plugin {problem.get('path', '')}: {problem.get('type', 'error')}"
            for problem in frame.get("plugin_errors") or ()
        ]
        problems += [
            f"MCP server {server['name']}: {server['status']}"
            for server in frame.get("mcp_servers") or ()
            if server["status"] not in ("connected", "pending")
        ]
        return e.SessionStarted(
            agent="claude",
            agent_version=frame.get("claude_code_version", ""),
            agent_session=frame["session_id"],
            model=frame["model"],
            cwd=frame.get("cwd", self._cwd),
            tools=tuple(frame.get("tools") or ()),
            skills=tuple(frame.get("skills") or ()),
            problems=tuple(problems),
        )

    def _background(self, tasks: list[dict[str, Any]]) -> Iterator[Signal]:
        alive = {task["task_id"]: task.get("description", "") for task in tasks}
        for task, title in alive.items():
            if task not in self._tasks:
                self._tasks.add(task)
                yield e.TaskStarted(task=task, title=title)
        for task in sorted(self._tasks - set(alive)):
            yield from self._task_end(task, "completed")

    def _task_end(self, task: str, status: str) -> Iterator[Signal]:
        if task in self._tasks:
            self._tasks.discard(task)
            yield e.TaskEnded(task=task, status=_TASK_STATUS.get(status, "cancelled"))

    # Requests -----------------------------------------------------------------------------

    def request(self, frame: dict[str, Any]) -> Signal:
        """Translate a ``can_use_tool`` request, and keep its input for the reply."""
        body, request = frame["request"], frame["request_id"]
        self.inputs[request] = body["input"]
        parent = None
        if body["tool_name"] == "AskUserQuestion":
            return e.QuestionRequested(
                request=request, questions=_questions(body["input"]), parent=parent
            )
        return e.PermissionRequested(
            request=request,
            call=body.get("tool_use_id") or "",
            name=body["tool_name"],
            input=body["input"],
            reason=str(body.get("decision_reason") or ""),
            parent=parent,
        )

    def _withdrawn(self, frame: dict[str, Any]) -> Iterator[Signal]:
        self.inputs.pop(frame["request_id"], None)
        yield Withdrawn(frame["request_id"])

    def _nothing(self, frame: dict[str, Any]) -> Iterator[Signal]:
        del frame
        yield from ()

    _HANDLERS: Mapping[str, Callable[[Translator, dict[str, Any]], Iterator[Signal]]] = {
        "stream_event": _stream,
        "assistant": _assistant,
        "user": _user,
        "command_lifecycle": _lifecycle,
        "result": _result,
        "system": _system,
        "control_cancel_request": _withdrawn,
        "keep_alive": _nothing,
    }


def _retry(frame: dict[str, Any]) -> Iterator[Signal]:
    error = str(frame.get("error") or "unknown")
    yield e.Retry(
        attempt=int(frame["attempt"]),
        delay_s=float(frame["retry_delay_ms"]) / 1000,
        status=frame.get("error_status"),
        error=error,
    )
    if error == "authentication_failed":
        # The CLI would go on for ten attempts and some minutes with a key that is wrong.
        yield Unrecoverable("auth", "the model's service does not accept the key or login")


def _tokens(usage: dict[str, Any] | None) -> TokenUsage:
    usage = usage or {}
    return TokenUsage(
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
        cache_write_tokens=int(usage.get("cache_creation_input_tokens") or 0),
    )


def _title(given: dict[str, Any]) -> str:
    """Return the most telling input of a tool, as one line."""
    for name in _TITLES:
        if isinstance(given.get(name), str):
            return " ".join(given[name].split())[:200]
    return ""


def _output(content: object) -> str:
    if isinstance(content, list):
        content = "\n".join(
            str(part.get("text", f"[{part.get('type')}]")) for part in content if part
        )
    return str(content or "")[:OUTPUT_CHARS]


def _questions(given: dict[str, Any]) -> tuple[Question, ...]:
    return tuple(
        Question(
            question=question["question"],
            header=question.get("header", ""),
            multiple=bool(question.get("multiSelect")),
            options=tuple(
                QuestionOption(label=option["label"], description=option.get("description", ""))
                for option in question.get("options", ())
            ),
        )
        for question in given["questions"]
    )
