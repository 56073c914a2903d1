"""A live session: the rules, an agent and the events, wired."""

from midflight.session.base import BaseSession
from midflight.session.message import Message
from midflight.session.session import Session

__all__ = ["BaseSession", "Message", "Session"]
