"""Checks of what a session's verbs and limits do, one for each row of the capabilities."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

from midflight import events as e
from midflight.errors import Conflict, InvalidInput
from midflight.testing.conformance.rig import PATIENCE_S, Play, Stage
from midflight.testing.conformance.scene import QUESTION
from midflight.testing.model.dialect import offers
from midflight.testing.model.script import ModelRequest, Silence, Step, Text, ToolCall, Usage, Wait

BASH = {"allowed_tools": ["Bash"]}


def write(path: Path, content: str = "by the agent") -> ToolCall:
    """Return a call that writes a file."""
    return ToolCall("Write", {"file_path": str(path), "content": content})


def held(release: Path) -> ToolCall:
    """Return a command that runs until a file is there, and a while longer.

    No event says when a message that was sent has reached an agent.
    """
    command = f"while [ ! -e '{release}' ]; do sleep 0.05; done; sleep 1.5"
    return ToolCall("Bash", {"command": command})


async def until(on: Play, kind: type[e.Event]) -> None:
    """Wait for the first event of a kind."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in on.session.events():
            if isinstance(event, kind):
                return


async def steer(stage: Stage) -> None:
    """Send a message while a tool runs: the same turn reads it, or it says that it waits."""
    release = stage.cwd / "release"
    steps: list[Step] = [held(release), Text("one")]
    steered = stage.can["steer"] == "supported"
    if not steered:
        steps.append(Text("two"))
    async with stage.play(steps, **BASH) as on:
        first = await on.session.send("first")
        await until(on, e.ToolStarted)
        second = await on.session.send("also this")
        release.touch()
        await second.result()
        seen = await on.everything()
        messages = [v.message for v in seen if isinstance(v, e.MessageSteered)]
        assert messages == ([second.id] if steered else [])
        if steered:
            assert second.turn == first.turn
            assert "also this" in str(on.requests[1].messages)
        else:
            assert second.turn != first.turn
            assert any("waits its turn" in v.text for v in seen if isinstance(v, e.Notice))


async def queue(stage: Stage) -> None:
    """Queue messages; change, move and take back some; each has a turn of its own."""
    steps: list[Step] = [[Wait("go"), Text("one")], Text("two"), Text("three"), Text("four")]
    async with stage.play(steps) as on:
        await on.session.send("first")
        second, third, fourth, fifth = [
            await on.session.send(text, delivery="queue") for text in ("b", "c", "d", "e")
        ]
        await third.edit("c, but better")
        await fourth.move(before=second)
        assert await fifth.cancel()
        on.model.signal("go")
        results = [await message.result() for message in (second, third, fourth)]
        assert [result.text for result in results] == ["three", "four", "two"]
        asked = [request.last_user_text for request in on.requests]
        assert asked == ["first", "d", "b", "c, but better"]
        for change in (second.edit("too late"), third.move(), fourth.promote()):
            try:
                await change
            except Conflict:
                continue
            raise AssertionError("a message that has had its turn was changed")


async def redirect(stage: Stage) -> None:
    """Redirect in the middle of a sentence, with another message waiting."""
    async with stage.play([[Text("hm "), Wait("never")], Text("fine"), Text("later")]) as on:
        first = await on.session.send("first")
        queued = await on.session.send("after that", delivery="queue")
        await until(on, e.TextDelta)
        urgent = await on.session.redirect("no, this")
        assert (await first.result()).reason == "redirected"
        assert (await urgent.result()).text == "fine"
        assert (await queued.result()).text == "later"
        on.model.signal("never")


async def interrupt(stage: Stage) -> None:
    """Interrupt a command that ignores the TERM signal; no process of it is left."""
    stubborn = "trap : TERM; while true; do sleep 0.2; done"
    async with stage.play([ToolCall("Bash", {"command": stubborn}), Text("fine")], **BASH) as on:
        message = await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.ToolStarted):
                async with asyncio.timeout(PATIENCE_S):
                    while not commands_with(stubborn):  # noqa: ASYNC110 - a birth has no event
                        await asyncio.sleep(0.1)
                await on.session.interrupt()
            if isinstance(event, e.TurnEnded):
                assert commands_with(stubborn) == []
        assert (await message.result()).reason == "interrupted"
        assert (await on.ask()).text == "fine"


