"""``midflight answer``: what a session asks, answered from any terminal."""

from __future__ import annotations

import argparse
import asyncio

from midflight import commands as c
from midflight import events as e
from midflight._util.files import current_folder
from midflight.cli.commands.send import carry_out
from midflight.cli.terminal.requests import choose
from midflight.client.client import Client, connect
from midflight.errors import InvalidInput, NotFound
from midflight.events import Request
from midflight.info import SessionInfo


def answer(args: argparse.Namespace) -> int:
    """Answer a request."""
    return asyncio.run(_answer(args))


async def _answer(args: argparse.Namespace) -> int:
    if len(args.words) > 3:  # noqa: PLR2004 - session, request, answer
        raise InvalidInput("one answer is expected", "put it in quotes")
    *names, text = args.words
    async with connect() as client:
        info, wanted = await _find(client, names)
        request = request_of(info, wanted)
        command = answer_to(request, text, args.reason)
        return await carry_out(client, info, command, args, "answered")


async def _find(client: Client, names: list[str]) -> tuple[SessionInfo, str | None]:
    """Return the session and the request that are named; a single name can be either."""
    name = names[0] if names else None
    try:
        info = await client.info(name, cwd=current_folder(needed=name is None))
    except NotFound:
        latest = await client.info(cwd=current_folder())
        if len(names) == 1 and any(one.request.startswith(names[0]) for one in latest.pending):
            return latest, names[0]
        raise
    return info, names[1] if len(names) > 1 else None


def request_of(info: SessionInfo, wanted: str | None) -> Request:
    """Return the request that is named; without a name, the one that waits."""
    matches = [one for one in info.pending if one.request.startswith(wanted or "")]
    if not matches:
        what = f"request {wanted}" if wanted else "nothing"
        raise NotFound(f"{what} waits in session {info.name}", f"midflight show {info.name}")
    if len(matches) > 1:
        raise InvalidInput(
            f"{len(matches)} requests wait in session {info.name}: say which",
            ", ".join(one.request for one in matches),
        )
    return matches[0]


def answer_to(request: Request, text: str, reason: str) -> c.Answer:
    """Read an answer: ``allow``, ``deny``, why not, or what a question is answered with.

    Where several questions are asked at once, their answers stand in order, with ``;`` between.
    """
    word = text.strip().lower()
    if word == "deny":
        return c.Answer(request=request.request, decision="deny", reason=reason)
    if isinstance(request, e.PermissionRequested):
        if word == "allow":
            return c.Answer(request=request.request)
        return c.Answer(request=request.request, decision="deny", reason=text.strip())
    parts = text.split(";") if len(request.questions) > 1 else [text]
    if len(parts) != len(request.questions):
        raise InvalidInput(
            f"{len(request.questions)} questions wait for an answer",
            "put a ; between the answers",
        )
    answers: dict[str, str | list[str]] = {}
    for question, part in zip(request.questions, parts, strict=True):
        chosen = choose(question, part)
        if chosen is None:
            options = ", ".join(option.label for option in question.options)
            raise InvalidInput(f"{part.strip()!r} answers nothing", options)
        answers[question.question] = chosen
    return c.Answer(request=request.request, answers=answers)
