from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.mcp.conftest import OpenTools
from tests.support.fake_host import OpenHost
from tests.support.mcp_tools import ASK, WRITE, text_of

from midflight import events as e
from midflight.mcp.results import LEAD
from midflight.testing import Silence, Text, ToolCall, Wait


async def test_dispatch_wait_and_read_return_a_result(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    model, _ = await open_host([Wait("go"), Text("All done.")])
    tools = await open_tools()
    begun = await tools.dispatch("fix the tests")
    assert (begun["session"], begun["next"]) == ("fix-the-tests", "wait for it")
    model.signal("go")
    report = await tools.wait()
    assert (report["session"], report["status"]) == ("fix-the-tests", "idle")
    assert [(turn["turn"], turn["status"]) for turn in report["ended"]] == [(1, "completed")]
    assert report["untrusted_new"] == LEAD + "All done."
    assert "untrusted_new" not in await tools.wait()
    page = await tools.ask("read")
    assert page["untrusted_text"].startswith(LEAD)
    assert "All done." in page["untrusted_text"]
    (line,) = (await tools.ask("sessions"))["sessions"]
    assert (line["session"], line["agent"], line["status"]) == ("fix-the-tests", "fake", "idle")
    assert (await tools.ask("stop"))["status"] == "closed"


@fault("S9")
async def test_permission_is_shown_whole_and_answered(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path
) -> None:
    await open_host([WRITE], Text("done"))
    tools = await open_tools()
    await tools.dispatch("write it")
    asking = await tools.wait()
    assert asking["status"] == "waiting"
    (request,) = asking["asks"]
    assert (request["request"], request["kind"]) == ("r1", "permission")
    assert '"type":"edit"' in request["untrusted"]
    assert "+new" in request["untrusted"]
    told = text_of(await tools.call("answer", decision="allow"))
    assert "allowed r1 (permission Write)" in told.splitlines()
    assert "nothing waits in session" in await tools.refused("answer", request="r1")
    assert (await tools.wait())["status"] == "idle"
    assert (tmp_path / "work" / "new").read_text() == "new"


async def test_parameter_that_does_not_exist_names_its_like(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    await open_host()
    tools = await open_tools()
    refused = await tools.refused("wait", session="fix")
    assert refused.splitlines() == [
        "invalid_input: there is no parameter 'session'",
        "did you mean sessions?",
    ]
    assert "it takes session" in await tools.refused("stop", x=1)


async def test_question_is_answered_and_a_denial_says_why(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    model, _ = await open_host([ASK], [WRITE], Text("done"))
    tools = await open_tools()
    await tools.dispatch("ask me")
    (question,) = (await tools.wait())["asks"]
    assert "Which? [A | B]" in question["untrusted"]
    assert "1 answers" in await tools.refused("answer", answers=[])
    await tools.ask("answer", request="r1", answers=["B"])
    (permission,) = (await tools.wait())["asks"]
    assert permission["request"] == "r2"
    await tools.ask("answer", request="r2", decision="deny", reason="not there")
    assert (await tools.wait())["status"] == "idle"
    assert "B" in str(model.requests[1].tool_results)
    assert "not there" in str(model.requests[2].tool_results)


@fault("S9")
async def test_request_that_was_not_shown_whole_cannot_be_allowed(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    long = ToolCall("Bash", {"command": "echo " + "x" * 5000 + "; rm -rf ~"})
    _, host = await open_host([long], Text("done"))
    tools = await open_tools()
    begun = await tools.dispatch("write it")
    (session,) = host.live()
    async for event in session.events():
        if isinstance(event, e.PermissionRequested):
            break
    if "asks" not in begun:
        assert "none; wait shows what each would do" in await tools.refused(
            "answer", decision="allow"
        )
    (request,) = (await tools.wait())["asks"]
    assert (request["whole"], len(request["untrusted"])) == (False, 4000 + len(LEAD))
    assert "too long" in await tools.refused("answer", decision="allow")
    await tools.ask("answer", decision="deny")
    assert (await tools.wait())["status"] == "idle"


async def test_steer_redirect_and_interrupt_reach_the_agent(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    model, _ = await open_host(
        [Wait("go"), ToolCall("TodoWrite", {"todos": []})],
        Silence(),
        Silence(),
        [Wait("end"), Text("last")],
    )
    tools = await open_tools()
    await tools.dispatch("do x", name="x")
    await model.reached("go")
    await tools.ask("send", text="also y", session="x")
    model.signal("go")
    await model.request(2)
    assert "also y" in str(model.requests[1].messages)
    await tools.ask("redirect", text="do z instead")
    await model.request(3)
    assert "do z instead" in model.requests[2].last_user_text
    await tools.ask("interrupt")
    report = await tools.wait()
    assert (report["status"], report["turns"]) == ("idle", 2)
    await tools.ask("send", text="go on", delivery="queue")
    model.signal("end")
    report = await tools.wait()
    assert [turn["status"] for turn in report["ended"]] == ["completed"]
    assert "last" in report["untrusted_new"]


@fault("N8")
async def test_cancelled_wait_changes_nothing(open_host: OpenHost, open_tools: OpenTools) -> None:
    model, host = await open_host([Wait("go"), WRITE], Text("done"))
    tools = await open_tools()
    await tools.dispatch("write it")
    waiting = asyncio.create_task(tools.wait())
    await model.reached("go")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    model.signal("go")
    (request,) = (await tools.wait())["asks"]
    (session,) = host.live()
    assert session.status == "waiting"
    await tools.ask("answer", request=request["request"])
    assert (await tools.wait())["status"] == "idle"


async def test_wait_reports_progress(open_host: OpenHost, open_tools: OpenTools) -> None:
    model, _ = await open_host([Wait("go"), Text("done")])
    tools = await open_tools()
    await tools.dispatch("do it", name="it")
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)
        model.signal("go")

    result = await tools.client.call_tool("wait", {"timeout_s": 50}, progress_callback=hear)
    assert result.structured_content is not None
    assert "timed_out" not in result.structured_content
    assert heard == ["it: running"]


async def test_wait_ends_when_its_time_is_over(open_host: OpenHost, open_tools: OpenTools) -> None:
    model, _ = await open_host([Wait("go"), Text("done")])
    tools = await open_tools()
    await tools.dispatch("do it")
    await model.reached("go")
    result = await tools.ask("wait", timeout_s=0.05)
    assert result["timed_out"]
    assert result["sessions"][0]["status"] == "running"
    model.signal("go")
    assert "timed_out" not in await tools.ask("wait", timeout_s=50)


async def test_wait_ends_with_the_first_of_several_sessions(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    def script(request: Any) -> Any:
        return Silence() if "slow" in request.last_user_text else [Wait("go"), Text("quick")]

    model, _ = await open_host(script)
    tools = await open_tools()
    await tools.dispatch("slow", name="a")
    await tools.dispatch("fast", name="b")
    model.signal("go")
    result = await tools.ask("wait", sessions=["a", "b"], timeout_s=50)
    assert [each["status"] for each in result["sessions"]] == ["running", "idle"]
    assert "timed_out" not in result
    await tools.ask("stop", session="a")


async def test_a_turn_that_has_many_pages_is_read_like_one(
    open_host: OpenHost, open_tools: OpenTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of one event here: only the part that is asked for is kept of them."""
    look = ToolCall("Bash", {"command": "ls"})
    await open_host([Text("a" * 300), look], [Text("b" * 300), look], Text("c" * 300))
    tools, anew = await open_tools(), await open_tools()
    await tools.dispatch("look")
    report = await tools.wait()
    assert report["status"] == "idle"
    whole = (await tools.ask("read", max_chars=20_000))["untrusted_text"]
    known = (await anew.ask("wait", sessions=["look"]))["sessions"][0]
    monkeypatch.setattr("midflight.journal.history.PAGE_CHARS", 1)
    again = await open_tools()
    assert (await again.ask("wait", sessions=["look"]))["sessions"][0] == known
    read, offset = LEAD, 0
    while True:
        page = await again.ask("read", session="look", offset=offset, max_chars=200)
        part = page["untrusted_text"].removeprefix(LEAD)
        read += part
        if "next_offset" not in page:
            break
        assert len(part) == 200
        offset = page["next_offset"]
    assert read == whole


@fault("S11")
async def test_agent_text_is_bounded_marked_and_harmless(
    open_host: OpenHost, open_tools: OpenTools
) -> None:
    said = "start " + "x" * 9000 + "\x1b]0;owned\x07\u202e end"
    model, _ = await open_host([Wait("go"), Text(said)])
    tools = await open_tools()
    await tools.dispatch("talk")
    model.signal("go")
    report = await tools.wait()
    new = report["untrusted_new"]
    assert new.startswith(LEAD)
    assert new.endswith("x end")
    assert (len(new), report["left_out"]) == (3000 + len(LEAD), 6010)
    page = await tools.ask("read", max_chars=1000)
    rest = await tools.ask("read", offset=page["next_offset"], max_chars=20_000)
    assert "next_offset" not in rest
    assert "\x1b" not in page["untrusted_text"] + rest["untrusted_text"]


async def test_errors_say_what_can_be_done(open_host: OpenHost, open_tools: OpenTools) -> None:
    await open_host(Text("done"))
    tools = await open_tools()
    assert "see sessions" in await tools.refused("wait")
    assert "not_found" in await tools.refused("stop", session="nobody")
    await tools.dispatch("do it")
    await tools.wait()
    assert "invalid_input" in await tools.refused("send", text="")
    assert "timeout_s" in await tools.refused("wait", timeout_s=601)
    assert "sesion" in await tools.refused("wait", sesion="x")
    assert "no git repository" in await tools.refused("diff")
    assert "no tool" in await tools.refused("rm")


async def test_tools_describe_themselves(open_tools: OpenTools) -> None:
    tools = await open_tools()
    offered = {tool.name: tool for tool in (await tools.client.list_tools()).tools}
    assert list(offered) == [
        *("dispatch", "send", "redirect", "interrupt", "answer"),
        *("wait", "sessions", "read", "diff", "worktree", "stop"),
    ]
    reading = {
        name
        for name, tool in offered.items()
        if tool.annotations is not None and tool.annotations.read_only_hint
    }
    assert reading == {"wait", "sessions", "read", "diff"}
    for tool in offered.values():
        assert tool.title
        assert tool.description
        assert tool.output_schema is not None
        for schema in (tool.input_schema, tool.output_schema):
            assert schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        for about in tool.input_schema["properties"].values():
            assert "description" in about
    timeout = offered["wait"].input_schema["properties"]["timeout_s"]
    assert (timeout["default"], timeout["minimum"], timeout["maximum"]) == (60, 0, 600)


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@t")
    command = ["git", *names, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


async def test_diff_shows_all_that_changed_since_the_session_began(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits, changes and new files, whoever made them."""
    work, trap = tmp_path / "work", tmp_path / "trap"
    git(work, "init", "-q")
    (work / "old").write_text("one\n")
    git(work, "add", "old")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00+00:00")
    git(work, "commit", "-qm", "first")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2099-01-01T00:00:00+00:00")
    await open_host(Text("done"))
    tools = await open_tools()
    await tools.dispatch("change things")
    await tools.wait()
    (work / "old").write_text("two\n")
    git(work, "commit", "-qam", "second")
    (work / "new").write_text("three\n")
    (work / "*").write_text("four\n")
    (work / ".gitattributes").write_text("* filter=trap diff=trap\n")
    for key in ("filter.trap.clean", "diff.trap.command", "diff.trap.textconv", "diff.external"):
        git(work, "config", key, f"touch {trap} #")
    git(work, "config", "core.fsmonitor", f"touch {trap} #")
    changes = await tools.ask("diff")
    for line in ("-one", "+two", "+three", "+four"):
        assert f"\n{line}\n" in changes["untrusted_diff"] + "\n"
    assert "old" in changes["untrusted_files"]
    only = await tools.ask("diff", paths=["*"])
    assert "+four" in only["untrusted_diff"]
    assert "+three" not in only["untrusted_diff"]
    assert not trap.exists()
    short = await tools.ask("diff", max_chars=200)
    assert short["left_out"] > 0
    assert git(work, "diff", "--cached", "--name-only") == ""
