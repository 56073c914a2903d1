"""Where a host answers."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from midflight.errors import HostGone


class Address(msgspec.Struct, frozen=True):
    """Where a host answers: the path of a Unix socket on this machine.

    Its text is what the journal stores and what people are shown. The address of a host that is
    reached over the network will be a URL: `parse` is where the two are told apart.
    """

    socket: Path

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address with this text. Raises `HostGone` for one that cannot be dialled."""
        path = Path(text)
        if not path.is_absolute():
            raise HostGone(f"the session's host answers at {text or 'no address'}: no socket here")
        return cls(path)

    def __str__(self) -> str:
        """Return its text."""
        return str(self.socket)
