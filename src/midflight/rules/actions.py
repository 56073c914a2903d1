"""What the rules ask to be done to the agent. The session carries actions out in order."""

from __future__ import annotations

import msgspec

from midflight.agents import base
from midflight.values import PermissionMode


class Hand(msgspec.Struct, frozen=True):
    """Give the agent a message."""

    message: str
    text: str
    steer: bool


class Back(msgspec.Struct, frozen=True):
    """A message that the agent had been given waits again; there is nothing to be done to it."""

    message: str


class TakeBack(msgspec.Struct, frozen=True):
    """Ask the agent to forget a message that it has not read."""

    message: str


class Interrupt(msgspec.Struct, frozen=True):
    """Stop the agent's turn, and take back what it has not read."""


class Kill(msgspec.Struct, frozen=True):
    """The agent does not obey: end its program."""


class Reply(msgspec.Struct, frozen=True):
    """Answer a request of the agent."""

    reply: base.Reply


class SetModel(msgspec.Struct, frozen=True):
    """Switch the agent's model; ``command`` is the id of the command that asked for it."""

    model: str
    command: str | None = None


class SetMode(msgspec.Struct, frozen=True):
    """Switch the agent's permission mode; ``command`` is as above."""

    mode: PermissionMode
    command: str | None = None


class StopTask(msgspec.Struct, frozen=True):
    """Stop a piece of background work."""

    task: str


Action = Hand | Back | TakeBack | Interrupt | Kill | Reply | SetModel | SetMode | StopTask
