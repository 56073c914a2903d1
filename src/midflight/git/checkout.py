"""The folder that a session with a remote works in: a repository of its own, at one path anywhere.

It reads the objects of the store and writes its own. Nothing of its settings, which an agent may
change, decides how a remote is reached: that does the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import NamedTuple

from midflight._util.file_lock import lock
from midflight._util.files import open_private, open_regular
from midflight._util.text import slug
from midflight.errors import Conflict
from midflight.git.command import WORK_S, Git, unbroken
from midflight.git.diff import add_all, beside
from midflight.git.location import private_folder
from midflight.git.merge import nested_repositories
from midflight.git.remote import is_ref, session_key, session_ref
from midflight.git.repository import PREFIX
from midflight.git.store import Store

HELD_S = 60.0
"""How long to wait for another midflight on this machine that has the session's folder."""

WORK = "refs/midflight/work"
"""In a checkout: the newest snapshot, so that git does not throw it away."""

LEFT = "refs/midflight/left"
"""Where a checkout keeps what was in it when it was brought to what another machine has pushed."""

MAX_ATTRIBUTES = 64 * 1024
"""How much is read of a repository's `.gitattributes`."""

_HEAD, _BRANCH = "Midflight-Head: ", "Midflight-Branch: "


class Snapshot(NamedTuple):
    """What a session's folder was like: ``commit`` has all files that are not ignored.

    ``left_out`` are repositories inside of it, whose files no commit of this one can have.
    """

    commit: str
    left_out: list[str]


