"""The hooks that Claude Code calls before a tool runs: what must be asked for is decided here.

What the options or the folder allow, Claude Code does not ask for, but it calls these first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midflight.agents.claude.allowances import EDITORS, SHELLS, Allowances
from midflight.options import Options
from midflight.trust.protected import WHY, Protected
from midflight.trust.stake import Stake
from midflight.values import PermissionMode

_SHELL, _EDITS, _ALLOWANCES = "shell", "edits", "allowances"

_PATHS = ("file_path", "notebook_path")
"""The keys of their inputs that name a file."""

KEPT_FOLDERS = 1_000
"""For so many calls it is kept in which folder they run."""


class Hooks:
    """The hooks of one session. ``protected`` and ``allowances`` are known once it starts."""

    protected: Protected

    def __init__(self, options: Options) -> None:
        """Begin with a folder that allows nothing."""
        self.allowances = Allowances(options, Stake(), ())
        self._folders: dict[str, str] = {}

    def registered(self) -> list[dict[str, object]]:
        """Return which hooks Claude Code is to call, as it is told."""
        matchers = {_SHELL: "|".join(sorted(SHELLS)), _EDITS: "|".join(sorted(EDITORS))}
        if self.allowances:
            matchers[_ALLOWANCES] = "*"
        return [{"matcher": tool, "hookCallbackIds": [name]} for name, tool in matchers.items()]

    def set_mode(self, mode: PermissionMode) -> None:
        """Judge by this permission mode from now on."""
        self.allowances.mode = mode

    def folder_of(self, call: str) -> str | None:
        """Return the folder in which a command runs; the CLI tells it to hooks only."""
        return self._folders.get(call)

    def answer(self, request: Mapping[str, Any]) -> dict[str, object] | None:
        """Return the answer to a call of a hook, or None where it is none of ours.

        Raises `KeyError` or `TypeError` for a call that is not understood.
        """
        hook = request.get("callback_id")
        if request["subtype"] != "hook_callback" or hook not in (_SHELL, _EDITS, _ALLOWANCES):
            return None
        about = request["input"]
        if hook == _SHELL:
            self._note(about)
        if hook == _ALLOWANCES:
            covered = self.allowances.covers(about["tool_name"], about["tool_input"])
            why = "the folder's own settings allow nothing here" if covered else ""
        else:
            why = WHY if self._guards(about) else ""
        if not why:
            return {}
        return {
            "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "ask",
                "permissionDecisionReason": why,
            }
        }

    def _note(self, about: Mapping[str, Any]) -> None:
        self._folders[str(about["tool_use_id"])] = str(about["cwd"])
        if len(self._folders) > KEPT_FOLDERS:
            del self._folders[next(iter(self._folders))]

    def _guards(self, about: Mapping[str, Any]) -> bool:
        """Tell whether a call would write a protected file, as far as it says so."""
        call = about["tool_input"]
        if self.allowances.mode == "bypassPermissions":
            return False
        if about["tool_name"] in SHELLS:
            return self.protected.named_in(str(call.get("command")), str(about["cwd"]))
        return any(self.protected(call[key]) for key in _PATHS if isinstance(call.get(key), str))
