"""What OpenCode 2's tools do, by the keys that they obey.

Seen: the schemas of the preview, whose tool for commands is ``bash``. Read and not run: stable 2.x,
where it is ``shell`` and takes ``background`` too.
"""

from __future__ import annotations

from collections.abc import Mapping

from midflight.agents.shared import effects as shared
from midflight.agents.shared.effects import Tool, Types

NUMBER = (int, float)

_COMMAND: Mapping[str, Types] = {"command": str, "timeout": NUMBER, "workdir": str}


def _command(*widening: str) -> Tool:
    return Tool(
        lambda args, cwd: shared.command(args["command"], args.get("workdir"), cwd),
        _COMMAND,
        ("command",),
        frozenset(widening),
    )


TOOLS: Mapping[str, Tool] = {
    "bash": _command(),
    "shell": _command("background"),
    "edit": Tool(
        lambda args, cwd: shared.replace(
            args["path"],
            args["oldString"],
            args["newString"],
            cwd,
            every=args.get("replaceAll", False),
        ),
        {"path": str, "oldString": str, "newString": str, "replaceAll": bool},
        ("path", "oldString", "newString"),
    ),
    "read": Tool(
        lambda args, cwd: shared.read(args["path"], cwd),
        {"path": str, "offset": int, "limit": int},
        ("path",),
    ),
    "webfetch": Tool(
        lambda args, cwd: shared.fetch(args["url"]),
        {"url": str, "format": str, "timeout": NUMBER},
        ("url",),
    ),
    "write": Tool(
        lambda args, cwd: shared.write(args["path"], args["content"], cwd),
        {"content": str, "path": str},
        ("content", "path"),
    ),
}
