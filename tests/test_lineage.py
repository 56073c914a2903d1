"""Whose a process is: by its environment, by those that have started it, or it is not known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.faults.manifest import fault

from midflight import lineage
from midflight._util import process_environment
from midflight._util.process_environment import StartedProcess
from midflight.authorization import Caller
from midflight.lineage import SESSION_VARIABLE, UNKNOWN

Add = Callable[..., int]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Return a function that adds a process to a system of the test's own."""
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(process_environment, "PROC", tmp_path)

    def start(pid: int, inside: str | None = None, parent: int = 1, state: str = "S") -> int:
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (a (b) c) {state} {parent} 0 0\n")
        variable = [] if inside is None else [f"{SESSION_VARIABLE}={inside}"]
        (folder / "environ").write_bytes("\0".join(["PATH=/bin", *variable, ""]).encode())
        return pid

    return start


def test_process_is_of_the_session_that_its_environment_names(add: Add) -> None:
    assert lineage.inside_of(add(7, "first")) == ("first",)
    assert lineage.inside_of(add(8, "first/second")) == ("first", "second")
    assert lineage.inside_of(add(9)) == ()


@fault("S17")
def test_process_without_the_variable_is_of_who_started_it(add: Add) -> None:
    agent = add(5, "first")
    shell = add(6, None, agent)
    assert lineage.inside_of(add(7, None, shell)) == ("first",)
    assert lineage.inside_of(add(8, "", shell)) == ("first",)


@fault("S17")
def test_process_that_names_another_session_stays_inside_its_own(add: Add) -> None:
    assert lineage.inside_of(add(7, "other", add(5, "first"))) == ("first", "other")


def test_session_that_is_not_known_is_known_by_a_program_below(add: Add) -> None:
    server = add(5, UNKNOWN)
    assert lineage.inside_of(add(6, None, server)) == (UNKNOWN,)
    assert lineage.inside_of(add(7, "first", server)) == ("first",)


@fault("S17")
@pytest.mark.parametrize("state", ["Z", "X", ""], ids=["zombie", "dead", "gone"])
def test_process_that_has_ended_is_not_known(add: Add, state: str) -> None:
    if state:
        add(7, "first", state=state)
    assert Caller.process(os.getuid(), 7) == Caller(os.getuid(), 7, (UNKNOWN,))


@fault("S17")
def test_process_that_nobody_may_look_at_could_be_an_agent(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_environment, "_readable", lambda _: None)
    caller = Caller.process(os.getuid(), add(7, "first"))
    assert (caller.inside, caller.held) == ((), True)
    assert Caller.process(os.getuid(), 0).held  # the system tells no process at all


def test_process_that_nobody_may_look_at_is_of_who_started_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = {7: StartedProcess(None, 5), 5: StartedProcess({SESSION_VARIABLE: "first"}, 0)}
    monkeypatch.setattr(process_environment, "look", system.__getitem__)
    monkeypatch.setattr(lineage, "look", system.__getitem__)
    assert lineage.inside_of(7) == ("first",)


def test_this_process_is_of_who_started_it_too(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SESSION_VARIABLE, raising=False)
    monkeypatch.setattr(os, "getppid", lambda: add(5, "first"))
    assert lineage.inside() == ("first",)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Return a program of a session, on the real system."""
    env = {**os.environ, SESSION_VARIABLE: "first"}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, env=env) as process:
        yield process
        process.kill()


@fault("S17")
def test_environment_is_read_where_there_is_no_proc(
    child: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_environment, "PROC", tmp_path)
    while psutil.Process(child.pid).cmdline()[1:2] != ["-c"]:  # until it is this program
        pass
    assert lineage.inside_of(child.pid) == ("first",)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # and it stays a zombie
    assert lineage.inside_of(child.pid) == (UNKNOWN,)
    child.wait()
    assert lineage.inside_of(child.pid) == (UNKNOWN,)


@fault("S17")
def test_environment_that_psutil_may_not_read_is_not_known(
    child: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(process_environment, "PROC", tmp_path)
    monkeypatch.setattr(psutil.Process, "environ", denied)
    assert lineage.inside_of(child.pid) is None


@fault("S17")
def test_sessions_in_no_journal_are_known_by_their_agents_programs(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = add(6, "top/~x", add(5, "top/~x"))
    add(7, "top/~x/~y", shell)
    add(8, "other")
    add(9, None)
    assert lineage.unkept() == {"x": ("top",), "y": ("top", "x")}
    monkeypatch.setattr(process_environment, "_readable", lambda _: None)
    assert lineage.unkept() == {}


@fault("S17")
def test_sessions_in_no_journal_are_found_among_real_processes() -> None:
    """By whatever way this system tells of them."""
    env = {**os.environ, SESSION_VARIABLE: "top/~there"}
    with subprocess.Popen(["/bin/sleep", "60"], env=env) as program:
        try:
            found = lineage.unkept()
        finally:
            program.kill()
    assert found["there"] == ("top",)
