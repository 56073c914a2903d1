"""Finds the worktrees of a repository, and makes one for a session.

Git knows them, so nothing of ours is stored: a worktree is one of ours if the repository's settings
have what its branch began with (``branch.midflight/NAME.midflightBase``).
"""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import NamedTuple, Self

from midflight._util.text import slug
from midflight.errors import Conflict, MidflightError, NotFound
from midflight.git.command import WORK_S, Git, no_repository
from midflight.git.location import exclusive, repository_folder, worktrees_root

PREFIX = "midflight/"
_HEADS = "refs/heads/"
_BASE, _FROM = "midflightBase", "midflightFrom"
_MAIN = "worktree.midflightMain"
"""The setting for the main checkout of a repository whose git folder lies apart from it."""


class Checkout(NamedTuple):
    """A folder with files of a repository. ``branch`` is empty where it is on none."""

    folder: Path
    branch: str
    gone: bool


class Worktree(NamedTuple):
    """A folder and a branch of a session's own.

    ``base`` is the commit that it was made from, ``origin`` the branch that was checked out there
    (empty if none was). ``on`` is the branch that its folder is on now: its own, unless the
    agent or the user has switched. ``gone`` says that the folder is not there any more, or is no
    worktree.
    """

    repository: Repository
    name: str
    folder: Path
    base: str
    origin: str
    on: str
    gone: bool

    @property
    def branch(self) -> str:
        """Its own branch."""
        return PREFIX + self.name

    @property
    def is_deleted(self) -> bool:
        """Tell whether there is no folder at all."""
        return not self.folder.exists()

    @property
    def ref(self) -> str:
        """Its own branch, as nothing else can be called."""
        return _HEADS + self.branch


class Repository(NamedTuple):
    """One repository; found by `of`.

    ``common`` is its git folder, ``main`` its main checkout; of a bare one that is its git folder.
    """

    common: Path
    main: Path

    @classmethod
    async def of(cls, folder: Path) -> Self:
        """Return the repository that a folder belongs to. Raises `Conflict` where there is none."""
        git = Git(folder)
        common = await git.common()
        if common is None:
            raise no_repository(folder)
        if await git.has_files() and await git.path("--git-dir") == common:
            return cls(common, await _path(git, "--show-toplevel"))
        whole = await Git.at(common)
        if elsewhere := await whole.ask("config", "core.worktree"):  # as of a submodule
            return cls(common, (common / elsewhere).resolve())
        if (apart := await whole.ask("config", _MAIN)) and await _is_main(Path(apart), common):
            return cls(common, Path(apart))
        first, *_ = await _checkouts(whole)
        return cls(common, first.folder)

    async def git(self, *, writes: bool = False) -> Git:
        """Return git for what concerns the whole repository."""
        return await Git.at(self.common, writes=writes)

    async def checkouts(self) -> list[Checkout]:
        """Return all folders with files of it, the main one first."""
        main, *others = await _checkouts(await self.git())
        # Git does not look for the files of a submodule where they are.
        return [_checkout(self.main, main.branch), *others]

    async def worktrees(self) -> list[Worktree]:
        """Return those that were made for sessions, in the order of their names."""
        git = await self.git()
        pattern = rf"^branch\.{PREFIX}.*\.({_BASE}|{_FROM})$".lower()
        output = await git.ask("config", "-z", "--get-regexp", pattern)
        facts = {key: value for key, _, value in (e.partition("\n") for e in output.split("\0"))}
        trees = []
        for checkout in (await _checkouts(git))[1:]:
            key = f"branch.{PREFIX}{checkout.folder.name}."
            base = facts.get(f"{key}{_BASE.lower()}")
            if base is not None:
                origin = facts.get(f"{key}{_FROM.lower()}", "")
                name, on = checkout.folder.name, checkout.branch
                trees.append(Worktree(self, name, checkout.folder, base, origin, on, checkout.gone))
        return sorted(trees, key=lambda each: each.name)

    async def worktree(self, name: str) -> Worktree:
        """Return the one with a name. Raises `NotFound`."""
        for each in await self.worktrees():
            if each.name == name:
                return each
        raise NotFound(f"{self.main} has no worktree {name!r}", "midflight worktree ls")

    async def create(self, wanted: str, at: Path) -> Worktree:
        """Make a worktree with a branch of its own, from the commit that is checked out ``at``.

        Its name is made from the wanted one, with a number behind it if that is taken. Raises
        `Conflict`, as for a repository without a commit, and `MidflightError`.
        """
        place = repository_folder(self.common, self.main)
        files = await Git(at).has_files()
        git = await (Git.open(at, writes=True) if files else self.git(writes=True))
        base = await git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if not base:
            raise Conflict(
                f"{self.main} has no commit yet to begin with", 'git commit -m "first" makes one'
            )
        origin = await git.ask("symbolic-ref", "--short", "--quiet", "HEAD")
        async with exclusive(place):
            taken = await git.ask("for-each-ref", "--format=%(refname)", f"{_HEADS}{PREFIX}")
            name = _free(slug(wanted), place, taken.splitlines())
            tree = Worktree(self, name, place / name, base, origin, PREFIX + name, gone=False)
            await self._describe(git, tree)
            output = await git.run(
                *("worktree", "add", "--quiet", "--no-track", "-b", tree.branch),
                *("--", str(tree.folder), base),
                timeout_s=WORK_S,
            )
            if output.code:
                await self.forget(git, tree)
                raise self._not_made(git.failed("worktree", output), taken)
        return tree

    def _not_made(self, error: Conflict, taken: str) -> Conflict:
        if not taken and f"'{_HEADS}{PREFIX.rstrip('/')}' exists" in error.message:
            name = PREFIX.rstrip("/")
            return Conflict(
                f"a branch is called {name}, and beside it no branch can begin with {PREFIX}",
                f"git branch -m {name} another-name",
            )
        return error

    async def _describe(self, git: Git, tree: Worktree) -> None:
        """Set first what the worktree is, so that there is none that is not known as ours."""
        await git.must("config", f"branch.{tree.branch}.{_BASE}", tree.base)
        if _is_file(self.main / ".git") and not await git.ask("config", "core.worktree"):
            await git.must("config", _MAIN, str(self.main))
        if tree.origin:
            await git.must("config", f"branch.{tree.branch}.{_FROM}", tree.origin)

    async def forget(self, git: Git, tree: Worktree) -> None:
        """Remove the settings that `create` has made."""
        await git.run("config", "--remove-section", f"branch.{tree.branch}")


