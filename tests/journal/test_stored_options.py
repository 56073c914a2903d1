from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.faults.manifest import fault
from tests.support.journal import options

from midflight import Options
from midflight.errors import InvalidOption
from midflight.journal import restored, stored
from midflight.options import OWN_SERVER

SERVERS = {
    "local": {"command": "server", "args": ["-v"], "env": {"KEY": "1", "OTHER": "2"}},
    "far": {"type": "http", "url": "http://x", "headers": {"Authorization": "3"}},
}


def _kept(given: Options) -> dict[str, object]:
    """Return what is kept, as it is after a time on disk."""
    kept: dict[str, object] = msgspec.json.decode(msgspec.json.encode(stored(given)))
    return kept


def test_every_option_comes_back(tmp_path: Path) -> None:
    given = options(
        cwd=tmp_path,
        model="sonnet",
        name="fix",
        max_turns=3,
        max_budget_usd=0.5,
        timeout=60,
        stall_timeout=30,
        request_timeout=5,
        allowed_tools=["Bash"],
        disallowed_tools=[],
        permission_mode="plan",
        plugins=[tmp_path / "plugin"],
        skills=["one"],
        system_prompt="be brief",
        add_dirs=[tmp_path],
        effort="high",
        setting_sources=[],
        resume="conversation",
        fork=True,
        spent_usd=None,
        agent_path=tmp_path / "agent",
        server_url="http://127.0.0.1:1",
    )

    assert restored(_kept(given)) == (given, ())


def test_secret_values_come_from_the_host_that_resumes(tmp_path: Path) -> None:
    given = options(env={"TOKEN": "0"}, mcp_servers=SERVERS)

    found, missing = restored(
        _kept(given),
        {"TOKEN": "new", "KEY": "1", "OTHER": "2", "PATH": "/bin"},
        SERVERS,
    )

    assert missing == ()
    assert found.env == {"TOKEN": "new"}
    assert found.mcp_servers == SERVERS


def test_missing_secret_values_are_named() -> None:
    given = options(env={"TOKEN": "0"}, mcp_servers=SERVERS)

    found, missing = restored(_kept(given), {"KEY": "1"})

    assert set(missing) == {
        *("TOKEN", "local.env.OTHER", "local.args", "far.headers.Authorization", "far.url")
    }
    assert found.env == {}
    assert found.mcp_servers["local"]["env"] == {"KEY": "1"}
    assert found.mcp_servers["far"]["headers"] == {}


@fault("S20")
def test_settings_of_a_server_that_may_be_secret_are_not_stored() -> None:
    """What was stored before comes back as it is; midflight's own server has no secret."""
    secret = "s3cret-0123456789"
    own = {"command": "python", "args": [*OWN_SERVER, "--session", "x"], "alwaysLoad": True}
    servers: dict[str, Any] = {
        "own": own,
        "local": {"command": "server", "args": ["--token", secret], "timeout": 5},
        "far": {"type": "http", "url": f"http://x/{secret}", "oauth": {"clientSecret": secret}},
        "bare": {"command": "server", "args": [], "env": None},
    }
    given = options(mcp_servers=servers)
    kept = _kept(given)
    assert secret not in str(kept)

    found, missing = restored(kept)
    assert set(missing) == {"local.args", "far.url", "far.oauth"}
    assert found.mcp_servers["own"] == own
    assert found.mcp_servers["local"] == {"command": "server", "timeout": 5}
    assert found.mcp_servers["bare"] == {"command": "server", "args": [], "env": {}}

    found, missing = restored(kept, {}, servers)
    assert (found.mcp_servers, missing) == (servers, ())

    before = {"mcp_servers": {"local": servers["local"]}}
    found, missing = restored(kept | before)
    assert (found.mcp_servers["local"], missing) == (servers["local"], ())


def test_options_of_the_program_are_not_stored() -> None:
    kept = _kept(options(on_request=lambda request: None, attended=True))

    assert not {"on_request", "attended"} & kept.keys()


def test_folder_that_is_gone_meanwhile_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    kept = _kept(options(cwd=folder))
    folder.rmdir()

    with pytest.raises(InvalidOption, match="cwd"):
        restored(kept)


def test_stored_options_can_be_changed_as_they_come_back() -> None:
    found, _ = restored(_kept(options(model="opus")), model="haiku")

    assert found.model == "haiku"
