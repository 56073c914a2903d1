"""What OpenCode can do, and how what it cannot do is made."""

from __future__ import annotations

from collections.abc import Mapping

from midflight.agents.base import Support

__all__ = ["CAPABILITIES", "LIMITS"]

CAPABILITIES: Mapping[str, Support] = {
    "steer": "supported",
    "queue": "emulated",
    "redirect": "emulated",
    "interrupt": "supported",
    "cancel": "emulated",
    "permissions": "supported",
    "edited_input": "emulated",
    "questions": "supported",
    "set_model": "supported",
    "set_permission_mode": "emulated",
    "max_turns": "emulated",
    "max_budget_usd": "emulated",
    "timeout": "emulated",
    "stall_timeout": "emulated",
    "plugins": "emulated",
    "skills": "supported",
    "mcp_servers": "supported",
    "system_prompt": "supported",
    "effort": "supported",
    "add_dirs": "emulated",
    "resume": "supported",
    "retries": "supported",
    "plan": "supported",
    "background": "not",
    "subagents": "supported",
}

LIMITS: Mapping[str, str] = {
    "queue": "kept in midflight's outbox",
    "redirect": "an abort, then the message",
    "cancel": "in midflight's outbox; what a server at work has been given it keeps",
    "edited_input": "the call is refused, and the agent told to make it again with that input",
    "set_permission_mode": "OpenCode asks, midflight answers by the mode",
    "max_turns": "model calls are counted, then an abort",
    "max_budget_usd": "OpenCode's figures are added up, then an abort",
    "timeout": "midflight's clock, then an abort",
    "stall_timeout": "midflight's clock, then an abort",
    "plugins": "of a plugin, OpenCode is given the skills",
    "add_dirs": "OpenCode asks, midflight allows",
    "background": "OpenCode's commands and sub-agents end with their turn",
}
