"""Claude Code's program: where it is, whether it can be used, and how it is started.

The flags, and what they mean, were read from the CLI's help and from ``claude-agent-sdk``, whose
wheel contains the program.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from midflight._util.programs import find_program, with_search_path
from midflight.agents.shared import version as shared
from midflight.agents.shared.environment import CLAUDE_CODE, check_servers, inherited, runnable
from midflight.errors import AgentUnavailable, UnsupportedOption
from midflight.options import Options
from midflight.trust.decision import PROJECT
from midflight.values import PermissionMode

MINIMUM = (2, 1, 330)
"""The oldest version whose control messages were measured; see docs/design/claude-driver.md."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""What ``--effort`` takes, by the program's own help."""

HINT = "is it Claude Code? pip install claude-agent-sdk"


def find(agent_path: Path | None) -> Path:
    """Return the program: that of the option, else the bundled one, else the one on PATH.

    Raises `AgentUnavailable` that says how to install it.
    """
    if agent_path is not None:
        return runnable(agent_path, "pip install claude-agent-sdk")
    spec = importlib.util.find_spec("claude_agent_sdk")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        bundled = Path(folder) / "_bundled" / "claude"
        if bundled.exists():
            return runnable(bundled, "pip install claude-agent-sdk")
    program = find_program("claude")
    if program is None:
        raise AgentUnavailable("Claude Code is not installed", "pip install claude-agent-sdk")
    return program


async def version(path: Path) -> str:
    """Return the program's version. Raises `AgentUnavailable` when it reports none."""
    recorded = path.with_name("claude.version")
    if recorded.exists():
        return shared.number_in(recorded.read_text(errors="replace"), path, HINT)
    return await shared.version(path, HINT)


async def check(path: Path) -> str:
    """Return the version if it is new enough. Raises `AgentUnavailable`."""
    number = await version(path)
    if tuple(int(part) for part in number.split(".")) < MINIMUM:
        least = ".".join(str(part) for part in MINIMUM)
        raise AgentUnavailable(
            f"{path} is Claude Code {number}; {least} or newer is needed",
            "pip install -U claude-agent-sdk",
        )
    return number


def arguments(
    options: Options,
    session: str,
    mcp_config: Path | None = None,
    system_prompt: Path | None = None,
    *,
    trusted: bool = True,
    instructions: Path | None = None,
    mirrored: bool = False,
) -> list[str]:
    """Return the program's arguments; every value is bound to its flag by ``=``.

    ``mcp_config`` and ``system_prompt`` are private files: every user of the machine can read what
    stands in an argument. One that is not ``trusted`` gets no settings of the folder;
    ``instructions`` is a file with what stands there for the model. One that is ``mirrored`` tells
    of each entry of its conversation; see `midflight.agents.claude.transcripts`.

    Raises `UnsupportedOption` for what the program cannot do.
    """
    check_servers(options.mcp_servers)
    if options.server_url is not None:
        raise UnsupportedOption("server_url", "Claude Code is no server")
    if options.effort not in (None, *EFFORTS):
        raise UnsupportedOption("effort", f"{options.effort!r} is none of {', '.join(EFFORTS)}")
    argv = [
        "--output-format=stream-json",
        "--input-format=stream-json",
        "--verbose",
        "--include-partial-messages",
        "--permission-prompt-tool=stdio",
        f"--permission-mode={own_mode(options.permission_mode)}",
        *_conversation(options, session),
        *(["--session-mirror"] if mirrored else []),
    ]
    allowed, sources = list(options.allowed_tools or ()), options.setting_sources
    if options.skills is not None:
        allowed += [f"Skill({name})" for name in options.skills]
        sources = ("user", "project") if sources is None else sources
    if not trusted:
        kept = ("user",) if sources is None else sources
        sources = tuple(source for source in kept if source not in PROJECT)
    flags = {
        "model": options.model,
        "max-turns": options.max_turns,
        "max-budget-usd": _money_left(options),
        "effort": options.effort,
        "system-prompt": None if options.system_prompt else options.system_prompt,
        "system-prompt-file": system_prompt,
        "allowedTools": ",".join(allowed) or None,
        "disallowedTools": ",".join(options.disallowed_tools or ()) or None,
        "setting-sources": None if sources is None else ",".join(sources),
        "mcp-config": mcp_config,
        "append-system-prompt-file": instructions,
    }
    argv += [f"--{flag}={value}" for flag, value in flags.items() if value is not None]
    argv += [f"--add-dir={folder}" for folder in options.add_dirs]
    argv += [f"--plugin-dir={folder}" for folder in options.plugins]
    return argv


def _conversation(options: Options, session: str) -> list[str]:
    """Return which conversation it is: a new one, an earlier one, or a copy of that."""
    if not options.resume:
        return [f"--session-id={session}"]
    copy = ["--fork-session", f"--session-id={session}"] if options.fork else []
    return [f"--resume={options.resume}", *copy]


def own_mode(mode: PermissionMode) -> PermissionMode:
    """Return the program's own permission mode for one of a session.

    The session answers every ask itself, so a bypass works as root too and can be switched on
    later; the program refuses both.
    """
    return "default" if mode == "bypassPermissions" else mode


def _money_left(options: Options) -> float | None:
    """Return what the program may spend: it counts from nothing in each process.

    Where nothing is left, the session starts no turn; the program wants a number above 0 anyway.
    """
    if options.max_budget_usd is None:
        return None
    return max(options.max_budget_usd - (options.spent_usd or 0.0), 0.000001)


def environment(options: Options) -> dict[str, str]:
    """Return the program's environment: this process's and the option's."""
    env = {
        **inherited(CLAUDE_CODE),
        "PWD": str(options.cwd),
        "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
        # Reports when no further turn is owed, after background work has ended.
        "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1",
        **options.env,
    }
    return with_search_path(env)


def mcp_config(options: Options) -> str:
    """Return the MCP servers as the program's configuration file has them."""
    return json.dumps({"mcpServers": dict(options.mcp_servers)})
