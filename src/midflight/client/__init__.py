"""The same session, from another process.

A client stands on the journal, which is slow to import, so it is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midflight.client.client import Client, connect
    from midflight.client.session import RemoteSession

__all__ = ["Client", "RemoteSession", "connect"]

_MODULES = {"Client": "client", "RemoteSession": "session", "connect": "client"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import what is asked for."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"midflight.client.{_MODULES[name]}")
        return globals().setdefault(name, getattr(module, name))
