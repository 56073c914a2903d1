"""The environment that an agent's program begins with: ours, without what would confuse it."""

from __future__ import annotations

import os
from collections.abc import Collection

__all__ = ["CLAUDE_CODE", "inherited"]

CLAUDE_CODE = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")
"""Variables by which a Claude Code that we may run inside would mistake the new one for a part."""


def inherited(without: Collection[str]) -> dict[str, str]:
    """Return our own environment without some variables."""
    return {name: value for name, value in os.environ.items() if name not in without}
