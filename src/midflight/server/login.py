"""The routes with which a browser logs in, and by which devices are listed and logged out."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from midflight.host.http.app import as_json, body_of
from midflight.host.http.logins import COOKIE, UNUSED_S, Device, Logins
from midflight.host.http.operations import ApiRoute, Operation

LOGIN = "/login"
"""Where a link's code is exchanged: open, since who comes has nothing yet."""


MAX_LOGIN_BYTES = 4_096
"""How much anybody may send who has shown nothing."""


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is logged in; times are seconds since the epoch."""

    id: str
    name: str
    created: float
    seen: float


class LinkCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a page sends of the link that it was opened with."""

    code: str


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the page keeps: it sends the ``secret`` as the header ``Midflight-Secret``."""

    secret: str
    device: DeviceInfo


_LOGIN = Operation(
    "Exchange the code of a link for a cookie and a secret",
    {200: LoggedIn},
    body=LinkCode,
    example={"code": "the code of a link"},
    open=True,
)
_DEVICES = Operation("The devices that are logged in", {200: list[DeviceInfo]})
_FORGET = Operation("Log a device out", {200: DeviceInfo})


def login_routes(logins: Logins) -> list[ApiRoute]:
    """Return the routes."""

    async def login(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await body_of(request, MAX_LOGIN_BYTES), type=LinkCode)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise HTTPException(422, 'send {"code": "…"}') from error
        opened = await asyncio.to_thread(logins.open, asked.code)
        response = as_json(LoggedIn(secret=opened.secret, device=_info(opened.device)))
        response.set_cookie(
            _cookie(request),
            opened.cookie,
            max_age=int(UNUSED_S),
            path="/",
            secure=_is_secure(request),
            httponly=True,
            samesite="strict",
        )
        return response

    async def devices(request: Request) -> Response:
        return as_json([_info(each) for each in await asyncio.to_thread(logins.devices)])

    async def forget(request: Request) -> Response:
        device = request.path_params["device"]
        return as_json(_info(await asyncio.to_thread(logins.forget, device)))

    return [
        ApiRoute(LOGIN, login, _LOGIN, "POST"),
        ApiRoute("/devices", devices, _DEVICES),
        ApiRoute("/devices/{device}", forget, _FORGET, "DELETE"),
    ]


def _info(device: Device) -> DeviceInfo:
    return DeviceInfo(id=device.id, name=device.name, created=device.created, seen=device.seen)


def _is_secure(request: Request) -> bool:
    """Tell whether the browser speaks TLS: it says from where the page came that posts."""
    return request.headers.get("origin", str(request.url)).startswith("https:")


def _cookie(request: Request) -> str:
    """Return a name for this port's cookie: those of other ports of the host are sent too."""
    port = urlsplit(f"//{request.headers['host']}").port
    return f"{COOKIE}{port or 'usual'}"
