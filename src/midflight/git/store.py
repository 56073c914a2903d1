"""What this machine has of a remote: one bare repository, which alone talks to it.

Its settings are midflight's own and written anew before each use, so nothing that an agent or a
repository has set decides how a remote is reached. Checkouts read its objects (`checkout`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from midflight._util.sanitize import one_line
from midflight.errors import Conflict
from midflight.git.command import LOOK_S, Git, GitOutput, unbroken
from midflight.git.location import exclusive, private_folder
from midflight.git.remote import Remote, is_commit, session_ref

FETCH_S = 1800.0
"""How long a fetch may take; the first one of a large repository brings all of it."""

PUSH_S = 60.0
"""How long it may take to push what a session has done, or to remove it."""

_SETTINGS = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"

_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15"

_QUIET = "git -c core.hooksPath=/dev/null -c core.alternateRefsCommand=true -c receive.autogc=false"
"""How git is run in a remote that is a folder: by us, so nothing of its settings is."""

_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s']+@")


class Store(NamedTuple):
    """The store of a remote. ``work`` is the folder for all of them and their checkouts."""

    remote: Remote
    work: Path

    @property
    def place(self) -> Path:
        """The folder for the store and the checkouts of its sessions."""
        return self.work / self.remote.folder

    @property
    def folder(self) -> Path:
        """The bare repository."""
        return self.place / "store.git"

    @property
    def files(self) -> Path:
        """Where the user of this machine may put files that sessions need and git ignores."""
        return self.place / "files"

    async def fetch(self, session: str, ref: str | None) -> str:
        """Bring the store up to date, one fetch at a time; return the commit that a ref names.

        Without a ref it is what the remote has checked out. What is there of the ``session`` comes
        too. Raises `Conflict` where the remote cannot be reached, or has no such thing.
        """
        private_folder(self.place, "name another one with --work")
        async with exclusive(self.place, FETCH_S):
            git = await _bare(self.folder, self.remote)
            own = session_ref(session)
            wanted = ["heads/*", "tags/*", f"{own.removeprefix('refs/')}*"]
            await self._fetch(git, *(f"+refs/{each}:refs/{each}" for each in wanted))
            if ref is None:
                ref = await self._checked_out(git)
            found = await _commit_of(git, ref)
            if not found and (ref.startswith("refs/") or is_commit(ref)):
                await self._fetch(git, ref if is_commit(ref) else f"+{ref}:{ref}")
                found = await _commit_of(git, ref)
            if not found:
                raise Conflict(f"{self.remote.url} has no {one_line(ref)}", "see git ls-remote")
            return found

    async def _fetch(self, git: Git, *refspecs: str) -> None:
        await _told(
            git,
            *("fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head"),
            *("--no-recurse-submodules", "--no-auto-maintenance"),
            *self._upload_pack,
            *("--", self.remote.url, *refspecs),
            timeout_s=FETCH_S,
        )

    async def _checked_out(self, git: Git) -> str:
        arguments = ("ls-remote", "--symref", *self._upload_pack, "--", self.remote.url, "HEAD")
        said = (await _told(git, *arguments, timeout_s=PUSH_S)).text
        if match := re.match(r"ref: (refs/heads/\S+)\tHEAD", said):
            return match[1]
        if match := re.match(r"([0-9a-f]{40,64})\tHEAD", said):
            return match[1]
        raise Conflict(f"{self.remote.url} has no commit yet", "push one, or name a branch")

    @property
    def _upload_pack(self) -> list[str]:
        return [f"--upload-pack={_QUIET} upload-pack"] if self.remote.is_local else []

    async def has(self, commit: str) -> bool:
        """Tell whether a commit is here already."""
        if not await asyncio.to_thread(self.folder.is_dir):
            return False
        git = await _bare(self.folder, self.remote)
        return bool(await git.ask("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"))

    async def newest(self, session: str, commit: str) -> str:
        """Return what a session's ref was at the last fetch, where that came after a commit.

        Who pushed it may have ended before the journal had it. Else it is the commit itself.
        """
        git = await _bare(self.folder, self.remote)
        found = await _commit_of(git, session_ref(session))
        known = found and not (await git.run("merge-base", "--is-ancestor", commit, found)).code
        return found if known else commit

    async def push(self, commit: str, session: str, objects: Path) -> None:
        """Have the remote's ref of a session hold a commit whose objects are in a folder."""
        private_folder(self.place, "name another one with --work")
        await push(self.folder, self.remote, commit, session, objects)


