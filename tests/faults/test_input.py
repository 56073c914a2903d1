"""Bad and hostile input of users and programs."""

from __future__ import annotations

import asyncio
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read, until
from tests.support.faults import Fake, Models, Use, agents

import midflight
from midflight import commands
from midflight.testing import HttpError, Silence, Text, ToolCall, Wait, Words
from midflight.values import Who

pytestmark = pytest.mark.anyio

HARD_TEXT = "NUL \0 bidi \u202e\u2066 combining e\u0301 emoji \U0001f9d1\u200d\U0001f680 \x1b[31m"
"""What is text, but hard to carry."""


# Text ---------------------------------------------------------------------------------------


@fault("I1")
@pytest.mark.parametrize("text", ["", " \n\t", "\u2003"])
def test_blank_task_is_refused_and_makes_no_session(text: str) -> None:
    with pytest.raises(midflight.InvalidInput, match="empty"):
        midflight.dispatch(text)


@fault("I1", "I2", "I3")
async def test_running_session_refuses_bad_texts_without_a_trace(fake: Fake) -> None:
    _, options = await fake([Text("only this")])
    huge = "x" * 20 * 1024 * 1024
    async with midflight.open(**options) as session:
        for text, complaint in (("", "empty"), (huge, "20971520 bytes"), ("\ud800", "surrogate")):
            for call in (session.send, session.redirect):
                with pytest.raises(midflight.InvalidInput, match=complaint):
                    await call(text)
        assert not session.queued
        assert (await ended(await session.send("go"))).text == "only this"
        assert len(of(midflight.MessageAccepted, await read(session))) == 1


@fault("I2", "M7")
async def test_text_too_long_for_the_model_fails_its_turn_by_name(
    scripted_model: Models, use: Use
) -> None:
    # Claude Code then asks for a summary by itself, before it goes on.
    model = await scripted_model(lambda _: Text("read"))
    async with midflight.open(**use(model)) as session:
        result = await ended(await session.send("a long story " * 750_000))
        assert (result.status, result.reason) == ("failed", "context_full")
        assert (await ended(await session.send("a short story"))).text == "read"


@fault("I2")
@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"type":"answer","request":"r","input":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"type":"send","text":"' + b"x" * 20_000_000 + b'"}',
        b'{"type":"send","text":7}',
        b'{"type":"send","text":"\xff"}',
        b"\xff\xfe",
        b"",
    ],
    ids=["deep list", "deep input", "20 MB", "wrong type", "no UTF-8", "no text", "nothing"],
)
def test_absurd_command_is_refused_with_an_error_of_ours(line: bytes) -> None:
    with pytest.raises(midflight.InvalidInput):
        commands.decode(line)


