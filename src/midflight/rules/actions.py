"""What the rules want done to the agent. `AgentRunner` carries the actions out in order."""

from __future__ import annotations

import msgspec

from midflight.agents import base
from midflight.values import PermissionMode


class Hand(msgspec.Struct, frozen=True):
    """Hand the agent a message: for its next step if ``steer``, else for a turn of its own.

    ``typed`` says that a person has typed it.
    """

    message: str
    text: str
    steer: bool
    typed: bool


class Requeue(msgspec.Struct, frozen=True):
    """A message that was handed waits in line again: the session records it."""

    message: str


class Cancel(msgspec.Struct, frozen=True):
    """Take a message back that the agent has not read."""

    message: str


class Interrupt(msgspec.Struct, frozen=True):
    """Stop the agent's turn, and take back the messages that it has not read."""


class Kill(msgspec.Struct, frozen=True):
    """End the program of an agent that has not obeyed.

    ``waited`` says that it has had its time; else it has that from the interrupt on, which an agent
    that is just starting gets late.
    """

    waited: bool = False


class Reply(msgspec.Struct, frozen=True):
    """Answer a request of the agent."""

    reply: base.Reply


class SetModel(msgspec.Struct, frozen=True):
    """Switch the agent's model; ``command`` is the id of the user's command."""

    model: str
    command: str | None = None


class SetPermissionMode(msgspec.Struct, frozen=True):
    """Switch the agent's permission mode; ``command`` is the id of the user's command."""

    mode: PermissionMode
    command: str | None = None


class SetLimits(msgspec.Struct, frozen=True):
    """Keep other limits, where the agent keeps them itself: those that have changed, by name."""

    changed: dict[str, int | float | None]


class StopTask(msgspec.Struct, frozen=True):
    """Stop a background task of the agent."""

    task: str


Action = (
    Hand
    | Requeue
    | Cancel
    | Interrupt
    | Kill
    | Reply
    | SetModel
    | SetPermissionMode
    | SetLimits
    | StopTask
)
