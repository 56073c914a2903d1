"""Which tool calls midflight answers for itself where an agent asks: allow, deny, or let a user.

ACP names kinds of tools, not tools. A rule by one of Claude's names holds for the tool of that
name, or, where the agent's tools have other names, for the kind of tool that it stands for. A tool
of an MCP server is allowed by its own name alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from midflight.agents.acp.content import TOOLS, AcpCall, changed
from midflight.agents.shared.folder_settings import strings
from midflight.errors import UnsupportedOption
from midflight.options import Options
from midflight.trust.protected import Protected

_KINDS = ("read", "edit", "delete", "move", "search", "execute", "think", "fetch", "other")
LONGEST_PATH = 4096
"""No longer text is looked at as a path."""

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

        Which key of its input names a file is the agent's own: any text there counts.
        """
        texts = list(strings(call.input))
        if call.kind == "execute":  # a command may be one text, or a list of words
            return self.protected.named_in(" ".join(texts), str(self._folders[0]))
        if call.kind not in ("edit", *_CHANGES):
            return False
        paths = (text for text in texts if len(text) <= LONGEST_PATH and "\n" not in text)
        try:
            places = {*call.places, *changed(call), *paths}
        except KeyError:
            return True
        return not places or any(map(self.protected, places))

    def _within(self, call: AcpCall) -> bool:
        """Tell whether every place that the call names lies in the session's folders."""
        places = [(self._folders[0] / place).resolve() for place in (*call.places, *changed(call))]
        return bool(places) and all(
            any(place.is_relative_to(folder) for folder in self._folders) for place in places
        )


def _names(rules: Iterable[str]) -> Iterator[str]:
    """Yield the names that rules stand for; agents name an MCP server's tool in two ways."""
    for rule in map(str.casefold, rules):
        yield rule
        if rule.startswith("mcp__"):
            yield "_".join(rule.split("__")[1:])


def _matches(rule: str, call: AcpCall, *, widely: bool) -> bool:
    name = call.name.casefold()
    if rule == name:
        return True
    if rule in _KINDS and rule not in TOOLS:
        return rule == call.kind
    if name in TOOLS and rule in TOOLS:
        return False
    kind = TOOLS.get(rule)
    return kind == call.kind or (widely and kind == "edit" and call.kind in _CHANGES)
