"""Dispatch a coding agent, watch it work, and change its course while it runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midflight.api import dispatch, open, run
    from midflight.client.client import Client, RemoteSession, connect
    from midflight.commands import Answer
    from midflight.errors import (
        AgentFailed,
        AgentUnavailable,
        AlreadyAnswered,
        Conflict,
        EventsExpired,
        HostGone,
        InvalidInput,
        InvalidOption,
        LeaseHeld,
        LeaseLost,
        MidflightError,
        NotAllowed,
        NotFound,
        SessionClosed,
        StoreFailed,
        StoreRefused,
        UnsupportedOption,
    )
    from midflight.events import (
        Event,
        MessageAccepted,
        MessageAnswered,
        MessageCancelled,
        MessageChanged,
        MessageFailed,
        MessageStarted,
        MessageSteered,
        Notice,
        PermissionRequested,
        PermissionResolved,
        Plan,
        QuestionRequested,
        QuestionResolved,
        Raw,
        Retry,
        SessionCharged,
        SessionEnded,
        SessionResumed,
        SessionStarted,
        Stalled,
        TaskEnded,
        TaskStarted,
        Text,
        TextDelta,
        Thinking,
        ThinkingDelta,
        ToolEnded,
        ToolProgress,
        ToolStarted,
        TurnEnded,
        TurnStarted,
        Usage,
        UsageLimitReached,
    )
    from midflight.host import Host
    from midflight.info import SessionInfo
    from midflight.options import Options
    from midflight.session.message import Message
    from midflight.session.session import Session
    from midflight.values import Denial, PlanEntry, Question, QuestionOption, Result, TokenUsage

__all__ = [
    "AgentFailed",
    "AgentUnavailable",
    "AlreadyAnswered",
    "Answer",
    "Client",
    "Conflict",
    "Denial",
    "Event",
    "EventsExpired",
    "Host",
    "HostGone",
    "InvalidInput",
    "InvalidOption",
    "LeaseHeld",
    "LeaseLost",
    "Message",
    "MessageAccepted",
    "MessageAnswered",
    "MessageCancelled",
    "MessageChanged",
    "MessageFailed",
    "MessageStarted",
    "MessageSteered",
    "MidflightError",
    "NotAllowed",
    "NotFound",
    "Notice",
    "Options",
    "PermissionRequested",
    "PermissionResolved",
    "Plan",
    "PlanEntry",
    "Question",
    "QuestionOption",
    "QuestionRequested",
    "QuestionResolved",
    "Raw",
    "RemoteSession",
    "Result",
    "Retry",
    "Session",
    "SessionCharged",
    "SessionClosed",
    "SessionEnded",
    "SessionInfo",
    "SessionResumed",
    "SessionStarted",
    "Stalled",
    "StoreFailed",
    "StoreRefused",
    "TaskEnded",
    "TaskStarted",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "TokenUsage",
    "ToolEnded",
    "ToolProgress",
    "ToolStarted",
    "TurnEnded",
    "TurnStarted",
    "UnsupportedOption",
    "Usage",
    "UsageLimitReached",
    "connect",
    "dispatch",
    "open",
    "run",
]

_MODULES = (
    *("errors", "values", "events", "commands", "options", "session", "api", "info"),
    *("client", "host"),  # which are slow to load, and needed by few
)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import what is asked for when it is asked for; the command line's help needs little."""
        if name in _MODULES:
            return importlib.import_module(f"midflight.{name}")
        if name in __all__:
            for module in _MODULES:
                home = importlib.import_module(f"midflight.{module}")
                if name in home.__all__:
                    return globals().setdefault(name, getattr(home, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return list(__all__)
