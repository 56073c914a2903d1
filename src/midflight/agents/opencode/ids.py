"""Ids for messages, in the server's form: it sorts messages by them; and for calls."""

from __future__ import annotations

import secrets
import string
import time

TIME_BITS = (1 << 48) - 1

KEPT_CALLS = 1_000
"""How many ids of calls are remembered: some models number them anew in each answer."""

_LETTERS = string.digits + string.ascii_letters


class Ids:
    """Makes ids, each behind those before."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last = 0

    def after(self, newest: str) -> str:
        """Return an id behind those before, and behind the newest message of the server, if any."""
        known = int(newest[4:16], 16) if newest else 0  # Its clock may be ahead of ours.
        self._last = max(int(time.time() * 1000) << 12 & TIME_BITS, self._last, known) + 1
        noise = "".join(secrets.choice(_LETTERS) for _ in range(14))
        return f"msg_{self._last & TIME_BITS:012x}{noise}"


class CallIds:
    """Ids for a session's calls: the model's own, unless it has used that one before."""

    def __init__(self) -> None:
        """Begin with none."""
        self._first: dict[str, str] = {}

    def of(self, message: str, call_id: str) -> str:
        """Return our id for the call of a message."""
        first = self._first.setdefault(call_id, message)
        if len(self._first) > KEPT_CALLS:
            del self._first[next(iter(self._first))]
        return call_id if first == message else f"{message}/{call_id}"
