from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from tests.faults.manifest import fault

from midflight import InvalidInput
from midflight.cli.command_table import MCP_CLIENTS
from midflight.cli.install.mcp import plan
from midflight.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder; there is a home beside it."""
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", "")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def install(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["mcp", "install", *arguments])
    return ended.value.code


@pytest.mark.parametrize(
    ("client", "project", "home", "keys"),
    [
        ("claude", ".mcp.json", ".claude.json", ("mcpServers", "midflight", "command")),
        ("opencode", "opencode.json", ".config/opencode/opencode.json", ("mcp", "midflight")),
        ("codex", ".codex/config.toml", ".codex/config.toml", ("mcp_servers", "midflight")),
        ("cursor", ".cursor/mcp.json", ".cursor/mcp.json", ("mcpServers", "midflight")),
        ("vscode", ".vscode/mcp.json", ".config/Code/User/mcp.json", ("servers", "midflight")),
    ],
)
def test_install_writes_where_each_program_looks(
    folder: Path, client: str, project: str, home: str, keys: tuple[str, ...]
) -> None:
    for path, user in ((folder / project, []), (folder.parent / "home" / home, ["--user"])):
        assert install(client, *user) == 0
        text = path.read_text()
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        for key in keys:
            found = found[key]
        assert "midflight" in str(found)
        assert install(client, *user) == 0
        assert path.read_text() == text
        assert [other.name for other in path.parent.glob("*.bak")] == []


def test_install_keeps_other_settings_and_shows_the_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / ".mcp.json"
    old = {"other": "ä", "mcpServers": {"mine": {"command": "x"}, "midflight": {"env": {"A": "1"}}}}
    path.write_text(json.dumps(old))
    path.chmod(0o640)
    assert install("claude", "--may-answer") == 0
    new = json.loads(path.read_text())
    assert (new["other"], new["mcpServers"]["mine"]) == ("ä", {"command": "x"})
    ours = new["mcpServers"]["midflight"]
    assert (ours["args"], ours["env"]) == (["mcp", "--may-answer", "everything"], {"A": "1"})
    (backup,) = folder.glob(".mcp.json.*.bak")
    assert json.loads(backup.read_text()) == old
    assert {each.stat().st_mode & 0o777 for each in (path, backup)} == {0o640}
    shown = capsys.readouterr().out
    assert '+        "--may-answer"' in shown
    assert str(backup) in shown


V1: dict[str, object] = {"mcp": {"mine": {"type": "local", "command": ["x"]}}}
V2: dict[str, object] = {"mcp": {"servers": {"mine": {"type": "local", "command": ["x"]}}}}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (V1, ["mcp"]),
        (V2, ["mcp", "servers"]),
        ({}, ["mcp"]),
        ({"provider": {}}, ["mcp"]),
        ({"providers": {}}, ["mcp", "servers"]),
        ({"permissions": [], "mcp": {}}, ["mcp", "servers"]),
        ({"mcp": {"timeout": {"catalog": 1}}}, ["mcp", "servers"]),
        ({"mcp": {"servers": {"type": "local", "command": ["x"]}}}, ["mcp"]),
        ({"agents": {}, **V1}, ["mcp"]),
    ],
)
def test_install_writes_the_shape_that_opencodes_file_has(
    folder: Path, settings: dict[str, object], where: list[str]
) -> None:
    path = folder / "opencode.json"
    path.write_text(json.dumps(settings))
    assert install("opencode") == 0
    found = json.loads(path.read_text())
    for key in where:
        found = found[key]
    entry = found["midflight"]
    if where == ["mcp"]:
        assert (entry["enabled"], entry["timeout"]) == (True, 660_000)
    else:
        assert entry.keys() == {"type", "command", "timeout"}
        assert entry["timeout"] == {"execution": 660_000}
        assert "midflight" not in json.loads(path.read_text())["mcp"]
    assert install("opencode") == 0
    assert len(list(folder.glob("*.bak"))) == 1


def test_install_adds_nothing_to_a_file_that_mixes_both_shapes_of_opencode(folder: Path) -> None:
    path = folder / "opencode.json"
    path.write_text(json.dumps({"mcp": {**V1["mcp"], **V2["mcp"]}}))  # type: ignore[dict-item]
    with pytest.raises(InvalidInput, match="mixes the settings of OpenCode 1 and 2"):
        plan("opencode", folder, user=False)


def test_shape_of_a_file_with_comments_is_named_too(folder: Path) -> None:
    (folder / "opencode.jsonc").write_text('{"providers": {}, // mine\n}')
    with pytest.raises(InvalidInput, match=r"below 'mcp\.servers'"):
        plan("opencode", folder, user=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mcpServers": {},\n  "x": }', r"\.mcp\.json:2:8 is not JSON: Expecting value"),
        ('{"x": 1, // mine\n}', r"\.mcp\.json:1:10 has comments"),
        ('{"mcpServers": []}', "something else than an object at 'mcpServers'"),
        ("[]", "something else than an object at 'mcpServers', or around it"),
    ],
)
def test_file_that_cannot_be_changed_says_where_and_why(folder: Path, text: str, said: str) -> None:
    (folder / ".mcp.json").write_text(text)
    with pytest.raises(InvalidInput, match=said):
        plan("claude", folder, user=False)
    assert (folder / ".mcp.json").read_text() == text


@fault("S4")
def test_install_writes_a_url_as_it_is_and_never_a_password(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install("claude", "--journal", "postgresql://ada:hunter22@db/team") == 2
    assert [*folder.iterdir()] == []
    said = capsys.readouterr()
    assert "hunter22" not in said.out + said.err
    assert "PGPASSFILE" in said.err
    for given, written in (("postgresql://ada@db/team",) * 2, ("here", str(folder / "here"))):
        assert install("claude", "--journal", given) == 0
        ours = json.loads((folder / ".mcp.json").read_text())["mcpServers"]["midflight"]
        assert ours["args"] == ["mcp", "--journal", written]


def test_install_keeps_comments_in_toml_and_replaces_an_old_table(folder: Path) -> None:
    path = folder / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(
        '# mine\nmodel = "x"\n\n[mcp_servers.midflight]\ncommand = "old"\n\n[other]\na = 1\n'
    )
    assert install("codex") == 0
    text = path.read_text()
    assert text.startswith('# mine\nmodel = "x"\n')
    settings = tomllib.loads(text)
    assert settings["other"] == {"a": 1}
    assert settings["mcp_servers"]["midflight"]["args"] == ["mcp"]
    assert "MIDFLIGHT_SESSION" in settings["mcp_servers"]["midflight"]["env_vars"]


@pytest.mark.parametrize("text", ['{"a": 1, // why\n}', "[]", '{"mcp": 3}'])
def test_file_that_would_be_spoiled_is_left_alone(folder: Path, text: str) -> None:
    path = folder / "opencode.jsonc"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="add this"):
        plan("opencode", folder, user=False)
    assert install("opencode") == 2
    assert path.read_text() == text


def test_install_can_print_without_writing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for client in MCP_CLIENTS:
        assert install(client, "--print") == 0
        assert "midflight" in capsys.readouterr().out
    assert list(folder.iterdir()) == []
