"""``midflight adopt`` on conversations that the plain agents have kept, offline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from tests.cli.conftest import Open, Say, Start, environment

from midflight._util.programs import find_program
from midflight.agents.claude import program as claude
from midflight.testing import ScriptedModel, Text, Wait

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]


async def plain(project: Path, env: Mapping[str, str], *argv: str) -> asyncio.subprocess.Process:
    """Start an agent's own program."""
    return await asyncio.create_subprocess_exec(
        *argv,
        cwd=project,
        env={**env, "PWD": str(project)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def test_conversation_of_plain_claude_goes_on_here(
    model: Model, midflight: Start, terminal: Open, project: Path, claude_home: Path
) -> None:
    scripted = await model(
        Text("Hello **there**.\x1b[2J"), Text("plum"), [Wait("go"), Text("slow")], Text("copied")
    )
    env, program = environment(scripted, claude_home), str(claude.find(None))
    await (await plain(project, env, program, "-p", "Say hello\nand plum")).wait()
    listed = await (await midflight(scripted, "adopt")).done()
    assert (listed.code, listed.err) == (0, "")
    head, row, hint = listed.out.splitlines()
    known, agent, _, words = row.split(maxsplit=3)
    assert (head.split(), agent, words) == (
        ["ID", "AGENT", "AGE", "FIRST", "WORDS"],
        "claude",
        "Say hello and plum",
    )
    assert hint == "to go on with one here: midflight adopt ID"

    shell = await terminal(scripted, "adopt", known[:4])
    await shell.sees("> Say hello\n  and plum")
    await shell.sees("Hello there.")
    await shell.sees("what was said before, in the agent's own program")
    await shell.sees("cost unknown · idle; type")
    shell.types("which word?")
    await shell.sees("plum")
    await shell.sees("turn 1 completed")
    await shell.quits()
    assert "unknown" in shell.text
    assert "\x1b[2J" not in shell.raw
    assert "Say hello" in str(scripted.requests[1].messages)

    again = await (await midflight(scripted, "adopt", known, "go on")).done()
    assert again.err.splitlines() == [
        "midflight: this is the session say-hello-and-plum of midflight already",
        "hint: midflight resume say-hello-and-plum",
    ]

    busy = await plain(project, env, program, "-p", "something slow")
    await scripted.reached("go")
    row = (await (await midflight(scripted, "adopt")).done()).out.splitlines()[1]
    assert row.endswith("(open) something slow")
    done = await (await midflight(scripted, "adopt", row.split()[0], "in a copy")).done()
    assert done.code == 0
    assert done.err == (
        f"midflight: process {busy.pid} has it open, so a copy goes on here and that one stays as"
        " it is\n"
    )
    assert done.out.startswith("copied\n\nResult: completed\n")
    assert "(session unknown)" in done.out
    assert "something slow" in str(scripted.requests[3].messages)
    scripted.signal("go")
    await busy.wait()
    listed = await (await midflight(scripted, "adopt")).done()
    assert [line.split()[0] for line in listed.out.splitlines()[1:-1]] == [row.split()[0]]


async def test_conversation_of_plain_opencode_goes_on_here(
    model: Model, midflight: Start, project: Path, claude_home: Path
) -> None:
    scripted = await model(Text("Hello."), Text("plum"))
    env, program = environment(scripted, claude_home), find_program("opencode")
    if program is None:
        pytest.skip("OpenCode is not installed")
    await (await plain(project, env, str(program), "run", "Say plum")).wait()
    row = (await (await midflight(scripted, "adopt", "--agent", "opencode")).done()).out
    known, agent, _, words = row.splitlines()[1].split(maxsplit=3)
    assert (agent, words) == ("opencode", '(open) "Say plum"')
    done = await (await midflight(scripted, "adopt", known, "which word?")).done()
    assert done.err.endswith("so a copy goes on here and that one stays as it is\n")
    assert done.out.startswith("plum\n\nResult: completed\n")
    assert "(session unknown)" in done.out
    assert "Say plum" in str(scripted.requests[1].messages)


@pytest.fixture
def empty_home(state: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no agent ever been used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ((), 0, ""),
        (("deadbeef", "go on"), 4, "midflight: no conversation here begins with 'deadbeef'"),
        (("", "go on"), 4, "midflight: no conversation here begins with ''"),
        (("--agent", "gemini"), 2, "midflight: conversations of gemini are not found"),
        (("--cwd", "nowhere"), 0, ""),
    ],
)
async def test_adopting_what_is_not_there_is_one_line(
    empty_home: None, say: Say, arguments: tuple[str, ...], code: int, expected: str
) -> None:
    done = await say("adopt", *arguments)
    assert (done.code, done.err.split("\n")[0]) == (code, expected)
    assert done.out.startswith("no conversation of Claude Code or OpenCode") == (code == 0)


async def test_an_agent_cannot_look_through_what_its_user_has_begun(
    state: None, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFLIGHT_SESSION", "0123456789abcdef0123456789abcdef")
    done = await say("adopt")
    assert done.code == 1
    assert done.err.startswith("midflight: an agent cannot adopt what the user has begun")
