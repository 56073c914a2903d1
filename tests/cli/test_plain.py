from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.program import Program

from midflight.testing import (
    Drop,
    HttpError,
    ScriptedModel,
    Text,
    ToolCall,
    Usage,
    Wait,
    Words,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]
Midflight = Callable[..., Awaitable[Program]]


async def test_a_bare_task_prints_text_tools_result_and_cost(
    model: Model, midflight: Midflight
) -> None:
    scripted = await model(
        [Text("Let me look."), ToolCall("Bash", {"command": "ls -a"})],
        [Text("Nothing here."), Usage(1000, 100)],
    )
    program = await midflight(scripted, "what is here?")
    code, out, err = await program.done()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:5] == [
        "Let me look.",
        "  [tool] Bash ls -a",
        "Nothing here.",
        "",
        "Result: completed",
    ]
    assert lines[5].startswith("Cost: $0.0")
    assert len(lines) == 6


async def test_each_then_gets_a_turn_of_its_own_in_order(
    model: Model, fake_midflight: Midflight
) -> None:
    scripted = await model(Text("one"), Text("two"), Text("three"))
    program = await fake_midflight(scripted, "run", "first", "--then", "second", "--then", "third")
    code, out, _ = await program.done()
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith(("Result", ">", "t", "o"))] == [
        "one",
        "Result: completed",
        "> second",
        "two",
        "Result: completed",
        "> third",
        "three",
        "Result: completed",
    ]
    assert [each.last_user_text for each in scripted.requests] == ["first", "second", "third"]


async def test_a_permission_request_is_denied_at_once_and_listed(
    model: Model, fake_midflight: Midflight, project: Path
) -> None:
    target = project / "new.txt"
    scripted = await model(
        ToolCall("Write", {"file_path": str(target), "content": "hello"}), Text("I may not.")
    )
    code, out, _ = await (await fake_midflight(scripted, "run", "write")).done()
    assert code == 0
    assert "  [tool] Write new.txt\n" in out
    assert "Denied: Write: nobody is there to answer" in out
    assert not target.exists()


async def test_an_allowed_tool_changes_the_disk(
    model: Model, fake_midflight: Midflight, project: Path
) -> None:
    target = project / "new.txt"
    scripted = await model(
        ToolCall("Write", {"file_path": str(target), "content": "hello"}), Text("Done.")
    )
    program = await fake_midflight(scripted, "run", "write", "--allow", "Write,Edit")
    code, out, _ = await program.done()
    assert (code, "Denied" in out, target.read_text()) == (0, False, "hello")


async def test_a_retry_reports_that_the_text_before_it_is_void(
    model: Model, fake_midflight: Midflight
) -> None:
    broken = [Words("I think tha"), Wait("shown"), Drop()]
    scripted = await model(broken, Text("I think that it works."))
    program = await fake_midflight(scripted, "run", "think")
    out = await program.reads("tha")
    scripted.signal("shown")
    done = await program.done()
    assert done.code == 0
    lines = (out + done.out).splitlines()
    assert lines[0] == "I think tha"
    assert lines[1].startswith("  [retry] ")
    assert lines[1].endswith("the text since the last line is void")
    assert lines[2] == "I think that it works."


@pytest.mark.parametrize(
    ("arguments", "steps", "expected"),
    [
        ((), [HttpError(402)], (1, "Result: failed (api_error)")),
        (
            ("--max-turns", "1", "--allow", "Bash"),
            [ToolCall("Bash", {"command": "true"})],
            (3, "Result: limit (max_turns)"),
        ),
        (
            ("--max-budget-usd", "0.00001", "--allow", "Bash"),
            [ToolCall("Bash", {"command": "true"})],
            (3, "Result: limit (max_budget)"),
        ),
    ],
    ids=["failed", "max turns", "max budget"],
)
async def test_the_exit_code_tells_how_it_ended(
    model: Model,
    fake_midflight: Midflight,
    arguments: tuple[str, ...],
    steps: list[HttpError],
    expected: tuple[int, str],
) -> None:
    done = await (await fake_midflight(await model(*steps), "run", "work", *arguments)).done()
    assert done.code == expected[0]
    assert expected[1] in done.out
    assert "Traceback" not in done.err


