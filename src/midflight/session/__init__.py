"""A session as its user has it: `Session` here, `BaseSession` anywhere, and `Message`."""

from midflight.session.base import BaseSession
from midflight.session.message import Message
from midflight.session.session import Session

__all__ = ["BaseSession", "Message", "Session"]
