"""A folder's repository as other machines can have it: its remote, and a commit that is there."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from pathlib import Path

from midflight._util.files import current_folder
from midflight._util.sanitize import one_line
from midflight.cli.output import write
from midflight.errors import InvalidInput
from midflight.git.own_checkout import OwnCheckout, look_at, publish, with_changes
from midflight.git.remote import session_ref
from midflight.trust.repository import repository_of


def name_repository(args: argparse.Namespace) -> str | None:
    """Put the remote and the commit in place of a folder that ``--repo`` names.

    On another machine it is this folder's, where nothing else is named: that has no such folder.
    Return the id that the session has to have then; None where ``--repo`` is an address. What is
    only here is said, and is pushed if it is a part of what was asked for. Raises `Conflict`.
    """
    if args.on is not None and args.repo is None and args.cwd is None:
        args.repo = _here()
    folder = None if args.repo is None else _folder(args.repo)
    if folder is None:
        if args.with_changes:
            raise InvalidInput("--with-changes is about a folder", "name one: --repo .")
        return None
    if args.with_changes and args.ref:
        raise InvalidInput("--with-changes begins with what is checked out", "leave --ref out")
    if args.cwd is not None:
        raise InvalidInput("--repo FOLDER is the folder to work in", "leave --cwd out")
    session = uuid.uuid4().hex
    asyncio.run(_offer(args, folder, session))
    return session


def _here() -> str | None:
    """Return the current folder if it is in a repository."""
    here = current_folder()
    return str(here) if repository_of(here).root.joinpath(".git").exists() else None


def _folder(text: str) -> Path | None:
    """Return the folder with a checkout that is meant; a bare repository is a remote itself."""
    path = current_folder(needed=False) / Path(text).expanduser()
    return path if path.is_dir() and not (path / "objects").is_dir() else None


async def _offer(args: argparse.Namespace, folder: Path, session: str) -> None:
    offered = await look_at(folder, args.ref)
    commit = await with_changes(offered) if args.with_changes else offered.commit
    if not args.ref:
        _tell_what_stays(offered, taken=args.with_changes)
    if commit != offered.commit or not offered.is_pushed:
        if args.no_journal:
            raise InvalidInput(
                f"{commit[:10]} is not at the remote, and a session without a record cannot have"
                " it pushed",
                "git push, or leave --no-journal out",
            )
        url = one_line(offered.remote.url, 1000)
        _tell(f"{commit[:10]} is not at {url}: it is pushed to {session_ref(session)}")
        await publish(offered, commit, session)
    args.repo, args.ref = offered.remote.url, commit
    args.cwd = str(offered.within) if offered.within != Path() else None


def _tell_what_stays(offered: OwnCheckout, *, taken: bool) -> None:
    if offered.changed and not taken:
        _tell(
            f"it begins with {offered.commit[:10]}, without what is not committed"
            f" (files: {offered.changed}); --with-changes takes that"
        )
    if offered.new:
        _tell(f"files that git does not have stay here: {offered.new}")


def _tell(line: str) -> None:
    write(f"midflight: {line}\n", error=True)
