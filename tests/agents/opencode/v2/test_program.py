"""How a server of OpenCode 2 is started, and what of a folder it obeys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault

from midflight.agents.opencode.v2 import trust
from midflight.agents.opencode.v2.feed import Connecting, Feed
from midflight.agents.opencode.v2.names import STABLE, Names
from midflight.agents.opencode.v2.program import Launch
from midflight.errors import AgentUnavailable
from midflight.options import Options
from midflight.testing.opencode import OpenCodeServer

SERVER = {"command": "x", "args": ["y"], "env": {"A": "1"}, "timeout": 5}


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def launched(folder: Path, name: str, **options: Any) -> tuple[dict[str, str], Launch]:
    """Return the environment in which a program of this name is started, and its launch."""
    env = {"HOME": str(folder), "OPENCODE_CONFIG_CONTENT": "{}", **options.pop("env", {})}
    path = program(folder, name)
    whole = Options.build(agent="opencode2", cwd=folder, agent_path=path, env=env, **options)
    own = folder / "own"
    own.mkdir()
    launch = Launch.of(whole)
    return launch.environment("word", own), launch


@fault("S12")
def test_stable_gets_its_settings_in_its_own_shape_behind_all_others(tmp_path: Path) -> None:
    theirs = json.dumps({"providers": {"mine": {}}, "share": "auto"})
    env, launch = launched(
        tmp_path,
        "opencode",
        mcp_servers={"good": SERVER},
        system_prompt="You are a gardener.",
        env={"OPENCODE_CONFIG_CONTENT": theirs},
    )
    config = json.loads(env["OPENCODE_CONFIG_CONTENT"])
    assert {config["providers"].keys() == {"mine"}, config["share"]} == {True, "disabled"}
    assert config["permissions"][0] == {"action": "*", "resource": "*", "effect": "ask"}
    assert {"action": "subagent", "resource": "*", "effect": "allow"} in config["permissions"]
    assert config["agents"] == {"build": {"system": "You are a gardener."}}
    server = config["mcp"]["servers"]["good"]
    assert (server["timeout"], server["codemode"]) == ({"execution": 5}, False)
    assert "enabled" not in server
    assert server["environment"]["A"] == "1"
    assert {env["OPENCODE_PASSWORD"], env["OPENCODE_SERVER_PASSWORD"]} == {"word"}
    assert server["environment"]["OPENCODE_PASSWORD"] == ""
    shell = Path(config["shell"]).read_text()
    assert "unset OPENCODE_SERVER_PASSWORD OPENCODE_PASSWORD OPENCODE_CONFIG_CONTENT" in shell
    assert launch.password_file() is None


def test_preview_gets_a_folder_of_settings_beside_the_users_own(tmp_path: Path) -> None:
    mine = tmp_path / ".config" / "opencode" / "opencode.json"
    mine.parent.mkdir(parents=True)
    mine.write_text('{"model": "a/b"}')
    env, launch = launched(tmp_path, "lildax", disallowed_tools=["Bash"])
    folder = Path(env["OPENCODE_CONFIG_DIR"])
    assert (folder / "opencode.json").read_text() == mine.read_text()
    ours = json.loads((folder / "opencode.jsonc").read_text())
    assert ours["permissions"][-1] == {"action": "bash", "resource": "*", "effect": "deny"}
    assert launch.password_file() == tmp_path / ".local/state/opencode/password"


@fault("S7")
def test_folder_that_is_not_trusted_is_kept_out_by_either_name(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "AGENTS.md").write_text("Be kind.")
    options = Options.build(
        agent="opencode2",
        cwd=work,
        agent_path=program(tmp_path, "opencode"),
        env={"HOME": str(tmp_path)},
    )
    launch = Launch.of(options, trusted=False)
    names = ("OPENCODE_CONFIG_PROJECT_DISABLE", "OPENCODE_DISABLE_PROJECT_CONFIG")
    assert [launch.env[name] for name in names] == ["1", "1"]
    assert launch.config["formatter"] is False
    assert launch.config["instructions"] == [str(work / "AGENTS.md")]


@fault("C2")
def test_missing_program_comes_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentUnavailable) as caught:
        Launch.of(Options.build(agent="opencode2", cwd=tmp_path))
    assert caught.value.hint == "npm install -g @opencode/cli"


@fault("C2")
@pytest.mark.parametrize("expected", [None, STABLE])
async def test_server_of_version_1_is_named_and_not_driven(
    opencode_server: OpenCodeServer, expected: Names | None
) -> None:
    feed = Feed(Connecting(expected, None), opencode_server.url, opencode_server.password, bool)
    try:
        with pytest.raises(AgentUnavailable, match=r"OpenCode 1\.18.*opencode2 drives 2") as caught:
            await feed.version()
    finally:
        await feed.close()
    assert caught.value.hint == "--agent opencode drives 1.18 and newer 1.x"


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({"mcp": {"servers": {"x": {"command": ["make"]}}}}, "run", "MCP server x: make"),
        ({"mcp": {"x": {"command": ["make"]}}}, "run", "MCP server x: make"),
        ({"plugins": ["p"]}, "run", "plugins: p"),
        ({"plugin": ["p"]}, "run", "plugin: p"),
        ({"commands": {"c": {}}}, "run", 'commands: {"c":{}}'),
        ({"providers": {"p": {}}}, "redirect", 'providers: {"p":{}}'),
        ({"permissions": [{}]}, "allow", "permissions: [{}]"),
        ({"something": 1}, "use", "something: 1"),
    ],
)
@fault("S7")
def test_settings_of_a_folder_are_at_stake_in_both_shapes(
    settings: dict[str, Any], kind: str, text: str
) -> None:
    found = list(trust.read("opencode.json", json.dumps(settings).encode()))
    assert [(each.kind, each.text) for each in found] == [(kind, text)]


def test_server_of_one_name_in_both_shapes_is_shown_twice() -> None:
    both = {"mcp": {"x": {"command": ["a"]}, "servers": {"x": {"command": ["b"]}}}}
    found = list(trust.read("opencode.json", json.dumps(both).encode()))
    assert [each.text for each in found] == ["MCP server x: a", "MCP server x: b"]
