from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.faults.manifest import fault
from tests.support.journal import options, waiting_session

from midflight import Options, SessionOptions
from midflight.errors import Conflict, InvalidOption
from midflight.host.secrets import SessionSecrets
from midflight.journal import restored, stored
from midflight.options import OWN_SERVER, SERVERS_VARIABLE

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


GIVEN_TO_A_WORKER: dict[str, Any] = {
    "agent": "fake",
    "model": "sonnet",
    "cwd": "/",
    "repo": "https://x/r.git",
    "ref": "main",
    "name": "fix",
    "max_turns": 3,
    "max_budget_usd": 0.5,
    "timeout": 60.0,
    "stall_timeout": 30.0,
    "request_timeout": 5.0,
    "on_usage_limit": "wait",
    "max_wait": 9.0,
    "on_host_lost": "resume",
    "background_timeout": 8.0,
    "max_depth": 2,
    "max_children": 4,
    "allowed_tools": ["Bash(ls)"],
    "disallowed_tools": [],
    "permission_mode": "plan",
    "plugins": ["/plugin"],
    "skills": ["one"],
    "mcp_servers": SERVERS,
    "system_prompt": "be brief",
    "env": {"TOKEN": "0"},
    "add_dirs": ["/"],
    "effort": "high",
    "setting_sources": [],
    "trust": False,
    "resume": "conversation",
    "fork": True,
    "spent_usd": None,
    "attended": False,
    "server_url": "http://127.0.0.1:1",
}
TOGETHER = {"ref": "repo", "fork": "resume"}
NEVER_GIVEN = {"on_request", "agent_path", "setup"}
"""A function of the program, and what the worker's machine has of its own."""


@pytest.mark.parametrize("option", [*sorted(SessionOptions.__annotations__.keys() - NEVER_GIVEN)])
def test_session_of_a_worker_has_each_option_as_it_was_given(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "0")
    monkeypatch.setenv(SERVERS_VARIABLE, msgspec.json.encode(SERVERS).decode())
    names = [name for name in (TOGETHER.get(option), option) if name]
    given = {"cwd": "" if "repo" in names else "/", "agent": "fake", "name": "s"}
    given |= {name: GIVEN_TO_A_WORKER[name] for name in names}
    begun = Options.build_elsewhere(**given)
    kept = msgspec.json.decode(msgspec.json.encode(stored(begun, "gpu")))
    row = waiting_session(
        name=begun.name,
        options=kept,
        model=begun.model or "",
        permission_mode=begun.permission_mode,
    )

    assert getattr(begun, option) != getattr(Options(cwd=Path("/other")), option)
    assert SessionSecrets(["TOKEN"]).options(row) == begun


@pytest.mark.parametrize("attended", [True, None])
def test_whether_somebody_attends_a_session_of_a_worker_is_kept(attended: bool | None) -> None:
    kept = stored(options(attended=attended), "gpu")

    assert kept.get("attended") is attended


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


def test_option_of_a_newer_midflight_is_said_to_be_one() -> None:
    newer = {**_kept(options()), "telepathy": 7}
    with pytest.raises(Conflict, match=r"a newer midflight has begun it.*: telepathy"):
        restored(newer)


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
