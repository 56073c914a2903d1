"""The worktree of a session, over HTTP: what is in it, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from midflight.client.client import Client
from midflight.errors import InvalidInput
from midflight.git.repository import branch_of
from midflight.host.http.app import as_json, body_of, decoded, who_asks
from midflight.host.http.operations import ApiRoute, Operation
from midflight.questions import WorktreeAction
from midflight.worktrees import SessionWorktrees, WorktreeOutcome, WorktreeRow


class WorktreeCommand(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /sessions/S/worktree``.

    ``name`` is what else a ``branch`` is to be called. With ``tell`` the session gets a message
    about what conflicts in a ``merge``.
    """

    action: WorktreeAction
    name: str = ""
    tell: bool = True


_SHOW = Operation(
    "The worktree that a session has of its own; null where it has none",
    {200: WorktreeRow | None},
)
_DO = Operation(
    "Merge a session's worktree where it came from, have its branch hold all of it, or discard it",
    {200: WorktreeOutcome},
    body=WorktreeCommand,
    example={"action": "merge", "tell": False},
)


def worktree_routes(client: Client) -> list[ApiRoute]:
    """Return the routes ``/sessions/S/worktree``; ``client`` has been entered."""

    async def show(request: Request) -> Response:
        info = await client.info(request.path_params["session"])
        if not branch_of(info.cwd):  # git is not asked about most
            return as_json(None)
        return as_json(await (await SessionWorktrees(client).of(info, Path(info.cwd))).row())

    async def do(request: Request) -> Response:
        verb = _verb(await body_of(request))
        info = await client.info(request.path_params["session"])
        worktrees = SessionWorktrees(client.speaking_for(who_asks(request)))
        worktree = await worktrees.of(info, Path(info.cwd))
        return as_json(await worktree.do(verb.action, name=verb.name, tell=verb.tell))

    path = "/sessions/{session}/worktree"
    return [ApiRoute(path, show, _SHOW), ApiRoute(path, do, _DO, "POST")]


def _verb(body: bytes) -> WorktreeCommand:
    example = 'for example {"action": "merge"}'
    verb = decoded(body, WorktreeCommand, "a verb for a worktree", example)
    if verb.name and verb.action != "branch":
        raise InvalidInput("name goes with branch", '{"action": "branch", "name": "fix/tests"}')
    return verb
