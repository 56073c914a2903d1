"""A port that the surface is served on: where it listens, and by which names it is reached."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

import msgspec

from midflight.address import ServerAddress
from midflight.errors import InvalidOption
from midflight.host.http.unix import BACKLOG

SILENCE_S = 60
"""After so long without a sign of the other end a connection is closed by the system."""

MAX_PORT = 65_535


class Names(msgspec.Struct, frozen=True):
    """By which names a server is reached: what ``Host`` and ``Origin`` may say.

    ``urls`` are those to show: the public ones, and the address that it listens on.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    urls: tuple[str, ...]

    @classmethod
    def of(cls, listener: socket.socket, public: Iterable[str], *, tls: bool) -> Names:
        """Return those of a listening socket and of the URLs that its user names.

        Raises `InvalidOption` for a URL that is none, and where there would be no name at all.
        """
        scheme = "https" if tls else "http"
        host, port = listener.getsockname()[:2]
        address = ipaddress.ip_address(host)
        own = [] if address.is_unspecified else [host]
        others = ["localhost", "127.0.0.1", "::1"] if address.is_loopback or not own else []
        named = [ServerAddress.parse(url, "public_url") for url in public]
        if not own and not named:
            raise InvalidOption(
                "public_url",
                f"{host} stands for all addresses, and nothing says by which name it is reached",
                "--public-url https://NAME",
            )
        shown = [*named, *(ServerAddress(scheme, each, port) for each in own)]
        every = [*shown, *(ServerAddress(scheme, each, port) for each in others)]
        hosts = {name for each in every for name in (each.name, each.full_name)}
        return cls(frozenset(hosts), frozenset(map(str, every)), tuple(map(str, shown)))


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket for TCP; nobody can connect before `open_to_others`. Raises `InvalidOption`."""
    if not 0 <= port <= MAX_PORT:  # the system would take another one
        raise InvalidOption("port", f"{port} is no port", f"0 to {MAX_PORT}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InvalidOption("host", f"{host!r} is no address here: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a phone goes without a word
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_S * 1000)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InvalidOption(
            "port", f"{host} port {port} cannot be used: {error}", "name another with --port"
        ) from error
    return listener


def open_to_others(listener: socket.socket) -> None:
    """Take connections from now on."""
    listener.listen(BACKLOG)


def is_loopback(listener: socket.socket) -> bool:
    """Tell whether only programs of this machine can connect."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback
