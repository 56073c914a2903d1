"""``midflight mcp``: the sessions as tools of another agent, over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import time
from pathlib import Path

from midflight.cli.output import write
from midflight.errors import InvalidInput

__all__ = ["mcp"]


def mcp(given: argparse.Namespace) -> int:
    """Serve, or tell a program how to start this; return the exit code."""
    if given.action == "install":
        return _install(given)
    if given.user or given.print:
        raise InvalidInput("--user and --print go with install", "midflight mcp install claude")
    from midflight.mcp.handlers import Limits
    from midflight.mcp.server import serve

    limits = Limits(depth=given.max_depth, children=given.max_children)
    asyncio.run(serve(given.journal, limits, may_answer=given.may_answer))
    return 0


def _install(given: argparse.Namespace) -> int:
    from midflight.cli.mcp_install import plan

    if given.client is None:
        raise InvalidInput("say for which program", "midflight mcp install claude")
    arguments = ["--journal", str(Path(given.journal).absolute())] if given.journal else []
    arguments += ["--may-answer"] if given.may_answer else []
    planned = plan(given.client, Path.cwd(), user=given.user, arguments=arguments)
    if given.print:
        write(f"{planned.path}\n\n{planned.entry}\n")
        return 0
    if planned.new == planned.old:
        write(f"{planned.path} says so already\n")
        return 0
    difference = difflib.unified_diff(
        planned.old.splitlines(keepends=True),
        planned.new.splitlines(keepends=True),
        f"{planned.path} before",
        f"{planned.path} now",
    )
    write("".join(difference))
    backup = planned.write(time.strftime("%Y%m%d-%H%M%S"))
    write(f"\nwrote {planned.path}\n" + (f"kept {backup}\n" if backup else ""))
    write(f"{planned.then}\n")
    return 0
