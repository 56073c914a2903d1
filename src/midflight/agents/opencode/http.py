"""How a server of OpenCode is called, and how its stream of events is read; each API has its calls.

Hand-written: the package on PyPI knows none of the calls that matter here, and a generated client
does not import. Responses are plain dictionaries; a reader takes what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from midflight._util.aio import finished
from midflight._util.lines import OVERLONG, LineSplitter, json_object
from midflight.agents.opencode.server import Refused
from midflight.errors import AgentFailed

if TYPE_CHECKING:
    import httpx2

USER = "opencode"
"""The user name that the server expects beside its password."""

HINT = "try again; opencode serve, run by hand, shows what is wrong with it"

CALL_TIMEOUT_S = 15.0
HEALTH_TIMEOUT_S = 1.0
"""A connection made in the server's first moments is never answered: each try is short."""

REFUSALS = (400, 422)
"""How a server answers every call for a folder whose configuration it does not accept."""

_PREFIX = b"data:"
_decode = msgspec.json.Decoder().decode

Frame = dict[str, Any]


class HttpClient:
    """One view of a server."""

    def __init__(
        self, url: str, password: str | None, params: Mapping[str, str] | None = None
    ) -> None:
        """Nothing is connected yet; without a password the server must be an open one.

        ``params`` go with every call. The first client loads `httpx2`, which takes 0.2 s.
        """
        import httpx2

        self.url = url
        self._password = password
        there = httpx2.URL(url)
        user, word = (USER, password) if password else (there.username, there.password)
        # A proxy in the environment is not for a server on this machine.
        self._http = httpx2.AsyncClient(
            base_url=url,
            auth=httpx2.BasicAuth(user, word) if word else None,
            params=params,
            timeout=CALL_TIMEOUT_S,
            trust_env=False,
            verify=trusted(url),
            # Of several that have expired, a call that is cancelled then forgets some unclosed.
            limits=httpx2.Limits(max_keepalive_connections=1),
        )

    async def close(self) -> None:
        """Close every connection, even if the caller is cancelled after the first."""
        await finished(asyncio.get_running_loop().create_task(self._http.aclose()))

    async def get(
        self,
        path: str,
        patience_s: float | None = None,
        params: Mapping[str, int] | None = None,
    ) -> Any:
        """Return a resource. Raises `Refused` or `AgentFailed`."""
        return await self._call("GET", path, patience_s=patience_s, params=params)

    async def post(self, path: str, body: Frame | None = None) -> Any:
        """Call for an action. Raises `Refused` or `AgentFailed`."""
        return await self._call("POST", path, body or {})

    async def patch(self, path: str, body: Frame) -> Any:
        """Change a resource. Raises `Refused` or `AgentFailed`."""
        return await self._call("PATCH", path, body)

    async def delete(self, path: str) -> Any:
        """Remove a resource. Raises `Refused` or `AgentFailed`."""
        return await self._call("DELETE", path)

    async def _call(
        self,
        method: str,
        path: str,
        body: Frame | None = None,
        patience_s: float | None = None,
        params: Mapping[str, int] | None = None,
    ) -> Any:
        import httpx2

        timeout = httpx2.USE_CLIENT_DEFAULT if patience_s is None else patience_s
        try:
            # What stands behind a ? in the path would be lost beside those of every call.
            response = await self._http.request(
                method, path, json=body, params=params, timeout=timeout
            )
        except httpx2.HTTPError as error:
            raise AgentFailed(f"OpenCode's server does not answer: {_why(error)}", HINT) from error
        if response.status_code >= httpx2.codes.BAD_REQUEST:
            raise Refused(_error_text(response), response.status_code)
        if not response.content:
            return None
        try:
            return _decode(response.content)
        except msgspec.DecodeError as error:
            raise Refused(
                f"it answered {path} with something else", response.status_code
            ) from error

    async def stream(self, path: str, silence_s: float) -> AsyncIterator[Frame | None]:
        """Yield events until the stream ends or is silent for too long.

        The first one is ``server.connected``; one that cannot be read is None. Nothing is repeated:
        what happened between two streams has to be requested. Raises `Refused` or `AgentFailed`.
        """
        import httpx2

        timeout = httpx2.Timeout(CALL_TIMEOUT_S, read=silence_s)
        headers = {"Accept-Encoding": "identity"}
        splitter = LineSplitter()
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.status_code in REFUSALS:
                    await response.aread()
                    raise Refused(_error_text(response), response.status_code)
                response.raise_for_status()
                async for piece in response.aiter_raw():
                    for line in splitter.push(piece):
                        if line.startswith(_PREFIX):
                            yield json_object(line[len(_PREFIX) :])
                        elif line is OVERLONG:
                            yield None
        except httpx2.HTTPError as error:
            raise AgentFailed(f"OpenCode's events have stopped: {_why(error)}", HINT) from error


def trusted(url: str) -> ssl.SSLContext:
    """Return whom to trust. Plain HTTP needs no authorities: to load them takes 0.1 s."""
    import httpx2

    if url.lower().startswith("https:"):
        return httpx2.create_ssl_context(trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts no one


def _why(error: httpx2.HTTPError) -> str:
    return str(error) or type(error).__name__


def _error_text(response: httpx2.Response) -> str:
    """Return the server's error, as one line."""
    text = response.text
    with contextlib.suppress(msgspec.DecodeError, AttributeError):
        body = _decode(response.content)
        data = body.get("data") or body
        text = _configuration_error(data) or data.get("message") or text
    return f"OpenCode answered {response.status_code}: {' '.join(str(text).split())[:300]}"


def _configuration_error(data: Frame) -> str:
    """Return what is wrong with a configuration and where, if that is the error; else nothing."""
    path, issues = data.get("path"), data.get("issues")
    if not isinstance(path, str) or not path:
        return ""
    found = [
        f"{'.'.join(map(str, each.get('path') or ()))}: {each.get('message')}"
        for each in (issues if isinstance(issues, list) else ())
    ]
    return f"it does not accept {path}: {'; '.join(found) or data.get('message') or 'it is broken'}"
