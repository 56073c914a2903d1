"""What OpenCode's tools do, by the keys that they obey. Seen: the schemas of 1.18.33.

OpenCode ignores a key that a tool does not have, so an input with one is shown as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

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
