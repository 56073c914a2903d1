from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midflight.agents.acp.content import AcpCall
from midflight.agents.acp.effects import effects_of_call
from midflight.agents.claude.effects import TOOLS as CLAUDE
from midflight.agents.opencode.v1.effects import TOOLS as OPENCODE
from midflight.agents.shared import effects as shared
from midflight.agents.shared.effects import effects_of
from midflight.effects import (
    CommandEffect,
    EditEffect,
    FetchEffect,
    OtherEffect,
    ReadEffect,
    rule_of,
)


def one(name: str, arguments: dict[str, Any], cwd: Path, tools: Any = OPENCODE) -> Any:
    (effect,) = effects_of(tools, name, arguments, cwd)
    return effect


def test_a_command_runs_in_the_folder_that_it_names(tmp_path: Path) -> None:
    assert one("bash", {"command": "ls"}, tmp_path) == CommandEffect(
        command="ls", cwd=str(tmp_path)
    )
    there = one("bash", {"command": "ls", "workdir": "sub/../other"}, tmp_path)
    assert there == CommandEffect(command="ls", cwd=str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("tools", "name", "arguments"),
    [
        (OPENCODE, "write", {"filePath": "a", "content": "real", "new_string": "harmless"}),
        (OPENCODE, "write", {"file_path": "a", "content": "x"}),
        (OPENCODE, "bash", {"command": "rm -r x", "command: ls\n": ""}),
        (OPENCODE, "bash", {"command": ["ls"]}),
        (OPENCODE, "bash", {"command": "ls", "timeout": True}),
        (OPENCODE, "bash", {}),
        (OPENCODE, "Bash", {"command": "ls"}),
        (OPENCODE, "server_tool", {"path": "a"}),
        (CLAUDE, "Bash", {"command": "ls", "dangerouslyDisableSandbox": True}),
        (CLAUDE, "Write", {"file_path": "a", "content": "x", "filePath": "b"}),
        (CLAUDE, "Write", {"file_path": "~/a", "content": "x"}),
        (CLAUDE, "Write", {"file_path": "a\0b", "content": "x"}),
        (CLAUDE, "Write", {"file_path": "", "content": "x"}),
    ],
)
def test_an_input_that_is_not_known_for_certain_is_shown_raw(
    tools: Any, name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    assert one(name, arguments, tmp_path, tools) == OtherEffect(input=arguments)


def test_a_link_is_shown_with_where_it_leads(tmp_path: Path) -> None:
    outside, cwd = tmp_path / "outside", tmp_path / "cwd"
    outside.mkdir()
    cwd.mkdir()
    (outside / "secret").write_text("x")
    (cwd / "link").symlink_to(outside)
    effect = one("read", {"filePath": "link/secret"}, cwd)
    assert effect == ReadEffect(path=str(cwd / "link/secret"), target=str(outside / "secret"))
    assert one("read", {"filePath": "plain"}, cwd).target is None


def test_a_folder_reached_through_a_link_makes_no_target(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "way").symlink_to(real)
    assert one("read", {"filePath": "a"}, tmp_path / "way").target is None


def test_a_parent_of_a_link_is_not_guessed(tmp_path: Path) -> None:
    """The text says ``cwd/passwd``; to the system it is beside the link's target."""
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "link").symlink_to(tmp_path / "far" / "deep")
    arguments = {"filePath": "link/../passwd"}
    assert one("read", arguments, tmp_path / "cwd") == OtherEffect(input=arguments)