def commands_with(text: str) -> list[int]:
    """Return the living descendants of this process whose command line has the text."""
    import psutil

    pids = []
    for process in psutil.Process().children(recursive=True):
        try:
            if text in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                pids.append(process.pid)
        except psutil.Error:  # It has ended meanwhile.
            continue
    return pids


async def cancel(stage: Stage) -> None:
    """Take messages back before they are read; one that has been read stays.

    Where that is made by midflight, a message that the agent has got already may stay too.
    """
    back = stage.can["cancel"] == "supported" or stage.can["steer"] != "supported"
    steps: list[Step] = [[Wait("go"), Text("one")]]
    if not back:
        steps.append(Text("two"))
    async with stage.play(steps) as on:
        first = await on.session.send("first")
        await on.model.reached("go")
        handed = await on.session.send("and this")
        queued = await on.session.send("never mind", delivery="queue")
        assert await queued.cancel()
        assert await handed.cancel() == back
        assert not await first.cancel()
        on.model.signal("go")
        await on.events()
        assert [message.state for message in (first, queued)] == ["answered", "cancelled"]
        assert handed.state == ("cancelled" if back else "answered")
        assert "never mind" not in str(on.requests[-1].messages)


async def permissions(stage: Stage) -> None:
    """Allow one call and deny another with a reason, which the model gets.

    Where midflight has a part in it, the model may get no more than that it was denied, or
    the turn may end there.
    """
    first, second = stage.cwd / "a.txt", stage.cwd / "b.txt"
    unasked = ToolCall("Bash", {"command": "echo hi > made"})
    script = in_turn([[unasked, write(first)], write(second), Text("x")])
    async with stage.play(script, attended=True, **BASH) as on:
        message = await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                if "a.txt" in str(event.effects):
                    await on.session.answer(event)
                else:
                    await on.session.answer(event, "deny", reason="not this one")
        assert first.read_text().rstrip() == "by the agent"  # some agents end it with a line break
        assert not second.exists()
        assert (stage.cwd / "made").exists()
        assert [denial.reason for denial in (await message.result()).denials] == ["not this one"]
        if stage.can["permissions"] == "supported":
            assert "not this one" in str(on.requests[2].tool_results)
    async with stage.play([Text("ok")], disallowed_tools=["Bash"]) as on:
        await on.ask()
        if stage.can["permissions"] == "supported":
            assert not offers(on.requests[0], "Bash")
        assert offers(on.requests[0], "Read")


def in_turn(steps: list[Step]) -> Callable[[ModelRequest], Step]:
    """Return a script that plays steps in turn, and need not be played to its end."""
    left = iter(steps)
    return lambda _: next(left, Text("done"))


async def edited_input(stage: Stage) -> None:
    """Allow a call with another input: its effect is that of the other input."""
    target = stage.cwd / "a.txt"

    def script(request: ModelRequest) -> Step:
        """Play a model that does what the agent says, where the agent has to say it."""
        results = str(request.tool_results)
        if target.exists():
            return Text("done")
        return write(target, "by the person" if "by the person" in results else "by the agent")

    async with stage.play(script, attended=True) as on:
        message = await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                changed = {**event.input, "content": "by the person"}
                await on.session.answer(event, input=None if event.input == changed else changed)
        assert target.read_text() == "by the person"
        assert (await message.result()).status == "completed"


async def no_edited_input(stage: Stage) -> None:
    """Try to allow a call with another input: that is refused, and the request stays open."""
    script = in_turn([write(stage.cwd / "a.txt")])
    async with stage.play(script, attended=True) as on:
        await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                await _refused(on.session.answer(event, input={"content": "x"}), InvalidInput)
                await on.session.answer(event, "deny", reason="no")