async def test_the_exit_code_is_that_of_the_last_turn(
    model: Model, fake_midflight: Midflight
) -> None:
    scripted = await model(HttpError(402), Text("better"))
    code, out, _ = await (await fake_midflight(scripted, "run", "first", "--then", "second")).done()
    assert (code, "better\n\nResult: completed" in out) == (0, True)


async def test_sigint_stops_the_turn_and_ends_with_130(
    model: Model, fake_midflight: Midflight
) -> None:
    scripted = await model([Words("working"), Wait("never")])
    program = await fake_midflight(scripted, "run", "work", "--then", "more")
    await program.reads("working")
    program.process.send_signal(signal.SIGINT)
    code, out, err = await program.done()
    assert (code, err) == (130, "")
    assert "Result: interrupted" in out
    assert len(scripted.requests) == 1


async def test_sigterm_closes_cleanly(model: Model, midflight: Midflight) -> None:
    scripted = await model([Words("working"), Wait("never")])
    program = await midflight(scripted, "run", "work")
    await program.reads("working")
    program.process.send_signal(signal.SIGTERM)
    code, _, err = await program.done()
    assert (code, err) == (130, "")


async def test_a_conversation_is_resumed(model: Model, midflight: Midflight) -> None:
    scripted = await model(Text("I am one."), Text("I remember."))
    first = await midflight(scripted, "run", "first", "--json")
    await first.until("message.accepted")
    started = await first.until("session.started")
    assert (await first.done())[0] == 0
    second = await midflight(scripted, "run", "second", "--resume", started["agent_session"])
    assert (await second.done()).code == 0
    texts = str(scripted.requests[1].messages)
    assert "I am one." in texts


async def test_an_unknown_conversation_is_exit_code_4(
    model: Model, fake_midflight: Midflight
) -> None:
    missing = "11111111-1111-4111-8111-111111111111"
    program = await fake_midflight(await model(), "go on", "--resume", missing)
    code, out, err = await program.done()
    assert (code, out) == (4, "")
    assert err.splitlines()[0] == f"midflight: no conversation has the id {missing}"
    assert err.splitlines()[1].startswith("hint: ")
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
async def test_a_closed_output_ends_the_run_without_a_traceback(
    model: Model, fake_midflight: Midflight, form: tuple[str, ...]
) -> None:
    scripted = await model([Words("beginning"), Wait("go"), Words(2000)])
    program = await fake_midflight(scripted, "run", "write", *form)
    await program.reads("beginning")
    program.stop_reading()
    scripted.signal("go")
    assert program.process.stderr is not None
    err = (await program.process.stderr.read()).decode()
    assert await program.process.wait() == 1
    assert err == "midflight: nobody reads the output any more\n"


async def test_run_says_that_it_waits_for_a_server_and_stops_it(
    scripted_model: Callable[..., Awaitable[ScriptedModel]], midflight: Midflight
) -> None:
    """The agent has left it in the background. It is a real one: nothing of it may be left."""
    serve = "exec python3 -m http.server 0 --bind 127.0.0.1"
    steps = iter([ToolCall("Bash", {"command": serve, "run_in_background": True}), Text("serving")])
    scripted = await scripted_model(lambda _: next(steps, Text("it was stopped")))
    program = await midflight(
        scripted, "serve the page", "--allow", "Bash", "--background-timeout", "2"
    )
    code, out, err = await program.done()
    assert (code, err) == (0, "")
    assert "serving\n" in out
    assert "[notice] waiting for background work: " in out
    assert "http.server" in out.partition("waiting for background work: ")[2].splitlines()[0]
    assert "[warning] background work is stopped: " in out