def test_a_write_shows_what_changes_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\ntwo\nthree\n")
    effect = one("write", {"filePath": "a", "content": "one\n2\nthree\n"}, tmp_path)
    assert effect.diff == "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three"
    assert (effect.lines, effect.shown_lines) == (5, 5)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_line_ends_at_a_newline_and_nowhere_else(separator: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(f"one{separator}two\n".encode())
    arguments = {"filePath": "a", "oldString": "two", "newString": "2"}
    effect = one("edit", arguments, tmp_path)
    assert effect.diff.split("\n")[1:] == [f"-one{separator}two", f"+one{separator}2"]


def test_a_missing_last_newline_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n")
    effect = one("write", {"filePath": "a", "content": "x"}, tmp_path)
    assert effect.diff.split("\n")[1:] == ["-x", "+x", "\\ no newline at the end"]


@pytest.mark.parametrize(("content", "times"), [("", 0), ("x x", 2)])
def test_an_edit_without_its_place_shows_both_texts(
    content: str, times: int, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text(content)
    effect = one("edit", {"filePath": "a", "oldString": "x", "newString": "y"}, tmp_path)
    assert f"is there {times} times" in effect.diff
    assert "-x" in effect.diff
    assert "+y" in effect.diff


def test_every_occurrence_is_in_the_diff(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\nx\n")
    arguments = {"filePath": "a", "oldString": "x", "newString": "y", "replaceAll": True}
    assert one("edit", arguments, tmp_path).diff.count("+y") == 2


def test_what_is_no_plain_text_is_said_to_be_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, words in (("pipe", "no plain"), ("folder", "no plain"), ("binary", "no text")):
        effect = one("write", {"filePath": name, "content": "new\n"}, tmp_path)
        assert words in effect.diff, name
        assert effect.diff.endswith("+new")


def test_a_long_diff_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "DIFF_BYTES", 100)
    effect = one("write", {"filePath": "a", "content": "line\n" * 1_000}, tmp_path)
    assert effect.lines == 1_001
    assert 0 < effect.shown_lines < 30
    assert len(effect.diff) <= 100


def test_many_changed_lines_are_shown_without_comparing_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("same\n" + "old\n" * 3_000 + "end\n")
    effect = one(
        "write", {"filePath": "a", "content": "same\n" + "new\n" * 3_000 + "end\n"}, tmp_path
    )
    lines = effect.diff.split("\n")
    assert lines[:2] == ["@@ -1,3002 +1,3002 @@", " same"]
    assert (lines.count("-old"), lines.count("+new"), lines[-1]) == (3_000, 3_000, " end")


def test_a_diff_of_an_acp_agent_is_an_edit_and_the_rest_is_raw(tmp_path: Path) -> None:
    diff = {"type": "diff", "path": "a.py", "oldText": "x\n", "newText": "y\n"}
    call = AcpCall("c", kind="edit", title="Edit a.py", content=[diff])
    (edit,) = effects_of_call(call, tmp_path)
    assert isinstance(edit, EditEffect)
    assert (edit.path, edit.diff.split("\n")[1:]) == (str(tmp_path / "a.py"), ["-x", "+y"])
    call = AcpCall("c", kind="execute", title="npm test", input={"command": "npm test"})
    (other,) = effects_of_call(call, tmp_path)
    assert other == OtherEffect(
        input={"kind": "execute", "title": "npm test", "input": {"command": "npm test"}}
    )
    mixed = AcpCall("c", kind="edit", content=[diff, {"type": "content"}])
    assert isinstance(effects_of_call(mixed, tmp_path)[0], OtherEffect)


def test_a_fetch_names_its_address(tmp_path: Path) -> None:
    assert one("webfetch", {"url": "https://a.org", "format": "text"}, tmp_path) == FetchEffect(
        url="https://a.org"
    )


KEYS = st.sampled_from(
    ["command", "filePath", "file_path", "content", "new_string", "newString", "url", "workdir"]
)
VALUES = st.one_of(st.text(max_size=20), st.booleans(), st.integers(), st.none())


@given(
    tools=st.sampled_from([CLAUDE, OPENCODE]),
    name=st.sampled_from([*CLAUDE, *OPENCODE]),
    arguments=st.dictionaries(st.one_of(KEYS, st.text(max_size=8)), VALUES, max_size=5),
)
def test_any_other_key_or_type_makes_the_raw_input(
    tools: Any, name: str, arguments: dict[str, Any]
) -> None:
    """Whatever comes: either each key is one that the tool obeys, or all of it is shown."""
    (effect,) = effects_of(tools, name, arguments, Path("/nowhere"))
    if not isinstance(effect, OtherEffect):
        assert arguments.keys() <= tools[name].keys.keys()
        assert tools[name].required[0] in arguments
    else:
        assert effect.input == arguments


def test_an_edit_without_an_old_text_takes_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("kept\n")
    edit = {"filePath": "a", "oldString": "", "newString": "new\n"}
    assert one("edit", edit, tmp_path).diff == "@@ -1 +1 @@\n-kept\n+new"


def test_a_file_that_an_acp_agent_calls_new_is_compared_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("kept\n")
    call = AcpCall(id="1")
    call.learn({"kind": "edit", "content": [{"type": "diff", "path": "a", "newText": "new\n"}]})
    (effect,) = effects_of_call(call, tmp_path)
    assert isinstance(effect, EditEffect)
    assert "-kept" in effect.diff


def test_leave_to_read_a_folder_is_for_that_folder_and_none_above(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (tmp_path / "way").symlink_to("sub")
    for name in (".", "../way"):
        effect = one("read", {"filePath": name}, folder)
        assert rule_of([effect], str(folder)) == f"Read({folder}/**)"
    assert not rule_of([one("read", {"filePath": "/"}, folder)], str(folder))
