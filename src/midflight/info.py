"""A session and the outcome of a command, as other processes and other languages get them."""

from __future__ import annotations

from typing import Any

import msgspec

from midflight.effects import Effect
from midflight.events import Request, from_newer
from midflight.values import RunState, SessionStatus, Support

__all__ = [
    "AgentInfo",
    "EditedInput",
    "EffectsInfo",
    "Outcome",
    "RepositoryInfo",
    "RunInfo",
    "ScheduleInfo",
    "SessionInfo",
    "WorkerInfo",
]

AGENT = b": agent "
"""How a stream of events tells an `AgentInfo`: a comment, so that older readers pass over it."""


class RepositoryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The repository that a session works in a checkout of.

    ``remote`` is its address and ``ref`` what was asked for there, empty for what is checked out.
    ``commit`` is what the session began with, or what was pushed of its work last: from there it
    can go on on another machine; empty while it has not begun. ``turn`` is the newest turn whose
    work that has, null where it is not known, and ``machine`` the one that has worked on it last:
    what later turns have done is in the folder there. ``problem`` is why its newest work could not
    be pushed: until that works only the machine with its folder has it. Empty if it was.
    """

    remote: str
    ref: str = ""
    commit: str = ""
    turn: int | None = None
    machine: str = ""
    problem: str = ""


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One session.

    ``status`` is ``starting``, ``running``, ``waiting``, ``idle`` or ``closed``; ``pending`` are
    the requests that wait for an answer; ``last`` is one line of what the agent said or did last,
    or how its turn ended if not well.
    ``rules`` are what answers have allowed for the rest of the session, the oldest first.
    ``total_cost_usd`` is null where a part of it is not known. ``limits`` has those that were set.
    ``created`` and ``updated`` are seconds since the epoch, and so is ``turn_started``: when the
    running turn began, null where none runs, and where a host of an older midflight does not tell.
    ``host`` is the address of the process that runs the session, null when it is at rest;
    ``parent`` the session that dispatched it. ``seq`` is its newest event. ``label`` is that of the
    workers that may run it, null: it is for one machine; ``waits_for`` says to people what it waits
    for to go on there, and nothing where it waits for nothing. ``repository`` is what its folder is
    a checkout of, null where midflight has made none.
    """

    id: str
    name: str
    agent: str
    model: str
    cwd: str
    status: SessionStatus
    pending: tuple[Request, ...] = ()
    rules: tuple[str, ...] = ()
    last: str = ""
    turns: int = 0
    total_cost_usd: float | None = 0.0
    limits: dict[str, Any] = {}
    created: float = 0.0
    updated: float = 0.0
    turn_started: float | None = None
    host: str | None = None
    parent: str | None = None
    seq: int = 0
    label: str | None = None
    waits_for: str = ""
    repository: RepositoryInfo | None = None


def decode(body: bytes) -> SessionInfo:
    """Return a session from its JSON. Raises `msgspec.MsgspecError`.

    A pending request of a kind that only a newer midflight knows is left out.
    """
    try:
        return msgspec.json.decode(body, type=SessionInfo)
    except msgspec.ValidationError:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        waiting = msgspec.convert(fields.pop("pending", []), list[Any])
        pending = [from_newer(one) for one in waiting]
        known = tuple(one for one in pending if isinstance(one, Request))
        return msgspec.structs.replace(msgspec.convert(fields, SessionInfo), pending=known)


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a session's agent can do, and the permission mode that it works in.

    ``options`` are those that the session was begun with, without what is never stored; null where
    a host tells of itself. ``attended`` tells that a person is there to answer.
    """

    capabilities: dict[str, Support]
    permission_mode: str
    options: dict[str, Any] | None = None
    attended: bool = False


class EditedInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input with which a person would allow a call, instead of the agent's own."""

    input: dict[str, Any]


class EffectsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a call would do."""

    effects: tuple[Effect, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a command has come to so far; the events report the rest.

    ``seq`` is the newest event: who has read that far has seen what the command did at once.
    ``message``, with its ``number``, ``state`` and ``turn``, is the one that the command was about,
    if any.
    """

    seq: int
    message: str | None = None
    number: int | None = None
    state: str | None = None
    turn: int | None = None


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a schedule; its ``id`` is that of its session too.

    ``due`` is when it was to begin, in seconds since the epoch. ``state`` is ``starting``,
    ``begun``, ``failed`` (it could not begin), ``missed`` (nothing fired the schedule in time) or
    ``skipped`` (the run before was still at work); ``note`` says why, and ``missed`` how many runs
    an entry stands for, of which it is the first. ``by_hand`` is one that somebody has asked for.
    Of its session, where that is there, are the name (``session``), the ``status`` and the costs,
    which are null where they are not known, and of its newest turn the ``outcome`` and ``reason``
    with which it ended.
    """

    id: str
    schedule: str
    due: float
    state: RunState
    by_hand: bool = False
    missed: int = 0
    note: str = ""
    session: str = ""
    status: SessionStatus | None = None
    outcome: str = ""
    reason: str = ""
    total_cost_usd: float | None = None


class ScheduleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A task that begins by itself.

    ``cron`` are the five fields of a cron expression, read in the time ``zone``. ``task``,
    ``then``, ``worktree`` and ``options`` are those of each session. ``next`` is when it runs next,
    in seconds since the epoch, null while it is ``paused``; ``last`` is its newest run. ``on`` is
    the label of the workers that its sessions wait for, null: they begin where it was made.
    """

    id: str
    name: str
    cron: str
    zone: str
    task: str
    then: tuple[str, ...] = ()
    worktree: bool = False
    options: dict[str, Any]
    paused: bool = False
    next: float | None
    created: float
    last: RunInfo | None = None
    on: str | None = None


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, or one that is dead and whose sessions nobody has taken yet: not ``alive``.

    It runs sessions with one of its ``labels``, ``capacity`` turns at a time, of which ``taken``
    are; while it is ``draining`` it claims none, and ends what still runs in ``drain_s`` seconds.
    ``variables`` and ``servers`` are the names of what it offers to sessions. ``silent_s`` is how
    many seconds ago it has beaten, ``started`` in seconds since the epoch. ``version`` is that of
    its midflight.
    """

    id: str
    machine: str
    pid: int
    labels: tuple[str, ...]
    capacity: int
    taken: int
    version: str
    alive: bool
    draining: bool
    drain_s: float | None = None
    silent_s: float
    started: float
    variables: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
