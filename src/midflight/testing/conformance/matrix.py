"""The conformance suite's matrix: every verb in every phase must have the outcome of the table.

@pytest.mark.parametrize("tried", sessions(cells(MY_RIG)), ids=lambda tried: tried[0][1])
async def test_my_agent(tried, tmp_path):
    await check_cells(MY_RIG, tried, tmp_path)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import midflight
from midflight import events as e
from midflight.testing.conformance.rig import (
    Rig,
    Stage,
)
from midflight.testing.conformance.scene import Scene, scenes
from midflight.testing.conformance.semantics import (
    NEEDS,
    PHASES,
    STEERED_AT_ONCE,
    TABLE,
    VERBS,
    Cell,
)

Pair = tuple[str, str]
"""A verb, and the phase that it meets."""

CELLS: list[Pair] = [(verb, phase) for verb in VERBS for phase in PHASES]
"""Every verb with every phase."""


def cells(rig: Rig) -> list[Pair]:
    """Return the cells that an agent can have; what it lacks is in docs/capabilities.md."""
    has = {name for name, row in NEEDS.items() if rig.capabilities[row] != "not"}
    return [
        (verb, phase)
        for verb, phase in CELLS
        if (verb not in NEEDS or verb in has) and (phase not in NEEDS or phase in has)
    ]


def outcome(rig: Rig, verb: str, phase: str) -> Cell:
    """Return what the table says. A steer that midflight has to make waits as a queued message."""
    if verb == "send" and rig.steers_at_once and phase in STEERED_AT_ONCE:
        return STEERED_AT_ONCE[phase]
    emulated = verb == "send" and rig.capabilities["steer"] == "emulated"
    return TABLE["queue" if emulated else verb][phase]


def sessions(tried: Iterable[Pair]) -> list[list[Pair]]:
    """Split cells into sessions: each goes on, phase after phase, until it is closed in one.

    Of all cells that makes one session for each phase. An agent takes long to start, and one that
    has been steered, redirected and killed must do as well as a new one.
    """
    verbs, phases = list(VERBS), list(PHASES)

    def order(cell: Pair) -> tuple[int, bool, int]:
        verb, phase = cell
        return phases.index(phase), verb == "close", verbs.index(verb)

    made: list[list[Pair]] = [[]]
    for cell in sorted(tried, key=order):
        made[-1].append(cell)
        if cell[0] == "close":
            made.append([])
    return [cells for cells in made if cells]


async def check_cells(rig: Rig, tried: Sequence[Pair], folder: Path) -> None:
    """Bring a session into each cell's phase, do its verb, and assert what the table says of it.

    After each the session must still work, so ``close`` can only be the last. In the end everything
    has ended exactly once. ``folder`` must be an empty folder for this one use.
    """
    # The agent's program cannot be killed while others work with it.
    stage = Stage(rig, folder, own=any(verb == "death" for verb, _ in tried))
    async with scenes(stage) as acts:
        for verb, phase in tried:
            try:
                await _check(rig, verb, await acts.enter(phase))
            except BaseException as error:
                before = tried.index((verb, phase))
                error.add_note(f"It was {verb} in {phase!r}; before it: {tried[:before] or 'none'}")
                raise
        assert_everything_ended_once(await acts.play.everything())


async def _check(rig: Rig, verb: str, on: Scene) -> None:
    cell = outcome(rig, verb, on.phase)
    new, error = await _perform(rig, verb, on)
    assert error == cell.error
    if verb in ("redirect", "interrupt"):
        await on.first.result()  # without the model, which would answer sooner than a stop is there
    if verb not in ("close", "death"):
        # No event says when a message that was sent has reached an agent, which may be busy.
        await on.release(after_s=1.5 if verb == "send" else 0.3)
    await on.first.result()
    assert on.first.state in cell.first
    if new is not None:
        assert (await new.result()).status in cell.result
        assert _taken(on, new) in cell.new
    if verb == "close":
        await on.until(e.SessionEnded)
    else:
        await _assert_usable(on)
    assert _turn(on, on.first) in cell.turn


async def _perform(rig: Rig, verb: str, on: Scene) -> tuple[midflight.Message | None, str]:
    """Do the verb; return its own message, if it has one, and the code of its error."""
    session = on.session
    try:
        match verb:
            case "send":
                return await session.send("second"), ""
            case "queue":
                return await session.send("second", delivery="queue"), ""
            case "redirect":
                return await session.redirect("second"), ""
            case "interrupt":
                await session.interrupt()
            case "cancel":
                withdrawn = await on.first.cancel()
                assert withdrawn == (on.first.state == "cancelled")
            case "answer":
                await _answer(session)
            case "set_model":
                await _set_model(on)
            case "close":
                await session.close()
            case "death":
                await rig.kill(on.stage)
                await on.until(e.Notice, lambda notice: "has ended" in notice.text)
    except midflight.MidflightError as error:
        return None, error.code
    return None, ""


async def _answer(session: midflight.Session) -> None:
    """Answer what is asked, and see that a second answer is refused."""
    if not session.pending:
        await session.answer("no-such-request")
        return
    request = session.pending[0]
    asks = isinstance(request, e.QuestionRequested)
    await session.answer(request, answers={"Which colour?": "Blue"} if asks else None)
    try:
        await session.answer(request)
    except midflight.AlreadyAnswered:
        return
    raise AssertionError("a request was answered twice")


async def _set_model(on: Scene) -> None:
    """Choose another model than the last call had; the next message is answered by it."""
    models = on.stage.rig.models
    last = on.model.requests[-1].model
    on.chosen = models.other if models.best in last else models.best
    await on.session.set_model(on.chosen)


async def _assert_usable(on: Scene) -> None:
    await on.release()
    await on.quiet()
    assert on.session.status == "idle"
    after = await on.session.send("are you still there?")
    assert (await after.result()).status == "completed"
    assert on.chosen in on.model.requests[-1].model
    await on.quiet()


def _taken(on: Scene, message: midflight.Message) -> str:
    """Return how the agent took a message: steered or started."""
    for event in on.seen:
        if isinstance(event, e.MessageSteered) and event.message == message.id:
            return "steered"
        if isinstance(event, e.MessageStarted) and event.message == message.id:
            return "started"
    return "none"


def _turn(on: Scene, message: midflight.Message) -> str:
    """Return how the message's turn ended, as status/reason, or none."""
    for event in on.seen:
        if isinstance(event, e.TurnEnded) and message.id in event.messages:
            return f"{event.status}/{event.reason}"
    return "none"


