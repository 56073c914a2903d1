"""The tools as a model reads them: what each takes, what it gives back, when to use it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import mcp_types as types
import msgspec
from msgspec import Meta

from midflight.agents import NAMES
from midflight.commands import MAX_TEXT_BYTES
from midflight.mcp.report import Changes, Listing, Page, Report, Reports

__all__ = [
    "Answer",
    "Diff",
    "Dispatch",
    "Interrupt",
    "Read",
    "Redirect",
    "Send",
    "Sessions",
    "Stop",
    "Wait",
    "definitions",
]

MAX_WAIT_S = 600
MAX_PAGE = 20_000
MAX_SESSIONS = 16

_Session = Annotated[
    str,
    Meta(
        max_length=200,
        description="Name of the session, or how it begins. Left out: the one you used last.",
    ),
]
_Text = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_TEXT_BYTES // 4, description="What the agent is told."),
]
_Agent = Annotated[
    str,
    Meta(
        max_length=200,
        description="Left out: the usual one. Known: "
        + ", ".join(name for name in NAMES if name != "fake"),
    ),
]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tool takes."""


class Dispatch(Arguments, frozen=True, kw_only=True):
    """What `dispatch` takes."""

    task: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_TEXT_BYTES // 4,
            description="The whole task: the agent knows nothing of this conversation.",
        ),
    ]
    name: Annotated[
        str,
        Meta(max_length=60, description="Short name to call it by. Left out: made from the task."),
    ] = ""
    agent: _Agent = ""
    model: Annotated[
        str, Meta(max_length=200, description="Model, as the agent names it. Left out: its own.")
    ] = ""
    cwd: Annotated[
        str, Meta(max_length=4096, description="Folder to work in. Left out: this server's.")
    ] = ""
    permission_mode: Annotated[
        Literal["default", "acceptEdits", "plan", "dontAsk"],
        Meta(
            description="default asks before commands and changes; acceptEdits asks only for"
            " commands; plan changes nothing; dontAsk denies what it would ask."
        ),
    ] = "default"
    allowed_tools: Annotated[
        list[str],
        Meta(max_length=50, description='Tools that run without asking, such as "Edit".'),
    ] = []
    max_turns: Annotated[
        int, Meta(ge=0, le=10_000, description="Model calls per turn, at most. 0: no limit.")
    ] = 0
    max_budget_usd: Annotated[
        float, Meta(ge=0, le=10_000, description="US dollars for the session. 0: no limit.")
    ] = 0


class Send(Arguments, frozen=True, kw_only=True):
    """What `send` takes."""

    text: _Text
    session: _Session = ""
    delivery: Annotated[
        Literal["steer", "queue"],
        Meta(
            description="steer: read at the agent's next step. queue: a turn of its own after this."
        ),
    ] = "steer"


class Redirect(Arguments, frozen=True, kw_only=True):
    """What `redirect` takes."""

    text: _Text
    session: _Session = ""
    drop_queued: Annotated[bool, Meta(description="Also cancel what is queued.")] = False


class Interrupt(Arguments, frozen=True, kw_only=True):
    """What `interrupt` takes."""

    session: _Session = ""
    keep_queued: Annotated[bool, Meta(description="Keep what is queued; it runs next.")] = False


class Answer(Arguments, frozen=True, kw_only=True):
    """What `answer` takes."""

    session: _Session = ""
    request: Annotated[
        str,
        Meta(max_length=20, description="Which request, such as r1. Left out: the only one."),
    ] = ""
    decision: Annotated[
        Literal["allow", "deny"], Meta(description="For a permission, or deny for a question.")
    ] = "allow"
    answers: Annotated[
        list[str],
        Meta(max_length=10, description="For a question: an option or text for each, in order."),
    ] = []
    reason: Annotated[
        str, Meta(max_length=10_000, description="With deny: what the agent is told.")
    ] = ""


class Wait(Arguments, frozen=True, kw_only=True):
    """What `wait` takes."""

    sessions: Annotated[
        list[_Session],
        Meta(
            max_length=MAX_SESSIONS,
            description="Until the first of these. Left out: the one you used last.",
        ),
    ] = []
    timeout_s: Annotated[
        float, Meta(ge=0, le=MAX_WAIT_S, description="Seconds to wait at most. 0: only look.")
    ] = 60


