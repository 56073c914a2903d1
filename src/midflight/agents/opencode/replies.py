"""What every version of OpenCode is told with an answer, how it is sent, and why it asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from midflight import events as e
from midflight.agents.base import Reply
from midflight.agents.opencode.http import HttpClient
from midflight.agents.opencode.server import Refused
from midflight.errors import AgentFailed

REASONS: Mapping[str, str] = {
    "doom_loop": "the same call, again and again",
    "external_directory": "outside the folder: {}",
    "task": "on this server, a sub-agent does what it does without asking",
}
"""Why a permission is asked for, where the call does not say it; ``{}`` is what it is about."""

_EDITED = "The user changed this call. Make it again with exactly this input: {}"

_TRIES = 3
"""How often an answer is sent, where the server cannot be reached."""

_PAUSE_S = 1.0


def refusal(reply: Reply) -> dict[str, str]:
    """Return what denies a permission, or asks for another input.

    Without a message for the model it would end the turn.
    """
    message = reply.reason or "the user denied this"
    if reply.allow:
        message = _EDITED.format(json.dumps(reply.input, ensure_ascii=False))
    return {"reply": "reject", "message": message}


def chosen(question: e.QuestionRequested, reply: Reply) -> list[list[str]]:
    """Return the answers to each question of a request, in order."""
    answers = [(reply.answers or {}).get(each.question, []) for each in question.questions]
    return [[each] if isinstance(each, str) else list(each) for each in answers]


async def send(client: HttpClient, path: str, body: dict[str, Any] | None) -> None:
    """Send an answer. A request that has ended refuses it, and that is no error.

    Raises `AgentFailed`, where the server cannot be reached.
    """
    for left in reversed(range(_TRIES)):
        try:
            await client.post(path, body)
        except Refused:
            return  # It has ended.
        except AgentFailed:
            if not left:
                raise
            await asyncio.sleep(_PAUSE_S)  # An answer that is lost would hang the turn.
        else:
            return
