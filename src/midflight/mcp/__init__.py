"""An MCP server with which an agent dispatches other agents and changes their course.

`tools` and `definitions` are what a model reads, `server` speaks the protocol, `handlers` carries
out, `dispatching` starts sessions within their limits, `report` says what came of it in few words.
Everything goes through `midflight.client.client`.
"""

from __future__ import annotations

__all__: list[str] = []
