from __future__ import annotations

import asyncio
import functools
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.program import Program, events

from midflight import dispatch
from midflight import events as e
from midflight.cli.jsonl import _quiet, _read_lines
from midflight.cli.output import json_line
from midflight.session.event_log import EventLog
from midflight.testing import FakeModel, ScriptedModel, Text, ToolCall, Wait, Words

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]
Midflight = Callable[..., Awaitable[Program]]

QUESTION = {
    "question": "Which database?",
    "header": "DB",
    "multiSelect": False,
    "options": [
        {"label": "SQLite", "description": "a file"},
        {"label": "Postgres", "description": "a server"},
    ],
}


async def test_every_line_out_is_an_event_and_durable_ones_are_gapless(
    model: Model, midflight: Midflight
) -> None:
    program = await midflight(await model([Words("one two three")]), "run", "count", "--json")
    code, out, err = await program.done()
    assert (code, err) == (0, "")
    told = [e.decode(line) for line in out.splitlines()]
    numbers = [event.seq for event in told if event.seq is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "".join(each.text for each in told if isinstance(each, e.TextDelta)) == "one two three"
    assert isinstance(told[-1], e.SessionEnded)


async def test_a_steer_is_read_in_the_same_turn(model: Model, fake_midflight: Midflight) -> None:
    scripted = await model(
        [Words("looking"), Wait("go"), ToolCall("Bash", {"command": "ls"})], Text("both done")
    )
    program = await fake_midflight(scripted, "do x", "--json")
    await program.until("text.delta")
    program.tell(type="send", text="also do y", id="m-2")
    await program.until("message.accepted")
    scripted.signal("go")
    steered = await program.until("message.steered")
    assert steered["message"] == "m-2"
    ended = await program.until("turn.ended")
    assert (ended["text"], "m-2" in ended["messages"]) == ("both done", True)
    assert (await program.done()).code == 0


async def test_a_permission_and_a_question_are_answered_by_id(
    model: Model, fake_midflight: Midflight, project: Path
) -> None:
    target = project / "new.txt"
    scripted = await model(
        ToolCall("Write", {"file_path": str(target), "content": "hello"}),
        ToolCall("AskUserQuestion", {"questions": [QUESTION]}),
        Text("done"),
    )
    program = await fake_midflight(scripted, "run", "write", "--json")
    asked = await program.until("permission.requested")
    assert asked["input"] == {"file_path": str(target), "content": "hello"}
    program.tell(type="answer", request=asked["request"], decision="allow")
    question = await program.until("question.requested")
    answers = {"Which database?": "Postgres"}
    program.tell(type="answer", request=question["request"], answers=answers)
    resolved = await program.until("question.resolved")
    assert resolved["answers"] == answers
    assert (resolved["who"]["role"], resolved["who"]["door"]) == ("program", "json")
    await program.until("turn.ended")
    assert (await program.done()).code == 0
    assert target.read_text() == "hello"
    assert "Postgres" in str(scripted.requests[2].tool_results)


@fault("I2")
async def test_a_line_that_is_no_command_yields_a_notice_and_the_run_continues(
    model: Model, fake_midflight: Midflight
) -> None:
    scripted = await model([Words("a"), Wait("go"), Text("end")])
    program = await fake_midflight(scripted, "run", "work", "--json")
    await program.until("text.delta")
    for line in (b"rubbish\n", b'{"type":"fly"}\n', b"[1]\n", b"\xff\xfe\n", b"\n"):
        program.write(line)
    program.tell(type="answer", request="r-0", id="c-9")
    levels = [await program.until("notice") for _ in range(5)]
    assert [each["level"] for each in levels] == ["error"] * 5
    assert levels[4]["command"] == "c-9"
    scripted.signal("go")
    assert (await program.until("turn.ended"))["status"] == "completed"
    assert (await program.done()).code == 0


@fault("I2")
async def test_a_line_over_16_megabytes_is_refused_and_the_run_continues(
    model: Model, fake_midflight: Midflight
) -> None:
    scripted = await model([Words("a"), Wait("go"), Text("end")])
    program = await fake_midflight(scripted, "run", "work", "--json")
    await program.until("text.delta")
    program.write(b'{"type":"send","text":"' + b"x" * (17 * 1024 * 1024) + b'"}\n')
    assert "was not read" in (await program.until("notice"))["text"]
    scripted.signal("go")
    assert (await program.done()).code == 0


async def test_while_the_input_is_open_the_session_stays_and_close_ends_it(
    model: Model, fake_midflight: Midflight
) -> None:
    program = await fake_midflight(await model(Text("one"), Text("two")), "run", "first", "--json")
    await program.until("turn.ended")
    program.tell(type="send", text="second")
    assert (await program.until("turn.ended"))["text"] == "two"
    program.tell(type="close")
    await program.until("session.ended")
    assert await program.process.wait() == 0


async def test_once_the_input_has_ended_a_request_is_denied_at_once(
    model: Model, fake_midflight: Midflight, project: Path
) -> None:
    write = ToolCall("Write", {"file_path": str(project / "new.txt"), "content": "hello"})
    program = await fake_midflight(await model(write, Text("I may not")), "run", "write", "--json")
    asked = await program.until("permission.requested")
    assert asked["deadline"] is None
    code, out, _ = await program.done()
    resolved = [event for event in events(out) if event["type"] == "permission.resolved"]
    assert [(each["decision"], each["by"]) for each in resolved] == [("deny", "policy")]
    assert code == 0


async def test_the_model_is_switched_and_an_interrupt_ends_with_130(
    model: Model, fake_midflight: Midflight
) -> None:
    scripted = await model(Text("one"), [Words("two"), Wait("never")])
    program = await fake_midflight(scripted, "run", "first", "--json")
    await program.until("turn.ended")
    program.tell(type="set_model", model="opus")
    assert "opus" in (await program.until("notice"))["text"]
    program.tell(type="send", text="second")
    await program.until("text.delta")
    program.tell(type="interrupt")
    assert (await program.until("turn.ended"))["reason"] == "interrupted"
    assert (await program.done()).code == 130
    assert "opus" in scripted.requests[1].model


async def test_a_redirect_stops_the_turn_and_starts_its_own(
    model: Model, fake_midflight: Midflight
) -> None:
    scripted = await model([Words("wrong way"), Wait("never")], Text("right way"))
    program = await fake_midflight(scripted, "run", "first", "--json")
    await program.until("text.delta")
    program.tell(type="redirect", text="not that way")
    assert (await program.until("turn.ended"))["reason"] == "redirected"
    assert (await program.until("turn.ended"))["text"] == "right way"
    assert (await program.done()).code == 0


async def test_sigint_ends_the_run_also_while_the_input_is_open(
    model: Model, fake_midflight: Midflight
) -> None:
    program = await fake_midflight(
        await model([Words("a"), Wait("never")]), "run", "work", "--json"
    )
    await program.until("text.delta")
    program.process.send_signal(signal.SIGINT)
    assert (await program.until("turn.ended"))["reason"] == "interrupted"
    await program.until("session.ended")
    async with asyncio.timeout(60):
        assert await program.process.wait() == 130


def test_blank_lines_are_no_commands_and_the_last_needs_no_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("midflight.commands.MAX_COMMAND_BYTES", 10)
    monkeypatch.setattr("midflight.cli.jsonl.CHUNK_BYTES", 3)
    source = tmp_path / "input"
    source.write_bytes(b"one\ntwo\n\n  \nthree\r\n" + b"x" * 12 + b"\nlast")
    with source.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        lines = list(_read_lines())
    assert lines == [b"one", b"two", b"three", None, b"last"]


@fault("S6")
@pytest.mark.parametrize("char", ["\x9b", "\u202e", "\u2028", "\U000e0041", "é", "😀"])
def test_json_keeps_the_text_and_cannot_drive_a_terminal(char: str) -> None:
    line = json_line(e.encode(e.Text(text=f"a{char}b")))
    assert json.loads(line)["text"] == f"a{char}b"
    assert (char.encode() in line) == (char in "é😀")


async def test_run_is_quiet_at_the_end_though_its_first_events_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads its stream before the input has ended."""
    monkeypatch.setattr("midflight.session.session.EventLog", functools.partial(EventLog, 5))
    async with (
        FakeModel(lambda _: Text("done")) as fake,
        dispatch("one", agent="fake", cwd=tmp_path, env=fake.env(tmp_path)) as session,
    ):
        for _ in range(3):
            await (await session.send("more")).result()
        assert session.oldest_seq > 5
        async with asyncio.timeout(60):
            await _quiet(session)
        assert session.status == "idle"
