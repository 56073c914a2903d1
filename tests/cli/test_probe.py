from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.program import Done, in_this_process

from midflight.agents import AGENTS
from midflight.agents.base import Support
from midflight.agents.claude.effects import TOOLS
from midflight.cli.commands.probe import probe as probe_here
from midflight.testing import FakeAgent
from midflight.testing.conformance.rig import FAKE, Stage, opencode2_here
from midflight.testing.conformance.rows import ROWS, Row


class Braggart(FakeAgent):
    """A fake agent that says it has sub-agents."""

    capabilities: Mapping[str, Support] = {**FakeAgent.capabilities, "subagents": "supported"}


def probe(home: Path, *arguments: str, **more: str) -> Done:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **more}
    return in_this_process(("doctor", *arguments), env, home)


def test_a_probe_tries_every_row_and_sums_up(tmp_path: Path) -> None:
    done = probe(tmp_path, "--probe", "--agent", "fake")
    assert done.code == 0, done.out + done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:-2]] == list(ROWS)
    assert f"{len(ROWS)} of {len(ROWS)} rows are as they should be" in lines[-2]
    assert not list(tmp_path.iterdir())


def test_a_probe_can_be_read_by_a_program(tmp_path: Path) -> None:
    done = probe(tmp_path, "--probe", "--agent", "fake", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["row"] for row in rows] == list(ROWS)
    assert rows[0] | {"how": ""} == {
        "agent": "fake",
        "version": "1",
        "row": "steer",
        "verdict": "supported",
        "how": "",
        "strange": [],
    }


def test_a_row_that_contradicts_its_driver_is_named_and_fails_the_probe(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(AGENTS, "fake", f"{__name__}:Braggart")
    monkeypatch.setattr("midflight.cli.commands.probe.ROWS", ("steer", "subagents", "effort"))
    assert probe_here("fake", as_json=False) == 1
    lines = capfd.readouterr().out.splitlines()
    (failed,) = [line for line in lines if " failed " in line]
    assert failed.split()[:3] == ["subagents", "failed", "AssertionError:"]
    assert "2 of 3 rows" in lines[-2]


def test_tool_that_obeys_other_keys_than_is_known_fails_the_probe(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The fake agent offers its tools without a schema: none of the keys is seen."""
    monkeypatch.setattr("midflight.cli.commands.probe.RIGS", (replace(FAKE, tools=TOOLS),))
    monkeypatch.setattr("midflight.cli.commands.probe.ROWS", ("effort",))
    assert probe_here("fake", as_json=False) == 1
    lines = capfd.readouterr().out.splitlines()
    (failed,) = [line for line in lines if " failed " in line]
    assert failed.split()[:2] == ["effects", "failed"]
    assert "Bash has no key 'command' any more" in failed
    assert "1 of 2 rows" in lines[-2]


def test_a_check_that_breaks_is_a_failed_row_and_the_others_are_tried(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def breaks(stage: Stage) -> None:
        raise ValueError("not enough values to unpack")

    monkeypatch.setitem(ROWS, "steer", Row(breaks))
    monkeypatch.setattr("midflight.cli.commands.probe.ROWS", ("steer", "effort"))
    assert probe_here("fake", as_json=False) == 1
    lines = capfd.readouterr().out.splitlines()
    (failed,) = [line for line in lines if " failed " in line]
    assert failed.split()[:3] == ["steer", "failed", "ValueError:"]
    assert "1 of 2 rows" in lines[-2]


def test_a_probe_of_a_broken_agent_fails_with_the_agents_own_error(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "opencode"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'out of luck'\nexit 3\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = probe(tmp_path, "--probe", "--agent", "opencode", PATH=path)
    assert done.code == 1
    assert "out of luck" in done.err


def test_an_agent_without_a_probe_is_an_error_that_names_the_others(
    tmp_path: Path,
) -> None:
    done = probe(tmp_path, "--probe", "--agent", "gemini")
    assert done.code == 2
    assert "known: claude, opencode" in done.err


def test_an_option_of_the_probe_is_an_error_without_it(tmp_path: Path) -> None:
    done = probe(tmp_path, "--agent", "fake")
    assert done.code == 2
    assert "midflight doctor --probe" in done.err


def test_opencode_2_is_probed_where_only_a_program_opencode_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it may be stable 2.x, of which nothing is taken for granted that its preview lacks."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {}
    for name in ("opencode", "lildax"):
        (tmp_path / name).touch(mode=0o755)
        found[name] = opencode2_here()
    assert [rig.program for rig in found.values()] == ["opencode", "lildax"]
    assert [rig.capabilities["cancel"] for rig in found.values()] == ["supported", "emulated"]
