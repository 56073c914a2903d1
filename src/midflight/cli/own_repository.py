"""A folder's repository as other machines can have it: its remote, and a commit that is there."""

from __future__ import annotations

import argparse
import asyncio
import functools
import uuid
from pathlib import Path

from midflight._util.files import current_folder
from midflight.cli.foreground import Begin
from midflight.cli.output import write
from midflight.errors import InvalidInput
from midflight.git.own_checkout import choose, hand_over, is_checkout
from midflight.trust.repository import has_checkout


def name_repository(args: argparse.Namespace) -> Begin:
    """Put the remote and the commit in place of a folder whose repository is meant.

    What is only here is said when the session begins, and is pushed then if it is a part of what
    was asked for. Raises `Conflict`.
    """
    folder = checkout_of(args)
    if folder is None:
        if args.with_changes:
            raise InvalidInput("--with-changes is about a folder", "name one: --repo .")
        return Begin()
    if args.with_changes and args.ref:
        raise InvalidInput("--with-changes begins with what is checked out", "leave --ref out")
    if args.cwd is not None:
        raise InvalidInput("--repo FOLDER is the folder to work in", "leave --cwd out")
    session = uuid.uuid4().hex
    mine = asyncio.run(
        choose(folder, args.ref, taken=args.with_changes, may_push=not args.no_journal)
    )
    args.repo, args.ref = mine.remote.url, mine.commit
    args.cwd = str(mine.within) if mine.within != Path() else None
    first = functools.partial(hand_over, mine, session, _tell, changes="--with-changes")
    return Begin(session, first)


def checkout_of(args: argparse.Namespace) -> Path | None:
    """Return the folder whose repository is meant; None where it is named by its address, or none.

    For another machine it is this one, where nothing else is named: that has no such folder.
    """
    if args.repo is None:
        is_meant = args.on is not None and args.cwd is None and has_checkout(current_folder())
        return current_folder() if is_meant else None
    path = current_folder(needed=False) / Path(args.repo).expanduser()
    return path if is_checkout(path) else None


def _tell(line: str) -> None:
    write(f"midflight: {line}\n", error=True)