class Sessions(Arguments, frozen=True, kw_only=True):
    """What `sessions` takes."""

    status: Annotated[
        Literal["", "starting", "running", "waiting", "idle", "closed"],
        Meta(description="Only these. waiting: for an answer."),
    ] = ""
    cwd: Annotated[str, Meta(max_length=4096, description="Only sessions of this folder.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="The newest so many.")] = 20


class Read(Arguments, frozen=True, kw_only=True):
    """What `read` takes."""

    session: _Session = ""
    turn: Annotated[int, Meta(ge=0, description="Which turn. 0: the newest.")] = 0
    offset: Annotated[int, Meta(ge=0, description="Where to read on: next_offset.")] = 0
    max_chars: Annotated[int, Meta(ge=200, le=MAX_PAGE, description="How much at most.")] = 4000


class Diff(Arguments, frozen=True, kw_only=True):
    """What `diff` takes."""

    session: _Session = ""
    paths: Annotated[
        list[str], Meta(max_length=100, description="Only these files or folders.")
    ] = []
    max_chars: Annotated[int, Meta(ge=200, le=MAX_PAGE, description="How much at most.")] = 6000


class Stop(Arguments, frozen=True, kw_only=True):
    """What `stop` takes."""

    session: _Session = ""


def _inlined(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema of a struct, with the object itself at the top."""
    (_,), components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components.pop(kind.__name__)
    schema.pop("title", None)
    schema.pop("description", None)
    return {**schema, "$defs": components} if components else schema


def _tool(
    takes: type[Arguments],
    gives: type[msgspec.Struct],
    title: str,
    description: str,
    *,
    reads: bool = False,
    destroys: bool = False,
    again: bool = False,
) -> types.Tool:
    return types.Tool(
        name=takes.__name__.lower(),
        title=title,
        description=description,
        input_schema=_inlined(takes),
        output_schema=_inlined(gives),
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
            Dispatch,
            Report,
            "Dispatch a coding agent",
            "Start another coding agent on a task, in the background, and return at once. Give it"
            " everything it has to know. Then use wait; it may ask for permissions meanwhile.",
            destroys=True,
        ),
        _tool(
            Send,
            Report,
            "Send a message",
            "Tell an agent something more. While it works, it reads it at its next step (steer), or"
            " afterwards (queue). When it is idle or at rest, it starts to work. For a change of"
            " course, use redirect. Then use wait.",
            destroys=True,
        ),
        _tool(
            Redirect,
            Report,
            "Redirect",
            "Stop what an agent does, with its running commands, and have it do this instead, in"
            " the same conversation. Use it when the agent is on the wrong way. Then use wait.",
            destroys=True,
        ),
        _tool(
            Interrupt,
            Report,
            "Interrupt",
            "Stop what an agent does now. The session stays: send goes on with it.",
            destroys=True,
            again=True,
        ),
        _tool(
            Answer,
            Report,
            "Answer a request",
            "Answer what an agent asks: allow or deny a permission, or choose for a question. Use"
            " it only for what the user wants; when in doubt, ask the user. Then use wait.",
            destroys=True,
        ),
        _tool(
            Wait,
            Reports,
            "Wait",
            "Wait until an agent is done, asks something, or the time is over, and return what is"
            " new since you looked last. Status running after that: wait again. It changes nothing,"
            " and ending it early does neither.",
            reads=True,
        ),
        _tool(
            Sessions,
            Listing,
            "List sessions",
            "List the sessions on this machine, the newest first: name, status, cost.",
            reads=True,
        ),
        _tool(
            Read,
            Page,
            "Read a turn",
            "Read what an agent said and did in one turn, in pages. Use it when what wait returned"
            " was cut, or for an earlier turn.",
            reads=True,
        ),
        _tool(
            Diff,
            Changes,
            "Show changes",
            "Show what has changed in the files of a session's folder since it began, as git sees"
            " it: commits, changes and new files, whoever made them.",
            reads=True,
        ),
        _tool(
            Stop,
            Report,
            "Stop a session",
            "End a session, its agent and its commands. What is queued is cancelled. Use it when"
            " the work is done or given up. A later send takes it up again.",
            destroys=True,
            again=True,
        ),
    ]
    return [tool for tool in tools if may_answer or tool.name != "answer"]
