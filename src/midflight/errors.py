"""The one tree of errors. Each says what happened and what to do, and has a stable ``code``.

MidflightError
├── InvalidOption          an option has a value that cannot be meant
│   └── UnsupportedOption  the chosen agent cannot honour an option
├── InvalidConfig          a file with defaults that cannot be used as it is
├── InvalidInput           a message, command or answer that cannot be used
├── AgentUnavailable       the agent's program is missing, too old or not runnable
├── AgentFailed            the agent's program did not start, or ended before it was ready
│   └── ConversationLost   the agent has no such conversation to go on with
├── SessionClosed          a command for a session that has ended
├── Conflict               the command comes too late for what it names
│   └── AlreadyAnswered    the request has an answer; the first one stands
├── NotAllowed             an agent asks for what is not its to decide
├── NotFound               no message, request or session has this id
├── HostGone               the session's host has ended, or is about to
├── EventsExpired          the events asked for are no longer in memory
└── StoreFailed            the journal could not be written or read
    ├── StoreRefused       the journal is not used as it is: loose, foreign, newer or broken
    ├── LeaseHeld          the session belongs to another host, which lives
    └── LeaseLost          the session has been taken over by another host
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AgentFailed",
    "AgentUnavailable",
    "AlreadyAnswered",
    "Conflict",
    "ConversationLost",
    "EventsExpired",
    "HostGone",
    "InvalidConfig",
    "InvalidInput",
    "InvalidOption",
    "LeaseHeld",
    "LeaseLost",
    "MidflightError",
    "NotAllowed",
    "NotFound",
    "SessionClosed",
    "StoreFailed",
    "StoreRefused",
    "UnsupportedOption",
]


class MidflightError(Exception):
    """Base of every error that midflight raises on purpose.

    ``code`` is stable and meant for programs, ``message`` is one line for a person,
    ``hint`` (may be empty) is what that person can do about it.
    """

    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the line for people and the hint apart, so that each surface can lay them out."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def plain(self) -> dict[str, Any]:
        """Return the error as plain data, for another process; see `from_plain`."""
        return {"code": self.code, **vars(self)}

    @staticmethod
    def from_plain(told: dict[str, Any]) -> MidflightError:
        """Return the error that another process has told, as what it was there."""
        facts = dict(told)
        code, kinds = facts.pop("code", ""), [MidflightError]
        for kind in kinds:  # grows as it is gone through
            kinds += kind.__subclasses__()
        kind = next((kind for kind in kinds if kind.code == code), MidflightError)
        error = kind.__new__(kind)
        MidflightError.__init__(error, str(facts.get("message", told)), str(facts.get("hint", "")))
        vars(error).update(facts)
        return error

    def __str__(self) -> str:
        """Return the message, followed by the hint in brackets if there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidOption(MidflightError):
    """An option has a value that cannot be meant; ``option`` names it."""

    code = "invalid_option"

    def __init__(self, option: str, message: str, hint: str = "") -> None:
        """Name the option, so that a form or a command line can point at it."""
        super().__init__(f"{option}: {message}", hint)
        self.option = option


class UnsupportedOption(InvalidOption):
    """The chosen agent cannot honour this option. Nothing has been started."""

    code = "unsupported_option"


class InvalidConfig(MidflightError):
    """A file with defaults cannot be used; ``file``, ``line`` and ``key`` tell where, if known.

    Only the command line reads such files.
    """

    code = "invalid_config"

    def __init__(
        self, file: str, message: str, hint: str = "", *, line: int | None = None, key: str = ""
    ) -> None:
        """Start the message with the place, in the form that editors and terminals can open."""
        place = f"{file}:{line}" if line else file
        super().__init__(": ".join(filter(None, (place, key, message))), hint)
        self.file = file
        self.line = line
        self.key = key


class InvalidInput(MidflightError):
    """A message, command or answer that cannot be used as it is."""

    code = "invalid_input"


class AgentUnavailable(MidflightError):
    """The agent's program is missing, too old, or cannot be run."""

    code = "agent_unavailable"


class AgentFailed(MidflightError):
    """The agent's program did not start, or ended before it was ready."""

    code = "agent_failed"


class ConversationLost(AgentFailed):
    """The agent works, but the conversation to go on with is not there."""

    code = "conversation_lost"


class SessionClosed(MidflightError):
    """The session has ended and takes no more commands."""

    code = "session_closed"


class Conflict(MidflightError):
    """The command comes too late: what it names has moved on."""

    code = "conflict"


class AlreadyAnswered(Conflict):
    """The request was resolved before; ``decision`` and ``by`` tell how and by whom."""

    code = "already_answered"

    def __init__(self, request: str, decision: str, by: str) -> None:
        """Name the answer that stands."""
        super().__init__(f"request {request} was already resolved: {decision} by {by}")
        self.request = request
        self.decision = decision
        self.by = by


class NotAllowed(MidflightError):
    """An agent asks for what is not its to decide, such as the answer to its own request."""

    code = "not_allowed"


class NotFound(MidflightError):
    """No message, request or session has this id."""

    code = "not_found"


class HostGone(MidflightError):
    """The session's host has ended, or is about to; another one takes the session."""

    code = "host_gone"


class EventsExpired(MidflightError):
    """Events were asked for that are no longer kept; ``oldest`` is the first ``seq`` in memory."""

    code = "events_expired"

    def __init__(self, after: int, oldest: int) -> None:
        """Say which events are gone and where reading can start."""
        super().__init__(
            f"events after {after} were asked for, but only those from {oldest} on are in memory",
            f"read on from there with after={oldest - 1}",
        )
        self.after = after
        self.oldest = oldest


class StoreFailed(MidflightError):
    """The journal could not be written or read. Nothing was shown that is not in it."""

    code = "store_failed"


class StoreRefused(StoreFailed):
    """The journal is not used as it is: loose permissions, foreign, of a newer version, broken."""

    code = "store_refused"


class LeaseHeld(StoreFailed):
    """The session belongs to another host, which lives; ``owner`` says which."""

    code = "lease_held"

    def __init__(self, session: str, owner: str) -> None:
        """Name the owner."""
        super().__init__(f"session {session} belongs to {owner}", "midflight attach")
        self.owner = owner


class LeaseLost(StoreFailed):
    """Another host has taken the session over; this one may not write any more."""

    code = "lease_lost"
