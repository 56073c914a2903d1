"""What a folder has an agent run or redirect, found without running anything."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from midflight._util.files import is_text, open_regular, shown
from midflight.options import Options
from midflight.trust.repository import Repository, repository_of

MAX_FILES = 20_000
"""How many files are looked at; an agent may install thousands beside its plugins."""

MAX_BYTES = 256 * 1024 * 1024
"""How much of them is read."""

MAX_DEPTH = 64
"""How many folders are entered below each other."""

MAX_FOLDERS = 200_000
"""How many folders below the session's own are searched for what is loaded on demand.

50,000 with six files each take half a second.
"""

MAX_READ = 1024 * 1024
"""How large a file may be whose meaning is read; a larger one that has a meaning is not trusted."""

_WORDS = re.compile(r"""[^\s"'`$(){}\[\];|&<>=,]+""")


class Consequence(msgspec.Struct, frozen=True):
    """One thing that a file has the agent do, for a person: ``text`` is as exact as the file.

    ``run``: a program is started. ``redirect``: keys and conversation go elsewhere. ``allow``:
    calls of tools would not be asked for. ``use``: the agent is told something that it obeys.
    ``rules`` are those by which calls would not be asked for, in the agent's own words.
    """

    kind: Literal["run", "redirect", "allow", "use"]
    text: str
    rules: tuple[str, ...] = ()


Reader = Callable[[str, bytes], Iterable[Consequence]]
"""Returns the consequences of a file, by its path below the folder.

Raises `ValueError` if the agent leaves the file out, because it cannot read it.
"""


