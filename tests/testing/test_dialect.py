"""A script's calls reach each agent in its own words, and Claude as they are."""

from __future__ import annotations

from typing import Any

import pytest

from midflight.testing import ModelRequest, Text, ToolCall
from midflight.testing.model.dialect import offers, translated
from midflight.testing.model.script import Part

CLAUDE = ["Bash", "Read", "mcp__good__shout"]
OPENCODE = ["bash", "read", "good_shout"]


OTHERS = {
    "codex": ["exec_command", "apply_patch", "view_image"],
    "copilot": ["bash", "view", "create", "edit", "grep", "glob", "task", "good-shout"],
    "gemini": ["run_shell_command", "write_file", "read_file", "replace", "mcp_good_shout"],
    "qwen": ["run_shell_command", "write_file", "read_file", "edit", "agent", "todo_write"],
}
"""Some of what other agents offer; they share names."""


def asking(*tools: str) -> ModelRequest:
    return ModelRequest("/v1/messages", {"tools": [{"name": name} for name in tools]}, {})


def said(name: str, given: dict[str, Any]) -> tuple[str, Any]:
    call = translated(ToolCall(name, given, id="c1"), asking(*OPENCODE))
    assert isinstance(call, ToolCall)
    assert call.id == "c1"
    return call.name, call.input


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("Bash", {"command": "ls"}, ("bash", {"command": "ls"})),
        ("Bash", {"command": "ls", "description": "d"}, ("bash", None)),
        (
            "Write",
            {"file_path": "/a", "content": "file_path"},
            ("write", {"filePath": "/a", "content": "file_path"}),
        ),
        (
            "Edit",
            {"file_path": "/a", "old_string": "x", "new_string": "y"},
            ("edit", {"filePath": "/a", "oldString": "x", "newString": "y"}),
        ),
        (
            "Agent",
            {"description": "d", "prompt": "p", "subagent_type": "general-purpose"},
            ("task", {"description": "d", "prompt": "p", "subagent_type": "general"}),
        ),
        (
            "AskUserQuestion",
            {"questions": [{"question": "q", "multiSelect": True}]},
            ("question", {"questions": [{"question": "q", "multiple": True}]}),
        ),
        (
            "TodoWrite",
            {"todos": [{"content": "a", "status": "pending"}]},
            (
                "todowrite",
                {"todos": [{"content": "a", "status": "pending", "priority": "medium"}]},
            ),
        ),
        ("WebFetch", {"url": "u"}, ("webfetch", {"url": "u", "format": "text"})),
        ("mcp__good__shout", {"text": "hi"}, ("good_shout", {"text": "hi"})),
        ("bash", {"command": "ls"}, ("bash", {"command": "ls"})),
        ("unknown", {"a": 1}, ("unknown", {"a": 1})),
    ],
)
def test_tool_call_in_claudes_words_reaches_opencode_in_its_own(
    name: str, given: dict[str, Any], expected: tuple[str, Any]
) -> None:
    spoken, fields = expected
    assert said(name, given) == (spoken, given if fields is None else fields)


WRITE = ToolCall("Write", {"file_path": "/a", "content": "x\ny\n"})
EDIT = ToolCall("Edit", {"file_path": "/a", "old_string": "x", "new_string": "y"})
BASH = ToolCall("Bash", {"command": "ls", "run_in_background": True})
SHOUT = ToolCall("mcp__good__shout", {"text": "hi"})
PATCH = "*** Begin Patch\n*** {} File: /a\n{}\n*** End Patch\n"


@pytest.mark.parametrize(
    ("agent", "call", "name", "given"),
    [
        ("codex", WRITE, "apply_patch", {"input": PATCH.format("Add", "+x\n+y")}),
        ("codex", EDIT, "apply_patch", {"input": PATCH.format("Update", "@@\n-x\n+y")}),
        ("copilot", WRITE, "create", {"path": "/a", "file_text": "x\ny\n"}),
        ("copilot", EDIT, "edit", {"path": "/a", "old_str": "x", "new_str": "y"}),
        ("copilot", SHOUT, "good-shout", {"text": "hi"}),
        ("gemini", WRITE, "write_file", dict(WRITE.input)),
        ("gemini", EDIT, "replace", {"instruction": "change it", **EDIT.input}),
        ("gemini", BASH, "run_shell_command", {"command": "ls", "is_background": True}),
        ("gemini", SHOUT, "mcp_good_shout", {"text": "hi"}),
        ("qwen", EDIT, "edit", dict(EDIT.input)),
        ("qwen", BASH, "run_shell_command", {"command": "ls", "is_background": True}),
        ("qwen", SHOUT, "mcp__good__shout", {"text": "hi"}),
    ],
)
def test_tool_call_in_claudes_words_reaches_each_agent_in_its_own(
    agent: str, call: ToolCall, name: str, given: dict[str, Any]
) -> None:
    said = translated(call, asking(*OTHERS[agent]))
    assert isinstance(said, ToolCall)
    assert (said.name, said.input) == (name, given)


def test_command_reaches_codex_as_one_that_asks_to_leave_its_sandbox() -> None:
    said = translated(BASH, asking(*OTHERS["codex"]))
    assert isinstance(said, ToolCall)
    assert said.name == "exec_command"
    assert (said.input["cmd"], said.input["sandbox_permissions"]) == ("ls", "require_escalated")


@pytest.mark.parametrize("tools", [CLAUDE, [], ["something_else"]])
@pytest.mark.parametrize("part", [ToolCall("Bash", {"command": "ls"}), Text("Bash")])
def test_agent_with_other_tools_gets_calls_untranslated(part: Part, tools: list[str]) -> None:
    assert translated(part, asking(*tools)) is part


@pytest.mark.parametrize("tools", [CLAUDE, OPENCODE])
def test_offered_tools_can_be_asked_by_claudes_name(tools: list[str]) -> None:
    assert offers(asking(*tools), "Bash")
    assert offers(asking(*tools), "mcp__good__shout")
    assert not offers(asking(*tools), "Write")


PATH = {"type": "object", "properties": {"path": {"type": "string"}}}


@pytest.mark.parametrize(
    ("offered", "name", "given", "expected"),
    [
        ("bash", "Bash", {"command": "ls"}, ("bash", {"command": "ls"})),
        ("shell", "Bash", {"command": "ls"}, ("shell", {"command": "ls"})),
        ("write", "Write", {"file_path": "/a"}, ("write", {"path": "/a"})),
        (
            "edit",
            "Edit",
            {"file_path": "/a", "old_string": "x"},
            ("edit", {"path": "/a", "oldString": "x"}),
        ),
        (
            "task",
            "Agent",
            {"subagent_type": "general-purpose"},
            ("task", {"subagent_type": "general"}),
        ),
        (
            "subagent",
            "Agent",
            {"subagent_type": "general-purpose"},
            ("subagent", {"agent": "general"}),
        ),
    ],
)
def test_calls_reach_opencode_2_in_its_words_and_its_preview_in_between(
    offered: str, name: str, given: dict[str, Any], expected: tuple[str, Any]
) -> None:
    tools = [{"name": "read", "input_schema": PATH}, {"name": offered, "input_schema": {}}]
    asked = ModelRequest("/v1/messages", {"tools": tools}, {})
    assert offers(asked, name)
    call = translated(ToolCall(name, given), asked)
    assert isinstance(call, ToolCall)
    assert (call.name, call.input) == expected
