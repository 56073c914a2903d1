"""The devices from which a person has logged in, and the links that let one in.

A link carries a code in its fragment, which no request and no preview sends. It is exchanged once,
by a POST, for two things: a cookie, and a secret that only the page's own origin holds. Neither
opens anything without the other: a cookie goes to every port of a host.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time

import msgspec
import psutil

from midflight.errors import InvalidInput, NotFound
from midflight.journal import JournalLocation
from midflight.journal.private_file import PrivateFile

LINK_S = 600.0
"""How long a link can be used."""

UNUSED_S = 30 * 24 * 3600.0
"""How long a device stays logged in that is not used."""

SEEN_S = 3600.0
"""How exactly it is noted when a device was used."""

NAME_CHARS = 100

Headers = list[tuple[bytes, bytes]]

COOKIE, SECRET = "midflight-", b"midflight-secret"
"""How the names of cookies begin, which one server's port follows; and the header of the secret."""


class Device(msgspec.Struct, kw_only=True):
    """One that has logged in: its name and its times, and only hashes of what it holds."""

    id: str
    name: str
    created: float
    seen: float
    cookie: str
    secret: str


class Link(msgspec.Struct, kw_only=True):
    """One that can still be used: the name of the device that it is for, and a hash of its code."""

    name: str
    code: str
    until: float


class Book(msgspec.Struct):
    """What is in the file; ``urls`` and ``pid`` are those of the server that was started last."""

    devices: list[Device] = []
    links: list[Link] = []
    urls: list[str] = []
    pid: int = 0


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What a link has led to; the cookie and the secret are in no file."""

    device: Device
    cookie: str
    secret: str


class Logins:
    """Knows the devices; what another process has changed holds from the next request on."""

    def __init__(self, location: JournalLocation) -> None:
        """Nothing is read yet. Every method may raise `StoreFailed` or `StoreRefused`."""
        self._file = PrivateFile(location, "logins", Book, "remove it, and log in again")
        self._stamp: tuple[int, int, int] | None = None
        self._known = Book()

    def link(self, name: str) -> str:
        """Return a code with which a device of this name can log in, once and soon."""
        name = " ".join(name.split())[:NAME_CHARS]
        if not name.isprintable() or not name:
            raise InvalidInput("a device has a name", "midflight serve --link phone")
        code = secrets.token_urlsafe(32)
        with self._file.changed() as book:
            book.links = [each for each in book.links if each.until > time.time()]
            book.links.append(Link(name=name, code=_hash(code), until=time.time() + LINK_S))
        return code

    def open(self, code: str) -> Opened:
        """Log a device in. Raises `NotFound` for a code that is none, was used, or is too old."""
        now = time.time()
        with self._file.changed() as book:
            fitting = [each for each in book.links if _same(each.code, code) and each.until > now]
            if not fitting:
                raise NotFound("this link was used or is too old", "midflight serve --link NAME")
            book.links.remove(fitting[0])
            cookie, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
            device = Device(
                id=secrets.token_hex(4),
                name=fitting[0].name,
                created=now,
                seen=now,
                cookie=_hash(cookie),
                secret=_hash(secret),
            )
            book.devices = [each for each in book.devices if each.seen > now - UNUSED_S]
            book.devices.append(device)
        return Opened(device=device, cookie=cookie, secret=secret)

    def devices(self) -> list[Device]:
        """Return the devices that are logged in."""
        now = time.time()
        return [each for each in self._file.read().devices if each.seen > now - UNUSED_S]

    def forget(self, device: str) -> Device:
        """Log a device out, by its id or its name. Raises `NotFound`."""
        with self._file.changed() as book:
            fitting = [each for each in book.devices if device in {each.id, each.name}]
            if len(fitting) != 1:
                many = "several devices are" if fitting else "no device is"
                raise NotFound(f"{many} called {device!r}", "midflight serve --devices")
            book.devices.remove(fitting[0])
        return fitting[0]

    def find(self, headers: Headers) -> Device | None:
        """Return the device that a request comes from, by its cookie and its secret."""
        given = [value for name, value in headers if name == SECRET]
        if len(given) != 1:
            return None
        now, secret = time.time(), given[0].decode("latin-1")
        for cookie in _cookies(headers):
            for device in self._current().devices:
                fits = _same(device.cookie, cookie) & _same(device.secret, secret)
                if fits and device.seen > now - UNUSED_S:
                    self._note(device, now)
                    return device
        return None

    def _current(self) -> Book:
        stamp = self._file.stamp
        if stamp != self._stamp:
            self._known, self._stamp = self._file.read(), stamp
        return self._known

    def _note(self, device: Device, now: float) -> None:
        """Note that a device was used; not at each request."""
        if device.seen > now - SEEN_S:
            return
        with self._file.changed() as book:
            for each in book.devices:
                if each.id == device.id:
                    each.seen = now

    def serve(self, urls: list[str]) -> None:
        """Note by which URLs this process serves, for those who make a link; none when it ends."""
        with self._file.changed() as book:
            book.urls, book.pid = urls, os.getpid()

    def urls(self) -> list[str]:
        """Return the URLs of the server that runs. Raises `NotFound` where none does."""
        book = self._file.read()
        if not book.urls or not psutil.pid_exists(book.pid):
            raise NotFound("no server runs on this journal", "midflight serve")
        return book.urls


def _cookies(headers: Headers) -> list[str]:
    """Return the values of our cookies, of whatever port."""
    pairs = [
        pair.strip().partition("=")
        for name, value in headers
        if name == b"cookie"
        for pair in value.decode("latin-1").split(";")
    ]
    return [value for name, _, value in pairs if name.startswith(COOKIE)]


def _hash(text: str) -> str:
    """Return a hash that tells nothing: what is hashed is random, and long."""
    return hashlib.sha256(text.encode("latin-1", "replace")).hexdigest()


def _same(known: str, given: str) -> bool:
    return hmac.compare_digest(known, _hash(given))
