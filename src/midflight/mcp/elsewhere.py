"""Where a session of a worker begins: what is named in the call, as `midflight run --on` has it."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from midflight.errors import InvalidInput, InvalidOption
from midflight.git.own_checkout import choose, hand_over
from midflight.mcp import arguments as t
from midflight.mcp.bounds import DispatchBounds
from midflight.trust.repository import has_checkout


class Place(NamedTuple):
    """Where a session begins, as options; ``first`` is done, and adds ``notes``, before it does."""

    options: dict[str, Any]
    notes: list[str]
    id: str | None = None
    first: Callable[[], Awaitable[None]] | None = None


def refuse_without_label(args: t.DispatchArgs) -> None:
    """Raise `InvalidOption` for what is only for sessions of workers."""
    for option in ("repo", "ref", "with_changes"):
        if getattr(args, option):
            raise InvalidOption(
                option, "it is for sessions of workers", "name their label by on, or use worktree"
            )


async def place(args: t.DispatchArgs, bounds: DispatchBounds, folders: Iterable[Path]) -> Place:
    """Return where a session begins.

    A folder stands for its repository, whose commit is pushed where it is not at the remote.
    Raises `NotAllowed`, `Conflict`, `InvalidInput` and `InvalidOption`.
    """
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
            return Place({"cwd": str(bounds.folder(args.cwd, folders))}, [])
        bounds.check_repo(args.repo)
        there = {"repo": args.repo, "ref": args.ref or None}
        return Place(there | ({"cwd": args.cwd} if args.cwd else {}), [])
    if args.cwd:
        raise InvalidInput("repo is the folder to work in", "leave cwd out")
    if args.with_changes and args.ref:
        raise InvalidInput("with_changes begins with what is checked out", "leave ref out")
    notes: list[str] = []
    session = uuid.uuid4().hex
    mine = await choose(here, args.ref or None, taken=args.with_changes)
    there = {"repo": mine.remote.url, "ref": mine.commit}
    there |= {"cwd": str(mine.within)} if mine.within != Path() else {}
    first = functools.partial(hand_over, mine, session, notes.append, changes="with_changes")
    return Place(there, notes, session, first)
