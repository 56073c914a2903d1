"""The files that decide what may run next time: no agent writes one unasked.

They are known by their names in any folder (`Obeyed.names`, git's own, ``midflight.toml``) and by
their places (the user's own settings, midflight's state, git's folder of a worktree, what is at
stake). A path counts by itself and by where it leads; whether there is a file yet does not matter.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from midflight._util.files import open_regular
from midflight.effects import EditEffect, Effect
from midflight.journal.location import state_folders
from midflight.options import Options
from midflight.trust.repository import repository_of
from midflight.trust.stake import Obeyed, Stake, folders, home

WHY = "the file decides what may run next time"
"""Why a call is asked for that writes a protected file."""

NAMES = (".git", "midflight.toml")
"""What is protected in any folder, for any agent: all of git's own, and a project's defaults."""

WORKTREES = ("worktrees",)
"""Where sessions work, which on some systems is in the folder of midflight's state."""

MAX_CONFIG = 256 * 1024
"""How much is read of a git configuration."""

_HOOKS = re.compile(r'^\s*hookspath\s*=\s*"?([^"\n\0]+)', re.IGNORECASE | re.MULTILINE)

_WRITES = re.compile(
    r">|\b(?:chmod|cp|dd|install|ln|mkdir|mv|patch|perl|rm|rmdir|rsync|sed|tee|touch|truncate)\b"
)
"""What may change files, in the text of a shell command."""

MAX_WORDS = 500
"""Of so many words of a command the disk is asked where they lead; of more, names alone count."""

MOST_WORDS = 20_000
"""A command with more words is asked for."""

_WORDS = re.compile(r"""[^\s"'`;|&<>()]+""")

_QUOTING = re.compile(r"""["'\\]""")
"""What a shell leaves out within a word: a name may be written with any of it."""

_Key = tuple[str, ...]


class Protected:
    """Judges paths and effects for one session."""

    def __init__(self, options: Options, obeyed: Iterable[Obeyed], stake: Stake) -> None:
        """``obeyed`` is what agents obey: of all agents, since one can write what another obeys.

        The places are looked up now; what is at stake is protected by its place.
        """
        self._cwd = options.cwd
        self._home = home(options.env)
        self._kinds = (Obeyed(agent="git and midflight", names=NAMES), *obeyed)
        self._named = _by_name(
            tuple((kind.names, (*kind.texts, *kind.skipped)) for kind in self._kinds)
        )
        self._places: dict[_Key, list[_Key]] = {}
        for file in stake.files:
            self._add(file.place)
        for place in _midflight():
            self._add(place, WORKTREES)
        for env in (os.environ, {**os.environ, **options.env}):
            for place in _git(home(env), env):
                self._add(place)
            for kind in self._kinds:
                for place in kind.own(home(env), env):
                    self._add(place, kind.notes)
        for folder in folders(options):
            for place in (*self._links(folder), *_of_repository(folder)):
                self._add(place)

    def _links(self, folder: Path) -> Iterator[Path]:
        """Yield what leads elsewhere, so that it is protected there too."""
        for kind in self._kinds:
            yield from (folder / name for name in kind.names if (folder / name).is_symlink())

    def _add(self, place: Path, notes: tuple[str, ...] = ()) -> None:
        for path in {os.path.abspath(place), os.path.realpath(place)}:  # noqa: PTH100 - as text
            self._places.setdefault(_key(path), _parts(notes))

    def __call__(self, path: str) -> bool:
        """Tell whether a path, as an agent names it, is of a protected file or leads to one."""
        try:
            return any(map(self._is_protected, self._meanings(path)))
        except ValueError:
            return True  # no disk has such a name, and who knows what the agent makes of it

    def named_in(self, command: str, folder: str) -> bool:
        """Tell whether a shell command that may write names a protected file, in this folder.

        No shell text is understood for certain: this finds what is said plainly, and no more.
        """
        if not _WRITES.search(command):
            return False
        texts = (command, _QUOTING.sub("", command))
        words = dict.fromkeys(
            part
            for text in texts
            for word in _WORDS.findall(text)
            for part in (word, word.split("=")[-1])
        )
        if len(words) > MOST_WORDS:
            return True
        paths = [word if word[:1] in ("~", "/") else f"{folder}/{word}" for word in words]
        names = (_key(os.path.normpath(path)) for path in paths[MAX_WORDS:])
        return any(map(self, paths[:MAX_WORDS])) or any(map(self._is_protected, names))

    def marked(self, effects: Iterable[Effect]) -> tuple[Effect, ...]:
        """Return effects in which every edit of a protected file says so."""
        return tuple(
            msgspec.structs.replace(each, protected=True)
            if isinstance(each, EditEffect) and (self(each.path) or self(each.target or each.path))
            else each
            for each in effects
        )

    def _meanings(self, path: str) -> Iterator[_Key]:
        """Yield all that a path may mean: ``..`` as text or through links, ``~`` as the home."""
        for way in {path, re.sub(r"^~(?=/|$)", lambda _: str(self._home), path)}:
            joined = os.path.join(self._cwd, way)  # noqa: PTH118 - as text
            plain = os.path.normpath(joined)
            for meaning in {plain, os.path.realpath(plain), os.path.realpath(joined)}:
                yield _key(meaning)

    def _is_protected(self, key: _Key) -> bool:
        for end in range(1, len(key) + 1):
            notes = self._places.get(key[:end])
            if notes is not None and not _fits(key[end:], notes):
                return True
        return any(
            _fits(key[begin:], [name]) and not _fits(key[begin:], free)
            for begin, part in enumerate(key)
            for name, free in self._named.get(part, ())
        )