async def questions(stage: Stage) -> None:
    """Have the agent ask: the question reaches the reader, and its answer the model."""
    async with stage.play([ToolCall("AskUserQuestion", QUESTION), Text("Blue it is")]) as on:
        message = await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.QuestionRequested):
                (question,) = event.questions
                assert [option.label for option in question.options] == ["Blue", "Red"]
                await on.session.answer(event, answers={question.question: "Blue"})
        assert (await message.result()).text == "Blue it is"
        assert "Blue" in str(on.requests[1].tool_results)


async def no_questions(stage: Stage) -> None:
    """Have the model ask: nobody is asked, whether it was offered to ask or not."""
    async with stage.play(in_turn([ToolCall("AskUserQuestion", QUESTION)])) as on:
        await on.ask()
        assert not [v for v in await on.events() if isinstance(v, e.QuestionRequested)]


async def set_model(stage: Stage) -> None:
    """Choose a model, then another one."""
    models = stage.rig.models
    async with stage.play([Text("one"), Text("two")], model=models.usual) as on:
        await on.ask()
        await on.session.set_model(models.other)
        await on.ask()
        first, second = on.requests
        assert models.usual in first.model
        assert models.other in second.model


async def no_set_model(stage: Stage) -> None:
    """Try to choose another model: that is refused."""
    async with stage.play([]) as on:
        await _refused(on.session.set_model(stage.rig.models.other), Conflict)


async def set_permission_mode(stage: Stage) -> None:
    """Switch to bypassPermissions: what was denied before runs without a request."""
    target = stage.cwd / "a.txt"

    asked: set[str] = set()

    def script(request: ModelRequest) -> Step:
        """Write once for each message."""
        new = request.last_user_text not in asked
        asked.add(request.last_user_text)
        return write(target) if new else Text("done")

    async with stage.play(script, attended=False) as on:
        await on.ask("try")
        assert not target.exists()
        await on.session.set_permission_mode("bypassPermissions")
        assert (await on.ask("try again")).denials == ()
        assert target.exists()


async def no_set_permission_mode(stage: Stage) -> None:
    """Try to switch the permission mode: that is refused."""
    async with stage.play([]) as on:
        await _refused(on.session.set_permission_mode("acceptEdits"), Conflict)


async def _refused(doing: Any, error: type[Exception]) -> None:
    try:
        await doing
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


async def max_turns(stage: Stage) -> None:
    """End a turn after two model calls; the next turn counts anew.

    Where midflight counts, a third call may have been made, and is aborted.
    """
    first, second = (ToolCall("Bash", {"command": f"echo {number}"}) for number in range(2))
    script_of_first = in_turn([first, second, [Wait("never"), Text("one too many")]])

    def script(request: ModelRequest) -> Step:
        """Answer the second message in one call."""
        if "once more" in request.last_user_text:
            return Text("fine")
        return script_of_first(request)

    async with stage.play(script, max_turns=2, **BASH) as on:
        cut = await on.ask()
        assert (cut.status, cut.reason, cut.steps) == ("limit", "max_turns", 2)
        assert (await on.ask("once more")).status == "completed"


async def max_budget_usd(stage: Stage) -> None:
    """Spend too much: the turn ends, and no later one asks the model.

    Where midflight counts, the agent may report what it spent at the end of its turn only.
    """
    dear: Step = [Usage(100_000, 10_000), ToolCall("Bash", {"command": "echo"})]
    limits: dict[str, Any] = {"max_budget_usd": 0.4, **_priced(stage)}
    async with stage.play(in_turn([dear] * 4), **limits, **BASH) as on:
        result = await on.ask()
        if stage.can["max_budget_usd"] == "supported":
            assert (result.status, result.reason) == ("limit", "max_budget")
        assert result.total_cost_usd >= limits["max_budget_usd"]
        calls = len(on.requests)
        after = await on.ask()
        assert (after.status, after.reason) == ("limit", "max_budget")
        assert len(on.requests) == calls


