"""Sessions and hosts as the journal has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, TypeVar

import msgspec

from midflight.errors import Conflict, HostGone, NotAllowed
from midflight.info import RepositoryInfo
from midflight.values import CHANGEABLE, SessionStatus
from midflight.wire import WIRE

T = TypeVar("T")
D = TypeVar("D")


def from_json(text: str | None, kind: type[T], default: D) -> T | D:
    """Return what a column has as JSON, or the default where it has nothing that can be read.

    Whoever may write a row has written that: it is in the way of nobody who reads all of them.
    """
    try:
        return default if text is None else msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return default


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A process that owns sessions, or did; ``alive`` tells which.

    ``address`` is where it can be reached, ``started`` is by the wall clock. ``wire`` is the
    version in which it talks, see `midflight.wire`, ``writes`` that of the tables that it writes.
    One that is ``far`` is on another machine, or of another role: nobody here can connect to it.

    One with ``labels`` is a worker, which runs ``capacity`` turns at a time, of which ``taken``
    are, by the sessions with the names ``at_work``. While it is ``draining`` it claims no session,
    and ends what still runs in ``drain_s`` seconds. It offers these ``variables`` and ``servers``,
    see `Offer`. ``version`` is that of its midflight, ``silent_s`` how many seconds ago it has
    beaten. ``person`` is the role that it has logged in as, empty for one's own; ``for_all`` tells
    that a worker may have everybody's sessions with its labels, and not only that person's.
    """

    id: str
    machine: str
    pid: int
    address: str
    started: float
    alive: bool
    wire: int
    far: bool = False
    labels: tuple[str, ...] = ()
    capacity: int | None = None
    version: str = ""
    draining: bool = False
    writes: int = 1
    drain_s: float | None = None
    at_work: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    silent_s: float = 0.0
    person: str = ""
    for_all: bool = True

    @property
    def taken(self) -> int:
        """How many of its places are taken."""
        return len(self.at_work)

    @property
    def older(self) -> str:
        """Say that it is a host of an older midflight, and what ends it; nothing if it is none."""
        if not self.alive or self.wire >= WIRE:
            return ""
        return (
            f"its host, process {self.pid} on {self.machine}, is of an older midflight: "
            f"`kill {self.pid}` there ends it, and the next message resumes the session"
        )


class Newest(NamedTuple):
    """How far a session has come: the ``seq`` of its newest event, and when it was written."""

    seq: int
    updated: float


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One session as lists show it.

    ``seq`` is its newest event. ``host`` is the id of the host that owns it and lives, ``address``
    where that one can be reached, unless it is ``far``, on another machine; both are None when it
    has no owner. Its ``status`` is then
    ``idle``, ``closed``, or ``waiting`` for the reset of a usage limit. ``options`` are as `stored`
    made them. ``rules`` is None where only an older host has written the session. ``known_usd`` is
    what is known of the cost: all of it, unless ``total_cost_usd`` is None. ``turn_started`` is
    when the running turn began, None where none runs. ``machine`` is where it was begun, empty
    where that is not known; ``at_home`` tells that it may be resumed on this machine, and
    ``may_own`` that the database lets it: what another person has begun is that one's. ``label`` is
    that of the workers that may run it instead, None: none may. One that waits for a place there
    does so since ``waiting_since``. ``lost`` is how many hosts in a row have died with it. ``wire``
    is the version that a worker has to speak to claim it, None: any.
    ``kept_on`` is the machine that alone may have it, with or without a label; None: any may.
    """

    id: str
    name: str
    agent: str
    model: str
    cwd: str
    options: dict[str, Any]
    parent: str
    status: SessionStatus
    permission_mode: str
    last: str
    pending: tuple[str, ...]
    rules: tuple[str, ...] | None = None
    limits: dict[str, Any] | None = None
    turns: int
    total_cost_usd: float | None
    known_usd: float
    agent_session: str
    seq: int
    created: float
    updated: float
    turn_started: float | None = None
    repository: RepositoryInfo | None = None
    host: str | None
    address: str | None
    far: bool = False
    machine: str = ""
    at_home: bool = True
    may_own: bool = True
    label: str | None = None
    waiting_since: float | None = None
    lost: int = 0
    wire: int | None = None
    kept_on: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether its folder is on another machine: the same path is another folder here."""
        return self.far or (self.host is None and not self.at_home)

    @property
    def person(self) -> str:
        """Whose it is; empty for one's own."""
        return self.name.partition("/")[0] if "/" in self.name else ""

    def check_here(self) -> None:
        """Raise `Conflict` where its folder is on another machine."""
        if self.elsewhere:
            where = "runs on another machine" if self.far else f"is at rest on {self._home}"
            raise Conflict(
                f"session {self.name} {where}, and its folder is there", "look at it there"
            )

    @property
    def left_to_workers(self) -> bool:
        """Whether nobody has it, and a worker may have it where this person may not."""
        return self.host is None and self.label is not None and not self.may_own

    def check_own(self, why: str = "") -> None:
        """Raise `NotAllowed` where it is another person's, and the database leaves it to them."""
        if not self.may_own:
            raise NotAllowed(
                f"session {self.name} is {self.person}'s{why}",
                f"{self.person} can do this"
                + (f", or a worker: midflight worker --label {self.label}" if self.label else ""),
            )

    def check_at_home(self, labels: Collection[str], machine: str) -> None:
        """Raise `Conflict` where this process may not resume it: its ``labels`` and ``machine``.

        For one that is for workers it is `HostGone`: what is said to it need only be said again.
        """
        elsewhere = self.kept_on not in {None, machine}
        if self.at_home or (self.label in labels and not elsewhere):
            return
        if self.label is not None:
            why = self.stays if elsewhere else f"session {self.name} is for {self._home}"
            raise HostGone(why, "send it again")
        raise Conflict(
            f"session {self.name} is at rest on {self.machine}, where its folder is",
            "send it from there",
        )

    @property
    def _home(self) -> str:
        return self.machine if self.label is None else f"workers with the label {self.label}"

    @property
    def stays(self) -> str:
        """Why only one machine can go on with it, of one that is kept."""
        return f"session {self.name} stays on {self.kept_on}, which alone has {self.kept_what}"

    @property
    def kept_what(self) -> str:
        """What the machine that it is ``kept_on`` alone has."""
        pushed = self.repository is None or not self.repository.problem
        return "what its agent remembers" if pushed else "its last work"

    @property
    def changed_options(self) -> dict[str, Any]:
        """The options that may have changed since it was begun, as they are in force."""
        limits = {name: self.limits_in_force.get(name) for name in CHANGEABLE}
        chosen = {"model": self.model or None, "permission_mode": self.permission_mode}
        return {"name": self.name, **chosen, **limits}

    @property
    def max_budget_usd(self) -> float | None:
        """The budget in force."""
        budget: float | None = self.limits_in_force.get("max_budget_usd")
        return budget

    @property
    def limits_in_force(self) -> dict[str, Any]:
        """The limits that are set, by their names."""
        if self.limits is not None:
            return self.limits
        begun_with = {name: self.options.get(name) for name in (*CHANGEABLE, "stall_timeout")}
        return {name: value for name, value in begun_with.items() if value is not None}
