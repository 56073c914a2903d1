"""What names a repository that others have too: the address of a remote, read strictly.

Git takes far more for one: programs (``ext::``), options (``-u…``), and what a setting makes of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Self

from midflight._util.text import slug

REMOTES = (
    "https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or a path; keys are git's matter,"
    " see git help credentials"
)
"""What is taken."""

_HOST = r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
_USER = r"[a-z0-9_][a-z0-9._-]*"
_PATH = r"(?:[^\s\x00-\x1f\x7f\\?#]+)"

_HTTPS = re.compile(rf"https://{_HOST}(?::\d{{1,5}})?/{_PATH}", re.IGNORECASE)
_SSH = re.compile(rf"ssh://(?:{_USER}@)?{_HOST}(?::\d{{1,5}})?/{_PATH}", re.IGNORECASE)
_SHORT = re.compile(rf"(?:{_USER}@)?{_HOST}:(?:(?!/?-|//|:){_PATH})", re.IGNORECASE)
_LOCAL = re.compile(r"(?:file://)?(?P<path>/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/])")

_CREDENTIALS = re.compile(
    r"^[a-z+]+://[^/]*:[^/]*@|^https?://[^/]*@|^[^/:]*:[^/]*@[^/]*:", re.IGNORECASE
)
"""A password, or what may be a token instead of a user's name."""

_REF = re.compile(r"[^\s\x00-\x20\x7f~^:?*\[\\-][^\s\x00-\x20\x7f~^:?*\[\\]*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Remote(NamedTuple):
    """A remote. ``url`` is its address as git takes it: never with a password or a token."""

    url: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises `ValueError`, which does not repeat it: it may hold a secret."""
        if _CREDENTIALS.search(text):
            raise ValueError("a password or a token in an address is not taken")
        if local := _LOCAL.fullmatch(text):
            return cls(local["path"])
        if text.isascii() and any(form.fullmatch(text) for form in (_HTTPS, _SSH, _SHORT)):
            return cls(text.rstrip("/"))
        raise ValueError("it is no address of a repository that is taken")

    @property
    def protocols(self) -> str:
        """The transports that git may use for it, in the words of ``GIT_ALLOW_PROTOCOL``."""
        return "file" if self.is_local else "https:ssh"

    @property
    def is_local(self) -> bool:
        """Tell whether it is a folder of each machine that uses it."""
        return self.url.startswith("/")

    @property
    def name(self) -> str:
        """What people call the repository."""
        return slug(re.split(r"[/:]", self.url)[-1].removesuffix(".git"))

    @property
    def folder(self) -> str:
        """The name of the folder for what is kept of it; it is the same on every machine."""
        return f"{self.name}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"


def is_ref(text: str) -> bool:
    """Tell whether a text may name a branch, a tag or a commit, and nothing else to git."""
    return (
        bool(_REF.fullmatch(text))
        and not any(part in text for part in ("..", "@{", "//"))
        and not text.startswith("/")
        and not text.endswith(("/", ".", ".lock"))
    )


def is_commit(text: str) -> bool:
    """Tell whether a text is the whole name of a commit."""
    return bool(_COMMIT.fullmatch(text))


def session_ref(session: str) -> str:
    """Return the ref at a remote that has the work of a session, by its id."""
    return f"refs/midflight/{session_key(session)}"


def session_key(session: str) -> str:
    """Return a session's id as a part of a path and of a ref; who begins one may choose it."""
    if re.fullmatch(r"[0-9a-f]{32}", session):
        return session
    return hashlib.sha256(session.encode(errors="surrogatepass")).hexdigest()[:32]