async def push(folder: Path, remote: Remote, commit: str, session: str, objects: Path) -> None:
    """Have a remote's ref of a session hold a commit, from a bare ``folder`` of midflight's own.

    What the ref had has to be a part of it: a session that goes on elsewhere is not overwritten.
    Raises `Overtaken` where it is not, `Conflict` where that does not work, and `MidflightError`
    where it takes too long.
    """
    git = await _bare(folder, remote)
    git.also_in(objects)
    await unbroken(_push(git, remote, f"{commit}:{session_ref(session)}"))


async def forget(remote: Remote, session: str) -> None:
    """Remove the ref of a session at its remote; one that is not there is none to remove."""
    async with scratch() as folder:
        git = await _bare(folder, remote)
        with contextlib.suppress(_NoSuchRef):
            await _push(git, remote, f":{session_ref(session)}")


async def _push(git: Git, remote: Remote, refspec: str) -> None:
    pack = [f"--receive-pack={_QUIET} receive-pack"] if remote.is_local else []
    quiet = ("--quiet", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no")
    await _told(git, "push", *quiet, *pack, "--", remote.url, refspec, timeout_s=PUSH_S)


@contextlib.asynccontextmanager
async def scratch() -> AsyncIterator[Path]:
    """Yield a place for a bare repository that is needed for a moment."""
    with tempfile.TemporaryDirectory(prefix="midflight-") as folder:
        yield Path(folder) / "store.git"


class Overtaken(Conflict):
    """The ref of a session has something that is not known here."""


class _NoSuchRef(Conflict):
    """There is nothing to remove."""


async def _bare(folder: Path, remote: Remote) -> Git:
    """Return git in a bare repository of midflight's own, which is made if it is missing."""
    await asyncio.to_thread(_make, folder)
    git = Git.reaching(folder, remote.protocols)
    own = "GIT_SSH_COMMAND" in os.environ or "GIT_SSH" in os.environ
    if not own and not await git.ask("config", "core.sshCommand"):
        git.set("core.sshCommand", _SSH)
    return git


def _make(folder: Path) -> None:
    for name in ("objects/info", "objects/pack", "refs/heads"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in (("HEAD", "ref: refs/heads/none\n"), ("config", _SETTINGS)):
        half = folder / f"{name}.new-{os.getpid()}"
        half.write_text(text)
        half.replace(folder / name)


async def _commit_of(git: Git, ref: str) -> str:
    """Return the commit that a branch, a tag or a commit's name stands for, or nothing."""
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    if re.fullmatch(r"[0-9a-f]{7,64}", ref):
        names.append(ref)
    for name in names:
        if found := await git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
            return found
    return ""


async def _told(git: Git, *arguments: str, timeout_s: float = LOOK_S) -> GitOutput:
    """Run git against a remote. Raises `Conflict` with what that has said."""
    output = await git.run(*arguments, timeout_s=timeout_s)
    if not output.code:
        return output
    if "remote ref does not exist" in output.stderr:
        raise _NoSuchRef("the remote has no such ref")
    if "(non-fast-forward)" in output.stderr or "(fetch first)" in output.stderr:
        raise Overtaken("the session's ref has come further than what is known here")
    lines = [line for line in output.stderr.splitlines() if not line.startswith("hint:")]
    said = _IN_ADDRESS.sub("", one_line(" ".join(lines), 500))
    raise Conflict(f"git {arguments[0]} failed: {said}", "see git ls-remote, and the keys here")
