"""The same session, from another process."""

from __future__ import annotations

from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession

__all__ = ["Client", "RemoteSession", "connect"]
