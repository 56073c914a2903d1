"""What a session that waits for a worker waits for, in words: the first thing that is missing."""

from __future__ import annotations

from collections.abc import Sequence

from midflight.journal.rows import HostRow, SessionRow
from midflight.journal.stored_options import missing
from midflight.state.session import MOST_LOST

NAMED = 3
"""How many of the sessions that have the places are named."""


def waits_for(session: SessionRow, hosts: Sequence[HostRow], ahead: int) -> str:
    """Return what is missing until a worker has a session; nothing if it does not wait for one.

    ``hosts`` are all that are known, ``ahead`` is how many wait for its label since longer.
    """
    if session.label is None or session.host is not None:
        return ""
    if session.lost >= MOST_LOST:
        return f"a message: {session.lost} hosts in a row have died while they had it"
    if session.waiting_since is None:
        return ""
    wanted, there = f"a worker with the label {session.label}", ""
    if session.kept_on is not None:
        there = f" on its machine {session.kept_on}, which alone has {session.kept_what}"
        hosts = [host for host in hosts if host.machine == session.kept_on]
    workers = workers_of(session, hosts)
    if not workers:
        return f"{wanted}{there}: there is none"
    open_ones = [host for host in workers if not host.draining]
    if not open_ones:
        return f"{wanted}{there}: {_counted(len(workers), 'is', 'are')} there, draining"
    current = [host for host in open_ones if host.wire >= (session.wire or 0)]
    if not current:
        newest = max(host.wire for host in open_ones)
        return (
            f"{wanted}{there} of a newer midflight (this session needs version {session.wire} of"
            f" its protocol, and {newest} is the newest there): upgrade midflight on a worker, and"
            " restart it"
        )
    lacking = {host.id: missing(session.options, host.variables, host.servers) for host in current}
    able = [host for host in current if not lacking[host.id]]
    if not able:
        fewest: tuple[str, ...] = min(lacking.values(), key=len)
        offers = f"{wanted} that offers {', '.join(fewest)}, whose values are never stored"
        return f"{offers}: none does{there}"
    places, taken = sum(host.capacity or 0 for host in able), sum(host.taken for host in able)
    if taken + ahead < places:
        return f"{wanted}{there}: one is about to take it"
    of = f"of {_counted(len(able), 'worker', 'workers')} with the label {session.label}{there}"
    before = _counted(ahead, "session waits before it", "sessions wait before it")
    if taken < places:
        return f"a place {of}: {before}"
    full, are = ("the only place", "is") if places == 1 else (f"all {places} places", "are")
    by = ", ".join([name for host in able for name in host.at_work][:NAMED])
    by += f" and {taken - NAMED} more" if taken > NAMED else ""
    return f"a place: {full} {of} {are} taken by {by}" + (f"; {before}" if ahead else "")


def workers_of(session: SessionRow, hosts: Sequence[HostRow]) -> list[HostRow]:
    """Return the living ones of some hosts that may have a session for its label."""
    return [
        host
        for host in hosts
        if host.alive
        and session.label in host.labels
        and (host.for_all or host.person == session.person)
    ]


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
