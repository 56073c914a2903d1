"""What an agent may bring into a session that it begins: what it has, or its user has listed.

Programs, folders, keys and conversations: none of them is the agent's to choose. It is the same in
every permission mode, and for each door; the server of MCP asks here too.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from midflight._util.text import did_you_mean
from midflight.agents import NAMES
from midflight.config.files import read_user
from midflight.errors import NotAllowed
from midflight.options import Options
from midflight.trust import store
from midflight.trust.repository import repository_of

HINT = "the user lists more in [mcp] of their config.toml"

PROGRAMS = ("agent_path", "plugins", "server_url", "repo")
"""Options that name what runs, or where keys, the conversation and the work go."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What may be reached.

    ``agents``: their names, and ``acp:COMMAND`` with the whole command. ``folders``: those that may
    be worked in or below. ``programs``: by the option of `PROGRAMS`. ``conversations``: the agents'
    own ids of those that may be resumed.
    """

    agents: tuple[str, ...] = NAMES
    folders: tuple[Path, ...] = ()
    programs: Mapping[str, Collection[str]] = {}
    conversations: Collection[str] = ()

    @classmethod
    def listed(cls) -> Reach:
        """Return what the user's file lists. Raises `InvalidConfig`."""
        file = read_user(NAMES)
        if file is None:
            return cls()
        defaults = [file.top, *file.agents.values()]
        return cls(
            agents=file.mcp.get("agents", NAMES),
            folders=(
                *file.mcp.get("dirs", ()),
                *(folder for table in defaults for folder in table.get("add_dirs", ())),
            ),
            programs={name: _named(name, defaults) for name in PROGRAMS}
            | {"repo": {*_named("repo", defaults), *file.mcp.get("repos", ())}},
        )

    def plus(self, agent: str, cwd: str, options: Mapping[str, Any]) -> Reach:
        """Return this, with what a session has that was begun so."""
        return msgspec.structs.replace(
            self,
            agents=(*self.agents, agent),
            folders=(*self.folders, *map(Path, (cwd, *options.get("add_dirs", ())))),
            programs={
                name: {*self.programs.get(name, ()), *_named(name, [options])} for name in PROGRAMS
            },
        )

    def check(self, options: Options, *, anywhere: bool) -> None:
        """Raise `NotAllowed` for options that reach further.

        ``anywhere`` says that of the caller nothing is known, its folders neither.
        """
        check_agent(options.agent, self.agents)
        cwd = () if options.repo else (options.cwd,)
        for folder in () if anywhere else (*cwd, *options.add_dirs):
            check_folder(folder, self.folders)
        for name in PROGRAMS:
            more = _named(name, [msgspec.structs.asdict(options)]) - {*self.programs.get(name, ())}
            if more:
                _refuse(name, f"{', '.join(sorted(more))} is not what it has itself")
        if options.setup is not None:
            _refuse("setup", "it would run what the agent may have written")
        if options.mcp_servers:
            _refuse("mcp_servers", "a server is a program, which the user chooses")
        foreign = [name for name, text in options.env.items() if os.environ.get(name) != text]
        if foreign:
            _refuse("env", f"{', '.join(foreign)} could send keys elsewhere, or run something")
        if options.resume is not None and options.resume not in self.conversations:
            _refuse("resume", "it is no conversation that it has begun")


def check_agent(wanted: str, known: Collection[str]) -> None:
    """Raise `NotAllowed` for an agent that is not among the known ones."""
    if wanted not in known:
        raise NotAllowed(
            f"agent {wanted!r} is not among those that may be dispatched",
            did_you_mean(wanted, known, HINT),
        )


def check_folder(folder: Path, mine: Collection[Path]) -> None:
    """Raise `NotAllowed` for a folder that is neither in one of ``mine`` nor trusted.

    Another worktree of a repository that may be worked in may be worked in too.
    """
    if not (is_below(folder, mine) or _is_worktree(folder, mine) or _is_trusted(folder)):
        raise NotAllowed(f"{folder} is outside of the folders that may be worked in", HINT)


def is_below(folder: Path, dirs: Iterable[Path]) -> bool:
    """Tell whether a folder is one of these or in one of them, links followed."""
    real = _real(folder)
    return any(real.is_relative_to(_real(each)) for each in dirs)


def _is_worktree(folder: Path, dirs: Iterable[Path]) -> bool:
    """Tell whether a folder is in another worktree of a repository that may be worked in."""
    there = repository_of(_real(folder))
    return any(
        there.key == here.key and there.root != here.root
        for here in (repository_of(_real(each)) for each in dirs)
    )


def _is_trusted(folder: Path) -> bool:
    return repository_of(_real(folder)).key in store.read().repositories


def _real(path: Path) -> Path:
    """Return where a path leads, links followed; what is not there is nowhere else."""
    return Path(os.path.realpath(path))


def _named(option: str, tables: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return what these tables of options name for one option."""
    values = [table.get(option) for table in tables]
    many = [value if isinstance(value, (list, tuple)) else [value] for value in values if value]
    return {str(each) for some in many for each in some}


def _refuse(option: str, why: str) -> None:
    raise NotAllowed(f"{option}: an agent cannot give another one more than it has: {why}", HINT)
