"""The program in a terminal of 80 columns, used as a person uses it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.events import until
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.client import connect
from midflight.testing import ScriptedModel, Text, ToolCall, Wait, Words

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]
Start = Callable[..., Awaitable[Terminal]]

ESC, CTRL_C, CTRL_D = "\x1b", "\x03", "\x04"


def question(text: str, *labels: str, multiple: bool = False) -> dict[str, object]:
    options = [{"label": label, "description": f"about {label}"} for label in labels]
    return {"question": text, "header": "H", "multiSelect": multiple, "options": options}


async def test_the_session_stays_for_more_until_the_person_quits(
    model: Model, fake_terminal: Start
) -> None:
    scripted = await model(Text("All **done**."), Text("More done."))
    screen = await fake_terminal(scripted, "do x")
    await screen.sees("type to steer · /help for more · Esc stops · Ctrl-D leaves")
    await screen.sees("> do x")
    await screen.sees("All done.")
    await screen.sees("turn 1 completed")
    await screen.sees("idle")
    screen.types("/help")
    await screen.sees("/redirect TEXT     stops the running turn and starts one for this")
    screen.types("and more")
    await screen.sees("> and more")
    await screen.sees("More done.")
    await screen.sees("turn 2 completed")
    screen.types("/quit")
    await screen.sees("Cost: $0.0")
    await screen.sees("midflight resume do-x")
    assert await screen.ends() == 0


async def test_typed_text_steers_the_running_turn(model: Model, terminal: Start) -> None:
    scripted = await model(
        [Text("looking "), Wait("go"), ToolCall("Bash", {"command": "ls"})], Text("both done")
    )
    screen = await terminal(scripted, "do x")
    await screen.sees("looking")
    screen.types("also y")
    await screen.sees("looking\n\n> also y")
    await screen.sees("[steer]")
    scripted.signal("go")
    await screen.sees("[tool] Bash ls")
    await screen.sees("[steered]")
    await screen.sees("both done")
    await screen.sees("turn 1 completed")
    assert scripted.requests[1].last_user_text == "also y"
    screen.keys(CTRL_D)
    assert await screen.ends() == 0


async def test_an_edit_is_approved_by_its_diff(
    model: Model, terminal: Start, project: Path
) -> None:
    code = project / "code.py"
    code.write_text("def f(x):\n    return x\n")
    change = {
        "file_path": str(code),
        "old_string": "return x",
        "new_string": "return x + 1",
    }
    scripted = await model(
        ToolCall("Read", {"file_path": str(code)}), ToolCall("Edit", change), Text("done")
    )
    screen = await terminal(scripted, "run", "increment")
    await screen.sees("The agent asks for leave to use Edit")
    await screen.sees("-    return x\n")
    await screen.sees("+    return x + 1\n")
    await screen.sees("Allow Edit? y, n, a, or n and why not >")
    await screen.sees("waiting for your answer")
    screen.types("y")
    await screen.sees("[allowed]")
    await screen.sees("turn 1 completed")
    await screen.quits()
    assert code.read_text() == "def f(x):\n    return x + 1\n"


@fault("S9", "S13")
async def test_a_command_is_shown_whole_and_denied_with_a_reason(
    model: Model, fake_terminal: Start, project: Path
) -> None:
    lines = "\n".join(f"touch file{number}" for number in range(60))
    scripted = await model(
        ToolCall("Bash", {"command": f"{lines}\ntouch the-hidden-tail"}), Text("I see.")
    )
    screen = await fake_terminal(scripted, "run", "touch")
    await screen.sees("leave to use Bash (61 lines)")
    for number in range(60):
        await screen.sees(f"touch file{number}\n")
    await screen.sees("touch the-hidden-tail\n")
    await screen.sees("Allow Bash: touch file0 …(+60 lines)? y, n, or n and why not >")
    screen.types("yes but only the first")
    await screen.sees("neither allows nor denies")
    screen.types("n too many files")
    await screen.sees("[denied] too many files")
    await screen.sees("I see.")
    await screen.sees("turn 1 completed")
    assert "too many files" in str(scripted.requests[1].tool_results)
    await screen.quits()
    assert not any(each.startswith("file") for each in os.listdir(project))  # noqa: PTH208


@fault("S9")
async def test_a_draft_is_put_aside_and_never_answers_a_request(
    model: Model, fake_terminal: Start, project: Path
) -> None:
    write = {"file_path": str(project / "new.txt"), "content": "hello"}
    scripted = await model(
        [Words("soon "), Wait("go"), ToolCall("Write", write)], Text("well"), Text("done")
    )
    screen = await fake_terminal(scripted, "run", "write")
    await screen.sees("soon")
    screen.keys("yes, and the docs")
    await screen.sees("yes, and the docs")
    scripted.signal("go")
    await screen.sees("Allow Write?")
    screen.types("")
    await screen.sees("y allows it, n denies it")
    assert not (project / "new.txt").exists()
    screen.types("n")
    await screen.sees("[denied]")
    await screen.sees("yes, and the docs")
    await screen.sees("turn 1 completed")
    screen.keys("\r")
    await screen.sees("> yes, and the docs")
    await screen.sees("turn 2 completed")
    await screen.quits()


async def test_questions_are_answered_by_number_and_in_own_words(
    model: Model, fake_terminal: Start
) -> None:
    asked = [
        question("Which database?", "SQLite", "Postgres"),
        question("Which colours?", "red", "green", "blue", multiple=True),
        question("Which name?", "Ada", "Bob"),
    ]
    scripted = await model(ToolCall("AskUserQuestion", {"questions": asked}), Text("thanks"))
    screen = await fake_terminal(scripted, "ask me")
    await screen.sees("Which database?")
    await screen.sees("2. Postgres - about Postgres")
    screen.types("3")
    await screen.sees("there are 2 numbers")
    screen.types("2")
    await screen.sees("Which colours?")
    screen.types("1, 3")
    await screen.sees("Which name?")
    screen.types("Grace")
    await screen.sees("[answered] Postgres; red, blue; Grace")
    await screen.sees("thanks")
    await screen.sees("turn 1 completed")
    told = str(scripted.requests[1].tool_results)
    assert all(word in told for word in ("Postgres", "red", "blue", "Grace"))
    await screen.quits()


async def test_escape_stops_the_turn_and_never_quits(model: Model, fake_terminal: Start) -> None:
    scripted = await model([Text("working "), Wait("never")], Text("more done"))
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("working")
    screen.keys(ESC)
    screen.keys(ESC)
    await screen.sees("working\n  [stop]")  # below what was written before
    await screen.sees("turn 1 interrupted")
    screen.keys(ESC)
    screen.keys(ESC)
    screen.types("go on")
    await screen.sees("turn 2 completed")
    screen.keys(CTRL_D)
    assert await screen.ends() == 0


async def test_message_that_a_stop_cancels_goes_back_into_the_line(
    model: Model, fake_terminal: Start
) -> None:
    scripted = await model([Words("working "), Wait("never")], Text("done"))
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("working")
    screen.types("also this")
    await screen.sees("[steer]")
    screen.types("/queue then that")
    await screen.sees("[queued]")
    screen.keys(ESC)
    await screen.sees("[cancelled] then that (interrupted)")
    await screen.sees("[cancelled] also this (interrupted)")
    await screen.sees("turn 1 interrupted")
    screen.keys("\r")
    await screen.sees("turn 2 completed")
    assert scripted.requests[1].last_user_text.endswith("also this\nthen that")
    screen.keys(CTRL_D)
    assert await screen.ends() == 0


async def test_steer_that_gets_a_turn_of_its_own_stands_above_it(
    model: Model, fake_terminal: Start
) -> None:
    scripted = await model([Words("first answer"), Wait("go")], Text("second answer"))
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("first")
    screen.types("one more thing")
    await screen.sees("> one more thing")
    await screen.sees("[steer]")
    scripted.signal("go")
    await screen.sees("turn 1 completed")
    await screen.sees("> one more thing")
    await screen.sees("second answer")
    await screen.sees("turn 2 completed")
    screen.keys(CTRL_D)
    assert await screen.ends() == 0


async def test_ctrl_c_stops_the_turn_and_twice_quits_when_idle(
    model: Model, fake_terminal: Start
) -> None:
    scripted = await model([Words("working "), Wait("never")])
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("working")
    screen.keys(CTRL_C)
    await screen.sees("[stop]")
    await screen.sees("turn 1 interrupted")
    screen.keys("draft")
    await screen.sees("draft")
    screen.keys(CTRL_C)  # drops what is typed
    screen.keys(CTRL_C)
    await screen.sees("Ctrl-C once more to quit")
    screen.keys(2 * CTRL_C)  # for the first of them it may be too late on a busy machine
    await screen.sees("Cost:")
    assert await screen.ends() == 130


@pytest.mark.parametrize("key", ["\x1b\r", "\n", "\\\r"], ids=["Alt-Enter", "Ctrl-J", "backslash"])
async def test_message_can_have_several_lines(model: Model, fake_terminal: Start, key: str) -> None:
    scripted = await model(Text("done"), Text("well"))
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("turn 1 completed")
    screen.keys(f"one{key}two")
    await screen.sees("two")
    screen.keys("\r")
    await screen.sees("turn 2 completed")
    assert scripted.requests[1].last_user_text == "one\ntwo"
    await screen.quits()


async def test_editor_has_the_terminal_to_itself(
    model: Model, fake_terminal: Start, tmp_path: Path
) -> None:
    editor, go = tmp_path / "editor", tmp_path / "go"
    editor.write_text(
        '#!/bin/sh\necho "the editor has: $(cat "$1")"\n'
        f"while ! [ -e {go} ]; do sleep 0.05; done\nprintf 'from\\nthe editor' > \"$1\"\n"
    )
    editor.chmod(0o755)
    scripted = await model(
        [Words("first "), Wait("go"), ToolCall("Bash", {"command": "ls"})],
        [Words("second"), Wait("end")],
        Text("well"),
    )
    screen = await fake_terminal(scripted, "run", "work", VISUAL=str(editor))
    await screen.sees("first")
    screen.keys("draft")
    await screen.sees("draft")
    screen.keys("\x07")
    await screen.sees("the editor has: draft")
    scripted.signal("go")
    await scripted.reached("end")  # the tool has been called, and has ended
    assert "[tool]" not in screen.text
    go.touch()
    await screen.sees("[tool] Bash ls")
    scripted.signal("end")
    await screen.sees("turn 1 completed")
    screen.keys("\r")
    await screen.sees("turn 2 completed")
    assert scripted.requests[2].last_user_text == "from\nthe editor"
    await screen.quits()


async def test_what_comes_from_the_editor_answers_nothing_that_came_meanwhile(
    model: Model, fake_terminal: Start, tmp_path: Path, claude_home: Path
) -> None:
    """It was written for something else; once that is answered, it is the message again."""
    editor, go = tmp_path / "editor", tmp_path / "go"
    editor.write_text(
        '#!/bin/sh\necho "the editor has it"\n'
        f"until [ -e {go} ]; do sleep 0.05; done\necho 'do this' > \"$1\"\n"
    )
    editor.chmod(0o755)
    write = ToolCall("Write", {"file_path": "new.txt", "content": "x"})
    scripted = await model([Words("first "), Wait("go"), write], Text("denied"), Text("well"))
    screen = await fake_terminal(scripted, "run", "work", VISUAL=str(editor))
    await screen.sees("first")
    screen.keys("\x07")
    await screen.sees("the editor has it")
    scripted.signal("go")
    async with connect(claude_home / ".local" / "state" / "midflight") as client:
        (info,) = await client.sessions()
        async with await client.session(info.id) as session:
            await until(session, e.PermissionRequested)
    go.touch()
    await screen.sees("asks for leave to use Write")
    await screen.sees("Allow Write?")
    screen.types("n")
    await screen.sees("turn 1 completed")
    screen.types(" first")
    await screen.sees("turn 2 completed")
    assert scripted.requests[2].last_user_text == "do this first"
    await screen.quits()
    assert not (tmp_path / "project" / "new.txt").exists()


async def test_only_what_is_a_command_is_not_sent(model: Model, fake_terminal: Start) -> None:
    question_ = question("Where?", "here")
    scripted = await model(
        ToolCall("AskUserQuestion", {"questions": [question_]}), *[Text("well")] * 3
    )
    screen = await fake_terminal(scripted, "run", "ask")
    await screen.sees("Where?")
    screen.types("/srv/data")
    await screen.sees("turn 1 completed")
    screen.types("/etc/hosts is wrong")
    await screen.sees("turn 2 completed")
    screen.types("/qeue this")
    await screen.sees("there is no /qeue here; did you mean /queue? //qeue sends it to the agent")
    screen.keys("\x15")
    screen.types("//queue is yours")
    await screen.sees("turn 3 completed")
    assert "/srv/data" in str(scripted.requests[1].tool_results)
    said = [each.last_user_text.splitlines()[-1] for each in scripted.requests[2:]]
    assert said == ["/etc/hosts is wrong", "/queue is yours"]
    await screen.quits()


async def test_ctrl_z_is_no_text_and_holds_nothing_up(model: Model, fake_terminal: Start) -> None:
    screen = await fake_terminal(await model(Text("done"), Text("well")), "run", "work")
    await screen.sees("turn 1 completed")
    screen.keys("\x1a")
    await screen.sees("Ctrl-Z would hold up the session too")
    screen.types("more")
    await screen.sees("turn 2 completed")
    await screen.quits()


async def test_sigint_from_elsewhere_acts_like_the_key(model: Model, fake_terminal: Start) -> None:
    scripted = await model([Words("working "), Wait("never")])
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("working")
    screen.sends(signal.SIGINT)
    await screen.sees("turn 1 interrupted")
    screen.sends(signal.SIGTERM)
    assert await screen.ends() == 130


async def test_queue_redirect_model_mode_and_cost(model: Model, fake_terminal: Start) -> None:
    scripted = await model(
        [Words("wrong way "), Wait("never")], Text("right way"), Text("later done")
    )
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("wrong")
    screen.types("/queue then this")
    await screen.sees("[queued]")
    await screen.sees("1 waiting")
    screen.types("/model opus")
    await screen.sees("the model is now opus")
    screen.types("/mode acceptEdits")
    await screen.sees("the permission mode is now acceptEdits")
    screen.types("/mode yolo")
    await screen.sees("[error] permission_mode")
    screen.types("/redirect not that way")
    await screen.sees("[redirect]")
    await screen.sees("turn 1 interrupted (redirected)")
    await screen.sees("right way")
    await screen.sees("> then this")
    await screen.sees("later done")
    await screen.sees("turn 3 completed")
    screen.types("/cost")
    await screen.sees("so far")
    screen.types("/help")
    await screen.sees("/redirect TEXT")
    await screen.quits()
    said = [each.last_user_text.splitlines()[-1] for each in scripted.requests]
    assert said == ["work", "not that way", "then this"]


@pytest.mark.parametrize(
    "plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "TERM=dumb"]
)
async def test_the_console_works_without_colour(
    model: Model, fake_terminal: Start, plain: dict[str, str], project: Path
) -> None:
    write = {"file_path": str(project / "new.txt"), "content": "hello\n"}
    scripted = await model([Text("# Title\n\nSome `code`."), ToolCall("Write", write)], Text("ok"))
    screen = await fake_terminal(scripted, "run", "write", **plain)
    await screen.sees("Title")
    await screen.sees("Some code.")
    await screen.sees("+hello")
    await screen.sees("Allow Write?")
    screen.types("y")
    await screen.sees("turn 1 completed")
    await screen.quits()
    assert re.search(r"\x1b\[(\d+;)*[349]\d[;m]", screen.raw) is None