class Checkout(NamedTuple):
    """The checkout of a session, by its id; ``name`` is the session's, for people."""

    store: Store
    session: str
    name: str

    @property
    def folder(self) -> Path:
        """Where it is; the same on every machine with the same ``work`` folder."""
        return self.store.place / session_key(self.session)

    @property
    def objects(self) -> Path:
        """Where its own objects lie."""
        return self.folder / ".git" / "objects"

    @property
    def ref(self) -> str:
        """The ref at the remote that has the session's work."""
        return session_ref(self.session)

    @property
    def is_there(self) -> bool:
        """Tell whether there is one on this machine."""
        return os.path.lexists(self.folder)

    def inside(self, sub: Path) -> Path:
        """Return a folder in it, links followed. Raises `Conflict` if it leads out, or is none."""
        folder = (self.folder / sub).resolve()
        if not folder.is_relative_to(self.folder.resolve()):
            raise Conflict(f"{sub} leads out of the repository", "name a folder of it with --cwd")
        if not folder.is_dir():
            raise Conflict(f"{self.store.remote.url} has no folder {sub} here", "see --cwd, --ref")
        return folder

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Have it to oneself: two hosts on one machine never have the folder of one session."""
        private_folder(self.store.place, "name another one with --work")
        file = open_private(self.folder.with_name(f".{self.folder.name}.lock"))
        try:
            try:
                await lock(file, HELD_S)
            except TimeoutError:
                raise Conflict(
                    f"another midflight on this machine has the folder {self.folder}",
                    "it ends with the host that has it",
                ) from None
            yield
        finally:
            os.close(file)

    async def bring(self, commit: str, *, may_be_later: bool = True) -> str:
        """Have the folder be as a commit of the store; it is made if it is missing.

        One that ``may_be_later`` and has come further is left as it is: a turn was cut, or a push
        has failed. Else what is only there is kept in the checkout as a ref below `LEFT`, which is
        returned.
        """
        if not self.is_there:
            await unbroken(self._begin(commit))
            return ""
        git = await self._git(writes=True)
        here = (await self.snapshot()).commit
        later = not (await git.run("merge-base", "--is-ancestor", commit, here)).code
        if later and (may_be_later or here == commit):
            return ""
        left = ""
        if (await git.run("merge-base", "--is-ancestor", here, commit)).code:
            left = f"{LEFT}/{here[:10]}"
            await git.must("update-ref", left, here)
        await unbroken(self._restore(git, commit))
        return left

    async def _begin(self, commit: str) -> None:
        """Make it under another name, so that there is none that is not whole."""
        half = self.folder.with_name(f".{self.folder.name}.new")
        await asyncio.to_thread(_lay_out, half, self.store.folder / "objects")
        url = self.store.remote.url
        git = Git.reaching(half / ".git", "file")
        await git.must(
            *("fetch", "--quiet", "--no-write-fetch-head", "--no-auto-maintenance", "--no-tags"),
            *("--", str(self.store.folder)),
            *("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"),
            timeout_s=WORK_S,
        )
        for key, value in (
            ("core.bare", "false"),
            ("remote.origin.url", url),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ):
            await git.must("config", key, value)
        await self._restore(await Git.open(half, writes=True), commit)
        self.unready.touch()
        half.rename(self.folder)

    async def _restore(self, git: Git, commit: str) -> None:
        """Check a commit out; of a snapshot its branch, and the files as they were beside it."""
        head, branch = await self._told(git, commit)
        where = ("--no-track", "-B", branch) if branch else ("--detach",)
        await git.must("clean", "-d", "--force", "--quiet", timeout_s=WORK_S)
        await git.must(
            *("checkout", "--quiet", "--force", "--no-recurse-submodules"),
            *(*where, head, "--"),
            timeout_s=WORK_S,
        )
        if head != commit:
            await git.must("read-tree", "--reset", "-u", commit, timeout_s=WORK_S)
            await git.must("reset", "--quiet", "--mixed", head, timeout_s=WORK_S)
        await git.must("update-ref", WORK, commit)

    async def _told(self, git: Git, commit: str) -> tuple[str, str]:
        """Return the commit and the branch that were checked out when a snapshot was made."""
        body = await git.ask("log", "-1", "--format=%P%n%B", commit)
        parents, *lines = body.splitlines()
        said = dict(line.split(": ", 1) for line in lines if line.startswith("Midflight-"))
        head = said.get(_HEAD[:-2], "")
        if not head or head not in parents.split():
            return commit, PREFIX + slug(self.name)
        branch = said.get(_BRANCH[:-2], "")
        return head, branch if is_ref(branch) else ""

    async def has(self, commit: str) -> bool:
        """Tell whether the folder is here, and has come as far as a commit or further."""
        if not self.is_there:
            return False
        git = await self._git()
        return not (await git.run("merge-base", "--is-ancestor", commit, WORK)).code

    async def snapshot(self) -> Snapshot:
        """Return a commit with all that is in the folder and not ignored; nothing there is changed.

        It descends from the one made last, and from what is checked out: where one of these has all
        of it, it is that one.
        """
        await asyncio.to_thread(self._check)
        async with beside(self.folder, writes=True, whole=True) as git:
            left_out = await nested_repositories(git, tracked=False)
            before = await git.ask("rev-parse", "--verify", "--quiet", f"{WORK}^{{commit}}")
            head = (await git.must("rev-parse", "--verify", "HEAD^{commit}")).text
            branch = await git.ask("symbolic-ref", "--short", "--quiet", "HEAD")
            await add_all(git, "--all", without=left_out)
            if kept := await asyncio.to_thread(_names_in, self.store.files):
                await git.must("reset", "--quiet", "HEAD", "--", *kept)
            tree = (await git.must("write-tree")).text
            same = before and (await git.ask("rev-parse", f"{before}^{{tree}}")) == tree
            if same and (before == head or await self._told(git, before) == (head, branch)):
                return Snapshot(before, left_out)
            apart = before and (await git.run("merge-base", "--is-ancestor", before, head)).code
            commit = head
            if apart or (await git.must("rev-parse", f"{head}^{{tree}}")).text != tree:
                commit = await self._commit(git, tree, (head, before if apart else ""), branch)
            await git.must("update-ref", WORK, commit)
            return Snapshot(commit, left_out)

    @property
    def unready(self) -> Path:
        """A file that is there until all is done that makes a new folder ready."""
        return self.folder.with_name(f".{self.folder.name}.unready")

    def unfilled(self) -> list[str]:
        """Say to people what of the repository is not, or may not be, in the folder."""
        found = []
        if os.path.lexists(self.folder / ".gitmodules"):
            found.append("its submodules are not filled: they may be fetched from anywhere")
        with contextlib.suppress(OSError), open_regular(self.folder / ".gitattributes") as file:
            if b"filter=lfs" in file.read(MAX_ATTRIBUTES):
                found.append("its files of Git LFS are pointers unless git lfs is set up here")
        return found

    async def join(self) -> str:
        """Return the newest snapshot as one that descends from what the remote's ref has, too.

        Its files stay what they are. Raises `Conflict` where the remote cannot be reached.
        """
        theirs = await self.store.fetch(self.session, self.ref)
        git = await self._git()
        work = (await git.must("rev-parse", "--verify", WORK)).text
        head, branch = await self._told(git, work)
        commit = await self._commit(git, f"{work}^{{tree}}", (head, work, theirs), branch)
        await git.must("update-ref", WORK, commit)
        return commit

    async def _commit(self, git: Git, tree: str, parents: Iterable[str], branch: str) -> str:
        """Return a new snapshot of a tree; the first parent is what is checked out."""
        await git.identity()
        head, *others = dict.fromkeys(filter(None, parents))
        given = [part for each in (head, *others) for part in ("-p", each)]
        text = f"The work of session {slug(self.name)}\n\n{_HEAD}{head}\n{_BRANCH}{branch}"
        made: str = (await git.must("commit-tree", *given, "-m", text, tree)).text
        return made

    async def push(self, commit: str) -> None:
        """Have the remote's ref of the session hold a snapshot; see `store.push`."""
        await self.store.push(commit, self.session, self.objects)

    async def _git(self, *, writes: bool = False) -> Git:
        await asyncio.to_thread(self._check)
        return await Git.open(self.folder, writes=writes, whole=True)

    def _check(self) -> None:
        """Raise `Conflict` where the folder has been made a part of another repository."""
        git = self.folder / ".git"
        if git.is_symlink() or not git.is_dir():
            raise Conflict(
                f"{self.folder} is not the checkout any more that it was",
                "its .git was replaced; move it away, to go on with what is pushed",
            )


def _lay_out(folder: Path, objects: Path) -> None:
    """Make an empty repository, also where a half made one was left; git's templates have hooks."""
    shutil.rmtree(folder, ignore_errors=True)
    git = folder / ".git"
    folder.mkdir(mode=0o700)
    for name in ("objects/info", "objects/pack", "refs/heads", "info"):
        (git / name).mkdir(parents=True)
    (git / "objects/info/alternates").write_text(f"{objects}\n")
    (git / "HEAD").write_text("ref: refs/heads/none\n")
    (git / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")


def _names_in(folder: Path) -> list[str]:
    return [
        str(Path(top, name).relative_to(folder))
        for top, _, names in os.walk(folder)
        for name in names
    ]
