"""The route of all sessions' events: what a reader may ask of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from midflight import events as e
from midflight.errors import EventsExpired, InvalidInput, MidflightError
from midflight.host.http import streams
from midflight.host.http.app import ATTEND, NUMBER, attended, number
from midflight.host.http.operations import ApiRoute, Operation, Query
from midflight.host.unexpected import Unexpected, log
from midflight.server.feed import PAGE, Feed, Wanted
from midflight.server.sessions import AllSessions

MAX_LIVE = 50
"""How many sessions one stream follows live."""


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the events of all sessions, and the cursor behind it."""

    cursor: str
    events: list[e.ANY]


_NAMES = {"type": "string"}
_EVENTS = Operation(
    "What happens in all sessions, from a cursor on: a page, or a stream",
    {200: EventsPage},
    {
        "after": Query(_NAMES, "a cursor, as an earlier answer had it"),
        "session": Query(_NAMES, "only of these sessions: ids, with commas between them"),
        "type": Query(_NAMES, "only events of these types", "turn.ended,permission.requested"),
        "live": Query(_NAMES, "of these sessions all that happens, as it happens"),
        "limit": Query({**NUMBER, "minimum": 1}, "so many events at most", 100),
        "attend": ATTEND,
    },
    streams=True,
)


def events_route(feed: Feed, service: AllSessions) -> ApiRoute:
    """Return the route ``/events``."""

    async def events(request: Request) -> Response:
        cursor = request.headers.get("last-event-id") or request.query_params.get("after", "")
        wanted = _wanted(request)
        try:
            if "text/event-stream" not in request.headers.get("accept", ""):
                limit = min(number(request.query_params.get("limit"), least=1) or PAGE, PAGE)
                return _page(*await feed.page(cursor, wanted, limit))
            stream = feed.stream(cursor, wanted)
            first = await anext(stream)  # an impossible cursor is an error and no stream
        except InvalidInput as error:
            raise HTTPException(400, str(error)) from error
        return streams.response(_stream(first, stream, service))

    return ApiRoute("/events", events, _EVENTS)


async def _stream(
    first: bytes, frames: AsyncGenerator[bytes], service: AllSessions
) -> AsyncGenerator[bytes]:
    try:
        yield first
        async for frame in frames:
            yield frame
    except EventsExpired:
        yield streams.LAGGED
    except MidflightError as error:
        yield streams.LEAVING if service.closing else streams.error(error)
    except Exception as error:  # noqa: BLE001 - the reader has to be told
        log(error, service.masked)
        yield streams.error(Unexpected(error))
    finally:
        await frames.aclose()


def _page(cursor: str, events: list[e.Event]) -> Response:
    body = b'{"cursor":%s,"events":[%s]}' % (
        msgspec.json.encode(cursor),
        b",".join(map(e.encode, events)),
    )
    return Response(body, media_type="application/json")


def _wanted(request: Request) -> Wanted:
    query = request.query_params
    types, live = _names(query.get("type")), _names(query.get("live")) or frozenset()
    if types is not None and not types <= e.TYPES:
        raise HTTPException(400, f"there is no event {min(types - e.TYPES)!r}")
    if len(live) > MAX_LIVE:
        raise HTTPException(400, f"{MAX_LIVE} sessions are the most that one stream follows live")
    return Wanted(_names(query.get("session")), types, live, attended(request))


def _names(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(filter(None, text.split(",")))
