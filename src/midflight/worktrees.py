"""Sessions with a worktree of their own: beginning one, finding it, and what becomes of it.

A session belongs to the worktree that its folder is in; neither stores anything of the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

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
from midflight.questions import AskWorktree, AskWorktreeDiff, DoWorktree, Question
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


class SessionWorktree(NamedTuple):
    """A worktree, and the sessions whose folder is in it, the one that is meant first."""

    tree: Worktree
    sessions: Sequence[SessionInfo]

    @property
    def name(self) -> str:
        """What a person calls it: its session, or the worktree where there is none."""
        return self.sessions[0].name if self.sessions else self.tree.name

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


class FarWorktree(NamedTuple):
    """The worktree of a session on another machine: what is to be done there is asked of it."""

    info: SessionInfo
    client: Sessions

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.info.name

    async def row(self) -> WorktreeRow:
        """Return what there is to say of it."""
        return await self.client.ask(self.info.id, AskWorktree(), WorktreeRow)

    async def diff(self) -> Diff:
        """Return what a merge would bring; it may be cut."""
        return await self.client.ask(self.info.id, AskWorktreeDiff(), Diff)

    async def do(
        self, action: Literal["merge", "branch", "discard"], name: str = ""
    ) -> WorktreeOutcome:
        """Have it merged, handed over or discarded."""
        await self.client.check(self.info.id, c.Close())  # its host looks again
        verb = DoWorktree(action=action, name=name)
        return await self.client.ask(self.info.id, verb, WorktreeOutcome)


AnyWorktree = SessionWorktree | FarWorktree


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
    """What can be done with the worktrees of sessions."""

    def __init__(self, client: Sessions) -> None:
        """``client`` has been entered."""
        self._client = client

    async def all(self, here: Path) -> list[SessionWorktree]:
        """Return the worktrees of the repository that a folder belongs to, with their sessions."""
        trees = await (await Repository.of(here)).worktrees()
        infos = await self._client.neighbours()
        return [_with_sessions(tree, infos) for tree in trees]

    async def listed(self, here: Path) -> list[SessionWorktree]:
        """Return the same, with those sessions alone that may be read here."""
        found = await self.all(here)
        ids = [info.id for worktree in found for info in worktree.sessions]
        readable = await self._client.readable(ids)
        return [
            SessionWorktree(each.tree, [info for info in each.sessions if info.id in readable])
            for each in found
        ]

    async def find(self, name: str | None, here: Path) -> AnyWorktree:
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

    async def of(self, info: SessionInfo, here: Path) -> AnyWorktree:
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
        worktree = _with_sessions(tree, await self._client.neighbours(), info.id)
        if info.id not in {each.id for each in worktree.sessions}:
            raise Conflict(
                f"the worktree of session {info.name} is gone; another one has its folder",
                f"midflight worktree ls; midflight rm {quote(info.name)}",
            )
        return worktree

    async def _named(self, name: str, here: Path) -> SessionWorktree:
        with contextlib.suppress(Conflict):  # a folder without git has none either
            for each in await self.all(here):
                if each.tree.name in {name, slug(name)}:
                    return each
        raise NotFound(f"no session and no worktree here is called {name!r}", "midflight ls --all")

    async def _latest(self, here: Path) -> SessionWorktree:
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

    # Verbs --------------------------------------------------------------------------------

    async def diff(self, worktree: AnyWorktree) -> Diff:
        """Return what a merge would bring, with what is not committed yet.

        Raises `NotAllowed` where a session works there that may not be read here.
        """
        if isinstance(worktree, FarWorktree):
            return await worktree.diff()
        ids = [info.id for info in worktree.sessions]
        if await self._client.readable(ids) != ids:
            raise NotAllowed("an agent reads only what it has begun", "ask the user")
        if worktree.tree.gone:
            raise Conflict(
                f"the folder {worktree.tree.folder} is gone",
                f"what was committed is in its branch: git diff ...{worktree.tree.branch}",
            )
        return await diff(worktree.tree.folder, [await base_of(worktree.tree)])

    async def merge(self, worktree: AnyWorktree, *, tell: bool) -> WorktreeOutcome:
        """Merge it where it came from; with ``tell`` its session gets a message about conflicts."""
        if isinstance(worktree, FarWorktree):
            outcome = await worktree.do("merge")
            return await self._told(outcome, [worktree.info], tell=tell)
        await self._check(worktree)
        merged = await merging.merge(worktree.tree, worktree.name)
        outcome = _outcome(
            "merge",
            worktree,
            commit=merged.commit,
            into=merged.into.branch,
            folder=shown(merged.into.folder),
            new=merged.new,
            conflicts=[shown(path) for path in merged.conflicts],
        )
        return await self._told(outcome, worktree.sessions, tell=tell)

    async def _told(
        self, merged: WorktreeOutcome, sessions: Sequence[SessionInfo], *, tell: bool
    ) -> WorktreeOutcome:
        """Tell the first of some sessions of the conflicts, if there are some."""
        if not (merged.conflicts and tell and sessions):
            return merged
        text = (
            f"Your branch {merged.branch} conflicts with"
            f" {merged.into} in: {merging.listed(merged.conflicts)}."
            f" Merge {merged.into} into your branch in your folder, resolve the"
            " conflicts, commit, and say when it is done."
        )
        await self._client.carry_out(sessions[0].id, c.Send(text=text))
        return msgspec.structs.replace(merged, told=True)

    async def branch(self, worktree: AnyWorktree, name: str = "") -> WorktreeOutcome:
        """Have its branch hold all of it, for a pull request; also as ``name`` if it is set."""
        if isinstance(worktree, FarWorktree):
            return await worktree.do("branch", name)
        await self._check(worktree)
        ready = await merging.hand_over(worktree.tree, worktree.name, name)
        outcome = _outcome("branch", worktree, commit=ready.commit, command=ready.command)
        return msgspec.structs.replace(outcome, branch=ready.branch)

    async def discard(self, worktree: AnyWorktree) -> WorktreeOutcome:
        """Throw it away, with a snapshot of all that is only there; its agents are ended."""
        if isinstance(worktree, FarWorktree):
            return await worktree.do("discard")
        await self._check(worktree)
        for info in worktree.sessions:
            if info.host is not None:
                await self._client.carry_out(info.id, c.Close())
        discarded = await discarding.discard(worktree.tree)
        return _outcome("discard", worktree, commit=discarded.commit, snapshot=discarded.snapshot)

    async def _check(self, worktree: SessionWorktree) -> None:
        """Raise `Conflict` while a session is at work there, `NotAllowed` where it is not ours."""
        for info in worktree.sessions:
            await self._client.check(info.id, c.Close())
            if info.status in BUSY:
                raise Conflict(
                    f"session {info.name} is at work in the worktree ({info.status})",
                    f"wait for it, or midflight interrupt {quote(info.name)}",
                )


def _with_sessions(
    tree: Worktree, infos: Sequence[SessionInfo], meant: str = ""
) -> SessionWorktree:
    since = _made_at(tree.folder)
    there = [each for each in infos if is_in(each.cwd, tree.folder) and each.created >= since]
    return SessionWorktree(tree, sorted(there, key=lambda info: (info.id != meant, -info.created)))


def _made_at(folder: Path) -> float:
    """Return when a worktree was made; one that is gone belongs to all sessions that were there."""
    try:
        return (folder / ".git").stat().st_mtime
    except OSError:
        return 0.0


def _outcome(action: str, worktree: SessionWorktree, **fields: Any) -> WorktreeOutcome:
    return WorktreeOutcome(
        action=action,
        session=worktree.sessions[0].name if worktree.sessions else "",
        worktree=worktree.tree.name,
        branch=worktree.tree.branch,
        **fields,
    )
