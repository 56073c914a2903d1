"""Processes that own live sessions and answer for them to other processes.

`Host` is the process's part, `midflight.host.http.app` what it can be asked over its socket.
"""

from __future__ import annotations

from midflight.host.host import Host

__all__ = ["Host"]
