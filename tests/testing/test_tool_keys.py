from __future__ import annotations

from typing import Any

import pytest

from midflight.agents.claude.effects import TOOLS
from midflight.testing.conformance.tool_keys import differences
from midflight.testing.model.script import ModelRequest

TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", (int, float): "number"}


def offered(**changes: dict[str, Any]) -> list[ModelRequest]:
    """Return a request that offers the tools of the table, with other keys where that is told."""
    tools = []
    for name, tool in TOOLS.items():
        keys: dict[str, Any] = {key: {"type": TYPES[kind]} for key, kind in tool.keys.items()}
        keys |= {key: {"type": "boolean"} for key in tool.widening} | changes.get(name, {})
        keys = {key: schema for key, schema in keys.items() if schema}
        tools.append({"name": name, "input_schema": {"properties": keys}})
    return [ModelRequest("/", {"tools": each}, {}) for each in ([], tools)]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"Bash": {"host": {"type": "string"}}}, ["Bash obeys 'host', which is not known here"]),
        ({"Edit": {"replace_all": None}}, ["Edit has no key 'replace_all' any more"]),
        (
            {"Write": {"content": {"type": "number"}}},
            ["Write takes number for 'content', which is not known here"],
        ),
        ({"Read": {"pages": {"anyOf": []}}}, []),
    ],
)
def test_key_that_only_one_side_has_is_named(
    changes: dict[str, dict[str, Any]], found: list[str]
) -> None:
    assert differences(TOOLS, offered(**changes)) == found


def test_tool_that_is_gone_is_named() -> None:
    assert differences(TOOLS, [])[0] == "the agent has no tool Bash"
