"""Well-known agents that speak the Agent Client Protocol, by name: how each is run and installed.

To add one, add a line; `scripts/write_docs.py` makes the table of the documentation from these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from midflight.agents.acp.launch_settings import MakeLaunchSettings, claude_options, opencode_config
from midflight.values import Support

if TYPE_CHECKING:
    from midflight.options import Options


class Preset(NamedTuple):
    """One agent: the command that makes it speak ACP, how to get it, and where it is at home.

    ``env`` makes it ask before it changes anything. ``files`` are those that it obeys in a folder
    or in the user's home, and folders with all that is in them; ``shared`` are those among them
    that the folder's own programs have too. One that is ``like`` an agent with a driver of its own
    obeys the same as that one. ``launch_settings`` makes the settings by which it obeys no more
    of that than it may, where it has such. ``cost`` is how it is known what it costs: it tells
    money (``supported``), or tokens that can be priced (``estimated``); ``not`` where nobody has
    seen it tell either. ``login`` is the command that logs in, ``lacks`` what it was seen to lack
    although it does not say so: capabilities, each with the reason. ``check`` raises
    `UnsupportedOption` for a session that it cannot have.
    """

    command: str
    install: str
    url: str
    env: Mapping[str, str] = {}
    files: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    like: str = ""
    launch_settings: MakeLaunchSettings | None = None
    cost: Support = "not"
    login: str = ""
    lacks: Mapping[str, str] = {}
    check: Callable[[Options], None] | None = None


def _opencode_finds(options: Options) -> None:
    """Refuse a folder that OpenCode does not find, whichever way it is spoken to."""
    from midflight.agents.shared.obeyed import trust_of

    trust_of("opencode").check_name(options)


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

_OF_CLAUDE = (
    *(".claude/settings.json", ".claude/settings.local.json"),
    *(".claude/agents", ".claude/commands", ".claude/skills"),
)
"""What agents obey of Claude Code's own files."""

PRESETS: Mapping[str, Preset] = {
    "auggie": Preset(
        "auggie --acp",
        "npm install -g @augmentcode/auggie",
        "https://docs.augmentcode.com/cli",
        # Source: docs.augmentcode.com/cli/skills, …/cli/hooks and …/cli/v0/custom-commands.
        files=(".augment", ".agents", ".claude/commands", ".claude/skills"),
        login="auggie login",
    ),
    "claude-acp": Preset(
        "claude-agent-acp",
        "npm install -g @agentclientprotocol/claude-agent-acp",
        "https://github.com/agentclientprotocol/claude-agent-acp",
        like="claude",
        launch_settings=claude_options,
        cost="supported",
        login="claude-agent-acp --cli auth login",
    ),
    "codex": Preset(
        "codex-acp",
        "npm install -g @agentclientprotocol/codex-acp",
        "https://github.com/agentclientprotocol/codex-acp",
        # Source: developers.openai.com/codex, "Config basics", "Hooks" and "Agent Skills".
        files=(".codex", ".agents"),
        cost="estimated",
        login="codex-acp login",
        lacks={"plan": "it offers its model no list of things to do"},
    ),
    "copilot": Preset(
        "copilot --acp --stdio",
        "npm install -g @github/copilot",
        "https://github.com/github/copilot-cli",
        # Source: changelog.md in github.com/github/copilot-cli; .vscode and .devcontainer are of
        # older versions.
        files=(
            *(".copilot", ".agents", ".mcp.json", ".vscode/mcp.json"),
            *(".github/copilot", ".github/hooks", ".github/agents", ".github/skills"),
            *(".github/extensions", ".github/mcp.json", ".github/lsp.json"),
            *_OF_CLAUDE,
        ),
        shared=(".devcontainer/devcontainer.json",),
        login="copilot login",
        lacks={
            "mcp_servers": "it takes only those with a url, and leaves out others without a word",
            "plan": "it offers its model no list of things to do",
        },
    ),
    "cursor": Preset(
        "cursor-agent acp",
        "curl https://cursor.com/install -fsS | bash",
        "https://cursor.com/docs/cli/acp",
        # Source: cursor.com/docs, "Third Party Hooks", "Agent Skills" and "Subagents".
        files=(".cursor", ".agents", ".codex", *_OF_CLAUDE),
        login="cursor-agent login",
    ),
    "droid": Preset(
        "droid exec --output-format acp",
        "curl -fsSL https://app.factory.ai/cli | sh",
        "https://docs.factory.ai/cli",
        # Source: docs.factory.ai/cli/configuration; .agent has skills of older versions.
        files=(".factory", ".agent", ".agents"),
        login="droid",
    ),
    "gemini": Preset(
        "gemini --acp",
        "npm install -g @google/gemini-cli",
        "https://geminicli.com/docs/cli/acp-mode/",
        # Source: geminicli.com/docs/reference/configuration and …/cli/using-agent-skills.
        files=(".gemini", ".agents"),
        shared=(".env",),
        cost="estimated",
        login="gemini",
        lacks={
            "plan": "it does not report its model's list",
            "resume": "it empties the conversation that it is to load",
        },
    ),
    "goose": Preset(
        "goose acp",
        "curl -fsSL https://github.com/block/goose/releases/download/stable/download_cli.sh | bash",
        "https://block.github.io/goose/docs/guides/acp-clients",
        # Source: block.github.io/goose/docs/guides/context-engineering, "Hooks" and "Skills".
        files=(".goose", ".agents", ".claude/skills"),
        login="goose configure",
    ),
    "kimi": Preset(
        "kimi acp",
        "uv tool install kimi-cli",
        "https://github.com/MoonshotAI/kimi-cli",
        # Source: moonshotai.github.io/kimi-cli/en/customization/skills.html.
        files=(".kimi", ".agents", ".claude/skills", ".codex/skills"),
        login="kimi login",
    ),
    "opencode-acp": Preset(
        "opencode acp",
        "npm install -g opencode-ai",
        "https://opencode.ai/docs/acp",
        {"OPENCODE_PERMISSION": json.dumps(_OPENCODE_ASKS)},
        like="opencode",
        launch_settings=opencode_config,
        cost="supported",
        login="opencode auth login",
        check=_opencode_finds,
    ),
    "qwen": Preset(
        "qwen --acp",
        "npm install -g @qwen-code/qwen-code",
        "https://github.com/QwenLM/qwen-code",
        # Source: qwenlm.github.io/qwen-code-docs/en/users/configuration/settings.
        files=(".qwen",),
        shared=(".env",),
        cost="estimated",
        login="qwen",
        lacks={"plan": "its list is switched off, unless its settings say otherwise"},
    ),
    "vibe": Preset(
        "vibe-acp",
        "uv tool install mistral-vibe",
        "https://github.com/mistralai/mistral-vibe",
        # Source: docs.mistral.ai/vibe/code/cli/configuration and …/skills.
        files=(".vibe", ".agents"),
        login="vibe --setup",
    ),
}
