"""Short names made from text."""

from __future__ import annotations

import re


def slug(text: str) -> str:
    """Return a short name for a text: lower-case words joined by hyphens, 40 characters at most.

    It can be a folder and a part of a branch's name everywhere.
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:40].strip("-") or "session"
