"""Runs git in one folder, and nothing that the folder's repository would have it run.

A repository can name programs in its settings: hooks, filters, merge drivers, monitors, signers,
transports. An agent that works in the folder may have written them there, and the user has not
agreed to them, so none is run. Filters and merge drivers that the *user's* own settings name (Git
LFS) are part of how files are written, so commands that write obey them; those that read need none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from midflight._util.files import is_folder, is_there
from midflight._util.own_variables import for_others
from midflight._util.programs import find_program, with_search_path
from midflight._util.sanitize import one_line
from midflight.errors import Conflict, MidflightError

T = TypeVar("T")

LOOK_S = 30.0
"""How long a command that reads may take."""

WORK_S = 600.0
"""How long it may take to write a large folder."""

END_S = 5.0
"""How long a git that took too long may tidy up."""

MAX_READ = 64 * 1024 * 1024
"""How much of git's output is read: the list of half a million files."""

_QUIET = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.checkStat=default",
    "core.trustctime=true",
    "diff.external=",
    "commit.gpgSign=false",
    "merge.verifySignatures=false",
    "merge.autoStash=false",
    "rerere.enabled=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
)

_PROGRAMS = (
    r"^(filter\..*\.(clean|smudge|process|required)|merge\..*\.driver|branch\..*\.mergeoptions)$"
)
"""Settings by which git runs programs; options of a merge can do so too (``-S``)."""

_KEPT = (
    "GIT_AUTHOR_",
    "GIT_COMMITTER_",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
)
"""Who the user is, and where their settings are; all else would change what git does."""

_FOR_REMOTES = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
"""How the user has git reach remotes, beside what stands in their settings."""

_UNASKED = ("http.lowSpeedLimit=1000", "http.lowSpeedTime=60", "transfer.credentialsInUrl=die")

_IDENTITY = (("name", "midflight"), ("email", "midflight@localhost"))


