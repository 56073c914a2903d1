"""How things are with a session, asked of the server after its events were missed."""

from __future__ import annotations

import asyncio
from typing import Any

from midflight.agents.opencode_feed import Feed

__all__ = ["state"]

Frame = dict[str, Any]


async def state(feed: Feed, session: str, since: str) -> tuple[list[Frame], bool]:
    """Return a session's state as the events that would tell it, and whether it is at work.

    ``since`` is the newest message that is settled. Whether it works is asked first: if it does
    not, what is asked after that is the whole story. Raises `AgentFailed`.
    """
    get = feed.client.get
    statuses = await get("/session/status")
    children = await _family(feed, session)
    frames: list[Frame] = []
    for each in (session, *children):
        for message in await get(f"/session/{each}/message"):
            if message["info"]["id"] > since:
                frames += _said(message)
    permissions, questions = await asyncio.gather(get("/permission"), get("/question"))
    family = {session, *children}
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


async def _family(feed: Feed, session: str) -> list[str]:
    """Return the sessions of the sub-agents, theirs included, and have their events too."""
    found: list[str] = []
    parents = [session]
    while parents:
        for child in await feed.client.get(f"/session/{parents.pop()}/children"):
            feed.adopt(child["id"], session)
            found.append(child["id"])
            parents.append(child["id"])
    return found


def _said(message: dict[str, Any]) -> list[Frame]:
    """Return a message as events: its beginning, its parts, and its end if it has one."""
    info = message["info"]
    parts = [_frame("message.part.updated", {"part": part}) for part in message["parts"]]
    begun = {**info, "time": {"created": info["time"].get("created")}}
    return [
        _frame("message.updated", {"info": begun}),
        *parts,
        _frame("message.updated", {"info": info}),
    ]


def _frame(kind: str, properties: dict[str, Any]) -> Frame:
    return {"type": kind, "properties": properties}