def _priced(stage: Stage) -> dict[str, str]:
    """Return the option of a model whose price is known, where one can be chosen."""
    return {"model": stage.rig.models.usual} if stage.can["set_model"] != "not" else {}


async def set_limits(stage: Stage) -> None:
    """Raise a budget that is spent, then the number of calls that a turn has made: it goes on."""
    # Each another one: some agents take the same call again and again for a loop, and stop.
    echos = (ToolCall("Bash", {"command": f"echo {number}"}) for number in count())
    left: dict[str, Iterator[Step]] = {
        "task-1": iter([[Usage(10_000, 50_000), next(echos)]]),
        "task-2": echos,  # where midflight counts, an agent may be quicker than the stop
        "task-3": islice(echos, 3),
    }

    def script(request: ModelRequest) -> Step:
        """Play the newest task: an agent may repeat one that it was stopped at."""
        newest = [word for word in left if word in request.last_user_text][-1:]
        return next(left[newest[0]], Text("done")) if newest else Text("done")

    limits: dict[str, Any] = {"max_turns": 2, **_priced(stage), **BASH}
    if stage.can["max_budget_usd"] != "not":
        limits["max_budget_usd"] = 0.4
    async with stage.play(script, **limits) as on:
        if stage.can["max_budget_usd"] != "not":
            await on.ask("task-1")
            assert (await on.ask("nothing")).reason == "max_budget"
            await on.session.set_limits(max_budget_usd=40.0)
        cut = await on.ask("task-2")
        assert cut.reason == "max_turns"
        await on.session.set_limits(max_turns=10, timeout=60.0)
        if stage.can["max_budget_usd"] != "not" and cut.total_cost_usd is None:
            # The agent does not tell what a stopped turn has cost, so no budget can be kept.
            await on.session.set_limits(max_budget_usd=None)
        assert (await on.ask("task-3")).status == "completed"
        changed = [v.limits for v in await on.events() if isinstance(v, e.LimitsChanged)]
        assert changed[-1] == on.session.limits
        assert (changed[-1]["max_turns"], changed[-1]["timeout"]) == (10, 60.0)


async def cost(stage: Stage) -> None:
    """Make two model calls: their cost is known when the turn has ended, and is the session's."""
    steps: list[Step] = [
        [Usage(10_000, 1_000), ToolCall("Bash", {"command": "echo"})],
        [Usage(10_000, 1_000), Text("done")],
    ]
    async with stage.play(steps, **_priced(stage), **BASH) as on:
        result = await on.ask()
        assert result.cost_usd is not None
        assert result.cost_usd > 0
        assert on.session.total_cost_usd == result.total_cost_usd == result.cost_usd


async def no_cost(stage: Stage) -> None:
    """Have a turn: that it costs nothing is not said."""
    async with stage.play([Text("one")]) as on:
        result = await on.ask()
        assert (result.cost_usd, result.total_cost_usd, on.session.total_cost_usd) == (None,) * 3


async def timeout(stage: Stage) -> None:
    """End a turn after its time, while a tool runs; the session goes on."""
    steps: list[Step] = [
        ToolCall("Bash", {"command": "while true; do sleep 1; done"}),
        Text("fine"),
    ]
    async with stage.play(steps, timeout=stage.rig.turn_s, **BASH) as on:
        result = await on.ask()
        assert (result.status, result.reason) == ("limit", "timeout")
        await on.session.set_limits(timeout=PATIENCE_S)
        assert (await on.ask()).status == "completed"


async def stall_timeout(stage: Stage) -> None:
    """Be silent: that is reported first, and ends the turn later; the session goes on."""
    limit = 2 * stage.rig.turn_s
    async with stage.play([[Text("well "), Silence()], Text("fine")], stall_timeout=limit) as on:
        result = await on.ask()
        assert (result.status, result.reason) == ("limit", "stalled")
        kinds = [type(event) for event in await on.events()]
        assert kinds.index(e.Stalled) < kinds.index(e.TurnEnded)
        assert (await on.ask()).status == "completed"
