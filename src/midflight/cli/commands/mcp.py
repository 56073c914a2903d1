"""``midflight mcp``: the sessions as tools of another agent, over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from midflight.cli.install.plan import carry_out
from midflight.errors import InvalidInput
from midflight.lineage import VARIABLE


def mcp(given: argparse.Namespace) -> int:
    """Serve, or tell a program how to start this; return the exit code."""
    if given.action == "install":
        return _install(given)
    if given.user or given.print:
        raise InvalidInput("--user and --print go with install", "midflight mcp install claude")
    from midflight.mcp.dispatch import DispatchLimits
    from midflight.mcp.server import serve

    limits = DispatchLimits(
        depth=given.max_depth, children=given.max_children, worktree=given.worktree
    )
    if given.session and os.environ.get(VARIABLE) != given.session:
        # Not all agents hand on whose they are, and others look at what a program began with.
        own = {**os.environ, VARIABLE: given.session}
        os.execve(sys.executable, sys.orig_argv, own)  # noqa: S606 - it is this very program
    asyncio.run(serve(given.journal, limits, may_answer=given.may_answer))
    return 0


def _install(given: argparse.Namespace) -> int:
    from midflight.cli.install.mcp import plan

    if given.client is None:
        raise InvalidInput("say for which program", "midflight mcp install claude")
    arguments = ["--journal", str(Path(given.journal).absolute())] if given.journal else []
    for what in given.may_answer:
        arguments += ["--may-answer", what]
    arguments += ["--worktree"] if given.worktree else []
    planned = plan(given.client, Path.cwd(), user=given.user, arguments=arguments)
    return carry_out(planned, only_print=given.print)
