"""Sessions with a worktree of their own: beginning one, finding it, and what becomes of it.

A session belongs to the worktree that its folder is in; neither stores anything of the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from midflight import commands as c
from midflight._util.files import current_folder, is_folder, shown
from midflight._util.text import slug
from midflight.agents import NAMES
from midflight.config.files import read_user
from midflight.errors import Conflict, HostGone, MidflightError, NotAllowed, NotFound
from midflight.git import discard as discarding
from midflight.git import merge as merging
from midflight.git.diff import Diff, base_of, diff
from midflight.git.included import include
from midflight.git.repository import (
    Repository,
    Worktree,
    ahead,
    is_in,
    same_place,
    uncommitted,
    worktree_at,
)
from midflight.info import Outcome, SessionInfo
from midflight.lineage import inside
from midflight.questions import AskWorktree, AskWorktreeDiff, DoWorktree, Question, WorktreeAction
from midflight.state.session import BUSY

T = TypeVar("T")


class WorktreeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a verb.

    session: whose worktree it is, empty if it has none any more. commit: that of the merge, of
    the branch, or of what was thrown away. into, folder: the branch that was merged into, and
    where it is checked out. new: False if it was there already. conflicts: files, where nothing
    was changed. told: the session got a message about them. snapshot: the ref that holds what
    was thrown away, if anything would have been lost. command: how to publish the branch.
    """

    action: str
    session: str
    worktree: str
    branch: str
    commit: str = ""
    into: str = ""
    folder: str = ""
    new: bool = True
    conflicts: list[str] = []
    told: bool = False
    snapshot: str = ""
    command: str = ""


