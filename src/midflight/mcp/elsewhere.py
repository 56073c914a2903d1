"""Where a session of a worker begins: what is named in the call, as `midflight run --on` has it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from midflight.errors import InvalidInput, InvalidOption
from midflight.git.own_checkout import hand_over
from midflight.journal.waiting import check_label
from midflight.mcp import arguments as t
from midflight.mcp.bounds import DispatchBounds
from midflight.trust.repository import has_checkout


def refuse_without_label(args: t.DispatchArgs) -> None:
    """Raise `InvalidOption` for what is only for sessions of workers."""
    for option in ("repo", "ref", "with_changes"):
        if getattr(args, option):
            raise InvalidOption(
                option, "it is for sessions of workers", "name their label by on, or use worktree"
            )


async def place(
    args: t.DispatchArgs, bounds: DispatchBounds, folders: Iterable[Path]
) -> tuple[dict[str, Any], list[str]]:
    """Return where a session begins, as options of `Client.dispatch`, and what is to be said of it.

    A folder stands for its repository, whose commit is pushed where it is not at the remote.
    Raises `NotAllowed`, `Conflict`, `InvalidInput` and `InvalidOption`.
    """
    options: dict[str, Any] = {"on": check_label(args.on)}  # before anything is pushed
    if args.worktree:
        raise InvalidOption(
            "worktree", "a worktree is made of a repository on this machine", "leave it or on out"
        )
    here = None
    if not args.repo and not args.cwd:
        own = bounds.folder("", folders)
        here = own if has_checkout(own) else None
    elif args.repo and bounds.is_folder(args.repo):
        here = bounds.folder(args.repo, folders)
    if here is None:
        if args.with_changes:
            raise InvalidInput("with_changes is about a folder of this machine", "name it by repo")
        if not args.repo:
            if args.ref:
                raise InvalidOption("ref", "there is no repository to have it", "name it by repo")
            return {**options, "cwd": str(bounds.folder(args.cwd, folders))}, []
        bounds.check_repo(args.repo)
        options |= {"repo": args.repo, "ref": args.ref or None}
        return options | ({"cwd": args.cwd} if args.cwd else {}), []
    if args.cwd:
        raise InvalidInput("repo is the folder to work in", "leave cwd out")
    if args.with_changes and args.ref:
        raise InvalidInput("with_changes begins with what is checked out", "leave ref out")
    notes: list[str] = []
    session = uuid.uuid4().hex
    mine = await hand_over(
        here,
        args.ref or None,
        session,
        notes.append,
        changes="with_changes",
        taken=args.with_changes,
    )
    options |= {"id": session, "repo": mine.remote.url, "ref": mine.commit}
    return options | ({"cwd": str(mine.within)} if mine.within != Path() else {}), notes
