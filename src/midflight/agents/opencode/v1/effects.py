"""What OpenCode's tools do, by the keys that they obey. Seen: the schemas of 1.18.33.

OpenCode ignores a key that a tool does not have, so an input with one is shown as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from midflight.agents.shared import effects as shared
from midflight.agents.shared.effects import Tool

NUMBER = (int, float)

TOOLS: Mapping[str, Tool] = {
    "bash": Tool(
        lambda args, cwd: shared.command(args["command"], args.get("workdir"), cwd),
        {"command": str, "timeout": NUMBER, "workdir": str},
        ("command",),
    ),
    "edit": Tool(
        lambda args, cwd: shared.replace(
            args["filePath"],
            args["oldString"],
            args["newString"],
            cwd,
            every=args.get("replaceAll", False),
        ),
        {"filePath": str, "oldString": str, "newString": str, "replaceAll": bool},
        ("filePath", "oldString", "newString"),
    ),
    "read": Tool(
        lambda args, cwd: shared.read(args["filePath"], cwd),
        {"filePath": str, "offset": int, "limit": int},
        ("filePath",),
    ),
    "webfetch": Tool(
        lambda args, cwd: shared.fetch(args["url"]),
        {"url": str, "format": str, "timeout": NUMBER},
        ("url",),
    ),
    "write": Tool(
        lambda args, cwd: shared.write(args["filePath"], args["content"], cwd),
        {"content": str, "filePath": str},
        ("content", "filePath"),
    ),
}

BUILT_IN = frozenset(
    {
        *("apply_patch", "bash", "edit", "glob", "grep", "invalid", "question", "read", "skill"),
        *("task", "todowrite", "webfetch", "websearch", "write"),
    }
)
"""The tools that OpenCode itself offers."""


class OwnTools:
    """Which tools of a server are OpenCode's own: a plugin may put another one in the place of one.

    The server then names it twice. Such a tool asks for what it likes: under any permission, with
    any facts.
    """

    def __init__(self, offered: Iterable[str] = ()) -> None:
        """``offered`` are the names that the server tells."""
        counts = Counter(offered)
        self.replaced = frozenset(name for name, count in counts.items() if count > 1)
        self._all = not self.replaced and counts.keys() <= BUILT_IN

    def table(self, name: str, *, seen: bool) -> Mapping[str, Tool]:
        """Return the table for a request about a tool: an empty one if it may be another tool.

        ``seen`` says that the call was seen. Of one that was not, the request's own words are all
        there is.
        """
        return {} if name in self.replaced or not (seen or self._all) else TOOLS
