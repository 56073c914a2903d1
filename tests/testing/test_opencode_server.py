"""The real OpenCode server that tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from midflight.errors import AgentUnavailable
from midflight.testing import ScriptedModel, Text
from midflight.testing.opencode import OpenCodeServer, free_port

USER = "opencode"


@pytest.mark.usefixtures("no_agent_left")
async def test_session_of_the_shared_server_asks_the_model_of_the_test(
    opencode_server: OpenCodeServer,
) -> None:
    server = opencode_server
    async with (
        ScriptedModel(lambda _: Text("as scripted"), port=server.model_port),
        httpx.AsyncClient(
            base_url=server.url,
            auth=(USER, server.env["OPENCODE_SERVER_PASSWORD"]),
            params={"directory": str(server.cwd)},
            timeout=100,
            trust_env=False,
        ) as http,
    ):
        session = (await http.post("/session", json={})).json()["id"]
        asked = {"parts": [{"type": "text", "text": "hi"}]}
        answer = (await http.post(f"/session/{session}/message", json=asked)).json()
        assert "as scripted" in str(answer["parts"])


async def test_shared_server_answers_nobody_without_its_password(
    opencode_server: OpenCodeServer,
) -> None:
    async with httpx.AsyncClient(base_url=opencode_server.url, timeout=60, trust_env=False) as http:
        assert (await http.get("/global/health")).status_code == 401


def test_program_that_is_no_server_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "opencode"
    program.write_text("#!/bin/sh\necho 'out of luck'\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(AgentUnavailable, match="out of luck"), OpenCodeServer(tmp_path, program):
        pass


def test_missing_program_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentUnavailable, match="npm install"):
        OpenCodeServer(tmp_path)


def test_missing_agent_fails_a_test_where_all_agents_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from midflight.testing.plugin import need\n\ndef test_it():\n    need('get it there')\n"
    )

    def outcome(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(tmp_path)],
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert "get it there" in done.stdout
        return done.stdout.splitlines()[-1]

    assert "1 skipped" in outcome(MIDFLIGHT_TEST_ALL_AGENTS="")
    assert "1 failed" in outcome(MIDFLIGHT_TEST_ALL_AGENTS="1")


def test_port_that_was_given_away_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr("midflight.testing.opencode._PORTS", [port])
    monkeypatch.setattr("random.sample", lambda ports, _count: ports)
    with pytest.raises(OSError, match="no free port"):
        free_port()
