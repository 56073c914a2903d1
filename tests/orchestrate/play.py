"""The model of an orchestrator, which says what fits what it has heard, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from midflight.testing import ModelRequest, Step, Text, ToolCall

Rule = tuple[str, list[Step]]


class Boss:
    """Plays the steps of each rule once, when its words have been heard; else it says nothing."""

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


def by_task(boss: Boss, **children: list[Step]) -> Callable[[ModelRequest], Step | None]:
    """Return a script for all of them; a child is known by its name in capitals in its task."""
    left = {name.upper(): iter(steps) for name, steps in children.items()}

    def script(request: ModelRequest) -> Step | None:
        first = str(request.messages[0])
        return next((next(left[name]) for name in left if name in first), None) or boss(request)

    return script


def claude(tool: str, **given: Any) -> ToolCall:
    return ToolCall(f"mcp__midflight__{tool}", given)


def opencode(tool: str, **given: Any) -> ToolCall:
    return ToolCall(f"midflight_{tool}", given)
