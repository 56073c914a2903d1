"""The command line with OpenCode, on the server that the tests of a process share."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.program import Program
from tests.support.terminal import Terminal

from midflight.testing import ScriptedModel, Step, Text, ToolCall, Wait, Words
from midflight.testing.opencode import OpenCodeServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

ESC = "\x1b"


class There:
    """The options that lead to the shared server, and the programs that are given them."""

    def __init__(
        self,
        server: OpenCodeServer,
        scripted_model: Callable[..., Awaitable[ScriptedModel]],
        plain: Callable[..., Awaitable[Program]],
        terminal: Callable[..., Awaitable[Terminal]],
    ) -> None:
        self.cwd = server.cwd
        self._server = server
        self._model = scripted_model
        self._plain = plain
        self._terminal = terminal

    async def model(self, *steps: Step) -> ScriptedModel:
        return await self._model(list(steps), port=self._server.model_port)

    async def starts(self, model: ScriptedModel, task: str, *more: str) -> Program:
        return await self._plain(model, task, *self._options, *more, **self._server.env)

    async def in_a_terminal(self, model: ScriptedModel, task: str, *more: str) -> Terminal:
        return await self._terminal(model, task, *self._options, *more, **self._server.env)

    @property
    def _options(self) -> list[str]:
        return [
            *("--agent", "opencode", "--server-url", self._server.url),
            *("--cwd", str(self._server.cwd)),
        ]


@pytest.fixture
def there(
    opencode_server: OpenCodeServer,
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    midflight: Callable[..., Awaitable[Program]],
    terminal: Callable[..., Awaitable[Terminal]],
) -> There:
    return There(opencode_server, scripted_model, midflight, terminal)


async def test_a_task_prints_text_tools_result_and_cost(there: There) -> None:
    scripted = await there.model(
        [Text("Let me look."), ToolCall("Bash", {"command": "ls"})], Text("Nothing."), Text("Sure.")
    )
    program = await there.starts(scripted, "what is here?", "--then", "sure?")
    code, out, err = await program.done()
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if not line.startswith("Cost: $0.0")]
    assert lines == [
        *("Let me look.", "  [tool] bash ls", "Nothing.", "", "Result: completed"),
        *("", "> sure?", "Sure.", "", "Result: completed"),
    ]


async def test_a_short_model_name_is_reported_in_full(there: There) -> None:
    scripted = await there.model(Text("Here."))
    code, out, _ = await (await there.starts(scripted, "run", "hi", "--model", "haiku")).done()
    assert code == 0
    assert "  [notice] the model 'haiku' means anthropic/claude-haiku-" in out
    assert "haiku" in scripted.requests[0].body["model"]


async def test_an_unknown_model_is_wrong_usage_and_near_names_are_shown(there: There) -> None:
    done = await (await there.starts(await there.model(), "run", "hi", "--model", "sonet")).done()
    assert (done.code, done.out) == (2, "")
    assert done.err == "midflight: --model: OpenCode has no 'sonet'\nhint: did you mean sonnet?\n"


async def test_an_unknown_conversation_is_exit_code_4(there: There) -> None:
    done = await (await there.starts(await there.model(), "go on", "--resume", "ses_none")).done()
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("midflight: no conversation has the id ses_none\nhint: ")


async def test_sigint_stops_the_turn_and_ends_with_130(there: There) -> None:
    scripted = await there.model([Words("working"), Wait("never")])
    program = await there.starts(scripted, "run", "work", "--then", "more")
    await program.reads("working")
    program.process.send_signal(signal.SIGINT)
    code, out, err = await program.done()
    assert (code, err) == (130, "")
    assert "Result: interrupted" in out


async def test_json_works_as_with_any_agent(there: There) -> None:
    scripted = await there.model(ToolCall("Bash", {"command": "touch made"}), Text("I may not."))
    program = await there.starts(scripted, "make it", "--json")
    asked = await program.until("permission.requested")
    assert asked["input"]["command"] == "touch made"
    program.tell(type="answer", request=asked["request"], decision="deny", reason="not now")
    assert (await program.until("turn.ended"))["text"] == "I may not."
    program.tell(type="close")
    assert (await program.done()).code == 0
    assert "not now" in str(scripted.requests[1].tool_results)
    assert not (there.cwd / "made").exists()


async def test_in_a_terminal_it_is_steered_asked_and_stopped(there: There) -> None:
    path = there.cwd / f"{uuid.uuid4().hex}.py"
    path.write_text("x = 1\n")
    scripted = await there.model(
        [Words("I look. "), Wait("typed"), ToolCall("Read", {"file_path": str(path)})],
        ToolCall("Edit", {"file_path": str(path), "old_string": "x = 1", "new_string": "x = 2"}),
        [Words("Changed"), Wait("never")],
    )
    program = await there.in_a_terminal(scripted, "change it")
    await program.sees("anthropic/claude-")
    await program.sees("I look.")
    program.types("only x")
    await program.sees("[steer]")
    scripted.signal("typed")
    await program.sees("leave to use edit")
    await program.sees("-x = 1")
    await program.sees("+x = 2")
    program.types("y")
    await program.sees("Changed")
    assert path.read_text() == "x = 2\n"
    program.keys(ESC)
    await program.sees("turn 1 interrupted")
    program.types("/quit")
    await program.sees("To go on: midflight resume ")
    assert await program.ends() == 130


async def test_what_a_running_command_puts_out_is_seen(there: There) -> None:
    command = "echo first; until [ -e go-on ]; do sleep 0.05; done; echo last; rm go-on"
    scripted = await there.model(ToolCall("Bash", {"command": command}), Text("Well."))
    program = await there.in_a_terminal(scripted, "run it", "--allow", "Bash")
    await program.sees("first output after ")
    await program.sees("    first")
    (there.cwd / "go-on").touch()
    await program.sees("    first\n    last\n")
    await program.sees("turn 1 completed")
    await program.quits()


async def test_a_slow_start_is_reported_and_can_be_stopped(
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    terminal: Callable[..., Awaitable[Terminal]],
    tmp_path: Path,
) -> None:
    never = tmp_path / "opencode"
    never.write_text("#!/bin/sh\nexec sleep 600\n")
    never.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    program = await terminal(
        await scripted_model([]), "run", "hi", "--agent", "opencode", PATH=path
    )
    await program.sees("[starting] opencode")
    program.sends(signal.SIGINT)  # which Ctrl-C is, until the input line is there
    assert await program.ends() == 130


async def test_without_opencode_one_line_names_the_install_command(
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    midflight: Callable[..., Awaitable[Program]],
    tmp_path: Path,
) -> None:
    program = await midflight(
        await scripted_model([]), "run", "hi", "--agent", "opencode", PATH=str(tmp_path)
    )
    code, out, err = await program.done()
    assert (code, out) == (1, "")
    assert err == "midflight: OpenCode is not installed\nhint: npm install -g opencode-ai\n"
