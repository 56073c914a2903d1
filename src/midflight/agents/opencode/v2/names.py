"""What the API of OpenCode 2 calls things: one table for its preview and for stable 2.x.

The preview is npm ``@opencode-ai/cli-linux-x64`` 1.18.18, whose program is ``lildax``: its names
were measured. Those of stable 2.x were read in its source text and not run. Names of events do not
collide, so one list serves both, names that were used in between included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

EVENTS: Mapping[str, str] = {
    "session.created": "created",
    "session.next.prompted": "delivered",
    "session.prompt.promoted": "delivered",
    "session.input.promoted": "delivered",
    "session.inbox.delivered": "delivered",
    "session.execution.started": "execution.started",
    "session.execution.succeeded": "execution.succeeded",
    "session.execution.failed": "execution.failed",
    "session.execution.interrupted": "execution.interrupted",
    **{
        f"session.{infix}{name}": name
        for infix in ("next.", "")
        for name in (
            *("step.started", "step.ended", "step.failed"),
            *("text.delta", "text.ended", "reasoning.delta", "reasoning.ended"),
            *("tool.input.started", "tool.called", "tool.progress", "tool.success", "tool.failed"),
        )
    },
    "session.next.retried": "retry",
    "session.retry.scheduled": "retry",
    "permission.v2.asked": "permission.asked",
    "permission.asked": "permission.asked",
    "permission.v2.replied": "request.ended",
    "permission.replied": "request.ended",
    "question.v2.asked": "question.asked",
    "question.v2.replied": "request.ended",
    "question.v2.rejected": "request.ended",
    "form.created": "form.asked",
    "form.replied": "request.ended",
    "form.cancelled": "request.ended",
    "todo.updated": "todos",
}
"""The server's names of events, and ours."""

SILENT = (
    *("session.next.", "session.agent.", "session.model.", "session.instructions."),
    *("session.text.", "session.reasoning.", "session.tool.", "session.shell.", "session.revert."),
    *("session.compaction.", "session.inbox.", "session.input.", "session.prompt."),
    *("session.usage.", "session.skill.", "session.synthetic", "session.renamed"),
    *("session.updated", "session.deleted", "session.moved", "session.forked", "session.diff"),
    *("server.", "plugin.", "catalog.", "integration.", "reference.", "project.", "pty."),
    *("file.", "filesystem.", "config.", "models-dev.", "lsp.", "mcp.", "vcs.", "installation."),
    *("command.", "skill.", "agent.", "provider.", "model.", "credential.", "workspace."),
    *("worktree.", "shell.", "log."),
)
"""How events begin that a reader does not need; what matters in them comes in others."""


class Names(NamedTuple):
    """How one generation of the API is spoken to.

    health: where a server tells of itself. log: a session's numbered events, as a path in which
    ``{}`` is the session. command_tool, subagent_tool: what it calls the two. inbox: prompts that
    were not delivered can be listed, taken back and made a steer. executions: it reports the end of
    each run, else only its list of active sessions tells. session_rules: a session can have
    permission rules of its own. settle_s: how long after an unclear end it is asked for its state.
    """

    health: str
    log: str
    command_tool: str
    subagent_tool: str
    inbox: bool
    executions: bool
    session_rules: bool
    settle_s: float

    def prompt(self, known: str, text: str, delivery: str) -> dict[str, Any]:
        """Return the body of a prompt."""
        content = {"text": text} if self.inbox else {"prompt": {"text": text}}
        return {"id": known, "delivery": delivery, **content}

    def own(self, tool: str) -> str:
        """Return the server's name for a tool or permission, by version 1's name."""
        return {"bash": self.command_tool, "task": self.subagent_tool}.get(tool, tool)


PREVIEW = Names(
    health="/api/health",
    log="/api/session/{}/history",
    command_tool="bash",
    subagent_tool="task",
    inbox=False,
    executions=False,
    session_rules=False,
    settle_s=0.05,
)

STABLE = Names(
    health="/api/info",
    log="/api/experimental/session/{}/log",
    command_tool="shell",
    subagent_tool="subagent",
    inbox=True,
    executions=True,
    session_rules=True,
    settle_s=0.3,
)

V1_TOOLS: Mapping[str, str] = {"shell": "bash", "subagent": "task", "patch": "apply_patch"}
"""Version 1's names of tools and permissions that 2.x has renamed."""


def in_v1(name: str) -> str:
    """Return version 1's name of a tool or permission, in which the rules are written."""
    return V1_TOOLS.get(name, name)


def field(data: Mapping[str, Any], *names: str) -> str:
    """Return the first of these fields that is there: it has had several names."""
    return next((str(data[name]) for name in names if data.get(name) is not None), "")


def call_of(data: Mapping[str, Any]) -> str:
    """Return the model's id for a call."""
    return field(data, "callID", "id")


def part_of(data: Mapping[str, Any]) -> str:
    """Return a part's id: its own in the preview, its number in stable 2.x."""
    return field(data, "textID", "reasoningID", "ordinal")
