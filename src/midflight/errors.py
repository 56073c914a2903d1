"""The tree of errors. Each says what happened and what to do, and has a stable ``code``.

MidflightError
├── InvalidOption          an option has a value that cannot be used
│   └── UnsupportedOption  the chosen agent cannot honour an option
├── InvalidConfig          a file with defaults cannot be used
├── InvalidInput           a message, command or answer cannot be used
├── AgentUnavailable       the agent's program is missing, too old or not runnable
├── AgentFailed            the agent's program did not start, or ended before it was ready
│   └── ConversationLost   the agent does not have the conversation to resume
├── SessionClosed          the session has ended and accepts no more commands
├── Conflict               the command comes too late for what it names
│   └── AlreadyAnswered    the request was resolved before; the first answer stands
├── NotAllowed             an agent may not decide this
│   └── Unauthorized       the token of a server is missing or wrong
├── NotFound               no message, request or session has this id
├── HostGone               the session's host has ended, or is about to end
├── EventsExpired          the requested events are no longer in memory
└── StoreFailed            the journal could not be written or read
    ├── StoreRefused       the journal is unsafe, foreign, newer or broken, so it is not used
    ├── LeaseHeld          another host, which is alive, has the session
    └── LeaseLost          another host has taken over the session
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
    "Unauthorized",
    "UnsupportedOption",
]


class MidflightError(Exception):
    """Base of every error that midflight raises on purpose.

    ``code`` is stable and meant for programs, ``message`` is one line for a person, ``hint``
    (may be empty) is what that person can do about it.
    """

    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep message and hint apart, so that each surface can lay them out."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def plain(self) -> dict[str, Any]:
        """Return the error as plain data, for another process; see `from_plain`."""
        return {"code": self.code, **vars(self)}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> MidflightError:
        """Return the error that `plain` has made into data, of the same class."""
        fields = dict(plain)
        fields.pop("status", None)  # which HTTP adds
        code, kinds = fields.pop("code", ""), [MidflightError]
        for kind in kinds:  # it grows meanwhile, to the whole tree
            kinds += kind.__subclasses__()
        kind = next((kind for kind in kinds if kind.code == code), MidflightError)
        error = kind.__new__(kind)
        MidflightError.__init__(
            error, str(fields.get("message", plain)), str(fields.get("hint", ""))
        )
        vars(error).update(fields)
        return error

    def __str__(self) -> str:
        """Return the message, followed by the hint in brackets if there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidOption(MidflightError):
    """An option has a value that cannot be used; ``option`` names it."""

    code = "invalid_option"

    def __init__(self, option: str, message: str, hint: str = "") -> None:
        """Name the option, so that a form or a command line can point at it."""
        super().__init__(f"{option}: {message}", hint)
        self.option = option


class UnsupportedOption(InvalidOption):
    """The chosen agent cannot honour this option. No message was sent."""

    code = "unsupported_option"


class InvalidConfig(MidflightError):
    """A file with defaults cannot be used; ``file``, ``line`` and ``key`` say where, if known.

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
    """A message, command or answer cannot be used."""

    code = "invalid_input"


class AgentUnavailable(MidflightError):
    """The agent's program is missing, too old, or cannot be run."""

    code = "agent_unavailable"


class AgentFailed(MidflightError):
    """The agent's program did not start, or ended before it was ready."""

    code = "agent_failed"


class ConversationLost(AgentFailed):
    """The agent works, but does not have the conversation to resume."""

    code = "conversation_lost"


class SessionClosed(MidflightError):
    """The session has ended and accepts no more commands."""

    code = "session_closed"


class Conflict(MidflightError):
    """The command comes too late: what it names has moved on."""

    code = "conflict"


class AlreadyAnswered(Conflict):
    """The request was resolved before; ``decision`` and ``by`` say how and by whom."""

    code = "already_answered"

    def __init__(self, request: str, decision: str, by: str) -> None:
        """Name the answer that stands."""
        super().__init__(f"request {request} was already resolved: {decision} by {by}")
        self.request = request
        self.decision = decision
        self.by = by


class NotAllowed(MidflightError):
    """An agent may not decide this, for example the answer to its own request."""

    code = "not_allowed"


class Unauthorized(NotAllowed):
    """The token of a server is missing, or is not the right one."""

    code = "unauthorized"


class NotFound(MidflightError):
    """No message, request or session has this id."""

    code = "not_found"


class HostGone(MidflightError):
    """The session's host has ended, or is about to end; another one can resume the session."""

    code = "host_gone"


class EventsExpired(MidflightError):
    """The requested events are no longer in memory; ``oldest`` is the first ``seq`` that is."""

    code = "events_expired"

    def __init__(self, after: int, oldest: int) -> None:
        """Say which events are gone, and from where reading can continue."""
        super().__init__(
            f"the events after {after} are no longer all in memory; the oldest is {oldest}",
            f"continue with after={oldest - 1}",
        )
        self.after = after
        self.oldest = oldest


class StoreFailed(MidflightError):
    """The journal could not be written or read. No event was shown that is not in it."""

    code = "store_failed"


class StoreRefused(StoreFailed):
    """The journal is not used: its permissions are unsafe, or it is foreign, newer or broken."""

    code = "store_refused"


class LeaseHeld(StoreFailed):
    """Another host, which is alive, has the session; ``owner`` says which."""

    code = "lease_held"

    def __init__(self, session: str, owner: str) -> None:
        """Name the owner."""
        super().__init__(f"session {session} belongs to {owner}", f"midflight attach {session}")
        self.owner = owner


class LeaseLost(StoreFailed):
    """Another host has taken over the session; this one may write no more."""

    code = "lease_lost"
