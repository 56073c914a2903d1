"""Real agents that try to write what no agent may write unasked, with all that allows edits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support import protected
from tests.support.events import of, read
from tests.support.faults import Models, Use

import midflight
from midflight.commands import Answer
from midflight.testing import Text, ToolCall
from midflight.testing.plugin import need

pytestmark = pytest.mark.anyio

LONG_S = 100.0
"""For a start and a dozen calls on a busy machine."""

SHELL = (
    *("cp evil midflight.toml", "mkdir -p .opencode/plugin", "cd .opencode && touch x"),
    *("echo x > .claude/settings.json", "cp evil way/hooks/pre-push"),
)


@fault("S8")
async def test_claude_writes_no_protected_file_unasked(
    scripted_model: Models, use: Use, tmp_path: Path, claude_home: Path, state: Path
) -> None:
    """With edits accepted, `Write` and `Bash` allowed; then in `dontAsk`; at last in a bypass."""
    cwd = tmp_path / "work"
    protected.folder(cwd)
    paths = protected.places(cwd, claude_home, state)
    script = protected.attempts("Write", "file_path", cwd, paths)
    model = await scripted_model(
        [
            *script,
            *(ToolCall("Bash", {"command": command}) for command in SHELL),
            Text("so much for the shell"),
            *script[-4:],
            *script[-3:],
        ]
    )
    options = use(model, cwd, permission_mode="acceptEdits", allowed_tools=["Write", "Bash"])
    async with midflight.dispatch("go", attended=False, **options) as session:
        protected.check(await read(session, patience_s=LONG_S), paths, cwd)
        await session.send("by the shell")
        asked = of(midflight.PermissionRequested, await read(session))
        assert [event.input["command"] for event in asked] == list(SHELL)
        (cwd / protected.ALLOWED).unlink()
        await session.set_permission_mode("dontAsk")
        await session.send("and now")
        denied = of(midflight.ToolEnded, await read(session))
        assert [event.status for event in denied][-1] == "completed"
        assert {event.status for event in denied[:-1]} <= {"denied", "failed"}
        assert not (state / "trust.json").exists()
        await session.set_permission_mode("bypassPermissions")
        await session.send("all of it")
        await read(session)
        assert (state / "trust.json").read_text() == "evil"


@fault("S8")
@pytest.mark.timeout(180)  # it starts a server, and makes eighteen calls
async def test_opencode_writes_no_protected_file_unasked(
    scripted_model: Models, use: Use, tmp_path: Path, claude_home: Path, state: Path
) -> None:
    """With edits accepted and `Write` allowed; then in `dontAsk`; at last in a bypass.

    That a place outside may be used is another question, which is answered with yes.
    """
    need("" if shutil.which("opencode") else "opencode was not found on PATH")
    cwd = tmp_path / "work"
    protected.folder(cwd)
    paths = protected.places(cwd, claude_home, state)
    script = protected.attempts("write", "filePath", cwd, paths)
    model = await scripted_model([*script, *script[-3:], *script[-3:]])

    def answer(request: midflight.PermissionRequested | midflight.QuestionRequested) -> Answer:
        assert isinstance(request, midflight.PermissionRequested)
        outside = request.reason.startswith("outside the folder")
        return Answer(request=request.request, decision="allow" if outside else "deny")

    options = use(
        model, cwd, agent="opencode", permission_mode="acceptEdits", allowed_tools=["Write"]
    )
    async with midflight.dispatch("go", on_request=answer, **options) as session:
        protected.check(await read(session, patience_s=LONG_S), paths, cwd)
        (cwd / protected.ALLOWED).unlink()
        await session.set_permission_mode("dontAsk")
        await session.send("and now")
        ended = of(midflight.ToolEnded, await read(session))
        assert [event.status for event in ended] == ["denied", "completed"]
        await session.set_permission_mode("bypassPermissions")
        await session.send("all of it")
        await read(session)
        assert paths[-1].read_text() == "evil"
