"""A session whose agent drives others: what it is told, what it may spend, who is at work.

`instructions` is what its agent reads, `child` what is known of one session below it, `news` what
of that its agent is told, `ids` how far it was told, `crew` follows them all. Everything goes
through `midflight.client.client`.
"""

from __future__ import annotations

__all__: list[str] = []
