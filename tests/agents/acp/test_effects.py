"""What a call of an ACP agent does is believed only where all that the agent says of it agrees."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.acp_agent import Open, ask

from midflight import events as e
from midflight.agents.acp.content import AcpCall, progress_of
from midflight.agents.acp.effects import effects_of_call
from midflight.agents.acp.permissions import AcpPermissions
from midflight.agents.shared.obeyed import protected
from midflight.effects import CommandEffect, EditEffect, OtherEffect, rule_of
from midflight.options import Options

CWD = Path("/nowhere/at-all")
SOON_S = 2.0


def diff(path: str = f"{CWD}/a.py", old: str | None = "a\n", new: str = "b\n") -> dict[str, Any]:
    return {"type": "diff", "path": path, "oldText": old, "newText": new}


def call(**fields: Any) -> AcpCall:
    made = AcpCall("c")
    made.learn({"kind": "edit", "title": "Edit", **fields})
    return made


def nested(inner: dict[str, Any]) -> dict[str, Any]:
    for _ in range(5_000):
        inner = {"x": inner}
    return inner


AGREEING = [
    {},
    {"locations": [{"path": "a.py"}]},
    {"rawInput": {"file_path": "a.py", "old_string": "a\n", "new_string": "b\n"}},
    {"rawInput": {"filePath": f"{CWD}/x/../a.py", "newString": "b\n", "replaceAll": False}},
    {"rawInput": {"path": f"{CWD}/a.py", "content": "b\n"}},
]

DISAGREEING = [
    {"rawInput": {"file_path": "/etc/passwd", "old_string": "a\n", "new_string": "b\n"}},
    {"rawInput": {"file_path": "a.py", "path": "b.py"}},
    {"rawInput": {"file_path": "a.py", "new_string": "evil"}},
    {"rawInput": {"file_path": "a.py", "old_string": "b\n", "new_string": "a\n"}},
    {"rawInput": {"file_path": "a.py", "content": "b\n", "new_string": "evil"}},
    {"rawInput": {"file_path": "a.py", "replace_all": True}},
    {"rawInput": {"file_path": "a.py", "mode": 493}},
    {"rawInput": {"file_path": ["a.py"]}},
    {"rawInput": {"changes": {"/etc/passwd": {"add": {"content": "b\n"}}}}},
    {"rawInput": '{"file_path": "/etc/passwd"}'},
    {"rawInput": ["/etc/passwd"]},
    {"locations": [{"path": "a.py"}, {"path": "b.py"}]},
    {"locations": [{"line": 3}]},
    {"locations": "b.py"},
    {"content": [diff(), {"type": "content", "content": {"type": "text", "text": "and more"}}]},
    {"content": [diff(), diff("b.py")], "rawInput": {"file_path": "a.py", "content": "b\n"}},
    {"content": {"diff": diff()}},
    {"kind": "delete"},
]


@fault("S13")
@pytest.mark.parametrize("fields", AGREEING)
def test_edit_is_one_where_all_that_is_said_agrees(fields: dict[str, Any]) -> None:
    (effect,) = effects_of_call(call(content=[diff()], **fields), CWD)
    assert isinstance(effect, EditEffect)
    assert (effect.path, effect.diff) == (f"{CWD}/a.py", "@@ -1 +1 @@\n-a\n+b")


@fault("S13")
@pytest.mark.parametrize("fields", DISAGREEING)
def test_edit_is_shown_raw_where_something_says_otherwise(fields: dict[str, Any]) -> None:
    effects = effects_of_call(call(**{"content": [diff()], **fields}), CWD)
    (effect,) = effects
    assert isinstance(effect, OtherEffect)
    assert rule_of(effects, str(CWD)) == ""
    for name in ("rawInput", "content"):
        assert name not in fields or str(fields[name]).strip("{}[]") in str(effect.input)


@fault("S13")
def test_several_diffs_are_several_edits_without_a_rule() -> None:
    places = [{"path": "a.py"}, {"path": "b.py"}]
    effects = effects_of_call(call(content=[diff(), diff("b.py")], locations=places), CWD)
    assert [each.path for each in effects if isinstance(each, EditEffect)] == [
        f"{CWD}/a.py",
        f"{CWD}/b.py",
    ]
    assert rule_of(effects, str(CWD)) == ""


@fault("S13")
def test_change_that_calls_itself_a_read_is_an_edit() -> None:
    assert call(kind="read", content=[diff()]).kind == "edit"
    assert call(kind="execute", content=[diff()]).kind == "execute"


@fault("S13")
@pytest.mark.parametrize(
    ("fields", "cwd"),
    [
        ({"rawInput": {"command": "rm x", "cwd": "/etc"}}, "/etc"),
        ({"rawInput": {"command": "rm x", "workdir": "sub", "timeout": 5}}, f"{CWD}/sub"),
        ({"rawInput": {"command": "rm x", "directory": f"{CWD}", "description": "x"}}, f"{CWD}"),
        ({"rawInput": {"command": "rm x"}}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": "/etc"}, "title": "Terminal"}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": "/etc"}, "title": "ls"}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": "/a", "workdir": "/b"}}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": 3}}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": "~/x"}}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": "/etc", "sandbox": False}}, "raw"),
        ({"rawInput": {"command": ["rm", "x"], "cwd": "/etc"}}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": "/etc"}, "locations": [{"path": "/tmp"}]}, "raw"),
        ({"rawInput": {"command": "rm x", "cwd": "/etc"}, "content": [diff()]}, "raw"),
    ],
)
def test_command_has_the_folder_that_it_names(fields: dict[str, Any], cwd: str) -> None:
    (effect,) = effects_of_call(call(**{"kind": "execute", "title": "rm x", **fields}), CWD)
    if cwd == "raw":
        assert isinstance(effect, OtherEffect)
        assert effect.input["input"] == fields["rawInput"]
    else:
        assert effect == CommandEffect(command="rm x", cwd=cwd)


@fault("S13")
def test_long_title_that_is_all_an_agent_says_is_shown_whole() -> None:
    title = "echo " + "x" * 500 + "; rm -rf /"
    (effect,) = effects_of_call(call(kind="execute", title=title), CWD)
    assert isinstance(effect, OtherEffect)
    assert effect.input["title"] == title


@fault("S8")
@pytest.mark.parametrize("kind", ["edit", "other"])
@pytest.mark.parametrize(
    "told",
    [
        {"x": [f"x{number}" for number in range(3_000)]},
        {
            "cwd": [f"c{number}" for number in range(900)],
            "x": [f"x{number}" for number in range(90)],
        },
        nested({"path": ".git/config"}),
    ],
    ids=["many texts", "many folders", "deep"],
)
def test_call_with_more_than_can_be_looked_at_is_asked_for(
    tmp_path: Path, kind: str, told: dict[str, Any]
) -> None:
    """And at once: whatever an agent says comes through here while it works."""
    allowed = ["Edit", "Bash", "write_file"]
    permissions = AcpPermissions(Options.build(cwd=tmp_path, agent="acp:x", allowed_tools=allowed))
    permissions.protected = protected(Options.build(cwd=tmp_path))
    asked = call(kind=kind, title="write_file", rawInput=told)
    begun = time.process_time()
    assert permissions.verdict(asked) == "ask"
    assert time.process_time() - begun < SOON_S


@fault("S8")
async def test_disagreeing_call_is_asked_for_and_both_files_are_looked_at(scripted: Open) -> None:
    """With edits accepted; and where `Edit` and `Bash` are allowed, a protected one is."""
    harmless = {"content": [diff("in.py")], "locations": [{"path": "in.py"}]}
    told: dict[str, dict[str, Any]] = {
        "outside": {**harmless, "rawInput": {"file_path": "/etc/passwd", "content": "b\n"}},
        "key": {**harmless, "rawInput": {"changes": {"/etc/passwd": {"add": 1}}}},
        "free": {**harmless, "rawInput": {"file_path": "in.py", "content": "b\n"}},
        "unsure": {**harmless, "rawInput": {"file_path": "in.py", "content": "evil"}},
        "read": {"kind": "read", "content": [diff("/etc/passwd")]},
    }
    guarded: dict[str, dict[str, Any]] = {
        "input": {**harmless, "rawInput": {"file_path": ".git/config", "content": "b\n"}},
        "name": {**harmless, "rawInput": {"changes": {".mcp.json": {"add": 1}}}},
        "text": {**harmless, "rawInput": ".mcp.json"},
        "move": {"kind": "move", "rawInput": {"from": "a", "to": "hooks/x", "cwd": ".git"}},
        "shell": {"kind": "execute", "rawInput": {"cmd": "cp x hooks/y", "workdir": ".git"}},
        "patch": {"kind": "execute", "rawInput": {"cmd": "apply"}, "content": [diff(".mcp.json")]},
        "title": {"kind": "execute", "title": "cp x .mcp.json"},
        "other": {"kind": "other", "title": "write_file", "rawInput": {"to": ".mcp.json"}},
        "elsewhere": {"kind": "execute", "rawInput": {"cmd": "cp x hooks/y", "workdir": "src"}},
    }

    def steps(calls: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            ask(name, **{"kind": "edit", "title": "it", **each}) for name, each in calls.items()
        ]

    def asked(events: list[e.Event]) -> list[str]:
        found = [event for event in events if isinstance(event, e.PermissionRequested)]
        assert {event.rule for event in found if event.call != "read"} <= {""}
        return [event.call for event in found]

    async with scripted(permission_mode="acceptEdits", attended=False) as agent:
        _, events = await agent.run(*steps(told))
        assert asked(events) == [name for name in told if name != "free"]
    async with scripted(
        allowed_tools=["Edit", "Bash", "move", "write_file"], attended=False
    ) as agent:
        _, events = await agent.run(*steps(guarded))
        assert asked(events) == [name for name in guarded if name != "elsewhere"]


def test_only_what_a_call_has_put_out_since_is_its_progress() -> None:
    told = []
    running = AcpCall("c")
    for said in ("one\n", "one\ntwo\n", "one\ntwo\n", "other\n"):
        text = {"type": "content", "content": {"type": "text", "text": said}}
        running.learn({"content": [{"type": "terminal", "terminalId": "t"}, text]})
        told.append(progress_of(running))
    assert told == ["one\n", "two\n", "", "other\n"]
