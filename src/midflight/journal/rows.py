"""What the journal tells about sessions, hosts, messages and requests."""

from __future__ import annotations

from typing import Any

import msgspec

from midflight.outbox import MessageState
from midflight.values import Delivery

__all__ = ["HostRow", "MessageRow", "RequestRow", "SessionRow"]


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A process that owns sessions, or did; ``alive`` tells which.

    ``address`` is where it can be reached, ``started`` is by the wall clock.
    """

    id: str
    machine: str
    pid: int
    address: str
    started: float
    alive: bool


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One session as lists show it.

    ``seq`` is its newest event. ``host`` is the id of the host that owns it and lives, ``address``
    where that one can be reached; both are None when nobody owns it. Its ``status`` is then
    ``idle``, ``closed``, or ``waiting`` for the reset of a usage limit. ``options`` are as `stored`
    made them.
    """

    id: str
    name: str
    agent: str
    model: str
    cwd: str
    options: dict[str, Any]
    parent: str
    status: str
    permission_mode: str
    last: str
    pending: tuple[str, ...]
    turns: int
    total_cost_usd: float
    agent_session: str
    seq: int
    created: float
    updated: float
    host: str | None
    address: str | None


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message; ``said`` is the ``seq`` of the event that has its text as it is now.

    ``handed`` says that the agent was about to be given it, and has not been heard of since.
    """

    id: str
    state: MessageState
    delivery: Delivery
    handed: bool
    turn: int | None
    reason: str
    said: int


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One permission request or question; ``asked`` is the ``seq`` of the event that has it.

    ``state`` is ``pending`` or the decision that stands, and ``by`` whose that was.
    """

    id: str
    state: str
    by: str
    asked: int
