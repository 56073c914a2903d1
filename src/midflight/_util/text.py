"""Short names made from text."""

from __future__ import annotations

import re


def slug(text: str) -> str:
    """Return a short name for a text: lower-case words joined by hyphens, 40 characters at most.

    On every system it can name a folder and be part of the name of a git branch.
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:40].strip("-") or "session"
