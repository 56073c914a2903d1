"""``midflight show``: one session, and what it asks."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from midflight import events as e
from midflight._util.files import current_folder
from midflight._util.sanitize import one_line, one_name
from midflight._util.text import dollars
from midflight.cli.answers import rule_in_words
from midflight.cli.output import BOLD, DIM, YELLOW, Fragment, json_line, write
from midflight.cli.terminal.requests import PendingRequests
from midflight.info import SessionInfo
from midflight.journal.rows import HostRow, SessionRow
from midflight.journal.workers import ID_CHARS
from midflight.who import in_words

NEWEST = 200
"""How many events are looked through for the newest message and answer."""

_SENT = (e.MessageAccepted,)
_ENDED = (e.PermissionResolved, e.QuestionResolved)


def show(args: argparse.Namespace) -> int:
    """Show one session."""
    return asyncio.run(_show(args.session, as_json=args.json))


async def _show(name: str | None, *, as_json: bool) -> int:
    from midflight.authorization import Authorizer
    from midflight.journal import Journal

    async with Journal() as journal:
        folder = current_folder(needed=name is None)
        row = await Authorizer.of_this_process(journal).find(name, str(folder))
        info = (await journal.infos([row]))[0]
        host = next((host for host in await journal.hosts() if host.id == row.host), None)
        newest = [] if as_json else await journal.tail(row.id, NEWEST)
    if as_json:
        write(json_line(msgspec.json.encode(info)))
    else:
        machine = _machine(row, host) if journal.on_server else ""
        write(_page(info, newest, machine, host.older if host else ""))
    return 0


def _page(info: SessionInfo, newest: Sequence[e.Event], machine: str, older: str) -> list[Fragment]:
    from midflight.git.remote import session_ref
    from midflight.git.repository import branch_of

    repository = info.repository
    facts = {
        "id": info.id,
        "agent": f"{info.agent} {info.model}".strip(),
        "folder": info.cwd,
        "branch": branch_of(info.cwd),
        "repo": repository.remote if repository else "",
        "work": session_ref(info.id) if repository and repository.commit else "",
        "not sent": repository.problem if repository else "",
        "status": info.status,
        "label": info.label or "",
        "waits": f"for {info.waits_for}" if info.waits_for else "",
        "turns": str(info.turns),
        "cost": dollars(info.total_cost_usd),
        "rules": "; ".join(map(rule_in_words, info.rules)),
        "limits": ", ".join(f"{name} {value}" for name, value in info.limits.items()),
        "created": _when(info.created),
        "updated": _when(info.updated),
        "host": info.host or "none: it is at rest",
        "machine": machine,
        "older": older,
        "sent by": next((in_words(v.who) for v in newest[::-1] if isinstance(v, _SENT)), ""),
        "answered": next((in_words(v.who) for v in newest[::-1] if isinstance(v, _ENDED)), ""),
        "last": info.last,
    }
    lines: list[Fragment] = [(BOLD, f"{one_name(info.name)}\n")]
    for name, value in facts.items():
        if value:
            lines += [(DIM, f"  {name:8} "), ("", f"{one_line(value, 1000)}\n")]
    for request in info.pending:
        asking = PendingRequests(Path(info.cwd))
        asking.add(request)
        how = '"your answer"'
        if isinstance(request, e.PermissionRequested):
            how = "allow|always|deny" if request.rule else "allow|deny"
        # The request is named: by the time that this is typed another one may wait.
        command = f"midflight answer {info.name} {request.request} {how}"
        lines += [*asking.shown(), (YELLOW, f"  to answer: {one_line(command, 1000)}\n")]
    return lines


def _machine(row: SessionRow, host: HostRow | None) -> str:
    """Return where a session is, with the worker that has it, or where it was last, if known."""
    if host is not None:
        return f"{host.machine}, worker {host.id[:ID_CHARS]}" if host.labels else host.machine
    last = row.repository.machine if row.repository else ""
    return f"{last}, which had it last" if last else row.machine * (row.label is None)


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
