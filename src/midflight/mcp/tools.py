"""The tools as a model reads them: what each returns, when to use it, what it may destroy."""

from __future__ import annotations

from typing import Any

import mcp_types as types
import msgspec

from midflight.mcp import arguments as t
from midflight.mcp.results import Changes, Listing, Page, Report, Reports, WorktreeResult


def _inlined(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema of a struct, with the object itself at the top."""
    (_,), components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components.pop(kind.__name__)
    schema.pop("title", None)
    schema.pop("description", None)
    return {**schema, "$defs": components} if components else schema


def _tool(
    name: str,
    takes: type[t.ToolArgs],
    returns: type[msgspec.Struct],
    title: str,
    description: str,
    *,
    reads: bool = False,
    destroys: bool = False,
    again: bool = False,
) -> types.Tool:
    return types.Tool(
        name=name,
        title=title,
        description=description,
        input_schema=_inlined(takes),
        output_schema=_inlined(returns),
        annotations=types.ToolAnnotations(
            read_only_hint=reads,
            destructive_hint=destroys,
            idempotent_hint=again or reads,
            open_world_hint=not reads,
        ),
    )


def definitions(*, may_answer: bool) -> list[types.Tool]:
    """Return the tools; one that could not answer anything has no `answer`."""
    tools = [
        _tool(
            "dispatch",
            t.DispatchArgs,
            Report,
            "Dispatch a coding agent",
            "Start another coding agent on a task, in the background, and return at once. Give it"
            " everything it has to know. Then use wait; it may ask for permissions meanwhile.",
            destroys=True,
        ),
        _tool(
            "send",
            t.SendArgs,
            Report,
            "Send a message",
            "Tell an agent something more. While it works, it reads it at its next step (steer), or"
            " afterwards (queue). When it is idle or at rest, it starts to work. For a change of"
            " course, use redirect. Then use wait.",
            destroys=True,
        ),
        _tool(
            "redirect",
            t.RedirectArgs,
            Report,
            "Redirect",
            "Stop what an agent does, with its running commands, and have it do this instead, in"
            " the same conversation. Use it when the agent is on the wrong way. Then use wait.",
            destroys=True,
        ),
        _tool(
            "interrupt",
            t.InterruptArgs,
            Report,
            "Interrupt",
            "Stop what an agent does now. The session stays: send resumes it.",
            destroys=True,
            again=True,
        ),
        _tool(
            "answer",
            t.AnswerArgs,
            Report,
            "Answer a request",
            "Answer what an agent asks: allow or deny a permission, or choose for a question. Use"
            " it only for what the user wants; when in doubt, ask the user. Then use wait.",
            destroys=True,
        ),
        _tool(
            "wait",
            t.WaitArgs,
            Reports,
            "Wait",
            "Wait until an agent is done, asks something, or the time is over, and return what is"
            " new since you looked last. Status running after that: wait again. It changes nothing,"
            " and ending it early does neither.",
            reads=True,
        ),
        _tool(
            "sessions",
            t.SessionsArgs,
            Listing,
            "List sessions",
            "List the sessions that there are, the newest first: name, status, cost.",
            reads=True,
        ),
        _tool(
            "read",
            t.ReadArgs,
            Page,
            "Read a turn",
            "Read what an agent said and did in one turn, in pages. Use it when what wait returned"
            " was cut, or for an earlier turn.",
            reads=True,
        ),
        _tool(
            "diff",
            t.DiffArgs,
            Changes,
            "Show changes",
            "Show what has changed in the files of a session's folder since it began, as git sees"
            " it: commits, changes and new files, whoever made them.",
            reads=True,
        ),
        _tool(
            "worktree",
            t.WorktreeArgs,
            WorktreeResult,
            "Take over a worktree",
            "Merge what a session has done in a worktree of its own, have its branch hold all of"
            " it, or throw it away. It has to be idle. Where a merge conflicts nothing is changed,"
            " and the session gets a message to resolve it: wait, then merge again.",
            destroys=True,
        ),
        _tool(
            "stop",
            t.StopArgs,
            Report,
            "Stop a session",
            "End a session, its agent and its commands. What is queued is cancelled. Use it when"
            " the work is done or given up. A later send takes it up again.",
            destroys=True,
            again=True,
        ),
    ]
    return [tool for tool in tools if may_answer or tool.name != "answer"]
