"""What has changed in a session's folder since it began, as git sees it.

Compared are the files as they are now with the commit that was checked out when the session began,
which git's own log of HEAD remembers. What was not committed at that time shows as well, and so
does what others have changed meanwhile.

The folder may be prepared to run programs when git looks at it, so nothing of that kind is used:
no hooks, no external diff, no text conversion, no filters, no file system monitor, no pager.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from midflight.errors import Conflict, MidflightError
from midflight.inert import inert, one_line
from midflight.info import SessionInfo
from midflight.mcp.report import LEAD, Changes

__all__ = ["changes"]

GIT_TIMEOUT_S = 30.0
MAX_READ = 4 * 1024 * 1024
"""How much of git's answer is read."""

MAX_FILES = 2_000
"""How many characters the list of files may have."""

NO_COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The tree without a file, for a repository without a commit."""

_QUIET = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "diff.external=")
_SHOW = ("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all")


async def changes(info: SessionInfo, paths: Sequence[str], most: int) -> Changes:
    """Return the changes, cut to so many characters. Raises `Conflict` where there is no git."""
    folder = Path(info.cwd)
    with tempfile.TemporaryDirectory(prefix="midflight-") as scratch:
        git = _Git(folder, Path(scratch) / "index")
        await git.prepare()
        began = datetime.fromtimestamp(info.created, UTC).isoformat(timespec="seconds")
        commit = await git.ask("rev-parse", "--verify", "--quiet", f"HEAD@{{{began}}}")
        commit = commit or await git.ask("rev-parse", "--verify", "--quiet", "HEAD") or NO_COMMIT
        # New files are made known to an index of our own: the folder's is not touched.
        await git.ask("read-tree", commit)
        await git.ask("add", "--intent-to-add", "--ignore-errors", "--", ".")
        files = await git.ask("diff", *_SHOW, "--stat=100", commit, "--", *paths, must=True)
        diff = await git.ask("diff", *_SHOW, commit, "--", *paths, must=True)
    text = inert(diff)
    return Changes(
        session=info.name,
        folder=str(folder),
        since="an empty repository" if commit == NO_COMMIT else f"commit {commit[:12]}",
        untrusted_files=LEAD + inert(files)[-MAX_FILES:],
        untrusted_diff=LEAD + text[:most],
        left_out=max(0, len(text) - most),
    )


class _Git:
    """Asks git about one folder, with an index of its own."""

    def __init__(self, folder: Path, index: Path) -> None:
        self._folder = folder
        self._settings: list[str] = [part for each in _QUIET for part in ("-c", each)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._env = clean | {
            "GIT_INDEX_FILE": str(index),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "LC_ALL": "C",
        }

    async def prepare(self) -> None:
        """Find the repository, and switch off the filters that its settings name."""
        if not await self.ask("rev-parse", "--is-inside-work-tree"):
            raise Conflict(f"{self._folder} is in no git repository", "read says what was done")
        keys = await self.ask(
            "config",
            "--name-only",
            "--get-regexp",
            r"^filter\..*\.(clean|smudge|process|required)$",
        )
        for key in keys.splitlines():
            self._settings += ["-c", f"{key}=false" if key.endswith("required") else f"{key}="]

    async def ask(self, *arguments: str, must: bool = False) -> str:
        """Return what git says, or nothing where it fails. Raises where it ``must`` not."""
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                "--no-pager",
                *self._settings,
                *arguments,
                cwd=self._folder,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise MidflightError(f"git cannot be run: {error.strerror}") from error
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            async with asyncio.timeout(GIT_TIMEOUT_S):
                said = await process.stdout.read(MAX_READ)
                while piece := await process.stdout.read(65_536):
                    said += piece[: max(0, MAX_READ - len(said))]
                code = await process.wait()
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if code and must:
            raise MidflightError(f"git {arguments[0]} failed in {one_line(str(self._folder))}")
        return "" if code else said.decode(errors="replace").rstrip("\n")
