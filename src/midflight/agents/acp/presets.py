"""Well-known agents that speak the Agent Client Protocol, by name: how each is run and installed.

To add one, add a line; `scripts/write_docs.py` makes the table of the documentation from these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple


class Preset(NamedTuple):
    """One agent: the command that makes it speak ACP, how to get it, and where it is at home.

    ``env`` makes it ask before it changes anything. ``files`` are those that it obeys in a folder
    or in the user's home, and folders with all that is in them; one that is ``like`` an agent with
    a driver of its own obeys the same as that one.
    """

    command: str
    install: str
    url: str
    env: Mapping[str, str] = {}
    files: tuple[str, ...] = ()
    like: str = ""


_OPENCODE_ASKS = {
    "*": "ask",
    # By name too: a user's own rule for one of these could come after the "*".
    **dict.fromkeys(("bash", "edit", "webfetch"), "ask"),
    **dict.fromkeys(("glob", "grep", "list", "lsp", "question", "skill"), "allow"),
    **dict.fromkeys(("todoread", "todowrite", "plan_enter", "plan_exit"), "allow"),
    "read": {"*": "allow", "*.env": "ask", "*.env.*": "ask"},
    # What OpenCode's sub-agents ask does not come through ACP: they would wait for ever.
    "task": "deny",
}
"""Without it OpenCode asks nothing; the driver of OpenCode itself asks the same."""

PRESETS: Mapping[str, Preset] = {
    "auggie": Preset(
        "auggie --acp",
        "npm install -g @augmentcode/auggie",
        "https://docs.augmentcode.com/cli",
        files=(".augment",),
    ),
    "claude-acp": Preset(
        "claude-agent-acp",
        "npm install -g @agentclientprotocol/claude-agent-acp",
        "https://github.com/agentclientprotocol/claude-agent-acp",
        like="claude",
    ),
    "codex": Preset(
        "codex-acp",
        "npm install -g @agentclientprotocol/codex-acp",
        "https://github.com/agentclientprotocol/codex-acp",
        files=(".codex", ".agents"),
    ),
    "copilot": Preset(
        "copilot --acp --stdio",
        "npm install -g @github/copilot",
        "https://github.com/github/copilot-cli",
        files=(
            ".copilot",
            ".github/copilot",
            ".github/hooks",
            ".github/agents",
            ".vscode/mcp.json",
        ),
    ),
    "cursor": Preset(
        "cursor-agent acp",
        "see https://cursor.com/cli",
        "https://cursor.com/docs/cli/acp",
        files=(".cursor",),
    ),
    "droid": Preset(
        "droid exec --output-format acp",
        "see https://docs.factory.ai/cli",
        "https://docs.factory.ai/cli",
        files=(".factory",),
    ),
    "gemini": Preset(
        "gemini --acp",
        "npm install -g @google/gemini-cli",
        "https://geminicli.com/docs/cli/acp-mode/",
        files=(".gemini",),
    ),
    "goose": Preset(
        "goose acp",
        "see https://block.github.io/goose",
        "https://block.github.io/goose/docs/guides/acp-clients",
        files=(".goose",),
    ),
    "kimi": Preset(
        "kimi acp",
        "uv tool install kimi-cli",
        "https://github.com/MoonshotAI/kimi-cli",
        files=(".kimi",),
    ),
    "opencode-acp": Preset(
        "opencode acp",
        "npm install -g opencode-ai",
        "https://opencode.ai/docs/acp",
        {"OPENCODE_PERMISSION": json.dumps(_OPENCODE_ASKS)},
        like="opencode",
    ),
    "qwen": Preset(
        "qwen --acp",
        "npm install -g @qwen-code/qwen-code",
        "https://github.com/QwenLM/qwen-code",
        files=(".qwen",),
    ),
    "vibe": Preset(
        "vibe-acp",
        "uv tool install mistral-vibe",
        "https://github.com/mistralai/mistral-vibe",
        files=(".vibe",),
    ),
}
