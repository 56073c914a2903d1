"""``midflight mcp``: the sessions as tools of another agent, over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from midflight._util.files import current_folder
from midflight.cli.install.plan import carry_out
from midflight.cli.may_answer import check_may_answer
from midflight.cli.options import user_file
from midflight.errors import InvalidInput
from midflight.lineage import SESSION_VARIABLE

if TYPE_CHECKING:
    from midflight.mcp.bounds import DispatchBounds


def mcp(args: argparse.Namespace) -> int:
    """Serve, or tell a program how to start this; return the exit code."""
    if args.action == "install":
        return _install(args)
    if args.user or args.print:
        raise InvalidInput("--user and --print go with install", "midflight mcp install claude")
    from midflight.mcp.server import serve

    check_may_answer(args.may_answer)
    bounds = bounds_of(args)
    if args.session and os.environ.get(SESSION_VARIABLE) != args.session:
        # Not all agents hand on whose they are, and others look at what a program began with.
        own = {**os.environ, SESSION_VARIABLE: args.session}
        os.execve(sys.executable, sys.orig_argv, own)  # noqa: S606 - it is this very program
    asyncio.run(serve(bounds, may_answer=args.may_answer))
    return 0


def bounds_of(args: argparse.Namespace) -> DispatchBounds:
    """Return what the command line and the user's file let the server dispatch."""
    from midflight.mcp.bounds import DispatchBounds

    file = user_file()
    listed = dict(file.mcp) if file else {}
    if args.dir:
        listed["dirs"] = tuple(Path(folder).absolute() for folder in args.dir)
    return DispatchBounds(
        depth=args.max_depth, children=args.max_children, worktree=args.worktree, **listed
    )


def _install(args: argparse.Namespace) -> int:
    from midflight.cli.install.mcp import plan

    if args.client is None:
        raise InvalidInput("say for which program", "midflight mcp install claude")
    arguments = ["--journal", args.journal.public] if args.journal else []
    check_may_answer(args.may_answer)
    for what in args.may_answer:
        arguments += ["--may-answer", what]
    arguments += ["--worktree"] if args.worktree else []
    for folder in args.dir or ():
        arguments += ["--dir", str(Path(folder).absolute())]
    planned = plan(
        args.client, current_folder(needed=not args.user), user=args.user, arguments=arguments
    )
    return carry_out(planned, only_print=args.print)
