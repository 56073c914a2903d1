"""How things are with a session, asked of the server after its events were missed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from midflight.agents.base import Signal
from midflight.agents.opencode.v1.events import Translator
from midflight.agents.opencode.v1.feed import Feed
from midflight.errors import AgentFailed

__all__ = ["adopt", "missed"]

LOST_AFTER_S = 5.0
"""A server at rest that has not read a message after so long will never read it."""

Frame = dict[str, Any]


async def missed(feed: Feed, translate: Translator, sent: float) -> list[Signal]:
    """Ask how things are, and return what was missed: nothing is lost, and nothing told twice.

    ``sent`` is when the newest message was given to the server (monotonic seconds).
    """
    before = translate.reading
    try:
        frames, busy = await _state(feed, translate.session, translate.since)
    except AgentFailed:
        translate.unsettled = True  # Ask again, until the server counts as gone.
        return []
    signals = [signal for frame in frames for signal in translate(frame)]
    if not busy:
        # What has begun since the question was asked may be at work now: ask again.
        begun = before != translate.reading
        signals += [] if begun else translate.settle()
        waits = bool(translate.handed) and not translate.in_turn
        if waits and time.monotonic() - sent > LOST_AFTER_S:
            signals += translate.lose()
        translate.unsettled = begun or waits
    return signals


async def _state(feed: Feed, session: str, since: str) -> tuple[list[Frame], bool]:
    """Return a session's state as the events that would tell it, and whether it is at work.

    ``since`` is the newest message that is settled. Whether it works is asked first: if it does
    not, what is asked after that is the whole story. Raises `AgentFailed`.
    """
    get = feed.client.get
    statuses = await get("/session/status")
    family = {session}
    frames = await _story(feed, session, session, since, family)
    permissions, questions = await asyncio.gather(get("/permission"), get("/question"))
    for kind, requests in (("permission", permissions), ("question", questions)):
        frames += [
            _frame(f"{kind}.asked", request)
            for request in requests
            if request["sessionID"] in family
        ]
    told = statuses.get(session) or {"type": "idle"}
    if told["type"] == "retry":
        frames.append(_frame("session.status", {"sessionID": session, "status": told}))
    return frames, told["type"] != "idle"


async def adopt(feed: Feed, session: str, root: str) -> None:
    """Have the events of a session's sub-agents too: an old one can be put to work again."""
    for child in await feed.client.get(f"/session/{session}/children"):
        feed.adopt(child["id"], root)
        await adopt(feed, child["id"], root)


async def _story(feed: Feed, session: str, root: str, since: str, family: set[str]) -> list[Frame]:
    """Return what a session has said, with what its sub-agents have; note these as its family."""
    below: dict[str, list[Frame]] = {}
    for child in await feed.client.get(f"/session/{session}/children"):
        feed.adopt(child["id"], root)
        family.add(child["id"])
        below[child["id"]] = await _story(feed, child["id"], root, since, family)
    frames: list[Frame] = []
    for message in await feed.client.get(f"/session/{session}/message"):
        if message["info"]["id"] > since:
            frames += _said(message, below)
    return frames


def _said(message: dict[str, Any], below: dict[str, list[Frame]]) -> list[Frame]:
    """Return a message as events: its beginning, its parts, and its end if it has one.

    What a sub-agent has said stands within the call that it belongs to.
    """
    info = message["info"]
    begun = {**info, "time": {"created": info["time"].get("created")}}
    frames = [_frame("message.updated", {"info": begun})]
    for part in message["parts"]:
        at = part.get("state") or {}
        child = (at.get("metadata") or {}).get("sessionId")
        if child in below:
            running = {**part, "state": {**at, "status": "running"}}
            frames += [_frame("message.part.updated", {"part": running}), *below[child]]
        frames.append(_frame("message.part.updated", {"part": part}))
    return [*frames, _frame("message.updated", {"info": info})]


def _frame(kind: str, properties: dict[str, Any]) -> Frame:
    return {"type": kind, "properties": properties}
