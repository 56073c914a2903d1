"""``midflight journal``: what the roles of a team's database may do in its journal."""

from __future__ import annotations

import argparse
import asyncio

from midflight._util.sanitize import exact_line
from midflight.cli.output import write
from midflight.journal import Journal


def journal(args: argparse.Namespace) -> int:
    """Carry out the command."""
    statements = asyncio.run(_grant(args))
    if args.print:
        write("".join(f"{exact_line(each)};\n" for each in statements))
    else:
        write(f"{exact_line(args.role)} is a {args.kind} now\n".replace("a nobody", "nobody"))
    return 0


async def _grant(args: argparse.Namespace) -> list[str]:
    async with Journal() as opened:
        return await opened.grant(args.role, args.kind, only_show=args.print)
