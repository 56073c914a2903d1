from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.mcp.conftest import Desks, Opened

from midflight import events as e
from midflight.mcp.results import LEAD
from midflight.testing import Silence, Text, ToolCall, Wait

WRITE = ToolCall("Write", {"file_path": "new", "content": "new"})
ASK = ToolCall(
    "AskUserQuestion",
    {
        "questions": [
            {
                "question": "Which?",
                "header": "Which",
                "multiSelect": False,
                "options": [{"label": "A", "description": ""}, {"label": "B", "description": ""}],
            }
        ]
    },
)


async def test_a_task_is_dispatched_and_its_result_is_read(
    open_host: Opened, sit_down: Desks
) -> None:
    model, _ = await open_host([Wait("go"), Text("All done.")])
    desk = await sit_down()
    begun = await desk.dispatch("fix the tests")
    assert (begun["session"], begun["next"]) == ("fix-the-tests", "wait for it")
    model.signal("go")
    report = await desk.wait()
    assert (report["session"], report["status"]) == ("fix-the-tests", "idle")
    assert [(turn["turn"], turn["status"]) for turn in report["ended"]] == [(1, "completed")]
    assert report["untrusted_new"] == LEAD + "All done."
    assert "untrusted_new" not in await desk.wait()
    page = await desk.ask("read")
    assert page["untrusted_text"].startswith(LEAD)
    assert "All done." in page["untrusted_text"]
    (line,) = (await desk.ask("sessions"))["sessions"]
    assert (line["session"], line["agent"], line["status"]) == ("fix-the-tests", "fake", "idle")
    assert (await desk.ask("stop"))["status"] == "closed"


@fault("S9")
async def test_a_permission_is_shown_whole_and_answered(
    open_host: Opened, sit_down: Desks, tmp_path: Path
) -> None:
    await open_host([WRITE], Text("done"))
    desk = await sit_down()
    await desk.dispatch("write it")
    asking = await desk.wait()
    assert asking["status"] == "waiting"
    (asked,) = asking["asks"]
    assert (asked["request"], asked["kind"]) == ("r1", "permission")
    assert '"content":"new"' in asked["untrusted"]
    await desk.ask("answer", decision="allow")
    assert (await desk.wait())["status"] == "idle"
    assert (tmp_path / "work" / "new").read_text() == "new"


async def test_a_question_is_answered_and_a_denial_says_why(
    open_host: Opened, sit_down: Desks
) -> None:
    model, _ = await open_host([ASK], [WRITE], Text("done"))
    desk = await sit_down()
    await desk.dispatch("ask me")
    (question,) = (await desk.wait())["asks"]
    assert "Which? [A | B]" in question["untrusted"]
    assert "1 answers" in await desk.refused("answer", answers=[])
    await desk.ask("answer", request="r1", answers=["B"])
    (permission,) = (await desk.wait())["asks"]
    assert permission["request"] == "r2"
    await desk.ask("answer", request="r2", decision="deny", reason="not there")
    assert (await desk.wait())["status"] == "idle"
    assert "B" in str(model.requests[1].tool_results)
    assert "not there" in str(model.requests[2].tool_results)


@fault("S9")
async def test_what_was_not_shown_whole_cannot_be_allowed(
    open_host: Opened, sit_down: Desks
) -> None:
    long = ToolCall("Bash", {"command": "echo " + "x" * 5000 + "; rm -rf ~"})
    _, host = await open_host([long], Text("done"))
    desk = await sit_down()
    begun = await desk.dispatch("write it")
    (session,) = host.live()
    async for event in session.events():
        if isinstance(event, e.PermissionRequested):
            break
    if "asks" not in begun:
        assert "none, wait shows them" in await desk.refused("answer", decision="allow")
    (asked,) = (await desk.wait())["asks"]
    assert (asked["whole"], len(asked["untrusted"])) == (False, 4000 + len(LEAD))
    assert "too long" in await desk.refused("answer", decision="allow")
    await desk.ask("answer", decision="deny")
    assert (await desk.wait())["status"] == "idle"


async def test_a_steer_a_redirect_and_an_interrupt_reach_the_agent(
    open_host: Opened, sit_down: Desks
) -> None:
    model, _ = await open_host(
        [Wait("go"), ToolCall("TodoWrite", {"todos": []})],
        Silence(),
        Silence(),
        [Wait("end"), Text("last")],
    )
    desk = await sit_down()
    await desk.dispatch("do x", name="x")
    await model.reached("go")
    await desk.ask("send", text="also y", session="x")
    model.signal("go")
    await model.request(2)
    assert "also y" in str(model.requests[1].messages)
    await desk.ask("redirect", text="do z instead")
    await model.request(3)
    assert "do z instead" in model.requests[2].last_user_text
    await desk.ask("interrupt")
    report = await desk.wait()
    assert (report["status"], report["turns"]) == ("idle", 2)
    await desk.ask("send", text="go on", delivery="queue")
    model.signal("end")
    report = await desk.wait()
    assert [turn["status"] for turn in report["ended"]] == ["completed"]
    assert "last" in report["untrusted_new"]


@fault("N8")
async def test_a_wait_that_is_cancelled_changes_nothing(open_host: Opened, sit_down: Desks) -> None:
    model, host = await open_host([Wait("go"), WRITE], Text("done"))
    desk = await sit_down()
    await desk.dispatch("write it")
    waiting = asyncio.create_task(desk.wait())
    await model.reached("go")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    model.signal("go")
    (asked,) = (await desk.wait())["asks"]
    (session,) = host.live()
    assert session.status == "waiting"
    await desk.ask("answer", request=asked["request"])
    assert (await desk.wait())["status"] == "idle"


