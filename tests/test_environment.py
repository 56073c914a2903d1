"""Which environments are the same for a host, and what each terminal has of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.program import unwatched

from midflight import environment
from midflight.agents.acp.program import AcpProgram
from midflight.agents.claude import program as claude
from midflight.agents.opencode import program as opencode
from midflight.agents.opencode.v2 import program as opencode2
from midflight.agents.shared.environment import inherited
from midflight.environment import HostKind
from midflight.git.command import Git
from midflight.lineage import SESSION_VARIABLE, marked
from midflight.options import Options

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SECRET = "sk-ant-a-key"
ENV = {"PATH": "/bin", "HOME": "/home/pat", "ANTHROPIC_API_KEY": SECRET, "TERM": "xterm"}


def kind(changed: Mapping[str, str] = {}, park_after: float | None = None) -> HostKind:
    return HostKind({**ENV, **changed}, park_after)


@pytest.mark.parametrize(
    "name",
    [
        *("PWD", "OLDPWD", "SHLVL", "_", "TERM", "TERM_PROGRAM", "TMUX", "TMUX_PANE", "WINDOWID"),
        *("SSH_TTY", "SSH_CONNECTION", "KITTY_WINDOW_ID", "COLUMNS"),
    ],
)
def test_variable_of_a_terminal_makes_no_other_kind(name: str) -> None:
    assert kind({name: "one"}).mark("h") == kind({name: "two"}).mark("h") == kind().mark("h")


@pytest.mark.parametrize("name", ["PATH", "ANTHROPIC_API_KEY", "NEW", "XTERM", "SSH_AUTH_SOCK"])
def test_any_other_variable_makes_another_kind(name: str) -> None:
    assert kind({name: "other"}).mark("h") != kind().mark("h")


def test_settings_and_versions_make_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = kind()
    assert kind(park_after=60.0).mark("h") != plain.mark("h")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.0.0")
    assert kind().mark("h") != plain.mark("h")


def mark_in(setting: str, python: str = sys.executable) -> str:
    """Return the mark of a process that was started with another setting, by its shell."""
    code = "from tests.test_environment import kind; print(kind().mark('h'))"
    done = subprocess.run(
        ["/bin/sh", "-c", f'{setting}\nexec "$@"', "sh", python, "-c", code],
        cwd=ROOT,
        env=unwatched(),
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout.strip()


def test_interpreter_by_another_of_its_names_makes_no_other_kind() -> None:
    """A command may have been installed with one of them, and a program runs with another."""
    folder = Path(sys.executable).parent
    marks = {mark_in("", str(folder / name)) for name in ("python", "python3")}
    assert marks == {kind().mark("h")}


def test_other_bounds_make_another_kind() -> None:
    """Files would be readable by others, and a limit or a sandbox would not hold the agent."""
    marks = [mark_in(setting) for setting in ("", "umask 027", "ulimit -n 333")]
    assert marks[0] == kind().mark("h")
    assert len(set(marks)) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has namespaces")
def test_other_namespace_makes_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose folders are shared with the system around it."""
    plain, read = kind(), Path.readlink
    net = Path("/proc/self/ns/net")
    monkeypatch.setattr(
        Path, "readlink", lambda path: Path("net:[1]") if path == net else read(path)
    )
    assert kind().mark("h") != plain.mark("h")


def test_mark_is_of_one_host_and_shows_no_value() -> None:
    plain = kind()
    assert plain.mark("one") != plain.mark("two")
    assert plain.is_meant(kind().mark("one"), "one")
    assert not plain.is_meant(plain.mark("one"), "two")
    assert not plain.is_meant("ß", "one")
    assert SECRET not in plain.mark("one") + repr(plain)


def test_terminal_arrives_as_it_was_and_brings_nothing_else() -> None:
    mine = {"TMUX_PANE": "%7", "TERM": "x\nterm\udcff", "PWD": "/here", "LD_PRELOAD": "/x.so"}
    line = environment.written(mine)
    assert line.isascii()
    assert line.isprintable()
    assert environment.read(line) == {"TMUX_PANE": "%7", "TERM": "x\nterm\udcff"}


@pytest.mark.parametrize(
    "header",
    ["", "[1]", "{", "=&&=", "LD_PRELOAD=%2Fx.so&TMUX=a%00b&PWD=%2F&TERM%3Dx=1", "%zz=%", "TERM"],
)
def test_header_that_no_client_writes_gives_nothing(header: str) -> None:
    assert environment.read(header).get("TERM", "") == ""
    assert set(environment.read(header)) <= {"TERM"}


def test_terminal_that_is_too_long_for_a_header_stays_away() -> None:
    assert environment.written({"TERMCAP": "x" * 10_000}) == ""


def test_agent_has_the_terminal_that_it_is_given_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMUX_PANE", "%1")
    monkeypatch.setenv("WINDOWID", "1")
    options = Options.build(cwd=tmp_path, env={"TERM": "dumb"})
    given = {"TMUX_PANE": "%2", "TERM": "xterm"}
    env = claude.environment(marked(options, "s", terminal=given))
    assert (env["TMUX_PANE"], env["TERM"], "WINDOWID" in env) == ("%2", "dumb", False)
    assert (env["PWD"], env[SESSION_VARIABLE]) == (str(tmp_path), "s")
    own = claude.environment(marked(options, "s"))
    assert (own["TMUX_PANE"], own["WINDOWID"]) == ("%1", "1")
    assert "TMUX_PANE" in os.environ
    assert "TMUX_PANE" not in inherited(())


@fault("S4")
def test_no_agent_gets_what_leads_to_the_journal_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("MIDFLIGHT_JOURNAL", "MIDFLIGHT_TOKEN", "PGPASSWORD", "PGSERVICE", "PGHOST"):
        monkeypatch.setenv(name, SECRET)
    options = Options.build(
        agent="acp:x", cwd=tmp_path, agent_path="/bin/true", env={"PGHOST": "named"}
    )
    for env in (
        claude.environment(options),
        opencode.Launch.of(options).env,
        opencode2.Launch.of(options).env,
        AcpProgram.of(options).environment(options),
        Git(tmp_path)._env,  # noqa: SLF001 - what hooks and filters get
    ):
        assert [value for value in env.values() if SECRET in value] == []
        assert env.get("PGHOST", "named") == "named"


def test_journal_of_a_host_is_no_part_of_its_kind() -> None:
    assert kind({"MIDFLIGHT_JOURNAL": "/a"}).is_meant(kind().mark("h"), "h")


def test_documentation_lists_every_variable_of_a_terminal() -> None:
    text = (DOCS / "sessions.md").read_text(encoding="utf-8")
    for name in environment.NAMES:
        assert f"`{name}`" in text
    for beginning in environment.BEGINNINGS:
        assert f"`{beginning}*`" in text
