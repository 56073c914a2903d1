"""What each tool takes, as a model reads it and as it is checked."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from midflight.agents import OFFERED
from midflight.commands import MAX_TEXT_BYTES

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
        description="Left out: the usual one. Known: " + ", ".join(OFFERED),
    ),
]


Status = Literal["starting", "running", "waiting", "idle", "closed"]
"""The statuses of a session, as the schemas of the tools list them."""


class ToolArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tool takes."""


class DispatchArgs(ToolArgs, frozen=True, kw_only=True):
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
    worktree: Annotated[
        bool | None,
        Meta(
            description="Give it a git worktree and branch of its own, made from the last commit;"
            " merge it with worktree when done. Left out: as the user has set it, false if not."
        ),
    ] = None
    on: Annotated[
        str,
        Meta(
            max_length=64,
            description="Label of the workers that may run it, where the user has some: it waits"
            " for one of them, on another machine. Left out: it runs on this machine.",
        ),
    ] = ""
    repo: Annotated[
        str,
        Meta(
            max_length=4096,
            description="With on: the repository that it works in a checkout of, as a folder of"
            " this machine or an address. Its folder of work there is then cwd, within it, for an"
            " address only. Left out, and cwd too: that of this server's folder, if it has one.",
        ),
    ] = ""
    ref: Annotated[
        str,
        Meta(max_length=200, description="With repo: branch, tag or commit to begin with."),
    ] = ""
    with_changes: Annotated[
        bool,
        Meta(description="With on: take along what is changed in the folder and not committed."),
    ] = False
    permission_mode: Annotated[
        Literal["", "default", "acceptEdits", "plan", "dontAsk"],
        Meta(
            description="default asks before commands and changes; acceptEdits asks only for"
            " commands; plan changes nothing; dontAsk denies what it would ask. Left out: default,"
            " or your own where that is narrower."
        ),
    ] = ""
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


class SendArgs(ToolArgs, frozen=True, kw_only=True):
    """What `send` takes."""

    text: _Text
    session: _Session = ""
    delivery: Annotated[
        Literal["steer", "queue"],
        Meta(
            description="steer: read at the agent's next step. queue: a turn of its own after this."
        ),
    ] = "steer"


class RedirectArgs(ToolArgs, frozen=True, kw_only=True):
    """What `redirect` takes."""

    text: _Text
    session: _Session = ""
    drop_queued: Annotated[bool, Meta(description="Also cancel what is queued.")] = False


class InterruptArgs(ToolArgs, frozen=True, kw_only=True):
    """What `interrupt` takes."""

    session: _Session = ""
    keep_queued: Annotated[bool, Meta(description="Keep what is queued; it runs next.")] = False


class AnswerArgs(ToolArgs, frozen=True, kw_only=True):
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


class WaitArgs(ToolArgs, frozen=True, kw_only=True):
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


class SessionsArgs(ToolArgs, frozen=True, kw_only=True):
    """What `sessions` takes."""

    status: Annotated[
        Literal["", Status],
        Meta(description="Only these. waiting: for an answer."),
    ] = ""
    cwd: Annotated[str, Meta(max_length=4096, description="Only sessions of this folder.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="The newest so many.")] = 20


class ReadArgs(ToolArgs, frozen=True, kw_only=True):
    """What `read` takes."""

    session: _Session = ""
    turn: Annotated[int, Meta(ge=0, description="Which turn. 0: the newest.")] = 0
    offset: Annotated[int, Meta(ge=0, description="Where to read on: next_offset.")] = 0
    max_chars: Annotated[int, Meta(ge=200, le=MAX_PAGE, description="How much at most.")] = 4000


class DiffArgs(ToolArgs, frozen=True, kw_only=True):
    """What `diff` takes."""

    session: _Session = ""
    paths: Annotated[
        list[str], Meta(max_length=100, description="Only these files or folders.")
    ] = []
    max_chars: Annotated[int, Meta(ge=200, le=MAX_PAGE, description="How much at most.")] = 6000


class WorktreeArgs(ToolArgs, frozen=True, kw_only=True):
    """What `worktree` takes."""

    action: Annotated[
        Literal["merge", "branch", "discard"],
        Meta(
            description="merge: into the branch it came from. branch: commit all of it to its"
            " branch, for a pull request. discard: throw it away; a snapshot is kept."
        ),
    ]
    session: _Session = ""


class StopArgs(ToolArgs, frozen=True, kw_only=True):
    """What `stop` takes."""

    session: _Session = ""
