from __future__ import annotations

import json
import os
import resource
import shutil
import sys
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.faults import PROGRAMS
from tests.support.program import Done, in_this_process

from midflight.agents.claude import program as claude_program

SECRET = "sk-ant-dummy-0123456789"


def programs(folder: Path, **scripts: str) -> str:
    """Make a PATH with the shell, and with these programs but no agent of this machine."""
    folder.mkdir()
    for name in ("sh", "cat"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def doctor(home: Path, *arguments: str, **more: str) -> Done:
    """Run it where no agent is but the one that midflight comes with; to ask others takes time."""
    return midflight(home, "doctor", *arguments, **more)


def midflight(home: Path, *arguments: str, **more: str) -> Done:
    return in_this_process(arguments, {"PATH": os.defpath, "HOME": str(home), **more}, home)


@pytest.mark.parametrize(
    "name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"]
)
def test_a_key_makes_it_ready_and_is_never_shown(tmp_path: Path, name: str) -> None:
    done = doctor(tmp_path, **{name: SECRET})
    assert done.code == 0
    assert f"{name} is set" in done.out
    assert str(claude_program.find(None)) in done.out
    assert SECRET not in done.out + done.err


def test_a_journal_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    key = {"ANTHROPIC_API_KEY": SECRET}
    place = tmp_path / ".local" / "state" / "midflight"
    assert f"journal   writable   {place}\n" in doctor(tmp_path, **key).out
    place.chmod(0o755)
    done = doctor(tmp_path, **key)
    assert done.code == 1
    assert f"journal   not usable {place} is open to others (mode 755)\n" in done.out
    assert f"do         chmod 700 {place}\n" in done.out
    assert "The journal must be mended first." in done.out


def test_a_journal_on_a_full_disk_is_not_ready(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        done = doctor(tmp_path, ANTHROPIC_API_KEY=SECRET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (done.code, "journal   not usable" in done.out) == (1, True)


def test_agent_for_tests_is_not_offered(tmp_path: Path) -> None:
    done = midflight(tmp_path, "run", "do it", "--agent", "nobody")
    assert ("known: claude" in done.err, "fake" in done.err) == (True, False)


def test_a_login_makes_it_ready_and_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / ".claude"
    folder.mkdir()
    (folder / ".credentials.json").write_text(SECRET)
    done = doctor(tmp_path)
    assert done.code == 0
    assert "logged in" in done.out
    assert SECRET not in done.out


@pytest.mark.parametrize("more", [{}, {"ANTHROPIC_API_KEY": " "}], ids=["none", "blank"])
def test_without_a_key_the_doctor_names_the_remedy(tmp_path: Path, more: dict[str, str]) -> None:
    done = doctor(tmp_path, PATH=programs(tmp_path / "bin"), **more)
    assert done.code == 1
    assert "export ANTHROPIC_API_KEY" in done.out
    assert "midflight demo" in done.out


def test_an_agent_that_is_not_here_comes_with_the_command_that_installs_it(tmp_path: Path) -> None:
    done = doctor(tmp_path, PATH=programs(tmp_path / "bin"))
    assert "opencode  not here   npm install -g opencode-ai" in done.out
    assert "not here: auggie" in done.out


@fault("S18")
def test_an_agent_of_the_work_folder_is_not_here_and_does_not_run(tmp_path: Path) -> None:
    work = tmp_path / "above" / "work"
    for folder in (work, work.parent):
        for place in (folder, folder / "node_modules" / ".bin"):
            place.mkdir(parents=True, exist_ok=True)
            for name in ("opencode", "gemini", "git"):
                (place / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/run\necho 1.18.33\n")
                (place / name).chmod(0o755)
    relative = ["", ".", "node_modules/.bin", "../node_modules/.bin", programs(tmp_path / "bin")]
    done = doctor(work, PATH=os.pathsep.join(relative), HOME=str(tmp_path))
    assert "opencode  not here" in done.out
    assert "git       not found" in done.out
    assert "not here: auggie" in done.out
    assert not (tmp_path / "run").exists()


def test_opencode_alone_makes_it_ready_and_the_command_names_it(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", opencode="echo 1.18.33")
    done = doctor(tmp_path, PATH=path)
    assert done.code == 0
    assert f"opencode  1.18.33    {path}/opencode" in done.out
    assert 'Ready: midflight --agent opencode "your task"' in done.out


@pytest.mark.parametrize("script", ["echo 2.0.1", "echo 1.17.9", "echo nothing", "exit 1"])
def test_an_unsupported_opencode_is_reported(tmp_path: Path, script: str) -> None:
    done = doctor(tmp_path, PATH=programs(tmp_path / "bin", opencode=script))
    assert "opencode  not usable" in done.out
    assert "npm install -g opencode-ai@1.18" in done.out


def test_doctor_and_run_say_the_same_of_an_opencode_2(
    tmp_path: Path,
) -> None:
    path = programs(tmp_path / "bin")
    (tmp_path / "bin" / "opencode").symlink_to(PROGRAMS / "opencode_server.py")
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    more = {"PATH": path, "HOW": "version 2: 2.0.27"}
    run = midflight(tmp_path, "run", "hi", "--agent", "opencode", **more)
    assert run.code == 1
    said = run.err.splitlines()
    sentence = "this is OpenCode 2.0.27, and 1.18 or a newer 1.x is needed"
    assert said == [f"midflight: {sentence}", "hint: npm install -g opencode-ai@1.18"]
    told = doctor(tmp_path, **more).out
    assert f"opencode  not usable {sentence}" in told
    assert f"          do         {said[1].removeprefix('hint: ')}" in told
    assert "          or         --agent opencode2 drives it, experimentally" in told


def test_an_agent_that_speaks_acp_is_found_by_its_program(tmp_path: Path) -> None:
    done = doctor(tmp_path, PATH=programs(tmp_path / "bin", goose="exit"), MIDFLIGHT_AGENT="goose")
    assert done.code == 0
    assert "found      goose; not here: auggie" in done.out
    assert "agent     goose      set by MIDFLIGHT_AGENT" in done.out


def test_json_has_the_same_facts_as_the_text_in_one_object(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", opencode="echo 1.18.33", goose="exit")
    (tmp_path / "midflight.toml").write_text('disallowed_tools = ["Edit"]\n')
    more = {"PATH": path, "ANTHROPIC_API_KEY": SECRET}
    text, done = doctor(tmp_path, **more), doctor(tmp_path, "--json", **more)
    assert done.code == text.code == 0
    assert SECRET not in done.out + done.err
    told = json.loads(done.out)
    assert set(told) == {"ready", "usable", "facts"}
    assert told["ready"]
    assert told["usable"] == ["claude", "opencode", "goose", "opencode-acp"]
    lines, before = [], ""
    for fact in told["facts"]:
        name = "" if fact["about"] == before else fact["about"]
        before = fact["about"]
        lines.append(f"{name:10}{fact['state']:10} {fact['detail']}".rstrip())
    # The last two lines invite to start, in words.
    assert [line.rstrip() for line in text.out.splitlines()[:-2]] == lines


def test_json_reports_that_no_agent_can_be_used_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "midflight.toml").write_text("model = 3\n")
    done = doctor(tmp_path, "--json", PATH=programs(tmp_path / "bin"))
    assert done.code == 1
    told = json.loads(done.out)
    assert not told["ready"]
    assert told["usable"] == []
    facts = [(fact["about"], fact["state"]) for fact in told["facts"]]
    assert ("claude", "no key") in facts
    assert ("claude", "do") in facts
    assert ("project", "broken") in facts
