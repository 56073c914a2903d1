"""Ids for messages, in the server's form: it sorts messages by them."""

from __future__ import annotations

import secrets
import string
import time

TIME_BITS = (1 << 48) - 1
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
