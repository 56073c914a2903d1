"""A host in a process of its own, as ``midflight host`` is, with a fake model in it.

Its sessions are ``agent="fake"`` with ``env={"ANTHROPIC_BASE_URL": "fake://1"}``. The agent starts
a tool that would run for ever, beside a second process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from midflight.cli.commands.host import _host
from midflight.journal.choice import take_option
from midflight.testing import FakeModel, ToolCall

TOOL = ToolCall("Bash", {"command": "sleep 300 & echo $$ > pid; sleep 300"})


async def main() -> int:
    os.environ["ANTHROPIC_BASE_URL"] = "fake://1"
    take_option(sys.argv[1])
    async with FakeModel([TOOL]):
        return await _host(argparse.Namespace(park_after=None, work=None, ready=int(sys.argv[2])))


sys.exit(asyncio.run(main()))