def assert_everything_ended_once(seen: list[e.Event]) -> None:
    """Assert of a session's whole events: gapless, and everything that began ended once."""

    def ids(*kinds: type[e.Event], field: str) -> Counter[object]:
        return Counter(getattr(event, field) for event in seen if isinstance(event, kinds))

    durable = [event.seq for event in seen if event.seq is not None]
    assert durable == list(range(1, len(durable) + 1))
    ends = (e.MessageAnswered, e.MessageCancelled, e.MessageFailed)
    assert ids(e.MessageAccepted, field="message") == ids(*ends, field="message")
    assert ids(e.TurnStarted, field="turn") == ids(e.TurnEnded, field="turn")
    assert ids(e.ToolStarted, field="call") == ids(e.ToolEnded, field="call")
    assert ids(e.TaskStarted, field="task") == ids(e.TaskEnded, field="task")
    asked = ids(e.PermissionRequested, e.QuestionRequested, field="request")
    assert asked == ids(e.PermissionResolved, e.QuestionResolved, field="request")
    totals = [event.total_cost_usd for event in seen if isinstance(event, e.TurnEnded)]
    known = [total for total in totals if total is not None]
    assert known == sorted(known)
    assert None not in totals or totals.index(None) == len(known)
    assert [type(event) for event in seen].count(e.SessionEnded) == 1
