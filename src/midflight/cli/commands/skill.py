"""``midflight skill install``: the skill, put where an agent looks for skills."""

from __future__ import annotations

import argparse
from pathlib import Path

from midflight.cli.install.plan import carry_out
from midflight.cli.install.skill import plan


def skill(given: argparse.Namespace) -> int:
    """Write the skill, or only show it; return the exit code."""
    planned = plan(given.client, Path.cwd(), user=given.user)
    return carry_out(planned, only_print=given.print)