class GitOutput(NamedTuple):
    """What git put out, and how it ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """The output as text, without its last newline."""
        return self.stdout.decode(errors="replace").rstrip("\n")

    @property
    def names(self) -> list[str]:
        """The output of ``-z``: as paths, as the system takes them."""
        return [os.fsdecode(each) for each in self.stdout.split(b"\0") if each]


class Git:
    """Git in one folder; made by `open`."""

    def __init__(self, folder: Path, index: Path | None = None) -> None:
        """Use `open` or `at`: without them the repository's own programs are not known."""
        self.folder = folder
        self._settings = [*_QUIET, *(("core.splitIndex=false",) if index is not None else ())]
        self._env = with_search_path(
            {
                name: value
                for name, value in for_others(os.environ).items()
                if not name.startswith("GIT_") or name.startswith(_KEPT)
            }
        )
        self._env |= {
            "GIT_ALLOW_PROTOCOL": "",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_EDITOR": ":",
            "LC_ALL": "C",
        }
        if index is not None:
            self._env["GIT_INDEX_FILE"] = str(index)

    @classmethod
    async def open(
        cls, folder: Path, *, index: Path | None = None, writes: bool = False, whole: bool = False
    ) -> Git:
        """Return git in a folder, with an index of its own if ``index`` is set.

        One that ``writes`` obeys the filters and merge drivers of the user's settings. A folder
        that is the ``whole`` of a repository is that whatever the repository's settings say: they
        can name any other one for its files. Raises `Conflict` where no files of a repository are.
        """
        git = cls(folder, index)
        if whole:
            git.look_at(folder, folder / ".git")
        if not await git.has_files():
            if await git.common():
                raise Conflict(
                    f"no files are checked out in {folder}, which is git's own folder",
                    "git worktree list shows where there are some",
                )
            raise no_repository(folder)
        await git._switch_off(writes=writes)
        return git

    @classmethod
    async def at(cls, common: Path, *, writes: bool = False) -> Git:
        """Return git for a repository as a whole, in its common folder; it may have no files."""
        git = cls(common)
        git._env["GIT_DIR"] = str(common)
        await git._switch_off(writes=writes)
        return git

    @classmethod
    def reaching(cls, folder: Path, protocols: str, settings: Sequence[str] = ()) -> Git:
        """Return git for a bare folder whose settings are midflight's own, which may reach remotes.

        By these transports alone, with the keys and helpers of the user's settings, and without a
        question to anybody.
        """
        git = cls(folder)
        git._settings += [*_UNASKED, *settings]
        git._env |= {name: value for name in _FOR_REMOTES if (value := os.environ.get(name))}
        git._env |= {
            "GIT_DIR": str(folder),
            "GIT_ALLOW_PROTOCOL": protocols,
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
        }
        return git

    def set(self, key: str, value: str) -> None:
        """Have git take a setting for this, whatever else sets it."""
        self._settings.append(f"{key}={value}")

    def take_patterns(self) -> None:
        """Have git take paths for patterns, which all commands but a few can do without."""
        self._env["GIT_LITERAL_PATHSPECS"] = "0"

    def leave_out(self, paths: Sequence[str]) -> list[str]:
        """Return arguments that stand for git's folder without some paths in it."""
        if not paths:
            return ["."]
        self.take_patterns()
        return [".", *(f":(exclude,literal){path}" for path in paths)]

    def look_at(self, files: Path, repository: Path) -> None:
        """Have git take a folder's files for those of a repository that lies elsewhere."""
        self.folder = files
        self._env |= {"GIT_WORK_TREE": str(files), "GIT_DIR": str(repository)}

    def also_in(self, objects: Path) -> None:
        """Have git find objects in one more folder."""
        escaped = str(objects).replace("\\", "\\\\").replace('"', '\\"')  # or a colon ends it
        self._env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = f'"{escaped}"'

    async def has_files(self) -> bool:
        """Tell whether files of a repository are checked out in the folder."""
        inside = is_folder(self.folder) and await self.ask("rev-parse", "--is-inside-work-tree")
        return inside == "true"

    async def common(self) -> Path | None:
        """Return the folder that all worktrees of a repository share; None where there is none."""
        return await self.path("--git-common-dir") if is_folder(self.folder) else None

    async def path(self, what: str) -> Path | None:
        """Return a folder that ``git rev-parse`` knows; None where it fails."""
        output = await self.run("rev-parse", what)
        if output.code:
            return None
        return (self.folder / os.fsdecode(output.stdout).rstrip("\n")).resolve()

    async def _switch_off(self, *, writes: bool) -> None:
        output = await self.run("config", "-z", "--show-scope", "--get-regexp", _PROGRAMS)
        fields = output.stdout.decode(errors="surrogateescape").split("\0")
        users: dict[str, str] = {}
        foreign: set[str] = set()
        for scope, entry in zip(fields[::2], fields[1::2], strict=False):
            key, _, value = entry.partition("\n")
            if writes and scope in {"system", "global"} and not key.startswith("branch."):
                users[key] = value
            else:
                foreign.add(key)
        for key in sorted(foreign):
            if "=" in key:  # which ends the name of a setting in the option `-c`
                raise Conflict(
                    f"a setting of {self.folder} names a program and cannot be switched off",
                    f"git config --unset {one_line(key)!r}",
                )
            self._settings.append(f"{key}={users.get(key, _harmless(key))}")

    async def ask(self, *arguments: str, timeout_s: float = LOOK_S) -> str:
        """Return git's output, or nothing where it fails."""
        output = await self.run(*arguments, timeout_s=timeout_s)
        return "" if output.code else output.text

    async def must(self, *arguments: str, timeout_s: float = LOOK_S) -> GitOutput:
        """Return git's output. Raises `Conflict` with its error where it fails."""
        output = await self.run(*arguments, timeout_s=timeout_s)
        if output.code:
            raise self.failed(arguments[0], output)
        return output

    def failed(self, verb: str, output: GitOutput) -> Conflict:
        """Return the error of a command that failed."""
        if ".lock': File exists" in output.stderr:
            return self._locked(output.stderr.partition("'")[2].partition("'")[0])
        lines = [line for line in output.stderr.splitlines() if not line.startswith("hint:")]
        return Conflict(f"git {verb} failed in {self.folder}: {one_line(' '.join(lines), 500)}")

    def _locked(self, lock: str) -> Conflict:
        return Conflict(
            f"another git is at work in {self.folder}, or was ended in the middle of it",
            f"if none is, remove {one_line(lock, 1000)}",
        )

    async def unlocked(self) -> None:
        """Raise `Conflict` while another git changes the index: a merge would stop half-way."""
        lock = self.folder / await self.ask("rev-parse", "--git-path", "index.lock")
        if is_there(lock):
            raise self._locked(str(lock))

    async def identity(self) -> None:
        """Have commits an author: the user, or midflight if git knows of none."""
        for part, value in _IDENTITY:
            named = {f"GIT_AUTHOR_{part.upper()}", f"GIT_COMMITTER_{part.upper()}"}
            if not named <= self._env.keys() and not await self.ask("config", f"user.{part}"):
                self._settings.append(f"user.{part}={value}")

    async def run(
        self, *arguments: str, timeout_s: float = LOOK_S, given: bytes = b""
    ) -> GitOutput:
        """Run git and return its output. Raises `MidflightError` where it takes too long.

        ``given`` is what it reads.
        """
        settings = [part for each in self._settings for part in ("-c", each)]
        program = find_program("git")
        if program is None:
            raise MidflightError("git cannot be run: No such file on PATH")
        try:
            process = await asyncio.create_subprocess_exec(
                *(str(program), "--no-pager", *settings, *arguments),
                cwd=self.folder,
                env=self._env,
                stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C at the terminal is ours to deal with
            )
        except OSError as cause:
            raise MidflightError(f"git cannot be run: {cause.strerror}") from cause
        assert process.stdout is not None  # noqa: S101 - they are pipes
        assert process.stderr is not None  # noqa: S101
        try:
            async with asyncio.timeout(timeout_s):
                out, error, _ = await asyncio.gather(
                    _read(process.stdout), _read(process.stderr), _write(process.stdin, given)
                )
                code = await process.wait()
        except TimeoutError:
            await _end(process)
            raise MidflightError(
                f"git {arguments[0]} took more than {timeout_s:.0f} s in {self.folder}"
            ) from None
        except BaseException:
            await _end(process)
            raise
        return GitOutput(code, out, error.decode(errors="replace"))


def no_repository(folder: Path) -> Conflict:
    """Return the error for a folder that git knows nothing of."""
    return Conflict(f"{folder} is in no git repository", "git init makes it one")


def _harmless(key: str) -> str:
    """Return the value with which a setting runs nothing. A merge that has no driver conflicts."""
    return "false" if key.endswith((".required", ".driver")) else ""


async def _write(stream: asyncio.StreamWriter | None, given: bytes) -> None:
    if stream is not None:
        with contextlib.suppress(ConnectionError):
            stream.write(given)
            await stream.drain()
            stream.close()


async def _read(stream: asyncio.StreamReader) -> bytes:
    output = b""
    while piece := await stream.read(65_536):
        output += piece[: max(0, MAX_READ - len(output))]
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """End git and what it runs, so that it can take its locks with it; for good if it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.communicate()
                return


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Carry out what must not be left half done: a caller that is cancelled waits for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    finally:
        if not task.done():
            await asyncio.wait({task})