def _key(path: str) -> _Key:
    """Return a path's parts as the most careless disk would compare them.

    Some disks take no notice of case, of how a letter is composed, or of what cannot be seen. On
    one that does, a name that differs in these alone is protected too.
    """
    plain = unicodedata.normalize("NFD", path).casefold()
    seen = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    return tuple(part for part in seen.split("/") if part)


def _parts(patterns: Iterable[str]) -> list[_Key]:
    return [tuple(pattern.casefold().split("/")) for pattern in patterns]


@functools.cache  # it is the same for every session, and would be the most of what each one makes
def _by_name(
    kinds: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...],
) -> Mapping[str, list[tuple[_Key, list[_Key]]]]:
    """Return the protected names by their first part, each with what in it is not.

    ``kinds`` are the names of each agent's files, and its patterns of what is free.
    """
    named: defaultdict[str, list[tuple[_Key, list[_Key]]]] = defaultdict(list)
    for names, free in kinds:
        for name in _parts(names):
            named[name[0]].append((name, _parts(free)))
    return dict(named)


def _fits(path: _Key, patterns: Iterable[_Key]) -> bool:
    """Tell whether a path is what a pattern names, or in it."""
    return any(
        len(path) >= len(pattern) and all(map(fnmatch.fnmatchcase, path, pattern))
        for pattern in patterns
    )


def _midflight() -> Iterator[Path]:
    """Yield the folders of midflight's own: configuration, journal, and what is trusted."""
    import platformdirs

    yield from state_folders()
    yield Path(platformdirs.user_config_dir("midflight", appauthor=False))


def _git(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """Yield the user's own configuration of git."""
    yield home / ".gitconfig"
    yield Path(env.get("XDG_CONFIG_HOME") or home / ".config", "git")
    if named := env.get("GIT_CONFIG_GLOBAL"):
        yield Path(named)


def _of_repository(folder: Path) -> Iterator[Path]:
    """Yield git's folder, which may have any name, and where its hooks and configuration lie."""
    key, root = repository_of(folder)
    if Path(key) == root:
        return
    for git in {Path(key), root / ".git"}:
        yield from (git / name for name in ("", "config", "hooks"))
        try:
            with open_regular(git / "config") as file:
                config = file.read(MAX_CONFIG).decode(errors="replace")
        except OSError:
            continue
        for named in _HOOKS.findall(config):
            yield root / os.path.expanduser(named.strip())  # noqa: PTH111 - never raises
