"""What OpenCode keeps of a session: as its server tells it, and into a server that lacks it.

A server takes in what it has told as the events that it would have stored itself; that works while
it runs, and at once. Its program's own ``import`` starts anew for each, which takes seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from midflight._util.lines import MALFORMED
from midflight.agents.base import Memory, Remembered
from midflight.agents.opencode.http import Frame
from midflight.agents.opencode.server import Refused
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.errors import ConversationLost
from midflight.options import Options

NEWEST = 10
"""How many messages are looked at while a turn runs; the last may be the only one that changes."""

AT_ONCE = 100
"""How many events a server takes in with one call: each is a transaction of its own."""

_OWN = ("path", "permission", "projectID", "revert", "share", "workspaceID")
"""What of a session is one machine's own; its permissions are said anew by whoever resumes it."""

_NOTHING = {
    "cost": 0,
    "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}},
}


class Remembering:
    """Follows one session, and tells what is new of it since the last time."""

    def __init__(self, client: OpenCodeClient, session: str, memory: Memory) -> None:
        """``memory`` is what is remembered so far; it may be of an earlier session."""
        self._client = client
        self._session = session
        self._known = {part: _digest(lines[-1]) for part, lines in memory.items() if lines}
        self._begun = False

    async def changed(self, newest: int | None = None) -> list[Remembered]:
        """Return what has changed; of so many messages only, once all were looked at.

        Raises `AgentFailed`.
        """
        some = {"limit": newest} if newest is not None and self._begun else {}
        path = f"/session/{self._session}"
        info = await self._client.get(path)
        messages = await self._client.get(f"{path}/message", params=some)
        self._begun = True
        return await asyncio.to_thread(self._compare, info, messages, only_newest=bool(some))

    def _compare(
        self, info: Frame, messages: Sequence[Frame], *, only_newest: bool
    ) -> list[Remembered]:
        now = {self._session: _line(_of_session(info))}
        for message in messages:
            now[f"{self._session}/{message['info']['id']}"] = _line(_of_message(message))
        first = min(list(now)[1:], default="") if only_newest else ""
        gone = [part for part in self._known if part >= first and part not in now]
        new = {part: line for part, line in now.items() if self._known.get(part) != _digest(line)}
        self._known |= {part: _digest(line) for part, line in new.items()}
        for part in gone:
            del self._known[part]
        return [
            *(Remembered(part, (), anew=True) for part in gone),
            *(Remembered(part, (line,), anew=True) for part, line in new.items()),
        ]


async def bring_together(client: OpenCodeClient, options: Options, memory: Memory) -> None:
    """Have the server know what is remembered of the session to resume, if it does not.

    What it has of that session and is not remembered was never shown to anybody: it is replaced,
    unless it only comes behind. Raises `AgentFailed`.
    """
    session = options.resume or ""
    if not memory.get(session):
        return
    path = f"/session/{session}"
    try:
        parts = [part for part in sorted(memory) if part.startswith(f"{session}/")]
        messages = [_own_message(session, memory[part][-1]) for part in parts]
        wanted = {message["info"]["id"] for message in messages}
        here = await _here(client, path)
        if here is not None and wanted <= here:
            return
        project = await client.get("/project/current")
        own = {"id": session, "directory": str(options.cwd), "projectID": project["id"]}
        events = list(
            _events(_of_session(msgspec.json.decode(memory[session][-1])) | own, messages)
        )
    except (*MALFORMED, RecursionError) as error:
        raise ConversationLost(f"what is remembered of {session} cannot be read") from error
    if here is not None:
        await client.delete(path)
    for place in range(0, len(events), AT_ONCE):
        some = events[place : place + AT_ONCE]
        await client.post("/sync/replay", {"directory": str(options.cwd), "events": some})


def _own_message(session: str, line: str) -> Frame:
    """Return a message that is remembered, as one of this session, whatever it says itself."""
    message = msgspec.json.decode(line)
    own = {"sessionID": session}
    info = message["info"] | own
    parts = [part | own | {"messageID": info["id"]} for part in message["parts"]]
    return {"info": info, "parts": parts}


async def _here(client: OpenCodeClient, path: str) -> set[str] | None:
    """Return the messages that the server has of a session; None where it has no such session."""
    try:
        return {each["info"]["id"] for each in await client.get(f"{path}/message")}
    except Refused:
        return None


def _events(info: Frame, messages: Sequence[Frame]) -> Iterator[Frame]:
    """Yield the events of a session that has come to be as it is."""
    for seq, (kind, data) in enumerate(_changes(info, messages)):
        yield {
            "id": f"evt_{uuid.uuid4().hex}",
            "aggregateID": info["id"],
            "seq": seq,
            "type": f"{kind}.1",
            "data": {"sessionID": info["id"], **data},
        }


def _changes(info: Frame, messages: Sequence[Frame]) -> Iterator[tuple[str, Frame]]:
    yield "session.created", {"info": {**info, **_NOTHING}}
    for message in messages:
        yield "message.updated", {"info": message["info"]}
        at = message["info"]["time"]["created"]
        for part in message["parts"]:
            yield "message.part.updated", {"part": part, "time": at}
    yield "session.updated", {"info": info}  # with its cost: each step has added to that


def _of_session(info: Mapping[str, Any]) -> Frame:
    return _without_diffs({name: value for name, value in info.items() if name not in _OWN})


def _of_message(message: Mapping[str, Any]) -> Frame:
    return {"info": _without_diffs(message["info"]), "parts": message["parts"]}


def _without_diffs(info: Mapping[str, Any]) -> Frame:
    """Leave out what OpenCode shows of changed files: with many it is most of a session."""
    summary = info.get("summary")
    if not isinstance(summary, dict) or "diffs" not in summary:
        return dict(info)
    return {**info, "summary": {**summary, "diffs": []}}


def _line(value: Frame) -> str:
    return msgspec.json.encode(value).decode()


def _digest(line: str) -> bytes:
    return hashlib.blake2b(line.encode(), digest_size=16).digest()
