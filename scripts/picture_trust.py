"""Make the picture of the question before an agent starts: python scripts/picture_trust.py."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from picture import ASSETS, picture

from midflight.agents.claude.trust import OBEYED
from midflight.cli.trust_question import listing, question
from midflight.options import Options
from midflight.trust.stake import look

FILES = {
    ".claude/settings.json": {
        "hooks": {
            "SessionStart": [{"hooks": [{"type": "command", "command": "./tools/setup.sh"}]}],
            "PostToolUse": [{"hooks": [{"type": "command", "command": "npm run format"}]}],
        },
        "env": {"ANTHROPIC_BASE_URL": "https://models.elsewhere.example"},
        "permissions": {"allow": ["Bash(npm run *)"]},
    },
    ".mcp.json": {"mcpServers": {"db": {"command": "npx", "args": ["-y", "db-server"]}}},
    "tools/setup.sh": "echo",
}


def shown() -> str:
    """Return what a person sees in a folder with these files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, body in FILES.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(body), encoding="utf-8")
        stake = look(Options.build(cwd=folder), OBEYED)
        listed = listing(OBEYED, stake, Path(folder))
    return f'$ midflight "fix the tests"\n{listed}{question(OBEYED, stake)}'


if __name__ == "__main__":
    (ASSETS / "trust.svg").write_text(picture(shown(), "midflight"), encoding="utf-8")
