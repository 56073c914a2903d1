"""``midflight skill install``: the skill, put where an agent looks for skills."""

from __future__ import annotations

import argparse

from midflight._util.files import current_folder
from midflight.cli.install.plan import carry_out
from midflight.cli.install.skill import plan


def skill(args: argparse.Namespace) -> int:
    """Write the skill, or only show it; return the exit code."""
    planned = plan(args.client, current_folder(needed=not args.user), user=args.user)
    return carry_out(planned, only_print=args.print)
