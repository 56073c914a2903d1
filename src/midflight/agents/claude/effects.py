"""What Claude Code's tools do, by the keys that they obey. Seen: the schemas of 2.1.332.

Claude Code refuses an input with a key that a tool does not have, and gives absolute paths when it
asks. A tool that is not here, such as one of an MCP server, is shown by its raw input.
"""

from __future__ import annotations

from collections.abc import Mapping

from midflight.agents.shared import effects as shared
from midflight.agents.shared.effects import Tool

NUMBER = (int, float)

TOOLS: Mapping[str, Tool] = {
    "Bash": Tool(
        lambda args, cwd: shared.command(args["command"], None, cwd),
        {"command": str, "timeout": NUMBER, "description": str, "run_in_background": bool},
        ("command",),
        frozenset({"dangerouslyDisableSandbox"}),
    ),
    "Edit": Tool(
        lambda args, cwd: shared.replace(
            args["file_path"],
            args["old_string"],
            args["new_string"],
            cwd,
            every=args.get("replace_all", False),
        ),
        {"file_path": str, "old_string": str, "new_string": str, "replace_all": bool},
        ("file_path", "old_string", "new_string"),
    ),
    "Read": Tool(
        lambda args, cwd: shared.read(args["file_path"], cwd),
        {"file_path": str, "offset": int, "limit": int, "pages": str},
        ("file_path",),
        frozenset({"allow_large"}),
    ),
    "WebFetch": Tool(
        lambda args, cwd: shared.fetch(args["url"]),
        {"url": str, "prompt": str},
        ("url",),
    ),
    "Write": Tool(
        lambda args, cwd: shared.write(args["file_path"], args["content"], cwd),
        {"file_path": str, "content": str},
        ("file_path", "content"),
    ),
}
