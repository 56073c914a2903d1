from __future__ import annotations

from midflight.agents.opencode.v1.effects import BUILT_IN, TOOLS, OwnTools


def test_tool_that_the_server_names_twice_is_not_opencodes_own() -> None:
    tools = OwnTools([*BUILT_IN, "write", "mine"])
    assert tools.replaced == {"write"}
    assert tools.table("write", seen=True) == {}
    assert tools.table("edit", seen=True) == TOOLS
    assert tools.table("edit", seen=False) == {}


def test_request_before_its_call_is_believed_of_opencodes_own_tools_alone() -> None:
    assert OwnTools(BUILT_IN).table("webfetch", seen=False) == TOOLS
    assert OwnTools([*BUILT_IN, "mine"]).table("webfetch", seen=False) == {}
    assert OwnTools([*BUILT_IN, "mine"]).table("webfetch", seen=True) == TOOLS
