"""Short names made from text, and names that are nearly right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def slug(text: str) -> str:
    """Return a short name for a text: lower-case words joined by hyphens, 40 characters at most.

    On every system it can name a folder and be part of the name of a git branch.
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:40].strip("-") or "session"


def dollars(usd: float | None, digits: int = 4) -> str:
    """Return an amount as text; one that is not known is never shown as nothing."""
    return "unknown" if usd is None else f"${usd:.{digits}f}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint for a name that does not exist: the known one that is most like it, if any."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else otherwise
