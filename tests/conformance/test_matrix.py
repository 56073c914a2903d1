"""Every verb in every phase, on every agent: the table of midflight.testing.semantics holds."""

from collections import Counter
from pathlib import Path

import psutil
import pytest

import midflight
from midflight import events as e
from midflight.testing import ScriptedModel
from midflight.testing.scene import Scene, scene
from midflight.testing.semantics import PHASES, TABLE, VERBS

CELLS = [(verb, phase) for verb in VERBS for phase in PHASES]
MODELS = {"claude": ScriptedModel}


async def perform(verb: str, on: Scene) -> tuple[midflight.Message | None, str]:
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
                await answer(session)
            case "set_model":
                await session.set_model("opus")
            case "close":
                await session.close()
            case "death":
                kill_agent(on.session.options.cwd)
                await on.until(e.Notice, lambda notice: "has ended" in notice.text)
    except midflight.MidflightError as error:
        return None, error.code
    return None, ""


def kill_agent(cwd: Path) -> None:
    """Kill the agent's program, and nothing else, as the system's out-of-memory killer would."""
    for child in psutil.Process().children():
        if child.cwd() == str(cwd):
            child.kill()


async def answer(session: midflight.Session) -> None:
    if not session.pending:
        await session.answer("no-such-request")
        return
    request = session.pending[0]
    asks = isinstance(request, e.QuestionRequested)
    await session.answer(request, answers={"Which colour?": "Blue"} if asks else None)
    with pytest.raises(midflight.AlreadyAnswered):
        await session.answer(request)


def outcome(on: Scene, message: midflight.Message) -> str:
    """Return how the message's turn ended, as status/reason, or none."""
    for event in on.seen:
        if isinstance(event, e.TurnEnded) and message.id in event.messages:
            return f"{event.status}/{event.reason}"
    return "none"


def assert_everything_ended_once(seen: list[e.Event]) -> None:
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
    assert totals == sorted(totals)


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(("verb", "phase"), CELLS)
@pytest.mark.parametrize("agent", MODELS)
async def test_a_verb_has_the_outcome_that_the_table_says(
    agent: str, verb: str, phase: str, tmp_path: Path
) -> None:
    cell = TABLE[verb][phase]
    async with scene(phase, MODELS[agent], tmp_path, agent=agent) as on:
        new, error = await perform(verb, on)
        assert error == cell.error
        if verb in ("redirect", "interrupt") and on.first.state == "started":
            await on.first.result()
        if verb not in ("close", "death"):
            await on.release()
        await on.first.result()
        assert on.first.state in cell.first
        if new is not None:
            result = await new.result()
            assert (new.state, result.status) == ("answered", "completed")
            taken = {type(v).__name__ for v in on.seen if getattr(v, "message", "") == new.id}
            assert {"MessageSteered": "steered", "MessageStarted": "started"}[
                next(iter(taken & {"MessageSteered", "MessageStarted"}))
            ] in cell.new
        if verb != "close":
            (tmp_path / "release").touch()
            await on.quiet()
            assert on.session.status == "idle"
            after = await on.session.send("are you still there?")
            assert (await after.result()).status == "completed"
            if verb == "set_model":
                assert "opus" in on.model.requests[-1].model
            await on.quiet()
            await on.session.close()
    assert outcome(on, on.first) in cell.turn
    await on.until(e.SessionEnded)
    assert_everything_ended_once(on.seen)


def test_the_table_decides_every_cell() -> None:
    assert list(TABLE) == list(VERBS)
    for cells in TABLE.values():
        assert list(cells) == list(PHASES)
