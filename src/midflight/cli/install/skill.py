"""Where each program looks for skills, and the skill that is put there.

Where that is, and what must stand at the top of the file:
https://code.claude.com/docs/en/skills, https://opencode.ai/v1/docs/skills/ and
https://developers.openai.com/codex/skills.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from midflight.cli.install.plan import Plan, config_home, standing

NAME = "midflight"


def plan(client: str, folder: Path, *, user: bool) -> Plan:
    """Return what to write for a program, for one folder or for all."""
    path = _skills_of(client, folder, user=user) / NAME / "SKILL.md"
    text = (files("midflight") / "skills" / NAME / "SKILL.md").read_text(encoding="utf-8")
    then = "It is found at the next start. Its tools: midflight mcp install"
    return Plan(path=path, old=standing(path), new=text, entry=text, then=f"{then} {client}")


def _skills_of(client: str, folder: Path, *, user: bool) -> Path:
    match client:
        case "claude":
            own = os.environ.get("CLAUDE_CONFIG_DIR")
            home = Path(own) if own else Path.home() / ".claude"
            return (home if user else folder / ".claude") / "skills"
        case "opencode":
            return (config_home() / "opencode" if user else folder / ".opencode") / "skills"
        case _:
            return (Path.home() if user else folder) / ".agents" / "skills"
