"""The real OpenCode in a folder that has it run and redirect all that a folder can."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support import hostile as h
from tests.support.events import of, read
from tests.support.faults import Models, Use

import midflight
from midflight.agents.opencode.trust import OBEYED
from midflight.effects import OtherEffect
from midflight.options import Options
from midflight.testing import Text, ToolCall
from midflight.testing.plugin import need
from midflight.trust import decision, stake

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def opencode_is_there() -> None:
    need("" if shutil.which("opencode") else "opencode was not found on PATH")


def trust(folder: Path) -> None:
    """Agree to all that is in a folder."""
    decision.record(stake.look(Options.build(cwd=folder), OBEYED))


def without_redirect(options: dict[str, object]) -> dict[str, object]:
    """Have the user's own settings name no address: what the test passes wins over a folder's."""
    env = dict(options["env"])  # type: ignore[call-overload]  # a mapping
    config = json.loads(env["OPENCODE_CONFIG_CONTENT"])
    home = Path(env["HOME"]) / ".config" / "opencode" / "opencode.json"
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text(json.dumps(config))
    env["OPENCODE_CONFIG_CONTENT"] = "{}"
    return {**options, "env": env}


@fault("S7")
@pytest.mark.parametrize("option", [None, pytest.param(False, marks=pytest.mark.long)])
async def test_opencode_runs_and_sends_nothing_of_an_untrusted_folder(
    scripted_model: Models, use: Use, tmp_path: Path, option: bool | None
) -> None:
    sink = await scripted_model([])
    model = await scripted_model([Text("done")])
    folder = h.hostile(tmp_path, sink.url)
    h.opencode(folder)
    h.instructions(folder, "AGENTS.md")
    options = without_redirect(use(model, folder.folder, agent="opencode", trust=option))
    async with midflight.dispatch("go", **options) as session:  # type: ignore[arg-type]  # any
        events = await read(session)
    assert folder.ran == set()
    assert sink.requests == []
    assert h.WORDS in str(model.requests[0].body)
    named = [event.text for event in of(midflight.Notice, events) if "trust" in event.text]
    assert len(named) == (option is None)


@fault("S7")
@pytest.mark.timeout(180)  # it starts twice
async def test_opencode_runs_all_of_a_trusted_folder_and_asks_once(
    scripted_model: Models, use: Use, tmp_path: Path
) -> None:
    """What it writes there itself asks nothing; a module that was planted there does.

    A tool of the folder that has the name of OpenCode's own is not taken for that one.
    """
    call = {"filePath": "a.txt", "content": "x"}
    sink = await scripted_model([ToolCall("write", call), Text("stolen"), Text("again")])
    model = await scripted_model([])
    folder = h.hostile(tmp_path, sink.url)
    marks = h.opencode(folder)
    h.instructions(folder, "AGENTS.md")
    trust(folder.folder)
    options = without_redirect(use(model, folder.folder, agent="opencode", attended=False))
    asked: list[midflight.PermissionRequested] = []
    for _ in range(2):
        async with midflight.dispatch("go", **options) as session:  # type: ignore[arg-type]  # any
            events = await read(session)
        assert not [event for event in of(midflight.Notice, events) if "trust" in event.text]
        assert folder.ran == marks
        asked += of(midflight.PermissionRequested, events)
        assert not [event for event in of(midflight.ToolStarted, events) if event.kind == "edit"]
        for mark in folder.marks.iterdir():
            mark.unlink()
    assert h.WORDS in str(sink.requests[0].body)
    (request,) = asked
    assert request.effects == (OtherEffect(input=request.input),)
    assert request.rule == ""
    assert (folder.folder / ".opencode" / ".gitignore").exists()
    checked = Options.build(cwd=folder.folder)
    assert decision.decide(checked, OBEYED).trusted
    folder.write(".opencode/node_modules/zod/index.js", "planted")
    assert not decision.decide(checked, OBEYED).trusted


async def test_a_skill_that_only_an_untrusted_folder_has_is_an_error(
    scripted_model: Models, use: Use, tmp_path: Path
) -> None:
    folder = h.hostile(tmp_path, "")
    h.opencode(folder)
    model = await scripted_model([])
    options = use(model, folder.folder, agent="opencode", skills=["probe"])
    with pytest.raises(midflight.UnsupportedOption, match=r"^skills: probe .*midflight trust"):
        async with midflight.dispatch("go", **options):
            pass
