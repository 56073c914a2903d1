"""Commands to a session that some other process runs, or none: it is woken by a message."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.cli.output import json_line, one_line, write
from midflight.cli.terminal.requests import choose
from midflight.cli.terminal.transcript import Outcome, Transcript
from midflight.client.client import Client, connect
from midflight.errors import InvalidInput, NotFound
from midflight.events import Request
from midflight.info import SessionInfo

__all__ = ["answer", "answer_to", "interrupt", "queue", "redirect", "request_of", "send", "stop"]


def send(given: argparse.Namespace) -> int:
    """Steer the running turn, or start one."""
    name, text = _said(given.words)
    return asyncio.run(_tell(given, name, c.Send(text=text), "sent to"))


def queue(given: argparse.Namespace) -> int:
    """Have a turn of its own for a message."""
    name, text = _said(given.words)
    return asyncio.run(_tell(given, name, c.Send(text=text, delivery="queue"), "queued for"))


def redirect(given: argparse.Namespace) -> int:
    """Stop the turn, and start one for a message."""
    name, text = _said(given.words)
    command = c.Redirect(text=text, drop_queued=given.drop_queued)
    return asyncio.run(_tell(given, name, command, "redirected"))


def _said(words: list[str]) -> tuple[str | None, str]:
    """Tell the session from the text: one word is the text, two are both."""
    if len(words) > 2:  # noqa: PLR2004 - the two that were just named
        raise InvalidInput("one text is expected", 'put it in quotes: midflight send "your text"')
    *names, text = words
    return (names[0] if names else None), c.check_text(text)


async def _tell(given: argparse.Namespace, name: str | None, command: c.Command, done: str) -> int:
    async with connect() as client:
        info = await client.info(name, cwd=Path.cwd())
        return await _carry_out(client, info, command, given, done)


async def _carry_out(
    client: Client, info: SessionInfo, command: c.Command, given: argparse.Namespace, done: str
) -> int:
    if given.wait:
        return await _until_quiet(client, info, command, as_json=given.json)
    outcome = await client.carry_out(info.id, command)
    as_json = json_line(msgspec.json.encode(outcome))
    write(as_json if given.json else f"{done} {one_line(info.name)}\n")
    return 0


async def _until_quiet(
    client: Client, info: SessionInfo, command: c.Command, *, as_json: bool
) -> int:
    """Print what follows on a command; nobody is here to answer what may be asked."""
    # Whoever has sent a message need not be told that its turn begins.
    transcript = Transcript(Path(info.cwd), whole=isinstance(command, c.Answer))
    outcome = Outcome()
    async with await client.session(info.id, attend=False) as session:
        for each in session.queued:
            waits = e.MessageAccepted(message=each.id, text=each.text, delivery="queue")
            transcript.take(waits)
        await session.command(command)
        async for event in session.stream():
            outcome.take(event)
            write(json_line(e.encode(event)) if as_json else transcript.take(event))
    return outcome.code


def interrupt(given: argparse.Namespace) -> int:
    """Stop the turn."""
    return asyncio.run(_interrupt(given.session, keep_queued=given.keep_queued))


async def _interrupt(name: str | None, *, keep_queued: bool) -> int:
    async with connect() as client:
        info = await client.info(name, cwd=Path.cwd())
        if info.host is None:
            write(f"{one_line(info.name)} is {info.status}: there is nothing to stop\n")
            return 0
        await client.carry_out(info.id, c.Interrupt(keep_queued=keep_queued))
        write(f"interrupted {one_line(info.name)}\n")
    return 0


def stop(given: argparse.Namespace) -> int:
    """End the session."""
    return asyncio.run(_stop(given.session))


async def _stop(name: str | None) -> int:
    async with connect() as client:
        info = await client.info(name, cwd=Path.cwd())
        if info.status == "closed":
            write(f"{one_line(info.name)} has ended already\n")
            return 0
        await client.carry_out(info.id, c.Close())
        write(f"stopped {one_line(info.name)}\n")
    return 0


# Answers ------------------------------------------------------------------------------------


def answer(given: argparse.Namespace) -> int:
    """Answer a request."""
    return asyncio.run(_answer(given))


async def _answer(given: argparse.Namespace) -> int:
    if len(given.words) > 3:  # noqa: PLR2004 - session, request, answer
        raise InvalidInput("one answer is expected", "put it in quotes")
    *names, said = given.words
    async with connect() as client:
        info, asked = await _find(client, names)
        request = request_of(info, asked)
        command = answer_to(request, said, given.reason)
        return await _carry_out(client, info, command, given, "answered")


async def _find(client: Client, names: list[str]) -> tuple[SessionInfo, str | None]:
    """Return the session and the request that are named; a single name can be either."""
    name = names[0] if names else None
    try:
        info = await client.info(name, cwd=Path.cwd())
    except NotFound:
        latest = await client.info(cwd=Path.cwd())
        if len(names) == 1 and any(one.request.startswith(names[0]) for one in latest.pending):
            return latest, names[0]
        raise
    return info, names[1] if len(names) > 1 else None


def request_of(info: SessionInfo, asked: str | None) -> Request:
    """Return the request that is meant: the one that waits, if none is named."""
    fitting = [one for one in info.pending if one.request.startswith(asked or "")]
    if not fitting:
        what = f"request {asked}" if asked else "nothing"
        raise NotFound(f"{what} waits in session {info.name}", f"midflight show {info.name}")
    if len(fitting) > 1:
        raise InvalidInput(
            f"{len(fitting)} requests wait in session {info.name}: say which",
            ", ".join(one.request for one in fitting),
        )
    return fitting[0]


def answer_to(request: Request, said: str, reason: str) -> c.Answer:
    """Read an answer: ``allow``, ``deny``, why not, or what a question is answered with.

    Where several questions are asked at once, their answers stand in order, with ``;`` between.
    """
    word = said.strip().lower()
    if word == "deny":
        return c.Answer(request=request.request, decision="deny", reason=reason)
    if isinstance(request, e.PermissionRequested):
        if word == "allow":
            return c.Answer(request=request.request)
        return c.Answer(request=request.request, decision="deny", reason=said.strip())
    parts = said.split(";") if len(request.questions) > 1 else [said]
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
