"""Schedules over HTTP: made, listed, run and removed; their sessions have the fake agent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.host.test_shared_host import one_environment, started
from tests.server.conftest import Server

from midflight import events as e
from midflight.client.client import Client
from midflight.host import Host
from midflight.journal import Journal
from midflight.schedules.cron import local
from midflight.testing import FakeModel

__all__ = ["one_environment", "started"]


YEARS = "0 7 29 2 *"
"""Seven o'clock on a leap day: not while a test runs."""


def wanted(folder: Path, **more: object) -> dict[str, object]:
    plain = {"cron": YEARS, "zone": "Europe/Berlin", "task": "go", "name": "morning"}
    return {**plain, "agent": "fake", "cwd": str(folder), **more}


async def test_schedule_is_made_run_paused_and_removed(
    server: Server, client: Client, started: list[Host], model: FakeModel, tmp_path: Path
) -> None:
    status, made = await server.call(
        "/schedules", "POST", wanted(tmp_path, then=["and more"], max_turns=3)
    )
    assert (status, made["name"], made["last"]) == (201, "morning", None)
    assert made["options"] == {"agent": "fake", "max_turns": 3, "cwd": str(tmp_path)}
    assert f"{local(made['next'], 'Europe/Berlin'):%H:%M}" == "07:00"
    assert await server.call("/schedules") == (200, [made])
    assert await server.call("/schedules/morn") == (200, made)

    status, ran = await server.call("/schedules/morning/commands", "POST", {"type": "run"})
    assert (status, ran["last"]["state"], ran["last"]["by_hand"]) == (202, "begun", True)
    assert re.fullmatch(r"morning-\d{4}-\d\d-\d\d", ran["last"]["session"])
    async with await client.session(ran["last"]["id"]) as session:
        async for _ in session.stream():
            pass
    said = [
        each for each in await client.history(session.id) if isinstance(each, e.MessageAccepted)
    ]
    assert [each.text for each in said] == ["go", "and more"]
    assert {(each.who.role, each.who.door) for each in said if each.who} == {
        ("program", "schedule")
    }
    _, [run] = await server.call("/schedules/morning/runs?limit=5")
    assert (run["outcome"], run["reason"], run["status"]) == ("completed", "end_turn", "idle")

    _, rests = await server.call("/schedules/morning/commands", "POST", {"type": "pause"})
    assert (rests["paused"], rests["next"]) == (True, None)
    _, goes_on = await server.call("/schedules/morning/commands", "POST", {"type": "resume"})
    assert goes_on["next"] >= made["next"]
    assert not goes_on["paused"]

    assert (await server.call("/schedules/morning", "DELETE"))[0] == 200
    assert (await server.call("/schedules/morning"))[0] == 404
    assert (await client.info(session.id)).name == run["session"]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"env": {"KEY": "s3cret"}}, "env: values of variables are never stored"),
        ({"mcp_servers": {"a": {"command": "s3cret"}}}, "mcp_servers: what a server is started"),
        ({"trust": True}, "trust: it would obey whatever"),
        ({"resume": "a"}, "resume: each run begins"),
        ({"on_request": None}, "on_request: a schedule cannot have this"),
        ({"wrong": 1}, "wrong: a schedule cannot have this"),
        ({"cron": "0 7 * *"}, "says no times"),
        ({"zone": "Europe/Berlim"}, "no time zone"),
        ({"task": " "}, "the message is empty"),
        ({"then": "go"}, "not a schedule"),
        ({"max_turns": 0}, "max_turns: expected"),
        ({"name": "a\nb"}, "name: control characters"),
        ({"worktree": True}, "git"),
        ({"agent": "acp:x", "max_budget_usd": 1.0}, "max_budget_usd: it is not known what"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused_when_it_is_made(
    server: Server, model: FakeModel, tmp_path: Path, more: dict[str, object], what: str
) -> None:
    status, problem = await server.call("/schedules", "POST", wanted(tmp_path, **more))
    assert status in {409, 422}
    assert what in problem["message"]
    assert "s3cret" not in str(problem)
    assert await server.call("/schedules") == (200, [])


async def test_server_fires_while_it_is_there(server: Server, state: Path) -> None:
    async with Journal(state) as journal:
        assert await journal.schedules.is_fired()