async def test_a_wait_tells_that_it_goes_on(open_host: Opened, sit_down: Desks) -> None:
    model, _ = await open_host([Wait("go"), Text("done")])
    desk = await sit_down()
    await desk.dispatch("do it", name="it")
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)
        model.signal("go")

    told = await desk.client.call_tool("wait", {"timeout_s": 10}, progress_callback=hear)
    assert told.structured_content is not None
    assert "timed_out" not in told.structured_content
    assert heard == ["it: running"]


async def test_a_wait_ends_when_its_time_is_over(open_host: Opened, sit_down: Desks) -> None:
    model, _ = await open_host([Wait("go"), Text("done")])
    desk = await sit_down()
    await desk.dispatch("do it")
    await model.reached("go")
    told = await desk.ask("wait", timeout_s=0.05)
    assert told["timed_out"]
    assert told["sessions"][0]["status"] == "running"
    model.signal("go")
    assert "timed_out" not in await desk.ask("wait", timeout_s=10)


async def test_the_first_of_several_ends_a_wait(open_host: Opened, sit_down: Desks) -> None:
    def script(request: Any) -> Any:
        return Silence() if "slow" in request.last_user_text else [Wait("go"), Text("quick")]

    model, _ = await open_host(script)
    desk = await sit_down()
    await desk.dispatch("slow", name="a")
    await desk.dispatch("fast", name="b")
    model.signal("go")
    told = await desk.ask("wait", sessions=["a", "b"], timeout_s=10)
    assert [each["status"] for each in told["sessions"]] == ["running", "idle"]
    assert "timed_out" not in told
    await desk.ask("stop", session="a")


@fault("S11")
async def test_what_an_agent_says_is_bounded_marked_and_harmless(
    open_host: Opened, sit_down: Desks
) -> None:
    said = "start " + "x" * 9000 + "\x1b]0;owned\x07\u202e end"
    model, _ = await open_host([Wait("go"), Text(said)])
    desk = await sit_down()
    await desk.dispatch("talk")
    model.signal("go")
    report = await desk.wait()
    new = report["untrusted_new"]
    assert new.startswith(LEAD)
    assert new.endswith("x end")
    assert (len(new), report["left_out"]) == (3000 + len(LEAD), 6010)
    page = await desk.ask("read", max_chars=1000)
    rest = await desk.ask("read", offset=page["next_offset"], max_chars=20_000)
    assert "next_offset" not in rest
    assert "\x1b" not in page["untrusted_text"] + rest["untrusted_text"]


async def test_what_cannot_be_done_says_what_can(open_host: Opened, sit_down: Desks) -> None:
    await open_host(Text("done"))
    desk = await sit_down()
    assert "see sessions" in await desk.refused("wait")
    assert "not_found" in await desk.refused("stop", session="nobody")
    await desk.dispatch("do it")
    await desk.wait()
    assert "invalid_input" in await desk.refused("send", text="")
    assert "timeout_s" in await desk.refused("wait", timeout_s=601)
    assert "sesion" in await desk.refused("wait", sesion="x")
    assert "no git repository" in await desk.refused("diff")
    assert "no tool" in await desk.refused("rm")


async def test_the_tools_describe_themselves(sit_down: Desks) -> None:
    desk = await sit_down()
    tools = {tool.name: tool for tool in (await desk.client.list_tools()).tools}
    assert list(tools) == [
        *("dispatch", "send", "redirect", "interrupt", "answer"),
        *("wait", "sessions", "read", "diff", "worktree", "stop"),
    ]
    reading = {
        name
        for name, tool in tools.items()
        if tool.annotations is not None and tool.annotations.read_only_hint
    }
    assert reading == {"wait", "sessions", "read", "diff"}
    for tool in tools.values():
        assert tool.title
        assert tool.description
        assert tool.output_schema is not None
        for schema in (tool.input_schema, tool.output_schema):
            assert schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        for about in tool.input_schema["properties"].values():
            assert "description" in about
    timeout = tools["wait"].input_schema["properties"]["timeout_s"]
    assert (timeout["default"], timeout["minimum"], timeout["maximum"]) == (60, 0, 600)


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@t")
    command = ["git", *names, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


async def test_a_diff_shows_commits_changes_and_new_files_since_the_beginning(
    open_host: Opened, sit_down: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, trap = tmp_path / "work", tmp_path / "trap"
    git(work, "init", "-q")
    (work / "old").write_text("one\n")
    git(work, "add", "old")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00+00:00")
    git(work, "commit", "-qm", "first")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2099-01-01T00:00:00+00:00")
    await open_host(Text("done"))
    desk = await sit_down()
    await desk.dispatch("change things")
    await desk.wait()
    (work / "old").write_text("two\n")
    git(work, "commit", "-qam", "second")
    (work / "new").write_text("three\n")
    (work / "*").write_text("four\n")
    (work / ".gitattributes").write_text("* filter=trap diff=trap\n")
    for key in ("filter.trap.clean", "diff.trap.command", "diff.trap.textconv", "diff.external"):
        git(work, "config", key, f"touch {trap} #")
    git(work, "config", "core.fsmonitor", f"touch {trap} #")
    told = await desk.ask("diff")
    for line in ("-one", "+two", "+three", "+four"):
        assert f"\n{line}\n" in told["untrusted_diff"] + "\n"
    assert "old" in told["untrusted_files"]
    only = await desk.ask("diff", paths=["*"])
    assert "+four" in only["untrusted_diff"]
    assert "+three" not in only["untrusted_diff"]
    assert not trap.exists()
    short = await desk.ask("diff", max_chars=200)
    assert short["left_out"] > 0
    assert git(work, "diff", "--cached", "--name-only") == ""
