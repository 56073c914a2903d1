"""A live session: the rules, an agent and the events, wired."""

from __future__ import annotations

from midflight.session.message import Message
from midflight.session.session import Session

__all__ = ["Message", "Session"]
