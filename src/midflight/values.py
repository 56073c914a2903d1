"""The plain values in events and options: results, questions, token counts, limits."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

__all__ = [
    "CHANGEABLE",
    "LIMIT_REASONS",
    "Amount",
    "Count",
    "Decision",
    "Delivery",
    "Denial",
    "Door",
    "HostLostChoice",
    "Kind",
    "Level",
    "Limits",
    "Origin",
    "PermissionMode",
    "PlanEntry",
    "Question",
    "QuestionOption",
    "Resolver",
    "Result",
    "Role",
    "RunState",
    "SessionStatus",
    "Spent",
    "Status",
    "Support",
    "TokenUsage",
    "ToolStatus",
    "UsageLimitChoice",
    "Who",
]

PermissionMode = Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]
UsageLimitChoice = Literal["wait", "fail"]
HostLostChoice = Literal["rest", "resume"]

# What events and objects say in one of a few words. A reader takes any word: a host may be of a
# newer midflight, and knows more of them.
if TYPE_CHECKING:
    Delivery = Literal["steer", "queue", "now"]
    Status = Literal["completed", "interrupted", "limit", "failed"]
    Kind = Literal["read", "edit", "execute", "search", "fetch", "other"]
    ToolStatus = Literal["completed", "failed", "denied", "cancelled"]
    Decision = Literal["allow", "deny", "cancelled"]
    Resolver = Literal["user", "policy", "rule", "deadline", "turn"]
    Origin = Literal["message", "background"]
    SessionStatus = Literal["starting", "running", "waiting", "idle", "closed"]
    Level = Literal["info", "warning", "error"]
    Door = Literal["terminal", "command", "page", "json", "mcp", "library", "schedule"]
    Role = Literal["user", "program", "agent"]
    RunState = Literal["starting", "begun", "failed", "missed", "skipped"]
    Support = Literal["supported", "emulated", "estimated", "not"]
    """Whether the agent supports a capability itself, midflight emulates it, or neither.

    ``estimated`` is of the money alone: the agent tells tokens, and they are priced from a list.
    """
else:
    Delivery = Status = Kind = ToolStatus = Decision = Resolver = Origin = SessionStatus = str
    Level = Door = Role = RunState = Support = str

STATUSES = ("starting", "running", "waiting", "idle", "closed")
"""What `SessionStatus` can be."""

RUN_STATES = ("starting", "begun", "failed", "missed", "skipped")
"""What `RunState` can be."""

LIMIT_REASONS = frozenset({"max_turns", "max_budget", "timeout", "stalled", "usage_limit"})
"""The reasons with which a message or a turn ends with the status ``limit``."""

CHANGEABLE = ("max_turns", "max_budget_usd", "timeout")
"""The limits that can be changed while a session lives."""

Count = Annotated[int, msgspec.Meta(ge=1)]
Amount = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]
Spent = Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a session and their defaults; what each means stands in `Options`."""

    max_turns: Count | None = None
    max_budget_usd: Amount | None = None
    timeout: Amount | None = None
    stall_timeout: Amount | None = None
    request_timeout: Amount = 600.0
    on_usage_limit: UsageLimitChoice | None = None
    max_wait: Amount = 6 * 3600.0
    background_timeout: Amount | None = None
    max_depth: Count | None = None
    max_children: Count | None = None

    def in_force(self) -> dict[str, Any]:
        """Return those of a session's turns that are set, as lists show them."""
        shown = {name: getattr(self, name) for name in (*CHANGEABLE, "stall_timeout")}
        return {name: value for name, value in shown.items() if value is not None}


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one or more model calls, as the model's provider counts them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        """Add two counts field by field."""
        return TokenUsage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
        )


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that was not allowed: the call's id, the tool's name, and why."""

    call: str
    name: str
    reason: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a turn ended, or a message that never got one.

    ``status`` is ``completed``, ``interrupted``, ``limit`` or ``failed``; ``reason`` says more.
    ``text`` is the agent's last text, or the detail of a failure. ``cost_usd`` is this turn's,
    ``total_cost_usd`` the session's so far, in US dollars; null where it is not known: the agent
    tells neither money nor the tokens of a model with a list price. A total with such a part is
    null too. ``steps`` counts model calls.
    ``messages`` are the ids of the messages that the turn has read.
    """

    status: Status
    reason: str
    text: str = ""
    cost_usd: float | None = 0.0
    total_cost_usd: float | None = 0.0
    usage: TokenUsage = TokenUsage()
    steps: int = 0
    duration_s: float = 0.0
    messages: tuple[str, ...] = ()
    denials: tuple[Denial, ...] = ()


class PlanEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the agent's plan; ``status`` is pending, in_progress or completed."""

    text: str
    status: str


class QuestionOption(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers that a question offers."""

    label: str
    description: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question with its options; ``multiple`` says that several may be chosen."""

    question: str
    header: str = ""
    multiple: bool = False
    options: tuple[QuestionOption, ...] = ()


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who has sent a message or given an answer.

    ``role`` is ``user`` (at a terminal, on the page or by a command), ``program``, or ``agent``: a
    program that an agent has started, with the id of its ``session``, empty if that is not known.
    ``door`` is how it came: ``terminal``, ``command`` (the command line), ``page``, ``json``
    (``--json``, HTTP), ``mcp``, ``library`` or ``schedule``. ``terminal`` is the device file of the
    user's terminal, empty where there is none, and ``device`` the name of the machine, or of the
    device that the page is used on. ``person`` is the role by which the database knows whoever has
    sent it from another machine; empty for what came without one.
    """

    role: Role
    door: Door
    terminal: str = ""
    device: str = ""
    session: str = ""
    person: str = ""
