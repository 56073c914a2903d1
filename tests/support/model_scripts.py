"""Scripts for models that several agents ask, in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from midflight.testing import ModelRequest, Step, Text, ToolCall

Rule = tuple[str, list[Step]]


class OrchestratorModel:
    """Plays the steps of each rule once, when the agent has been told its words."""

    def __init__(self, *rules: Rule) -> None:
        self._rules = list(rules)
        self._steps: list[Step] = []
        self._heard = ""
        self.results: list[str] = []

    def __call__(self, request: ModelRequest) -> Step:
        self._heard += f"\n{request.last_user_text}"
        self.results += request.tool_results.values()
        step = self._steps.pop(0) if self._steps else Text("Noted.")
        while isinstance(step, Text) and (rule := self._next()) is not None:
            self._steps = [*rule[1], step]  # which would have ended the turn
            step = self._steps.pop(0)
        return step

    def _next(self) -> Rule | None:
        for rule in self._rules:
            if rule[0] in self._heard:
                self._rules.remove(rule)
                return rule
        return None


def by_task(
    otherwise: Callable[[ModelRequest], Step] | None = None, /, **steps: Sequence[Step]
) -> Callable[[ModelRequest], Step | None]:
    """Play a list of steps for each conversation, found by a word of its first message."""
    left = {word: iter(each) for word, each in steps.items()}

    def script(request: ModelRequest) -> Step | None:
        first = str(request.messages[0])
        for word, rest in left.items():
            if word in first:
                return next(rest, None)
        return otherwise(request) if otherwise else None

    return script


def claude_tool(tool: str, **args: Any) -> ToolCall:
    """Return a call of one of our MCP tools as Claude Code names it."""
    return ToolCall(f"mcp__midflight__{tool}", args)


def opencode_tool(tool: str, **args: Any) -> ToolCall:
    """Return a call of one of our MCP tools as OpenCode names it."""
    return ToolCall(f"midflight_{tool}", args)
