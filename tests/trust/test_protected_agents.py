"""Real agents that try to write what no agent may write unasked, with all that allows edits."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support import protected
from tests.support.events import of, read
from tests.support.faults import Models, Use

import midflight
from midflight.testing import Text, ToolCall

pytestmark = pytest.mark.anyio

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
        protected.check(await read(session), paths, cwd)
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
