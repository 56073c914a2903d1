"""The folder that a session works in, where midflight makes it: ready before the agent starts.

Of a session with a repository what is done there is committed at the end of each turn, beside the
agent's own branch and index, and pushed to the session's ref. The agent waits for the commit, and
nobody for the push.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from midflight import events as e
from midflight._util.aio import TaskSet
from midflight._util.files import is_there
from midflight.errors import MidflightError
from midflight.git.checkout import Checkout
from midflight.git.included import include
from midflight.git.location import work_root
from midflight.git.merge import listed
from midflight.git.remote import Remote, is_commit
from midflight.git.store import Overtaken, Store
from midflight.info import RepositoryInfo
from midflight.journal.base import Summary
from midflight.options import Options
from midflight.session.setup import run_setup

MISSING = (
    "(You go on on another machine. Your files there are as they were pushed last: what {} has"
    " changed may be missing. Look before you rely on it.)"
)
"""Stands before the first message that an agent gets whose newest work was not pushed."""


def checkout_of(options: Options, session: str, name: str, work: Path | None) -> Checkout | None:
    """Return the checkout that a session with these options works in; None without a repository.

    ``work`` is the folder for all of them; default: the one in the user's data folder.
    """
    if options.repo is None:
        return None
    return Checkout(Store(Remote.parse(options.repo), work or work_root()), session, name)


def placed(options: Options, checkout: Checkout | None) -> Options:
    """Return options whose folder is where it will be on this machine."""
    if checkout is None:
        return options
    return msgspec.structs.replace(options, cwd=checkout.folder / options.cwd)


class Workplace:
    """Makes the folder of one session ready, and keeps what is done there.

    ``repository`` is what the journal is to know of it, None without one. ``missing`` says to the
    agent what of its work is not in the folder; empty where all is, or since a turn has ended.
    """

    def __init__(
        self,
        options: Options,
        checkout: Checkout | None,
        env: Mapping[str, str],
        *,
        known: RepositoryInfo | None,
        machine: str,
        turns: Callable[[], int],
        resumed: bool,
        report: Callable[[e.Event], None],
        notice: Callable[[e.Level, str], None],
        changed: Callable[[], None],
        recorded: Callable[[], Awaitable[None]],
    ) -> None:
        """``options`` say what is wanted; their folder is relative to the ``checkout``.

        ``env`` is for the command that prepares it. ``known`` is what the journal has of its
        repository, of a session that is ``resumed`` or has waited for a machine. ``machine`` is the
        name of this one, and ``turns`` returns the number of the newest turn. ``report`` takes
        events, ``notice`` a line for people, and ``changed`` is called when ``repository`` has.
        ``recorded`` waits until all of that is on disk, and raises where this host may not write.
        """
        self._options = options
        self._checkout = checkout
        self._env = env
        self._report = report
        self._notice = notice
        self._changed = changed
        self._recorded = recorded
        self._machine = machine
        self._turns = turns
        self._prepared = resumed and checkout is None
        self._holding = contextlib.AsyncExitStack()
        self._last: tuple[str, int | None] = ("", None)
        self._left_out: list[str] = []
        self._snapshots = TaskSet()
        self._pushes = TaskSet()
        self._one_snapshot, self._one_push = asyncio.Lock(), asyncio.Lock()
        self.missing = ""
        self.repository = known
        if checkout is not None and known is None:
            url = checkout.store.remote.url
            self.repository = RepositoryInfo(remote=url, ref=options.ref or "")

    @property
    def is_needed(self) -> bool:
        """Tell whether there is anything to do before the agent starts."""
        return not self._prepared and (
            self._checkout is not None or self._options.setup is not None
        )

    @property
    def _is_ours(self) -> bool:
        """Tell whether the folder of a repository is here, and nobody else has it."""
        return self._prepared and self._checkout is not None

    def noted(self, summary: Summary, *, at_work: bool, stays: bool) -> Summary:
        """Return a summary with what is known here of the folder, and of who can go on with it.

        ``at_work`` says that the agent is alive, ``stays`` that what it remembers stays here.
        """
        if not (at_work or self._is_ours):
            return summary
        unsent = self.repository is not None and bool(self.repository.problem)
        summary = msgspec.structs.replace(summary, kept=stays or unsent)
        if not self._is_ours:
            return summary
        cwd = str(placed(self._options, self._checkout).cwd)
        return msgspec.structs.replace(summary, repository=self.repository, cwd=cwd)

    async def prepare(self) -> bool:
        """Make the folder ready; return whether it was not. Raises `MidflightError`."""
        if not self.is_needed:
            return False
        new = True
        folder = self._options.cwd
        if self._checkout is not None:
            try:
                await self._holding.enter_async_context(self._checkout.held())
                new = await self._bring(self._checkout)
                folder = self._checkout.inside(self._options.cwd)
            except BaseException as error:
                await self._holding.aclose()
                if not isinstance(error, OSError):
                    raise
                raise MidflightError(
                    f"{self._checkout.folder} cannot be made ready: {error.strerror or error}",
                    "mend that on this machine, and send a message",
                ) from error
        self._prepared = True
        if new and self._options.setup is not None:
            try:
                problem = await run_setup(self._options.setup, folder, self._env, self._report)
            except BaseException:  # it is stopped, and runs again before the next message
                self._prepared = False
                await self._holding.aclose()
                raise
            if problem:
                self._notice("warning", f"the folder may not be ready: setup has failed, {problem}")
        if self._checkout is not None:
            self._checkout.unready.unlink(missing_ok=True)
        return True

    async def _bring(self, checkout: Checkout) -> bool:
        """Have the checkout be as the session has left it, or as it begins."""
        repository = self.repository
        assert repository is not None  # noqa: S101 - there is one with a checkout
        # What other machines have written may be anything, and git would take it for an option.
        wanted = repository.commit if is_commit(repository.commit) else ""
        begins = not wanted
        was_here = repository.machine in ("", self._machine)
        is_kept = was_here and checkout.is_there
        if not (wanted and was_here and await checkout.has(wanted)):
            self._notice("info", f"fetching {repository.remote}")
            wanted = await checkout.store.fetch(checkout.session, wanted or self._options.ref)
            wanted = await checkout.store.newest(checkout.session, wanted)
            left = await checkout.bring(wanted, may_be_later=was_here)
            self._notice("info", f"it works on {wanted[:10]} in {checkout.folder}")
            if left:
                self._notice(
                    "warning", f"what this machine alone had of it is kept there as {left}"
                )
        if not is_kept:
            self._tell_missing(repository, wanted)
        self._note(
            commit=wanted,
            machine=self._machine,
            turn=0 if begins else repository.turn,
            problem=repository.problem if is_kept else "",
        )
        if not is_there(checkout.unready):
            return False
        for what in await asyncio.to_thread(checkout.unfilled):
            self._notice("warning", what)
        included = await include(checkout.store.files, checkout.folder)
        if included.copied:
            self._notice("info", f"from this machine come {listed(included.copied)}")
        if included.left:
            self._notice("warning", f"not copied: {listed(included.left)}")
        return True

    def _tell_missing(self, repository: RepositoryInfo, commit: str) -> None:
        """Say what another machine has not pushed before it was lost: the agent remembers it."""
        pushed, turns = repository.turn, self._turns()
        if not repository.problem and (pushed is None or pushed >= turns):
            return
        first = turns if pushed is None else pushed + 1
        which = f"turn {turns}" if first >= turns else f"turns {first} to {turns}"
        self._notice(
            "warning",
            f"the files are those of {commit[:10]}: what {which} has changed was not pushed from"
            f" {repository.machine or 'another machine'}, as far as is known, and may be missing",
        )
        self.missing = MISSING.format(which)

    def _note(self, **changed: str | int | None) -> None:
        assert self.repository is not None  # noqa: S101 - there is one with a checkout
        self.repository = msgspec.structs.replace(self.repository, **changed)
        self._changed()

    # What is done there -------------------------------------------------------------------

    def turn_ended(self, turn: int) -> None:
        """Commit what there is now, and push it; neither is waited for."""
        if self._checkout is not None and self._prepared:
            self.missing = ""  # it has been told
            self._snapshots.start(self._save(self._checkout, turn))

    async def _save(self, checkout: Checkout, turn: int | None) -> None:
        async with self._one_snapshot:
            try:
                commit, left_out = await checkout.snapshot()
            except (MidflightError, OSError) as error:
                self._failed(error)
                return
            self._last = (commit, turn)
        if left_out and left_out != self._left_out:
            self._notice(
                "warning", f"{listed(left_out)}: a repository of its own, which stays here"
            )
        self._left_out = left_out
        self._pushes.start(self._push(checkout))

    async def _push(self, checkout: Checkout) -> None:
        async with self._one_push:
            repository, (commit, turn) = self.repository, self._last
            if repository is None:
                return
            try:
                if commit != repository.commit or repository.problem:
                    commit = await self._pushed(checkout, commit)
            except (MidflightError, OSError) as error:
                self._failed(error)
                return
            if repository.problem:
                self._notice("info", f"its work is pushed again, to {checkout.ref}")
            if (commit, turn, "") != (repository.commit, repository.turn, repository.problem):
                self._note(commit=commit, turn=turn, problem="")

    async def _pushed(self, checkout: Checkout, commit: str) -> str:
        """Push a snapshot, or one with it on top of what the ref has; return which."""
        try:
            await checkout.push(commit)
        except Overtaken:
            commit = await self._joined(checkout)
            await checkout.push(commit)
        return commit

    async def _joined(self, checkout: Checkout) -> str:
        """Return a snapshot on top of what somebody else has pushed to the session's ref.

        That was a host that had the session before, whose push came late, or a person. It is not
        done by a host that has been replaced: it could not write to the journal.
        """
        self._notice("warning", f"{checkout.ref} was changed by somebody else, and is kept below")
        await self._recorded()
        async with self._one_snapshot:  # what is in it would be lost if one were made meanwhile
            commit = await checkout.join()
            self._last = (commit, self._last[1])
        return commit

    def _failed(self, error: MidflightError | OSError) -> None:
        assert self.repository is not None  # noqa: S101 - there is one with a checkout
        problem = error.message if isinstance(error, MidflightError) else str(error)
        if problem != self.repository.problem:
            self._notice(
                "warning",
                f"its work could not be pushed, and until it is this session stays on this "
                f"machine: {problem}",
            )
            self._note(problem=problem)

    async def settled(self) -> None:
        """Wait until what there was at the end of the last turn is committed."""
        await self._snapshots.join()

    async def close(self, *, keep: bool = True) -> None:
        """Let the folder go; to ``keep`` is to commit and push first what there is, for so long."""
        if keep and self._checkout is not None and self._prepared:
            known = self.repository.turn if self.repository is not None else None
            turn = known if self.missing else self._turns()
            self._snapshots.start(self._save(self._checkout, turn))
            await self._snapshots.join()
            await self._pushes.join()
        await self.abandon()

    async def abandon(self) -> None:
        """Let the folder go as it is."""
        self._snapshots.cancel()
        self._pushes.cancel()
        await self._holding.aclose()
