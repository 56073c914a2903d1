"""What a folder would have an agent run and redirect, for who starts a session from the page."""

from __future__ import annotations

import asyncio
import hashlib
import json

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from midflight import agents
from midflight._util.files import shown
from midflight.errors import Conflict, NotAllowed
from midflight.host.http.app import as_json, body_of, decoded
from midflight.host.http.operations import ApiRoute, Operation
from midflight.options import Options
from midflight.trust import decision, store
from midflight.trust.repository import repository_of
from midflight.trust.stake import Obeyed, Stake, look


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /trust``: which agent would start where.

    With ``agree`` the user trusts what the answer with this ``digest`` has shown, for good.
    """

    cwd: str
    agent: str
    agree: str = ""


class AtStake(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: whether a start has to be agreed to, and everything that it would obey.

    ``files`` has one entry for each thing: its ``kind`` and ``text`` as in `Consequence`, and the
    ``path`` of the file, which is the whole one where the file is of another repository. ``told``
    says that the agent can be told to leave them out. ``beyond`` says why it cannot be trusted, and
    ``problems`` which files the agent leaves out because it cannot read them, and why.
    ``redirects``: a key goes elsewhere, which is agreed to for good or not at all.
    """

    trusted: bool
    digest: str = ""
    files: tuple[dict[str, str], ...] = ()
    silent: int = 0
    told: bool = True
    beyond: str = ""
    problems: tuple[str, ...] = ()
    redirects: bool = False


_TRUST = Operation(
    "What a folder would have an agent run and redirect; agree to it",
    {200: AtStake},
    body=Asked,
    example={"cwd": "/home/ada/shop-api", "agent": "fake"},
)


def trust_route() -> ApiRoute:
    """Return the route ``/trust``."""

    async def trust(request: Request) -> Response:
        asked = decoded(await body_of(request), Asked, "a question about a folder")
        return as_json(await asyncio.to_thread(_looked, asked))

    return ApiRoute("/trust", trust, _TRUST, "POST")


def _looked(asked: Asked) -> AtStake:
    """Look at the folder, and agree where that is asked for. Raises `Conflict`, `InvalidOption`."""
    options = Options.build(cwd=asked.cwd, agent=asked.agent)
    obeyed = agents.obeyed(options.agent)
    if obeyed is None:
        return AtStake(trusted=True)
    stake = look(options, obeyed)
    if asked.agree:
        _agree(asked.agree, stake)
    trusted = not stake or (not stake.beyond and store.read().covers(stake.files))
    return _at_stake(stake, obeyed, repository_of(options.cwd).key, trusted=trusted)


def _agree(digest: str, stake: Stake) -> None:
    """Record what was shown; what has changed since was not."""
    if digest != _digest(stake):
        raise Conflict("the folder has changed since it was shown", "look at it again")
    if stake.beyond:
        raise NotAllowed(f"it cannot be trusted: {shown(stake.beyond)}")
    decision.record(stake)


def _digest(stake: Stake) -> str:
    entries = sorted(file.entry for file in stake.files)
    # In ASCII, since a system takes any bytes for a file's name.
    return hashlib.sha256(json.dumps([entries, stake.beyond]).encode()).hexdigest()


def _at_stake(stake: Stake, obeyed: Obeyed, repository: str, *, trusted: bool) -> AtStake:
    things = dict.fromkeys(
        (each.kind, shown(file.seen_from(repository)), shown(each.text))
        for file in stake.files
        for each in file.consequences
    )
    return AtStake(
        trusted=trusted,
        digest=_digest(stake),
        files=tuple({"kind": kind, "path": path, "text": text} for kind, path, text in things),
        silent=sum(not file.consequences for file in stake.files),
        told=obeyed.told,
        beyond=shown(stake.beyond),
        problems=tuple(map(shown, stake.problems)),
        redirects=stake.redirects,
    )