async def _checkouts(git: Git) -> list[Checkout]:
    output = await git.must("worktree", "list", "--porcelain")
    checkouts = []
    for entry in os.fsdecode(output.stdout).split("\n\n"):
        facts = dict(line.partition(" ")[::2] for line in entry.splitlines())
        if "worktree" in facts:
            branch = facts.get("branch", "").removeprefix(_HEADS)
            checkouts.append(_checkout(Path(facts["worktree"]), branch))
    return checkouts


async def _is_main(folder: Path, common: Path) -> bool:
    """Tell whether a folder is the main checkout of a repository, which git itself cannot say."""
    git = Git(folder)
    return await git.has_files() and await git.path("--git-dir") == common


def _is_file(path: Path) -> bool:
    return path.is_file()


def _checkout(folder: Path, branch: str) -> Checkout:
    # Without its own .git, git would take it for a part of whatever repository is above it.
    return Checkout(folder, branch, gone=not (folder / ".git").exists())


async def _path(git: Git, what: str) -> Path:
    path = await git.path(what)
    if path is None:
        raise no_repository(git.folder)
    return path


def _free(name: str, place: Path, refs: list[str]) -> str:
    """Return the name, with a number behind it if a branch or a folder has it."""
    number, free = 1, name
    while f"{_HEADS}{PREFIX}{free}" in refs or os.path.lexists(place / free):
        number += 1
        free = f"{name}-{number}"
    return free


async def worktree_at(folder: Path, *others: Path) -> Worktree | None:
    """Return the worktree that a folder is in, if it is in one of ours.

    A folder that is gone does not know its repository: it is looked for in that of the others.
    """
    for place in (folder, *others):
        try:
            repository = await Repository.of(place)
        except MidflightError:
            continue
        for each in await repository.worktrees():
            if is_in(folder, each.folder):
                return each
    return None


async def check_place(tree: Worktree) -> None:
    """Raise `Conflict` if its folder has come to belong to another repository, or to none."""
    if not tree.gone:
        git = await Git.open(tree.folder)
        top, common = await _path(git, "--show-toplevel"), await _path(git, "--git-common-dir")
        if (top, common) == (_real(tree.folder), tree.repository.common):
            return
    raise Conflict(
        f"{tree.folder} is no worktree of {tree.repository.main} any more",
        f"git -C {quote(str(tree.repository.main))} worktree repair {quote(str(tree.folder))}",
    )


def _real(path: Path) -> Path:
    return path.resolve()


async def same_place(tree: Worktree, cwd: Path) -> Path:
    """Return the folder of a worktree that is what a folder is in its repository; it is made."""
    git = Git(cwd)
    if not await git.has_files():
        return _made(tree.folder)
    return _made(tree.folder / (await git.must("rev-parse", "--show-prefix")).text)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


async def uncommitted(folder: Path) -> int:
    """Return how many files in a checkout are new or changed, and not committed."""
    if not await Git(folder).has_files():
        return 0
    git = await Git.open(folder)
    output = await git.must(
        "status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all"
    )
    return len(output.names)


async def ahead(tree: Worktree, start: str) -> int:
    """Return how many commits it has since another one."""
    git = await Git.open(tree.folder)
    return int((await git.must("rev-list", "--count", f"{start}..HEAD")).text)


def branch_of(folder: Path | str) -> str:
    """Return the branch that the worktree at a folder was made with, or nothing.

    Git is not asked: it is known by where the folder lies.
    """
    path, top = Path(folder), worktrees_root()
    below = path.parts[len(top.parts) :] if path.is_relative_to(top) else ()
    return PREFIX + below[1] if len(below) > 1 else ""


def is_in(folder: Path | str, tree: Path) -> bool:
    """Tell whether a folder, which need not be there, is a worktree's or is below it."""
    return Path(folder).resolve().is_relative_to(tree.resolve())
