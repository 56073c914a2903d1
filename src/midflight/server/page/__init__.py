"""The web page: files that hold no data, served as they are. What they show they fetch by the API.

They are read once, at the start: a request names one of them, or nothing.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect", "manifest", "worker")),
        "img-src 'self' data:",
        *(f"{what} 'none'" for what in ("base-uri", "form-action", "frame-ancestors")),
        "require-trusted-types-for 'script'",
        "trusted-types lit-html midflight-worker",
    )
)
"""What a browser lets the page do: scripts and styles of this server's files, nothing inline.

`lit-html` makes its templates from constants of our own modules; ``midflight-worker`` names the
one file that shows notifications.
"""

_KINDS = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}


class PageFile(NamedTuple):
    """One file: its media type, its bytes as they are and compressed, and their name."""

    kind: str
    plain: bytes
    packed: bytes
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> PageFile:
        """Return the file of this name."""
        kind = _KINDS[name.rpartition(".")[2]]
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(kind, content, gzip.compress(content, mtime=0), tag)


def files() -> dict[str, PageFile]:
    """Return the page's files by the paths that they are asked for by."""
    found = {
        f"/{name}": PageFile.of(name, content) for name, content in _walk(resources.files(__name__))
    }
    return {"/" if path == "/index.html" else path: file for path, file in found.items()}


def _walk(folder: Traversable, above: str = "") -> list[tuple[str, bytes]]:
    found = []
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            found += _walk(each, f"{above}{each.name}/")
        elif each.name.rpartition(".")[2] in _KINDS:
            found.append((above + each.name, each.read_bytes()))
    return found


def page_routes(served: dict[str, PageFile]) -> list[Route]:
    """Return a route for each file."""
    routes = [Route(path, partial(_answer, file)) for path, file in served.items()]
    for route in routes:
        route.methods = {"GET"}
    return routes


async def _answer(file: PageFile, request: Request) -> Response:
    """Return the file; a browser that has it is told so. It always asks: a server may be newer."""
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,  # also of an answer without a body: it replaces the old
        "ETag": file.tag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.kind
        )
    return Response(file.plain, headers=headers, media_type=file.kind)
