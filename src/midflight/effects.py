"""What a tool call will do if it is allowed, and the rule that allows more like it.

Drivers make effects, see `midflight.agents.shared.effects`. Everybody else shows and judges them,
and interprets no tool's input.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

__all__ = [
    "CommandEffect",
    "EditEffect",
    "Effect",
    "FetchEffect",
    "OtherEffect",
    "ReadEffect",
    "brief",
    "covers",
    "place",
    "rule_of",
]


class _Effect(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    @property
    def type(self) -> str:
        """The effect's name in JSON, for example ``command``."""
        return str(self.__struct_config__.tag)


class CommandEffect(_Effect, frozen=True, kw_only=True, tag="command"):
    """A shell runs ``command`` in the folder ``cwd``; null where the agent does not tell it."""

    command: str
    cwd: str | None = None


class EditEffect(_Effect, frozen=True, kw_only=True, tag="edit"):
    r"""A file changes. ``target`` is where ``path`` leads, if a link leads it elsewhere.

    ``diff`` is unified, its lines end at ``\n``; ``shown_lines`` of all its ``lines`` are in it.
    ``protected`` says that the file decides what may run next time: no rule covers that.
    """

    path: str
    target: str | None = None
    diff: str = ""
    lines: int = 0
    shown_lines: int = 0
    protected: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether the diff is not whole."""
        return self.shown_lines < self.lines


class ReadEffect(_Effect, frozen=True, kw_only=True, tag="read"):
    """A file or folder is read; ``target`` is as in `EditEffect`."""

    path: str
    target: str | None = None


class FetchEffect(_Effect, frozen=True, kw_only=True, tag="fetch"):
    """An address is fetched."""

    url: str


class OtherEffect(_Effect, frozen=True, kw_only=True, tag="other"):
    """What the call does is not known for certain: the raw ``input``, for a person to judge."""

    input: dict[str, Any]


_ARROW = "→"

_PLAIN_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")

_FOLDERS = ("Edit", "Read")
"""Rules with these words are about all that is below a folder."""

Effect = CommandEffect | EditEffect | ReadEffect | FetchEffect | OtherEffect


def brief(effects: Sequence[Effect], cwd: str = "") -> str:
    """Return in one line what a call will do, without what only a full view can show.

    Paths below ``cwd`` are shown from there.
    """
    return "; ".join(filter(None, (_brief(effect, cwd) for effect in effects)))


def _brief(effect: Effect, cwd: str) -> str:
    match effect:
        case CommandEffect(command=command):
            first, *more = command.strip().split("\n")
            return f"{first} (and {len(more)} more lines)" if more else first
        case EditEffect() | ReadEffect():
            return place(effect, cwd)
        case FetchEffect(url=url):
            return url
    return ""


def place(effect: EditEffect | ReadEffect, cwd: str = "") -> str:
    """Return the path, and where it leads if that is elsewhere; ``cwd`` is as in `brief`."""
    path, target = (each and _plain(_from(each, cwd)) for each in (effect.path, effect.target))
    return f"{path} {_ARROW} {target}" if target else f"{path}"


def _plain(path: str) -> str:
    """Return a path as it is; one with an arrow of its own stands in quotes."""
    return f'"{path}"' if _ARROW in path else path


def _from(path: str, cwd: str) -> str:
    return path.removeprefix(f"{cwd}/") or path if cwd else path


def rule_of(effects: Sequence[Effect], cwd: str) -> str:
    """Return the rule that "allow for this session" would add, or nothing where none is narrow.

    ``Bash(COMMAND)`` is that very command in the session's folder ``cwd``; ``Edit(FOLDER/**)`` and
    ``Read(FOLDER/**)`` are files whose real path is below that folder; ``WebFetch(domain:HOST)`` is
    one host over https.
    """
    if len(effects) != 1:
        return ""
    match effects[0]:
        case CommandEffect(command=command) as effect if effect.cwd == cwd:
            return f"Bash({command})" if _is_one_line(command) else ""
        case EditEffect() as effect if not (effect.is_cut or effect.protected):
            return _below("Edit", effect)
        case ReadEffect() as effect:
            return _below("Read", effect)
        case FetchEffect(url=url) if host := _host(url):
            return f"WebFetch(domain:{host})"
    return ""


def covers(rule: str, wanted: str) -> bool:
    """Tell whether a rule allows what another rule, that of a request, would allow."""
    if rule == wanted:
        return bool(rule)
    tool, _, folder = rule.partition("(")
    return (
        tool in _FOLDERS
        and wanted.startswith(f"{tool}(")
        and folder.endswith("/**)")
        and wanted.endswith("/**)")
        and wanted.partition("(")[2].startswith(folder.removesuffix("**)"))
    )


def _below(tool: str, effect: EditEffect | ReadEffect) -> str:
    folder = (effect.target or effect.path).rpartition("/")[0]
    return f"{tool}({folder}/**)" if folder.strip("/") and _is_one_line(folder) else ""


def _host(url: str) -> str:
    """Return the host of an https address without user, port and other tricks, or nothing.

    Characters that programs leave out of an address, as they do newlines, make another host of it.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    plain = parts.scheme == "https" and _PLAIN_HOST.fullmatch(parts.netloc) is not None
    return parts.netloc if plain else ""


def _is_one_line(text: str) -> bool:
    return text.isprintable() and bool(text.strip())
