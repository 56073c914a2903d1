"""Which tool calls midflight answers for itself where an agent asks: allow, deny, or let a user.

ACP names kinds of tools, not tools. A rule by one of Claude's names holds for the tool of that
name, or, where the agent's tools have other names, for the kind of tool that it stands for. A tool
of an MCP server is allowed by its own name alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from midflight.agents.acp.content import FOLDERS, TOOLS, AcpCall, changed
from midflight.agents.acp.effects import NEW, OLD, edits_of
from midflight.agents.shared.effects import UncertainError
from midflight.errors import UnsupportedOption
from midflight.options import Options
from midflight.trust.protected import Protected

_KINDS = ("read", "edit", "delete", "move", "search", "execute", "think", "fetch", "other")
LONGEST_PATH = 4096
"""No longer text is looked at as a path."""

MOST_TEXTS, MOST_FOLDERS = 2_000, 3
"""A call is asked for whose input has more texts, or names more folders to begin paths in."""

_HARMLESS = ("read", "search", "think", "fetch")
"""What changes no files."""

_CHANGES = ("delete", "move")
"""What is refused too where ``edit`` is, and not allowed where only ``edit`` is."""


class AcpPermissions:
    """Judges calls by the options ``allowed_tools``, ``disallowed_tools`` and the folders.

    ``edits`` says that edits within the folders are allowed: `acceptEdits`. ``protected`` is known
    once the session starts.
    """

    protected: Protected

    def __init__(self, options: Options) -> None:
        """Take the rules. Raises `UnsupportedOption` for one that cannot be kept."""
        for option in ("allowed_tools", "disallowed_tools"):
            for rule in getattr(options, option) or ():
                if "(" in rule:
                    raise UnsupportedOption(
                        option,
                        f"{rule!r} has a pattern",
                        "over ACP a rule is a tool's name or kind",
                    )
        self._allowed = list(_names(options.allowed_tools or ()))
        self._refused = list(_names(options.disallowed_tools or ()))
        self._folders = [folder.resolve() for folder in (options.cwd, *options.add_dirs)]
        self.edits = False

    def refuses(self, call: AcpCall) -> bool:
        """Tell whether the call must not run."""
        return any(_matches(rule, call, widely=True) for rule in self._refused)

    def verdict(self, call: AcpCall) -> Literal["allow", "deny", "ask"]:
        """Judge a call that the agent asks about."""
        if self.refuses(call):
            return "deny"
        name = call.name.casefold()
        if name.startswith("mcp__"):  # its kind is what its server likes to say
            return "allow" if name in self._allowed else "ask"
        if self.guards(call):
            return "ask"
        if any(_matches(rule, call, widely=False) for rule in self._allowed):
            return "allow"
        if self.edits and call.kind == "edit" and self._within(call):
            return "allow"
        return "ask"

    def guards(self, call: AcpCall) -> bool:
        """Tell whether a call may write a protected file, or does not tell what it writes.

        Which key of its input names a file is the agent's own: any text there counts, also a key.
        A path may be meant from the session's folder, or from one that the call names itself.
        """
        texts = list(_texts(call.input))
        folders = sum(key in FOLDERS for key, _ in texts)
        if len(texts) > MOST_TEXTS or folders > MOST_FOLDERS:
            return True
        try:
            diffs = changed(call)
        except KeyError:
            return True
        values = [text for key, text in texts if key is not None]
        if call.kind == "execute":  # a command may be one text, a list of words, or the title
            command = " ".join([call.heading, *values])
            return any(
                self.protected.named_in(command, str(folder)) for folder in self._from(call)
            ) or any(map(self.protected, self._meant(call, diffs)))
        if call.kind in _HARMLESS:
            return False
        named = {*call.places, *diffs, *filter(_may_be_path, values)}
        keys = (text for key, text in texts if key is None and _may_be_path(text))
        if not named and call.kind in ("edit", *_CHANGES):
            return True
        return any(map(self.protected, self._meant(call, {*named, *keys})))

    def _from(self, call: AcpCall) -> Iterator[Path]:
        """Yield the folders from which a call may mean its paths."""
        yield self._folders[0]
        for key, text in _texts(call.input):
            if key in FOLDERS and _may_be_path(text):
                yield self._folders[0] / os.path.expanduser(text)  # noqa: PTH111 - it may be no user

    def _meant(self, call: AcpCall, places: Iterable[str]) -> Iterator[str]:
        """Yield each path from each of these folders; one with ``~`` as it is too."""
        folders = [str(folder) for folder in self._from(call)]
        for place in places:
            yield place
            yield from (f"{folder}/{place}" for folder in folders if not place.startswith("/"))

    def _within(self, call: AcpCall) -> bool:
        """Tell whether all that the call may change lies in the session's folders.

        Where the agent shows the change, all that it says of it has to agree; where it does not,
        every text of its input that may be a path counts, but for the texts of the edit itself.
        """
        try:
            edits_of(call, self._folders[0])
            named = {*call.places, *changed(call)}
        except (UncertainError, KeyError):
            return False
        texts = (text for key, text in _texts(call.input) if key not in OLD | NEW)
        meant = self._meant(call, {*named, *filter(_may_be_path, texts)})
        return bool(named) and all(map(self._is_inside, meant))

    def _is_inside(self, place: str) -> bool:
        try:
            path = (self._folders[0] / Path(place).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError):
            return False
        return any(path.is_relative_to(folder) for folder in self._folders)


def _texts(value: object) -> Iterator[tuple[str | None, str]]:
    """Yield every text in plain data with the key that it stands under, and each key under None.

    However deep: an agent's data may be nested deeper than calls may be.
    """
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, Mapping):
            yield from ((None, str(name)) for name in value)
            waiting += [(str(name), each) for name, each in value.items()]
        elif isinstance(value, list):
            waiting += [(key, each) for each in value]


def _may_be_path(text: str) -> bool:
    return len(text) <= LONGEST_PATH and "\n" not in text


def _names(rules: Iterable[str]) -> Iterator[str]:
    """Yield the names that rules stand for; agents name an MCP server's tool in two ways."""
    for rule in map(str.casefold, rules):
        yield rule
        if rule.startswith("mcp__"):
            yield "_".join(rule.split("__")[1:])


def _matches(rule: str, call: AcpCall, *, widely: bool) -> bool:
    name = call.name.casefold()
    if rule == name and (widely or call.kind != "edit" or TOOLS.get(name, "edit") == "edit"):
        return True
    if rule in _KINDS and rule not in TOOLS:
        return rule == call.kind
    if name in TOOLS and rule in TOOLS:
        return False
    kind = TOOLS.get(rule)
    return kind == call.kind or (widely and kind == "edit" and call.kind in _CHANGES)
