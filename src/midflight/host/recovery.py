"""Ends what a host that died has left open in a session; nothing is started."""

from __future__ import annotations

import contextlib
import time

from midflight import events as e
from midflight.errors import MidflightError, StoreRefused
from midflight.journal import Journal, SessionRow
from midflight.journal.base import Past, Record
from midflight.rules.session import SessionRules
from midflight.session.recorder import summary
from midflight.values import Limits


async def recover_all(journal: Journal) -> list[str]:
    """End what hosts that died have left open, and forget them; return their ids."""
    for session in await journal.orphaned():
        try:
            await recover(*await journal.take(session))
        except StoreRefused as error:
            await set_aside(journal, session, error)
        except MidflightError:
            pass  # another host was faster, or the disk is at fault
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no other session's fault
            await set_aside(journal, session, error)
    return [
        host.id
        for host in await journal.hosts()
        if not host.alive and await journal.forget(host.id)
    ]


async def set_aside(journal: Journal, session: str, error: Exception) -> None:
    """Show of a session that it cannot be resumed, and why; no other host tries it again."""
    why = f"damaged: {type(error).__name__}: {error}"
    if isinstance(error, StoreRefused):
        why = error.message
    with contextlib.suppress(MidflightError):
        await journal.set_aside(session, why)


async def recover(
    row: SessionRow, record: Record, past: Past, *, closed: bool = False, refused: str = ""
) -> None:
    """Bring every turn, message and request to its end, on disk, and close its record.

    ``closed`` ends what only waits as well, and the session with it. ``refused`` says why it cannot
    be resumed here: what waits fails then. What was claimed, and never handed over, waits again for
    a worker; where a turn was cut nothing goes on by itself, unless ``on_host_lost`` says so.
    """
    seq = past.events[-1].seq or 0 if past.events else 0

    def publish(event: e.Event) -> e.Event:
        nonlocal seq
        seq += 1
        event = e.stamp(event, seq=seq, session=record.session, turn=event.turn, time=time.time())
        record.append(event)
        return event

    rules = SessionRules(
        Limits(),
        publish=publish,
        act=lambda action: None,
        attended=lambda: False,
        awaited=lambda: False,
        support=lambda capability: "not",
        wall_clock=time.time,
        rationed=row.label is not None,
    )
    record.begin(lambda seq: None, lambda error: None)
    try:
        resumes = row.label is not None and row.options.get("on_host_lost") == "resume"
        rules.recover(past, time.monotonic(), go_on=resumes, lost=row.lost)
        if closed:
            rules.resume(time.monotonic())
            rules.begin_close("closed", time.monotonic())
            rules.finish("closed", time.monotonic())
        elif refused:
            rules.refuse(refused, time.monotonic())
        record.note(
            summary(
                rules.state,
                model=row.model,
                permission_mode=row.permission_mode,
                waiting_since=(row.waiting_since or time.time()) if rules.waits else None,
            )
        )
    finally:
        await record.close()