class WorktreeRow(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of a worktree.

    ``commits`` are those that a merge would bring, ``uncommitted`` the files that are new or
    changed beside them; ``sessions`` are the names and states of those that work there.
    ``damaged`` is what git says of one that it cannot read.
    """

    worktree: str
    branch: str
    origin: str
    folder: str
    gone: bool
    commits: int
    uncommitted: int
    sessions: dict[str, str]
    damaged: str = ""


class Sessions(Protocol):
    """What is needed of whoever knows the sessions: `midflight.client.Client` has it all."""

    async def info(self, name: str | None = None) -> SessionInfo:
        """Return the session that is meant."""
        ...

    async def elsewhere(self, session: str) -> bool:
        """Tell whether a session's folder is on another machine."""
        ...

    async def ask(self, session: str, question: Question, kind: type[T]) -> T:
        """Have a host on that machine answer."""
        ...

    async def neighbours(self) -> list[SessionInfo]:
        """Return the sessions of this machine."""
        ...

    async def readable(self, sessions: Iterable[str]) -> list[str]:
        """Return those that may be read."""
        ...

    async def check(self, session: str, command: c.Command) -> None:
        """Raise `NotAllowed` for a command that must not be given."""
        ...

    async def carry_out(self, session: str, command: c.Command) -> Outcome:
        """Have a command carried out."""
        ...


class SessionWorktree(Protocol):
    """A session's worktree, wherever it is, and what can be done with it."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def folder(self) -> Path | None:
        """Its folder, if that is on this machine."""
        ...

    async def row(self) -> WorktreeRow:
        """Return what there is to say of it."""
        ...

    async def diff(self) -> Diff:
        """Return what a merge would bring, with what is not committed yet; it may be cut.

        Raises `NotAllowed` where a session works there that may not be read here.
        """
        ...

    async def do(
        self, action: WorktreeAction, *, name: str = "", tell: bool = False
    ) -> WorktreeOutcome:
        """Merge it where it came from, hand its branch over for a pull request, or discard it.

        The branch has all of it then, also as ``name`` if that is set. What is discarded ends its
        agents, and leaves a snapshot of all that is only there. With ``tell`` the session gets a
        message about what conflicts in a merge. Raises `NotAllowed`, or `Conflict` while a session
        is at work there.
        """
        ...


class LocalWorktree(NamedTuple):
    """A worktree of this machine, and the sessions whose folder is in it: first the one meant."""

    tree: Worktree
    sessions: Sequence[SessionInfo]
    client: Sessions

    @property
    def name(self) -> str:
        """That of its session, or of the worktree where there is none."""
        return self.sessions[0].name if self.sessions else self.tree.name

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.tree.folder

    async def row(self) -> WorktreeRow:
        """Return what there is to say of it; one that is damaged is no other's concern."""
        tree = self.tree
        commits, files, damaged = 0, 0, ""
        if not tree.gone:
            try:
                commits = await ahead(tree, await base_of(tree))
                files = await uncommitted(tree.folder)
            except MidflightError as error:
                damaged = error.message
        return WorktreeRow(
            worktree=tree.name,
            branch=tree.on,
            origin=tree.origin,
            folder=str(tree.folder),
            gone=tree.gone,
            commits=commits,
            uncommitted=files,
            sessions={info.name: info.status for info in self.sessions},
            damaged=damaged,
        )

    async def diff(self) -> Diff:
        """See `SessionWorktree.diff`."""
        ids = [info.id for info in self.sessions]
        if await self.client.readable(ids) != ids:
            raise NotAllowed("an agent reads only what it has begun", "ask the user")
        if self.tree.gone:
            raise Conflict(
                f"the folder {self.tree.folder} is gone",
                f"what was committed is in its branch: git diff ...{self.tree.branch}",
            )
        return await diff(self.tree.folder, [await base_of(self.tree)])

    async def do(
        self, action: WorktreeAction, *, name: str = "", tell: bool = False
    ) -> WorktreeOutcome:
        """See `SessionWorktree.do`."""
        await self._check()
        if action == "merge":
            return await self._merge(tell=tell)
        if action == "branch":
            ready = await merging.hand_over(self.tree, self.name, name)
            outcome = self._outcome("branch", commit=ready.commit, command=ready.command)
            return msgspec.structs.replace(outcome, branch=ready.branch)
        for info in self.sessions:
            if info.host is not None:
                await self.client.carry_out(info.id, c.Close())
        discarded = await discarding.discard(self.tree)
        return self._outcome("discard", commit=discarded.commit, snapshot=discarded.snapshot)

    async def _merge(self, *, tell: bool) -> WorktreeOutcome:
        merged = await merging.merge(self.tree, self.name)
        outcome = self._outcome(
            "merge",
            commit=merged.commit,
            into=merged.into.branch,
            folder=shown(merged.into.folder),
            new=merged.new,
            conflicts=[shown(path) for path in merged.conflicts],
        )
        return await _told(outcome, self.sessions, self.client) if tell else outcome

    async def _check(self) -> None:
        """Raise `Conflict` while a session is at work there, `NotAllowed` where it is not ours."""
        for info in self.sessions:
            await self.client.check(info.id, c.Close())
            if info.status in BUSY:
                raise Conflict(
                    f"session {info.name} is at work in the worktree ({info.status})",
                    f"wait for it, or midflight interrupt {quote(info.name)}",
                )

    def _outcome(self, action: str, **fields: Any) -> WorktreeOutcome:
        return WorktreeOutcome(
            action=action,
            session=self.sessions[0].name if self.sessions else "",
            worktree=self.tree.name,
            branch=self.tree.branch,
            **fields,
        )


class FarWorktree(NamedTuple):
    """The worktree of a session on another machine: what is to be done there is asked of it."""

    info: SessionInfo
    client: Sessions

    @property
    def name(self) -> str:
        """That of the session."""
        return self.info.name

    @property
    def folder(self) -> None:
        """It is not on this machine."""

    async def row(self) -> WorktreeRow:
        """See `SessionWorktree.row`."""
        return await self.client.ask(self.info.id, AskWorktree(), WorktreeRow)

    async def diff(self) -> Diff:
        """See `SessionWorktree.diff`."""
        return await self.client.ask(self.info.id, AskWorktreeDiff(), Diff)

    async def do(
        self, action: WorktreeAction, *, name: str = "", tell: bool = False
    ) -> WorktreeOutcome:
        """See `SessionWorktree.do`."""
        await self.client.check(self.info.id, c.Close())  # its host looks again
        question = DoWorktree(action=action, name=name)
        outcome = await self.client.ask(self.info.id, question, WorktreeOutcome)
        return await _told(outcome, [self.info], self.client) if tell else outcome


async def _told(
    merged: WorktreeOutcome, sessions: Sequence[SessionInfo], client: Sessions
) -> WorktreeOutcome:
    """Tell the first of some sessions of the conflicts, if there are some."""
    if not (merged.conflicts and sessions):
        return merged
    text = (
        f"Your branch {merged.branch} conflicts with"
        f" {merged.into} in: {merging.listed(merged.conflicts)}."
        f" Merge {merged.into} into your branch in your folder, resolve the"
        " conflicts, commit, and say when it is done."
    )
    await client.carry_out(sessions[0].id, c.Send(text=text))
    return msgspec.structs.replace(merged, told=True)


def setup_command() -> str | None:
    """Return what the user's file has run in a new folder, where a person begins the session.

    It may run what stands in the folder, and an agent may have written that. Raises
    `InvalidConfig`.
    """
    file = None if inside() else read_user(NAMES)
    return file.worktree.get("setup") if file else None


@contextlib.asynccontextmanager
async def own_worktree(
    task: str, options: dict[str, Any], setup: str | None = None
) -> AsyncIterator[Worktree]:
    """Make a worktree for a session that is begun inside of the block, and change its options.

    It works in the same folder of its worktree as it would have of the repository, with the files
    that its ``.worktreeinclude`` names, and is prepared by ``setup``. A worktree whose session
    cannot have begun is taken back. Raises `Conflict` where there is no repository.
    """
    cwd = current_folder() / (options.get("cwd") or "")
    repository = await Repository.of(cwd)
    tree = await repository.create(options.get("name") or slug(task), cwd)
    try:
        options["cwd"] = await same_place(tree, cwd)
        options["name"] = options.get("name") or tree.name
        if setup is not None:
            options.setdefault("setup", setup)
        await include(repository.main, tree.folder)
        yield tree
    except Exception as error:  # after a cancel, or without an answer, the session may have begun
        if not isinstance(error, HostGone):
            with contextlib.suppress(MidflightError):
                await discarding.discard(tree)
        raise


class SessionWorktrees:
    """Finds the worktrees of sessions."""

    def __init__(self, client: Sessions) -> None:
        """``client`` has been entered."""
        self._client = client

    async def all(self, here: Path) -> list[LocalWorktree]:
        """Return the worktrees of the repository that a folder belongs to, with their sessions."""
        trees = await (await Repository.of(here)).worktrees()
        infos = await self._client.neighbours()
        return [self._with_sessions(tree, infos) for tree in trees]

    async def listed(self, here: Path) -> list[LocalWorktree]:
        """Return the same, with those sessions alone that may be read here."""
        found = await self.all(here)
        ids = [info.id for worktree in found for info in worktree.sessions]
        readable = await self._client.readable(ids)
        return [
            each._replace(sessions=[info for info in each.sessions if info.id in readable])
            for each in found
        ]

    async def find(self, name: str | None, here: Path) -> SessionWorktree:
        """Return the worktree of a session, or the one with a name in the repository ``here``.

        Without a name it is the one that this folder is in, or that of the newest session that has
        one here. Raises `NotFound`, or `Conflict`.
        """
        if name is None:
            return await self._latest(here)
        try:
            info = await self._client.info(name)
        except NotFound:
            return await self._named(name, here)
        return await self.of(info, here)

    async def of(self, info: SessionInfo, here: Path) -> SessionWorktree:
        """Return the worktree of a session. Raises `Conflict` if it has none here.

        Whether one on another machine has one is seen when it is asked.
        """
        if await self._client.elsewhere(info.id):
            return FarWorktree(info, self._client)
        tree = await worktree_at(Path(info.cwd), here)
        if tree is None:
            if not is_folder(info.cwd):
                raise Conflict(
                    f"the folder of session {info.name} is gone: {info.cwd}",
                    f"midflight rm {quote(info.name)}",
                )
            raise Conflict(
                f"session {info.name} has no worktree of its own: it works in {info.cwd}",
                "a new one gets one with --worktree",
            )
        worktree = self._with_sessions(tree, await self._client.neighbours(), info.id)
        if info.id not in {each.id for each in worktree.sessions}:
            raise Conflict(
                f"the worktree of session {info.name} is gone; another one has its folder",
                f"midflight worktree ls; midflight rm {quote(info.name)}",
            )
        return worktree

    async def _named(self, name: str, here: Path) -> LocalWorktree:
        with contextlib.suppress(Conflict):  # a folder without git has none either
            for each in await self.all(here):
                if each.tree.name in {name, slug(name)}:
                    return each
        raise NotFound(f"no session and no worktree here is called {name!r}", "midflight ls --all")

    async def _latest(self, here: Path) -> LocalWorktree:
        worktrees = await self.all(here)
        inside = [each for each in worktrees if is_in(here, each.tree.folder)]
        taken = [each for each in worktrees if each.sessions]
        latest = sorted(taken, key=lambda each: each.sessions[0].created, reverse=True)
        for each in (*inside, *latest):
            return each
        raise NotFound(
            "no session has a worktree of this repository",
            "midflight worktree ls; midflight run --worktree begins one",
        )

    def _with_sessions(
        self, tree: Worktree, infos: Sequence[SessionInfo], meant: str = ""
    ) -> LocalWorktree:
        since = _made_at(tree.folder)
        there = [each for each in infos if is_in(each.cwd, tree.folder) and each.created >= since]
        there.sort(key=lambda info: (info.id != meant, -info.created))
        return LocalWorktree(tree, there, self._client)


def _made_at(folder: Path) -> float:
    """Return when a worktree was made; one that is gone belongs to all sessions that were there."""
    try:
        return (folder / ".git").stat().st_mtime
    except OSError:
        return 0.0
