"""Sessions for workers, while nobody has them: this process writes what is said to them.

It is their host for the moment that takes, without an agent: what is accepted is in the journal
then, in order, and the workers are called. What only a worker can know is looked at there. What
those say who may not have the session a worker writes in the same way: it finds it in the inbox.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from midflight import commands as c
from midflight._util.text import slug
from midflight.agents import create
from midflight.errors import AgentUnavailable, Conflict, InvalidInput, LeaseHeld
from midflight.family import Beginning
from midflight.info import Outcome
from midflight.journal import Journal, SessionRow, restored
from midflight.journal.base import Past, Record
from midflight.journal.waiting import check_label, check_shared
from midflight.options import Options
from midflight.session.begun import was_begun
from midflight.session.outcome import outcome_of
from midflight.session.session import Session
from midflight.trust.decision import check_for_worker
from midflight.values import Who


async def check(journal: Journal, task: str | None, options: Options, label: str) -> str:
    """Return the task of a session that can begin here, for a worker that has a label.

    Raises `InvalidInput`, `InvalidOption`, and `UnsupportedOption` where the agent is here too and
    says so.
    """
    check_label(label)
    check_shared(shared=journal.address.url is not None)
    if task is None:
        raise InvalidInput("what waits for a worker is a task", "say what is to be done")
    check_for_worker(options)
    with contextlib.suppress(AgentUnavailable):  # it need not be on this machine
        await create(options).check()
    return task


async def begin(
    journal: Journal, session: str, task: str, beginning: Beginning, label: str
) -> None:
    """Write a session with its first message, once all is checked.

    The same id again is the same session. Raises `InvalidInput` where it is another one.
    """
    while not await was_begun(journal, session, task, beginning, label):
        with contextlib.suppress(Conflict, LeaseHeld):  # somebody else begins it at this moment
            await _begin(journal, session, task, beginning, label)


async def _begin(
    journal: Journal, session: str, task: str, beginning: Beginning, label: str
) -> None:
    options, parent = beginning.options, beginning.parent
    name = options.name or slug(task)
    async with journal.host.briefly():
        row, record = await journal.create(
            name, options, id=session, parent=parent, label=label, person=beginning.person
        )
        try:
            async with _entered(
                lambda: Session(
                    options,
                    task,
                    record=record,
                    who=beginning.who,
                    images=beginning.images,
                    on_place=_nobody,
                ),
                record,
            ):
                pass
        except BaseException:
            with contextlib.suppress(Exception):
                await journal.remove(row.id)
            raise


async def tell(journal: Journal, session: str, command: c.Command, who: Who) -> Outcome:
    """Have a session that nobody has take a command that ``who`` gives.

    Raises what the verb raises, and `LeaseHeld` where somebody has the session.
    """
    async with (
        journal.host.briefly(),
        at_rest(*await journal.take(session, to_tell=True)) as resting,
    ):
        return await obey(journal, resting, command, who)


def at_rest(
    row: SessionRow, record: Record, past: Past
) -> contextlib.AbstractAsyncContextManager[Session]:
    """Enter a session that was taken to tell it something, and leave it at rest."""
    return _entered(
        lambda: Session(
            restored(row.options, build=Options.build_elsewhere, **row.changed_options)[0],
            record=record,
            past=past,
            on_place=_nobody,
        ),
        record,
    )


async def obey(journal: Journal, session: Session, command: c.Command, who: Who) -> Outcome:
    """Have a session `at_rest` carry out a command that ``who`` gives. Raises as the verb does."""
    if isinstance(command, c.Relocate):
        await journal.relocate(session.id, command.on)
    elif isinstance(command, c.Close):
        await session.close()
        if session.lost is not None:
            raise session.lost
    else:
        return await outcome_of(session, command, who)
    return Outcome(seq=session.last_seq)


def _nobody() -> None:
    """Nobody gives a place here."""


@contextlib.asynccontextmanager
async def _entered(make: Callable[[], Session], record: Record) -> AsyncIterator[Session]:
    """Enter a session for the moment of the block, and leave it at rest. It begins no turn."""
    try:
        session = make()
        await session.__aenter__()
    except BaseException:
        await record.close()
        raise
    try:
        yield session
        await session.settled()
    finally:
        await session.close("parked")
