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
    """Put the remote and the commit in place of a folder that ``--repo`` names.

    On another machine it is this folder's, where nothing else is named: that has no such folder.
    What is only here is said when the session begins, and is pushed then if it is a part of what
    was asked for. Raises `Conflict`.
    """
    if args.on is not None and args.repo is None and args.cwd is None:
        here = current_folder()
        args.repo = str(here) if has_checkout(here) else None
    folder = None if args.repo is None else checkout_at(args.repo)
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


def checkout_at(text: str) -> Path | None:
    """Return the folder with a checkout that is meant; None where it is the address of a remote."""
    path = current_folder(needed=False) / Path(text).expanduser()
    return path if is_checkout(path) else None


def _tell(line: str) -> None:
    write(f"midflight: {line}\n", error=True)
