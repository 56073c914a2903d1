"""``midflight answer``: what a session asks, answered from any terminal."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import time

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight.cli import answers
from midflight.cli.commands.send import carry_out
from midflight.cli.output import at_terminal
from midflight.client.client import Client, connect
from midflight.errors import InvalidInput, NotFound
from midflight.events import Request
from midflight.info import SessionInfo

NAMED = 5
"""How many sessions an error names."""

TYPED_S = 2.0
"""How long it takes to type an answer, at least: what was asked since was not its reason."""


def answer(args: argparse.Namespace) -> int:
    """Answer a request."""
    return asyncio.run(_answer(args))


async def _answer(args: argparse.Namespace) -> int:
    if len(args.words) > 3:  # noqa: PLR2004 - session, request, answer
        raise InvalidInput("one answer is expected", "put it in quotes")
    *names, text = args.words
    async with connect(door="command") as client:
        info, wanted = await _find(client, names)
        request = request_of(info, wanted)
        command = answer_to(request, text, args.reason, info.name)
        if wanted is None and at_terminal():
            check_seen(request, command, time.time(), info)
        done = f"{info.name}: {answers.decided(request, command, info.cwd)}"
        return await carry_out(client, info, command, args, done)


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
    if name is None and not info.pending:
        await _check_others(client, info)
    return info, names[1] if len(names) > 1 else None


async def _check_others(client: Client, info: SessionInfo) -> None:
    """Raise `NotFound` that names the sessions of this folder in which something waits, if any."""
    waiting = [each for each in await client.sessions(cwd=info.cwd) if each.pending]
    if waiting:
        names = ", ".join(one_name(each.name) for each in waiting[:NAMED])
        hint = f"but in {names}: midflight answer {shlex.quote(one_name(waiting[0].name))} …"
        raise NotFound(f"nothing waits in session {info.name}, the latest here", hint)


def request_of(info: SessionInfo, wanted: str | None) -> Request:
    """Return the request that is named; without a name, the one that waits."""
    matches = [one for one in info.pending if one.request.startswith(wanted or "")]
    if not matches:
        what = f"no request {wanted}" if wanted else "nothing"
        raise NotFound(f"{what} waits in session {info.name}", f"midflight show {info.name}")
    if len(matches) > 1:
        raise InvalidInput(
            f"{len(matches)} requests wait in session {info.name}: say which",
            "; ".join(f"{one.request}: {answers.summary(one, info.cwd)}" for one in matches),
        )
    return matches[0]


def check_seen(request: Request, answer: c.Answer, now: float, info: SessionInfo) -> None:
    """Raise `InvalidInput` for an answer to what a person who has just typed it cannot have seen.

    ``now`` is the time of day. A denial does no harm.
    """
    if answer.decision == "allow" and now - request.time < TYPED_S:
        raise InvalidInput(
            f"this has only just been asked: {answers.summary(request, info.cwd)}",
            f"to answer it: midflight answer {shlex.quote(info.name)} {request.request} …",
        )


def answer_to(request: Request, text: str, reason: str, name: str) -> c.Answer:
    """Read an answer, see `midflight.cli.answers`; ``name`` is the session's, for an error.

    Where several questions are asked at once, their answers stand in order, with ``;`` between.
    """
    if isinstance(request, e.PermissionRequested):
        return _decision(request, text, reason, name)
    if denied := answers.deny_question(request, text, reason):
        return denied
    parts = text.split(";") if len(request.questions) > 1 else [text]
    if len(parts) != len(request.questions):
        raise InvalidInput(
            f"{len(request.questions)} questions wait for an answer",
            "put a ; between the answers",
        )
    chosen: dict[str, str | list[str]] = {}
    for question, part in zip(request.questions, parts, strict=True):
        choice = answers.choose(question, part)
        if choice is None:
            options = ", ".join(option.label for option in question.options)
            raise InvalidInput(f"{part.strip()!r} answers nothing", options)
        chosen[question.question] = choice
    return c.Answer(request=request.request, answers=chosen)


def _decision(request: e.PermissionRequested, text: str, reason: str, name: str) -> c.Answer:
    decision = answers.decide(request, text)
    if decision is None:
        raise InvalidInput(
            f"{text.strip()!r} neither allows nor denies: {answers.how(request)}",
            f"midflight answer {name} deny --reason {shlex.quote(text.strip())}, or"
            f" midflight send {name} {shlex.quote(text.strip())}",
        )
    if isinstance(decision, str):
        raise InvalidInput(decision)
    if decision.decision == "allow" or not reason:
        return decision
    return msgspec.structs.replace(decision, reason=reason)