class Obeyed(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a folder that one agent obeys by running or redirecting something.

    ``names`` are files, and folders with all that is in them. What is only text for the model
    (``texts``) and what the agent keeps for itself (``skipped``) is none of it; both are patterns.
    ``parents`` says that they are looked for in the folders above too, and ``nested`` are those
    that the agent loads from any folder below, when it works there. ``told`` says that the agent
    can be started without them, and ``variable`` is the one that names the folder in commands.

    ``shared`` are names too, of files that the folder's own programs have as well: they are at
    stake, and writing one is nothing special.

    ``own`` returns the user's own settings, which are not at stake, by the home and the
    environment; ``notes`` are patterns of what the model writes there: plans, what it remembers.

    ``written`` looks again at what was at stake, once the program is up: it returns the files that
    the program has written itself, and those that have changed besides.
    """

    agent: str
    names: tuple[str, ...]
    texts: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    read: Reader = lambda name, body: ()
    parents: bool = True
    nested: tuple[str, ...] = ()
    told: bool = True
    variable: str = ""
    own: Callable[[Path, Mapping[str, str]], Iterable[Path]] = lambda home, env: ()
    notes: tuple[str, ...] = ()
    written: Callable[[Options, Stake], tuple[list[StakeFile], list[StakeFile]]] | None = None


class StakeFile(msgspec.Struct, frozen=True):
    """A file at stake: its repository and its path there, what it is, and what it has done."""

    repository: str
    path: str
    digest: str
    place: Path
    consequences: tuple[Consequence, ...] = ()

    @property
    def entry(self) -> tuple[str, str, str]:
        """What is trusted of it."""
        return self.repository, self.path, self.digest

    def seen_from(self, repository: str) -> str:
        """Its path for who works in that repository; of a file of another one the whole path."""
        return self.path if self.repository == repository else str(self.place)


class Stake(msgspec.Struct, frozen=True):
    """All that is at stake.

    ``beyond`` says why not all of it could be looked at: then it cannot be trusted. ``problems``
    are the files that the agent leaves out because it cannot read them.
    """

    files: tuple[StakeFile, ...] = ()
    beyond: str = ""
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is at stake."""
        return bool(self.files or self.beyond)

    @property
    def redirects(self) -> bool:
        """A file sends keys or the conversation elsewhere."""
        return any(each.kind == "redirect" for file in self.files for each in file.consequences)


def home(env: Mapping[str, str]) -> Path:
    """Return the user's home as the agent sees it: what stands there is the user's own."""
    return Path(env.get("HOME") or os.environ.get("HOME") or Path.home()).resolve()


def folders(options: Options, *, parents: bool = True) -> list[Path]:
    """Return the folders that an agent looks into: the nearest first, the user's home left out."""
    ways = (options.cwd.absolute(), options.cwd.resolve())
    found = [folder for way in ways for folder in (way, *(way.parents if parents else ()))]
    found += [folder for added in options.add_dirs for folder in (added, added.resolve())]
    known = {folder.resolve(): None for folder in found}
    known.pop(home(options.env), None)
    return list(known)


def look(options: Options, obeyed: Obeyed) -> Stake:
    """Return what is at stake where a session with these options starts; nothing is run."""
    search = _Search(obeyed)
    for folder in folders(options, parents=obeyed.parents):
        places = [folder / name for name in (*obeyed.names, *obeyed.shared)]
        if any(map(os.path.lexists, places)):
            search.begin(folder)
            for place in places:
                search.collect(place, str(place.relative_to(folder)))
    if obeyed.nested:
        search.below(options.cwd.resolve(), set(obeyed.own(home(options.env), options.env)))
    return Stake(tuple(search.files.values()), search.beyond, tuple(search.problems))


class _Search:
    """Collects the files of one folder after another, within the bounds."""

    def __init__(self, obeyed: Obeyed) -> None:
        self.files: dict[tuple[str, str], StakeFile] = {}
        self.problems: list[str] = []
        self.beyond = ""
        self._obeyed = obeyed
        self._count = 0
        self._bytes = 0
        self._folder = Path()
        self._repository = Repository("", Path())

    def begin(self, folder: Path) -> None:
        """Go on in this folder."""
        self._folder = folder
        self._repository = repository_of(folder)

    def below(self, top: Path, left_out: Collection[Path]) -> None:
        """Take in what is loaded on demand from the folders below; links are followed inside only.

        Paths are texts here, since there may be many.
        """
        repository = repository_of(top)
        begins = {name.split("/")[0]: name for name in self._obeyed.nested}
        waiting, seen = [str(top)], {str(top), *map(str, left_out)}
        while waiting and not self.beyond:
            folder = waiting.pop()
            folders, links = _folders_in(folder)
            for name in begins.keys() & {path.rpartition("/")[2] for path in (*folders, *links)}:
                if folder != str(top):
                    self._on_demand(Path(folder), begins[name], repository)
            for link in links:
                place = os.path.realpath(link)
                if Path(place).is_relative_to(repository.root):
                    folders.append(place)
                    continue
                for name in self._obeyed.nested:
                    self._on_demand(Path(link), name, repository)
            waiting += (new := [place for place in folders if place not in seen])
            seen.update(new)
            if len(seen) > MAX_FOLDERS:
                self.beyond = (
                    f"there are more than {MAX_FOLDERS} folders in {top}, so start in one of them"
                )

    def _on_demand(self, folder: Path, name: str, above: Repository) -> None:
        place = folder / name
        if not os.path.lexists(place):
            return
        if not place.resolve().is_relative_to(above.root):
            self.beyond = f"{place} is reached by a link that leads out of the folder"
            return
        self.begin(folder)
        if self._repository.key == str(self._repository.root):
            self._repository = above  # it is in no repository of its own
        self.collect(place, name)

    def collect(self, place: Path, name: str, above: tuple[Path, ...] = ()) -> None:
        """Take in a file, or all that is in a folder; a link, and what it leads to in here.

        ``name`` is the path under which the agent finds it. ``above`` are the folders on the way,
        so that a link to one of them ends it.
        """
        if self.beyond or _fits(name, self._obeyed.skipped):
            return
        self._count += 1
        if len(above) > MAX_DEPTH:
            self.beyond = f"{place} is more than {MAX_DEPTH} folders deep"
            return
        if self._count > MAX_FILES:
            self.beyond = f"there are more than {MAX_FILES} files in {self._folder}"
            return
        try:
            mode = os.lstat(place).st_mode
            if stat.S_ISLNK(mode):
                self._link(place, name, above)
            elif stat.S_ISDIR(mode):
                if place not in above:
                    for child in sorted(place.iterdir()):
                        self.collect(child, f"{name}/{child.name}", (*above, place))
            elif stat.S_ISREG(mode):
                self._file(place, name)
            else:
                self.beyond = f"{place} is neither a file nor a folder"
        except FileNotFoundError:
            pass
        except OSError as error:
            self.beyond = f"{place} cannot be read: {error.strerror}"

    def _link(self, place: Path, name: str, above: tuple[Path, ...]) -> None:
        self._add(place, digest_of("link", os.fsencode(place.readlink())))
        target = place.resolve()
        if not target.is_relative_to(self._repository.root):
            self.beyond = f"{place} is a link that leads out of the folder"
            return
        self.collect(target, name, above)

    def _file(self, place: Path, name: str) -> None:
        if _fits(name, self._obeyed.texts):
            return
        with open_regular(place, follow=False) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            body = stream.read(MAX_BYTES - self._bytes + 1)
        self._bytes += len(body)
        if self._bytes > MAX_BYTES:
            self.beyond = f"there are more than {MAX_BYTES} bytes in {self._folder}"
            return
        consequences = tuple(self._consequences(place, name, body))
        self._add(place, digest_of("program" if mode & 0o111 else "file", body), consequences)
        for consequence in consequences:
            if consequence.kind in ("run", "redirect"):
                self._named(place, consequence.text)

    def _consequences(self, place: Path, name: str, body: bytes) -> Iterator[Consequence]:
        """Yield what a file does; of a large one only what its name says."""
        large = len(body) > MAX_READ
        try:
            yield from self._obeyed.read(name, b"" if large else body)
        except ValueError as error:
            if not large:
                self.problems.append(f"{place} is left out: {error}")
                return
            self.beyond = f"{place} is larger than {MAX_READ} bytes"
        except RecursionError:
            self.beyond = f"{place} is nested too deeply to be read"
        if large and name.lower().endswith(".md"):
            self.beyond = f"{place} is larger than {MAX_READ} bytes"

    def _named(self, place: Path, command: str) -> None:
        """Take in the files of the folder that a command names."""
        root = self._repository.root
        if self._obeyed.variable:
            command = re.sub(rf"""["']?\$\{{?{self._obeyed.variable}\}}?["']?/?""", "./", command)
        for word in _WORDS.findall(command):
            for start in (self._folder, place.parent, root):
                named = Path(os.path.normpath(start / word))
                if (self._repository.key, os.path.relpath(named, root)) in self.files:
                    continue
                if named.is_relative_to(root) and os.path.isfile(named):  # noqa: PTH113 - any text
                    self.collect(named, os.path.relpath(named, self._folder))

    def _add(self, place: Path, digest: str, consequences: tuple[Consequence, ...] = ()) -> None:
        key, root = self._repository
        path = os.path.relpath(place, root)
        if (known := self.files.get((key, path))) is not None:
            consequences = tuple(dict.fromkeys((*known.consequences, *consequences)))
        self.files[key, path] = StakeFile(key, path, digest, place, consequences)
        if not is_text(place):  # and what is trusted is recorded by its name
            self.beyond = f"the name of {shown(place)} is not written in UTF-8"


def _folders_in(folder: str) -> tuple[list[str], list[str]]:
    """Return the paths of the folders in a folder, and of the links to folders.

    Git's own is none of them. One that cannot be read has nothing that the agent could load.
    """
    folders, links = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name == ".git":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112 - many
                    links.append(entry.path)
    except OSError:
        pass
    return folders, links


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def digest_of(kind: Literal["file", "program", "link"], body: bytes) -> str:
    """Return the hash of a file of this kind, with these bytes or this target."""
    return hashlib.sha256(kind.encode() + b"\0" + body).hexdigest()
