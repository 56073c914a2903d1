"""The rules of a session: what the user's answers have allowed for the rest of it."""

from __future__ import annotations

from midflight.events import Event, PermissionResolved, RuleRevoked

RULE_EVENTS = ("permission.resolved", "rule.revoked")
"""The only events that `Rules` depends on."""


class Rules:
    """A fold of `RULE_EVENTS`. ``held`` are the rules that hold, the oldest first."""

    def __init__(self) -> None:
        """Begin without a rule."""
        self.held: dict[str, None] = {}

    def apply(self, event: Event) -> None:
        """Apply one event; most kinds change nothing here."""
        match event:
            case PermissionResolved(decision="allow", by="user", rule=rule) if rule:
                self.held[rule] = None
            case RuleRevoked(rule=rule):
                self.held.pop(rule, None)