@fault("I2")
def test_command_with_a_million_keys_costs_bounded_memory() -> None:
    keys = ",".join(f'"k{n}":1' for n in range(1_000_000))
    line = f'{{"type":"interrupt",{keys}}}'.encode()
    tracemalloc.start()
    try:
        with pytest.raises(midflight.InvalidInput, match="interrupt has no field 'k0'"):
            commands.decode(line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@fault("I3")
async def test_hard_text_makes_the_exact_round_trip(scripted_model: Models, use: Use) -> None:
    model = await scripted_model([Text(HARD_TEXT)])
    async with midflight.dispatch(HARD_TEXT, **use(model)) as session:
        events = await read(session)
    assert model.requests[0].last_user_text == HARD_TEXT
    assert of(midflight.TurnEnded, events)[0].text == HARD_TEXT
    for event in events:
        assert midflight.events.decode(midflight.events.encode(event)) == event
    accepted = json.loads(midflight.events.encode(of(midflight.MessageAccepted, events)[0]))
    assert accepted["text"] == HARD_TEXT


COMMANDS = ["/config autoCompact=false", "/clear", "@{secret} ?", '@"{secret}"', "!touch {ran}"]
"""What an agent obeys that is typed at its own terminal: nothing of it asks for leave."""


@fault("I3")
async def test_text_that_nobody_typed_is_no_command_of_the_agent(
    scripted_model: Models, use: Use, tmp_path: Path, claude_home: Path
) -> None:
    """A text of a program or of another agent may come from anywhere; a person's is obeyed."""
    secret, ran = tmp_path / "secret", tmp_path / "ran"
    secret.write_text("the secret", encoding="utf-8")
    texts = [each.format(secret=secret, ran=ran) for each in COMMANDS]
    model = await scripted_model([Text("ok")] * (len(texts) + 1))
    async with midflight.open(**use(model)) as session:
        for number, text in enumerate(texts):
            assert (await ended(await session.send(text))).text == "ok"
            assert model.requests[number].last_user_text == text
        assert "the secret" not in str(model.requests)
        settings = claude_home / ".claude" / "settings.json"
        assert not settings.exists()
        assert not ran.exists()
        user = Who(role="user", door="terminal")
        await session.command(commands.Send(text=f"@{secret}", id="mine"), who=user)
        await read(session)
        assert "the secret" in str(model.requests[-1].messages)


@fault("I3")
async def test_tool_output_that_is_no_text_harms_nothing(scripted_model: Models, use: Use) -> None:
    bash = ToolCall("Bash", {"command": r"printf 'a\377\000\355\240\200z'"})
    model = await scripted_model([bash, Text("done")])
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        events = await read(session)
    (tool,) = of(midflight.ToolEnded, events)
    assert tool.output.startswith("a")
    assert tool.output.endswith("z")
    for event in events:
        midflight.events.encode(event).decode()


# Options that look like something else --------------------------------------------------------


@fault("I4")
@pytest.mark.parametrize("value", ["--settings=/tmp/x", "-c", "--dangerously-skip-permissions"])
@pytest.mark.parametrize("name", ["model", "resume", "name", "effort", "agent"])
def test_value_that_looks_like_an_option_is_refused(name: str, value: str) -> None:
    with pytest.raises(midflight.InvalidOption, match=f"^{name}: .*looks like"):
        midflight.Options.build(**{name: value})


@fault("I4")
@pytest.mark.parametrize("name", ["allowed_tools", "disallowed_tools", "skills", "setting_sources"])
def test_item_that_looks_like_an_option_is_refused(name: str) -> None:
    options: dict[str, Any] = {name: ["Read", "--settings=/tmp/x"]}
    with pytest.raises(midflight.InvalidOption, match=f"^{name}: .*looks like"):
        midflight.dispatch("go", **options)


@fault("I4")
async def test_text_and_folders_that_look_like_options_stay_what_they_are(
    scripted_model: Models, use: Use, project: Path
) -> None:
    folder = project / "--help"
    folder.mkdir()
    model = await scripted_model([Text("fine")])
    options = use(model, system_prompt="--version", add_dirs=[folder]) | {"cwd": folder}
    async with midflight.dispatch("--help", **options) as session:
        arguments = agents()[0].cmdline()
        assert (await ended(session.first)).text == "fine"
    assert not any("--version" in argument for argument in arguments)
    assert f"--add-dir={folder}" in arguments
    assert model.requests[0].last_user_text == "--help"
    assert "--version" in model.requests[0].system


# The working directory ----------------------------------------------------------------------


@fault("I5")
def test_unusable_working_directory_is_refused_at_dispatch(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for cwd, complaint in (
        (tmp_path / "nowhere", "does not exist"),
        (file, "is not a folder"),
        (file / "below", "does not exist"),
        ("a\0b", "NUL"),
        ("x" * 5000, "cannot be used"),
        ("", "expected a folder"),
    ):
        with pytest.raises(midflight.InvalidOption, match=complaint):
            midflight.dispatch("go", cwd=cwd)


@fault("I5")
@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every directory")
def test_unreadable_working_directory_is_refused_at_dispatch(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0)
    with pytest.raises(midflight.InvalidOption, match="cannot be read"):
        midflight.dispatch("go", cwd=secret)


@fault("I5")
async def test_vanished_working_directory_fails_the_tool_and_not_the_session(
    scripted_model: Models, use: Use, project: Path
) -> None:
    model = await scripted_model(
        [[Wait("gone"), ToolCall("Bash", {"command": "pwd"})], Text("it is gone"), Text("still")]
    )
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        await model.reached("gone")
        os.rmdir(project)  # noqa: PTH106 - a moment of no consequence
        model.signal("gone")
        events = await read(session)
        assert [tool.status for tool in of(midflight.ToolEnded, events)] == ["failed"]
        assert of(midflight.TurnEnded, events)[0].text == "it is gone"
        assert (await ended(await session.send("and now?"))).text == "still"


@fault("I5", "A2")
async def test_agent_that_cannot_restart_fails_the_message_and_not_its_owner(
    scripted_model: Models, use: Use, project: Path
) -> None:
    model = await scripted_model([Text("one"), Text("two")])
    async with midflight.dispatch("go", **use(model)) as session:
        await ended(session.first)
        (agent,) = agents()
        agent.kill()
        away = f"{project}-away"
        os.rename(project, away)  # noqa: PTH104 - a moment of no consequence
        result = await ended(await session.send("are you there?"))
        assert (result.status, result.reason) == ("failed", "agent_died")
        os.rename(away, project)  # noqa: PTH104 - a moment of no consequence
        assert (await ended(await session.send("and now?"))).text == "two"


# Answers ------------------------------------------------------------------------------------


@fault("I6")
async def test_second_answer_is_told_the_first_which_stands(fake: Fake, project: Path) -> None:
    _, options = await fake([ToolCall("Bash", {"command": "touch here"}), Text("done")])
    async with midflight.dispatch("go", attended=True, **options) as session:
        asked = await until(session, midflight.PermissionRequested)
        outcomes = await asyncio.gather(
            session.answer(asked, "deny", reason="no"),
            session.answer(asked, "allow"),
            return_exceptions=True,
        )
        assert outcomes[0] is None
        assert isinstance(outcomes[1], midflight.AlreadyAnswered)
        assert (outcomes[1].decision, outcomes[1].by) == ("deny", "user")
        events = await read(session)
        assert len(of(midflight.PermissionResolved, events)) == 1
        with pytest.raises(midflight.AlreadyAnswered):
            await session.answer(asked)
        with pytest.raises(midflight.NotFound):
            await session.answer("nobody asked")
        await session.submit(commands.Answer(request="nobody asked", id="c7"))
        assert of(midflight.Notice, await read(session))[-1].command == "c7"
    assert not (project / "here").exists()


# Messages in every phase ----------------------------------------------------------------------


@fault("I7")
async def test_messages_to_a_starting_session_arrive_once_and_in_order(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([Text("one"), Text("two"), Text("three")])
    async with midflight.dispatch("first", **use(model)) as session:
        second = await session.send("second", "queue")
        third = await session.send("third", "queue")
        assert [(await ended(each)).text for each in (session.first, second, third)] == [
            "one",
            "two",
            "three",
        ]
    assert [request.last_user_text for request in model.requests] == ["first", "second", "third"]


@fault("I7")
async def test_failed_session_takes_a_redirect_and_a_closed_one_nothing(fake: Fake) -> None:
    _, options = await fake([HttpError(402), Text("better")])
    async with midflight.dispatch("go", **options) as session:
        assert (await ended(session.first)).status == "failed"
        assert (await ended(await session.redirect("again"))).text == "better"
    for call in (
        session.send("more"),
        session.redirect("more"),
        session.interrupt(),
        session.set_model("sonnet"),
        session.answer("r"),
    ):
        with pytest.raises(midflight.SessionClosed):
            await call
    await session.close()
    assert session.status == "closed"


@fault("I8")
async def test_interrupt_while_idle_has_no_effect(fake: Fake) -> None:
    _, options = await fake([Text("one"), Text("two")])
    async with midflight.dispatch("go", **options) as session:
        await ended(session.first)
        await asyncio.gather(session.interrupt(), session.interrupt())
        assert session.status == "idle"
        assert (await ended(await session.send("more"))).text == "two"


@fault("I8")
async def test_two_interrupts_are_one(scripted_model: Models, use: Use) -> None:
    model = await scripted_model([[Words("and so"), Silence()], Text("two")])
    async with midflight.dispatch("go", **use(model)) as session:
        await until(session, midflight.TextDelta)
        await asyncio.gather(session.interrupt(), session.interrupt())
        assert (await ended(session.first)).status == "interrupted"
        assert (await ended(await session.send("more"))).text == "two"
        assert len(of(midflight.TurnEnded, await read(session))) == 2


@fault("I8")
async def test_interrupt_ends_the_turn_and_the_request_that_waits(
    fake: Fake, project: Path
) -> None:
    _, options = await fake([ToolCall("Bash", {"command": "touch here"}), Text("two")])
    async with midflight.dispatch("go", attended=True, **options) as session:
        asked = await until(session, midflight.PermissionRequested)
        await session.interrupt()
        assert not session.pending
        assert (await ended(session.first)).status == "interrupted"
        with pytest.raises(midflight.AlreadyAnswered, match="cancelled"):
            await session.answer(asked)
        assert (await ended(await session.send("more"))).text == "two"
    assert not (project / "here").exists()


@fault("I8")
async def test_interrupt_during_the_start_ends_the_first_message_alone(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model(lambda _: Text("two"))
    async with midflight.dispatch("go", **use(model)) as session:
        await session.interrupt()
        result = await ended(session.first)
        assert (result.status, result.reason) == ("interrupted", "interrupted")
        assert (await ended(await session.send("more"))).text == "two"


@fault("I8")
async def test_same_id_twice_is_one_message_and_another_text_is_refused(fake: Fake) -> None:
    model, options = await fake([[Wait("on"), Text("once")]])
    async with midflight.open(**options) as session:
        first = await session.send("go", id="a1")
        assert await session.send("go", id="a1") is first
        with pytest.raises(midflight.Conflict, match="another text"):
            await session.send("go elsewhere", id="a1")
        await model.reached("on")
        assert await session.redirect("go", id="a1") is first
        model.signal("on")
        assert (await ended(first)).text == "once"
        events = await read(session)
        assert len(of(midflight.MessageAccepted, events)) == 1
        assert len(of(midflight.TurnEnded, events)) == 1
