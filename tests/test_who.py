from __future__ import annotations

import os
import platform

import pytest

from midflight.lineage import SESSION_VARIABLE, UNKNOWN
from midflight.values import Who
from midflight.who import caller, here, in_words


def test_program_of_an_agent_is_one_by_every_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SESSION_VARIABLE, "outer/~inner")
    assert here("terminal") == Who(
        role="agent", door="terminal", device=platform.node(), session="inner"
    )
    monkeypatch.setenv(SESSION_VARIABLE, UNKNOWN)
    assert (here("command").role, here("command").session) == ("agent", "")


def test_process_that_is_gone_or_unknown_has_no_terminal() -> None:
    for pid in (0, 2**22 + 1):
        assert caller("terminal", (), pid, seen=True).terminal == ""
    assert caller("no door", (), os.getpid(), seen=True).door == "json"
    unseen = caller("terminal", (), os.getpid(), seen=False)
    assert (unseen.role, unseen.terminal) == ("program", "")


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (None, ""),
        (Who(role="user", door="terminal", terminal="/dev/pts/3"), "a person at /dev/pts/3"),
        (Who(role="user", door="command", device="far"), "a person's command on far"),
        (Who(role="program", door="mcp"), "a program over MCP"),
        (Who(role="agent", door="mcp", session="s1"), "the agent of session s1 over MCP"),
        (Who(role="agent", door="json"), "an agent over JSON"),
    ],
)
def test_who_is_told_in_words(who: Who | None, words: str) -> None:
    assert in_words(who) == words
