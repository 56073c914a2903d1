"""Claude Code's system frames: its introduction, retries, background tasks and notices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from midflight import events as e
from midflight.agents.base import Idle, ModeChanged, Preparing, Signal, Unrecoverable
from midflight.options import PERMISSION_MODES

_TASK_STATUS = {"completed": "completed", "failed": "failed"}
_SILENT = frozenset(
    {
        "model_refusal_no_fallback",
        "task_progress",
        "task_started",
        "task_updated",
    }
)
"""System frames with nothing that a reader needs; what matters in them comes in other frames."""


class SystemFrames:
    """Turns system frames into signals; remembers which background tasks live."""

    def __init__(self, skills: Iterable[str], problems: Collection[str]) -> None:
        """``skills`` are those requested; the CLI does not report one that it does not have.

        ``problems`` are others that it does not report; they may grow until it is up.
        """
        self._skills = tuple(skills)
        self._problems = problems
        self._tasks: set[str] = set()
        self._hooks: dict[str, str] = {}

    def __call__(self, frame: dict[str, Any]) -> Iterator[Signal]:
        """Return what a system frame means; one of an unknown kind comes as `Raw`."""
        subtype = frame.get("subtype")
        if subtype == "init":
            yield self._init(frame)
        elif subtype == "api_retry":
            yield from _retry(frame)
        elif subtype == "background_tasks_changed":
            yield from self._background(frame["tasks"])
        elif subtype == "task_notification":
            yield from self._task_end(frame["task_id"], frame["status"])
        elif subtype == "status":
            yield from _mode(frame.get("permissionMode"))
        elif subtype == "session_state_changed":
            if frame["state"] == "idle":
                yield Idle()
        elif subtype == "informational":
            yield e.Notice(level="info", text=str(frame["content"]))
        elif subtype in ("hook_started", "hook_response"):
            yield self._hook(frame, begins=subtype == "hook_started")
        elif subtype == "permission_denied":
            yield e.Notice(level="warning", text=f"{frame.get('tool_name', 'a tool')} was denied")
        elif subtype not in _SILENT:
            yield e.Raw(data=frame)

    def _init(self, frame: dict[str, Any]) -> Signal:
        problems = list(self._problems)
        problems += [
            f"plugin {problem.get('path', '')}: {problem.get('type', 'error')}"
            for problem in frame.get("plugin_errors") or ()
        ]
        problems += [
            f"MCP server {server['name']}: {server['status']}"
            for server in frame.get("mcp_servers") or ()
            if server["status"] not in ("connected", "pending")
        ]
        known = set(frame.get("skills") or ())
        problems += [f"skill {name}: not found" for name in self._skills if name not in known]
        return e.SessionStarted(
            agent="claude",
            agent_version=frame.get("claude_code_version", ""),
            agent_session=frame["session_id"],
            model=frame["model"],
            cwd=frame.get("cwd", ""),
            tools=tuple(frame.get("tools") or ()),
            skills=tuple(frame.get("skills") or ()),
            problems=tuple(problems),
        )

    def _hook(self, frame: dict[str, Any], *, begins: bool) -> Signal:
        """Tell which hooks run. The CLI tells of those that its start, or a resume, waits for."""
        if begins:
            self._hooks[frame["hook_id"]] = str(frame["hook_name"])
        else:
            self._hooks.pop(frame["hook_id"], None)
        names = sorted(set(self._hooks.values()))
        return Preparing("" if not names else f"its hook {', '.join(names)}")

    def _background(self, tasks: list[dict[str, Any]]) -> Iterator[Signal]:
        alive = {task["task_id"]: task.get("description", "") for task in tasks}
        for task, name in alive.items():
            if task not in self._tasks:
                self._tasks.add(task)
                yield e.TaskStarted(task=task, title=name)
        for task in sorted(self._tasks - set(alive)):
            yield from self._task_end(task, "completed")

    def _task_end(self, task: str, status: str) -> Iterator[Signal]:
        if task in self._tasks:
            self._tasks.discard(task)
            yield e.TaskEnded(task=task, status=_TASK_STATUS.get(status, "cancelled"))


def _mode(own: str | None) -> Iterator[Signal]:
    if own is not None:
        yield ModeChanged(own if own in PERMISSION_MODES else None, str(own))


def _retry(frame: dict[str, Any]) -> Iterator[Signal]:
    error, status = str(frame.get("error") or "unknown"), frame.get("error_status")
    if error == "unknown" and status is None:  # measured: nobody listens there, or it broke off
        error = "connection_lost"
    yield e.Retry(
        attempt=int(frame["attempt"]),
        delay_s=float(frame["retry_delay_ms"]) / 1000,
        status=status,
        error=error,
    )
    if error == "authentication_failed":
        # The CLI would try a wrong key ten times, for some minutes.
        yield Unrecoverable("auth", "the model's service does not accept the key or login")
