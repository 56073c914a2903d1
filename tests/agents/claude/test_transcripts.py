"""Files of conversations: made from what is remembered, and what they know beyond that."""

from __future__ import annotations

import json
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest

from midflight.agents.base import Remembered
from midflight.agents.claude import transcripts
from midflight.agents.claude.transcripts import bring_together, project_folder, told
from midflight.errors import AgentFailed

ID = "0617ae21-3248-4e26-a62a-e709188e462f"
OTHER = "9f0325cb-6b96-4d52-8ccb-077af8533ead"
MAIN = f"{ID}.jsonl"
SUB = f"{ID}/subagents/agent-a1.jsonl"


def entry(name: str, **more: Any) -> str:
    """Return an entry with an uuid, as a line."""
    known = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    return json.dumps({"type": "user", "uuid": known, "text": name, **more}, separators=(",", ":"))


ONE, TWO, THREE = entry("one"), entry("two"), entry("three")
MODE = '{"type":"mode"}'


def write(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MAIN
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read(folder: Path, part: str = MAIN) -> list[str]:
    return (folder / part).read_text("utf-8").splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "projects" / "-cwd"


def test_long_name_of_a_folder_is_cut_as_the_program_does() -> None:
    """The hash was seen with version 2.1.330."""
    cwd = Path(f"/tmp/mem-q/ä ö_{'x' * 110}/{'y' * 120}")
    name = project_folder(cwd, {"HOME": "/home/ada"}).name
    assert name == f"-tmp-mem-q-----{'x' * 110}-{'y' * 74}-8e5qgj"


def test_frame_tells_what_was_added_to_which_file() -> None:
    for part in (MAIN, SUB):
        frame = {"filePath": f"/root/.claude/projects/-cwd/{part}", "entries": [{"a": "\0é"}, 3]}
        assert list(told(frame)) == [Remembered(part, ('{"a":"\\u0000é"}',))]


@pytest.mark.parametrize(
    "path",
    [
        f"/p/{ID}/../../{MAIN}x",
        f"/p/{ID}/subagents/../../../../.bashrc",
        f"/p/{ID}/subagents/../{OTHER}.jsonl/x",
        f"/p/{ID}/subagents/a.b.jsonl",
        f"/p/{ID}/tools/a.jsonl",
        "/p/settings.json",
        f"{MAIN}\n",
    ],
)
def test_frame_about_another_file_tells_nothing(path: str) -> None:
    assert list(told({"filePath": path, "entries": [{}]})) == []


def test_missing_files_are_made_for_us_alone(folder: Path) -> None:
    assert bring_together({MAIN: (ONE, MODE, TWO), SUB: (THREE,)}, ID, folder) == []
    assert read(folder) == [ONE, MODE, TWO]
    assert read(folder, SUB) == [THREE]
    assert stat.S_IMODE((folder / MAIN).stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / SUB).parent.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {MAIN, ID}


def test_older_file_is_made_anew_and_a_newer_one_is_told(folder: Path) -> None:
    write(folder, ONE, entry("of a host that was replaced"))
    assert bring_together({MAIN: (ONE, TWO)}, ID, folder) == []
    assert read(folder) == [ONE, TWO]

    write(folder, ONE, TWO, MODE, '{"type":"api-request","x":1}', THREE, '{"type":"us')
    assert bring_together({MAIN: (ONE, TWO)}, ID, folder) == [Remembered(MAIN, (MODE, THREE))]
    assert read(folder)[-1] == '{"type":"us'


def test_file_that_knows_no_more_is_left_as_it_is(folder: Path) -> None:
    path = write(folder, ONE, TWO, MODE)
    before = path.stat().st_ino
    assert bring_together({MAIN: (ONE, TWO)}, ID, folder) == []
    assert path.stat().st_ino == before


def test_conversation_begun_elsewhere_is_remembered_from_its_beginning(folder: Path) -> None:
    write(folder, MODE, ONE, TWO)
    assert bring_together({}, ID, folder) == [Remembered(MAIN, (MODE, ONE, TWO), anew=True)]


def test_conversation_whose_beginning_is_not_here_is_not_remembered(folder: Path) -> None:
    assert bring_together({}, ID, folder) is None
    assert bring_together({}, "a title", folder) is None


def test_nothing_of_another_conversation_stays_remembered(folder: Path) -> None:
    memory = {MAIN: (ONE,), f"{OTHER}.jsonl": (TWO,), "../../evil": (THREE,)}
    gone = [Remembered(part, (), anew=True) for part in list(memory)[1:]]
    assert bring_together(memory, ID, folder) == gone
    assert bring_together(memory, None, folder) == [Remembered(MAIN, (), anew=True), *gone]
    assert [path.name for path in folder.parent.rglob("*")] == [folder.name, MAIN]


def test_much_more_than_may_be_remembered_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read a little further, so that whoever keeps it sees that it is too much."""
    monkeypatch.setattr(transcripts, "MEMORY_BYTES", len(ONE))
    write(folder, ONE, TWO, THREE, ONE)
    assert bring_together({}, ID, folder) == [Remembered(MAIN, (ONE, TWO), anew=True)]


def test_folder_behind_a_link_gets_no_file(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    folder.mkdir(parents=True)
    (folder / ID).symlink_to(other)
    with pytest.raises(AgentFailed, match="is reached by a link"):
        bring_together({MAIN: (ONE,), SUB: (TWO,)}, ID, folder)
    assert list(other.rglob("*.jsonl")) == []


def test_folder_that_cannot_be_written_is_an_error(folder: Path) -> None:
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(AgentFailed, match="could not be put where"):
        bring_together({MAIN: (ONE,)}, ID, folder)
