"""Where a host answers, or a server that has the sessions of many."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import msgspec

from midflight.errors import HostGone, InvalidOption

PORTS = {"http": 80, "https": 443}
"""The schemes of a server's URL, and the ports that they mean."""


class Address(msgspec.Struct, frozen=True):
    """Where a host answers: the path of a Unix socket on this machine.

    Its text is what the journal stores and what people are shown.
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


class ServerAddress(msgspec.Struct, frozen=True):
    """Where a server answers, over TCP; see `midflight serve`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str, option: str = "url") -> Self:
        """Return the address of a URL. Raises `InvalidOption`, which names the ``option``."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        plain = not (parts.username or parts.query or parts.fragment or parts.path.strip("/"))
        if parts.scheme not in PORTS or not parts.hostname or not plain:
            raise InvalidOption(option, f"{url!r} is no address", "such as https://my.name:8443")
        return cls(parts.scheme, parts.hostname, port or PORTS[parts.scheme])

    @property
    def full_name(self) -> str:
        """Its name and its port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """What ``Host`` says: its name, with the port if that is not the usual one."""
        usual = self.port == PORTS[self.scheme]
        return self.full_name.rpartition(":")[0] if usual else self.full_name

    def __str__(self) -> str:
        """Return its URL."""
        return f"{self.scheme}://{self.name}"
