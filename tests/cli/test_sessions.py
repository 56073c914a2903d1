"""The commands to a session that another process runs: here a host of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from tests.faults.manifest import fault
from tests.support.events import until
from tests.support.host import journal_of
from tests.support.program import Done

from midflight import commands as c
from midflight import events as e
from midflight.cli.commands import ls
from midflight.cli.commands.answer import check_seen, request_of
from midflight.client import connect
from midflight.effects import CommandEffect
from midflight.errors import InvalidInput
from midflight.host import Host
from midflight.info import SessionInfo
from midflight.lineage import SESSION_VARIABLE
from midflight.session.session import Session
from midflight.testing import FakeModel, HttpError, Text, ToolCall, Usage, Wait
from midflight.values import SessionStatus

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left", "patience")]

WRITE = ToolCall("Write", {"file_path": "new.txt", "content": "by the agent"})
SAUCE = {
    "question": "Which sauce?",
    "header": "Sauce",
    "multiSelect": True,
    "options": [
        {"label": "Red", "description": "tomato"},
        {"label": "Green", "description": "basil"},
        {"label": "White", "description": "cream"},
    ],
}
SIZE = {
    "question": "Which size?",
    "header": "Size",
    "multiSelect": False,
    "options": [{"label": "Small", "description": ""}, {"label": "Large", "description": ""}],
}

T = TypeVar("T", bound=e.Event)

Say = Callable[..., Coroutine[Any, Any, Done]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


# limits -------------------------------------------------------------------------------------


async def test_session_goes_on_when_its_budget_is_raised_by_a_command(
    begin: Begin, say: Say
) -> None:
    model, session = await begin(
        [Usage(100_000, 0), Text("dear")], Text("more"), max_budget_usd=0.1
    )
    await until(session, e.TurnEnded)
    assert (await say("send", "go on", "--wait")).code == 3
    assert (await say("limits")).out == "  max_budget_usd  $0.1 in all\n"
    raised = await say("limits", session.name, "--max-budget-usd", "5", "--timeout", "15m")
    assert raised.out == "  max_budget_usd  $5 in all\n  timeout         900 seconds\n"
    done = await say("send", "go on", "--wait")
    assert (done.code, "more" in done.out) == (0, True)
    assert "max_budget_usd 5" in (await say("show")).out
    lifted = await say("limits", "--max-budget-usd", "none", "--json")
    assert json.loads(lifted.out) == {"timeout": 900.0}
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--max-turns", "0"), "max_turns: expected a whole number from 1 up, got 0"),
        (("--max-budget-usd", "nan"), "max_budget_usd: expected a finite number above 0"),
        (("--timeout", "-5"), "timeout: expected a finite number above 0"),
        (("--max-turns", "many"), "argument --max-turns: expected a whole number, got 'many'"),
    ],
)
async def test_limit_that_cannot_be_is_refused_by_name(
    begin: Begin, say: Say, given: tuple[str, ...], told: str
) -> None:
    _, session = await begin(Text("done"))
    await until(session, e.TurnEnded)
    done = await say("limits", *given)
    assert (done.code, told in done.err) == (2, True)
    assert session.limits == {}


# ls and show --------------------------------------------------------------------------------


async def test_what_waits_for_you_comes_first_then_what_runs_then_the_rest(
    begin: Begin, say: Say
) -> None:
    _, idle = await begin(Text("at rest"), name="idle")
    await until(idle, e.TurnEnded)
    _, asks = await begin(WRITE, name="asks")
    await until(asks, e.PermissionRequested)
    model, runs = await begin([Text("going"), Wait("on")], name="runs")
    await model.reached("on")
    _, closed = await begin(Text("over"), name="closed")
    await until(closed, e.TurnEnded)
    await closed.close()
    head, *rows = (await say("ls")).out.splitlines()
    assert head.split() == ["NAME", "AGENT", "STATUS", "AGE", "COST", "LAST"]
    assert [row.split()[:3] for row in rows] == [
        ["asks", "fake", "waiting"],
        ["runs", "fake", "running"],
        ["idle", "fake", "idle"],
        ["closed", "fake", "closed"],
    ]
    assert rows[0].endswith("asks: Write new.txt")
    assert rows[2].endswith("at rest")
    model.signal("on")
    await runs.interrupt()


async def test_ls_and_show_print_the_objects_of_the_host(
    begin: Begin, say: Say, host: Host
) -> None:
    _, session = await begin(WRITE, max_turns=7)
    asked = await until(session, e.PermissionRequested)
    [listed] = json.loads((await say("ls", "--json")).out)
    shown = json.loads((await say("show", "--json")).out)
    assert shown == listed
    assert (shown["id"], shown["name"], shown["status"]) == (session.id, "make-it", "waiting")
    assert shown["limits"] == {"max_turns": 7}
    assert shown["host"] == host.address()
    assert [one["request"] for one in shown["pending"]] == [asked.request]


async def test_show_prints_requests_and_how_to_answer_them(begin: Begin, say: Say) -> None:
    _, session = await begin(WRITE)
    asked = await until(session, e.PermissionRequested)
    out = (await say("show", "make")).out
    assert "status   waiting" in out
    assert "by the agent" in out
    assert f"to answer: midflight answer make-it {asked.request} allow|always|deny" in out


async def test_only_the_sessions_of_a_folder_are_listed_if_one_is_given(
    begin: Begin, say: Say, tmp_path: Path
) -> None:
    await begin(Text("one"), name="here")
    await begin(Text("two"), name="there", cwd=tmp_path)
    out = (await say("ls", "--cwd", ".")).out
    assert ("here" in out, "there" in out) == (True, False)


async def test_no_line_is_longer_than_the_terminal_is_wide(
    begin: Begin, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = await begin(Text("wide 漢字 " * 40))
    await until(session, e.TurnEnded)
    for width in (120, 60, 20):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = (await say("ls")).out.splitlines()
        assert (
            max(
                len(line) + sum(ord(char) > 0x2FF and char != "…" for char in line)
                for line in lines
            )
            <= width
        )


async def test_without_a_session_ls_prints_how_to_start_one(say: Say) -> None:
    done = await say("ls")
    assert (done.code, done.out) == (
        0,
        'No sessions yet. To start one: midflight run -d "your task"\n',
    )


async def test_an_empty_list_says_how_the_others_are_listed(
    begin: Begin, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = await begin(Text("one"))
    await until(session, e.TurnEnded)
    await session.close()
    (tmp_path / "empty").mkdir()
    said = (await say("ls", "--cwd", str(tmp_path / "empty"))).out
    assert said == "No such session. There are others: midflight ls\n"
    monkeypatch.setattr(ls, "RECENT_S", 0.0)
    assert (await say("ls")).out == "No such session. There are others: midflight ls --all\n"


def info(name: str, status: SessionStatus, **more: Any) -> SessionInfo:
    known = {"id": name, "agent": "claude", "model": "", "cwd": "/srv/shop", "updated": 1.0}
    return SessionInfo(name=name, status=status, **{**known, **more})


def asking(at: float) -> tuple[e.PermissionRequested, ...]:
    effects = (CommandEffect(command="npm test", cwd="/srv/shop"),)
    request = e.PermissionRequested(
        request="r", call="c", name="Bash", input={}, effects=effects, time=at
    )
    return (request,)


async def test_what_waits_longest_is_the_first() -> None:
    waits = [info(f"at {at}", "waiting", pending=asking(at)) for at in (30.0, 10.0, 20.0)]
    listed = ls.in_order([info("runs", "running"), *waits, info("waits", "waiting")])
    assert [each.name for each in listed] == ["waits", "at 10.0", "at 20.0", "at 30.0", "runs"]


async def test_what_is_asked_is_there_on_a_narrow_terminal_too() -> None:
    long = info("a-name-that-goes-on-and-on-and-on", "waiting", pending=asking(1.0))
    runs = info("runs", "running", last="Bash make all", cwd="/srv/other")
    narrow, usual, wide = (
        ["".join(line.split("\n")) for _, line in ls.table([long, runs], width, 9.0)]
        for width in (60, 80, 120)
    )
    assert narrow[0].split() == ["NAME", "STATUS", "LAST"]
    assert narrow[1] == "a-name-that-goe…  waiting  asks: Bash npm test"
    assert usual[0].split() == ["NAME", "AGENT", "STATUS", "AGE", "COST", "LAST"]
    assert "asks: Bash" in usual[1]
    assert wide[0].split() == ["NAME", "FOLDER", "AGENT", "STATUS", "AGE", "COST", "LAST"]
    assert [line.split()[1] for line in wide[1:]] == ["shop", "other"]
    assert wide[2].endswith("Bash make all")


async def test_a_failed_turn_shows_why_in_the_list(begin: Begin, say: Say) -> None:
    _, session = await begin(
        HttpError(401, "authentication_error", "no such key", {"retry-after": "100"})
    )
    await until(session, e.TurnEnded)
    assert "failed (auth): " in (await say("ls")).out.splitlines()[1]


# logs ---------------------------------------------------------------------------------------


async def test_logs_print_the_whole_session(begin: Begin, say: Say) -> None:
    _, session = await begin([Text("first words"), WRITE], Text("done"), allowed_tools=["Write"])
    await until(session, e.TurnEnded)
    lines = (await say("logs")).out.splitlines()
    assert [line for line in lines if line][:5] == [
        "> make it (a program)",
        "first words",
        "  [tool] Write new.txt",
        "done",
        "Result: completed",
    ]


async def test_logs_show_what_is_asked_and_what_waits(begin: Begin, say: Say) -> None:
    asked = {
        "question": "Which one?",
        "header": "H",
        "multiSelect": False,
        "options": [{"label": "A", "description": ""}, {"label": "B", "description": ""}],
    }
    steps = [ToolCall("AskUserQuestion", {"questions": [asked]}), WRITE, Text("done")]
    _, session = await begin(*steps)
    question = await until(session, e.QuestionRequested)
    assert "  [question] Which one? (A, B)\n" in (await say("logs")).out
    await session.answer(question, answers={"Which one?": "B"})
    await until(session, e.PermissionRequested)
    assert (await say("logs")).out.endswith("  [asks] Write new.txt\n")
    await session.answer(session.pending[0])
    await until(session, e.TurnEnded)
    out = (await say("logs")).out
    assert ("[asks]" in out, "  [answered] B" in out) == (False, True)


async def test_logs_as_json_are_every_durable_event(begin: Begin, say: Say) -> None:
    _, session = await begin(Text("one"))
    await until(session, e.TurnEnded)
    told = [json.loads(line) for line in (await say("logs", "--json")).out.splitlines()]
    assert [event["seq"] for event in told] == list(range(1, session.last_seq + 1))


async def test_logs_follow_until_the_session_ends(begin: Begin, say: Say) -> None:
    model, session = await begin([Text("before"), Wait("go")], Text("after"))
    await model.reached("go")
    following = asyncio.create_task(say("logs", "-f"))
    model.signal("go")
    await until(session, e.TurnEnded)
    message = await session.send("more")
    await message.result()
    await session.close()
    out = (await following).out
    assert ("before" in out, "after" in out) == (True, True)
    assert out.endswith("The session has ended (closed).\n")


# Stepping in --------------------------------------------------------------------------------


async def test_a_message_steers_and_another_waits_for_its_turn(begin: Begin, say: Say) -> None:
    model, session = await begin(
        [Wait("go"), ToolCall("TodoWrite", {"todos": []})], Text("b"), Text("c")
    )
    await model.reached("go")
    assert await say("send", "also this") == (0, "sent to make-it\n", "")
    queued = await say("queue", "make-it", "and then that")
    assert queued == (0, "queued for make-it as message 3\n", "")
    assert [entry.text for entry in session.queued] == ["also this", "and then that"]
    model.signal("go")
    async for _ in session.stream():
        pass
    assert session._state.turns == 2  # noqa: SLF001 - the steer was part of the first one


async def test_who_waits_sees_what_follows_and_how_it_ended(begin: Begin, say: Say) -> None:
    _, session = await begin(Text("one"), Text("two words"))
    await until(session, e.TurnEnded)
    done = await say("send", "more", "--wait")
    assert done.code == 0
    assert [line for line in done.out.splitlines() if line][:2] == [
        "two words",
        "Result: completed",
    ]
    assert "one" not in done.out


@pytest.mark.parametrize("command", ["send", "queue", "redirect"])
async def test_text_that_was_forgotten_is_no_message(begin: Begin, say: Say, command: str) -> None:
    model, session = await begin([Text("going"), Wait("on")], Text("well"), name="beta")
    await model.reached("on")
    for lone in ("beta", "bet"):
        done = await say(command, lone)
        assert (done.code, done.out) == (2, "")
        first, second = done.err.splitlines()
        assert first == f"midflight: {lone} names the session beta, and there is no text for it"
        assert second == f'hint: midflight {command} beta "your text"'
    assert not session.queued
    assert (await say("send", "gamma")).code == 0
    model.signal("on")
    await until(session, e.TurnEnded)


async def test_a_redirect_stops_the_turn_and_an_interrupt_ends_it(begin: Begin, say: Say) -> None:
    model, session = await begin([Wait("never")], [Wait("never again")])
    await model.reached("never")
    assert (await say("redirect", "make", "rather this")).out == "redirected make-it\n"
    await model.reached("never again")
    assert (await say("interrupt")).out == "interrupted make-it\n"
    ended = [one async for one in session.stream() if isinstance(one, e.TurnEnded)]
    assert [one.reason for one in ended] == ["redirected", "interrupted"]


@pytest.mark.parametrize(
    ("words", "decision", "reason"),
    [
        (("allow",), "allow", ""),
        (("yes",), "allow", ""),
        (("make-it", "OK"), "allow", ""),
        (("make-it", "deny", "--reason", "not there"), "deny", "not there"),
        (("n into another folder",), "deny", "into another folder"),
        (("no tests, please",), "deny", "no tests, please"),
    ],
)
async def test_a_permission_is_given_or_denied(
    begin: Begin, say: Say, words: tuple[str, ...], decision: str, reason: str
) -> None:
    _, session = await begin(WRITE, Text("then"))
    await until(session, e.PermissionRequested)
    told = "allowed Write new.txt" if decision == "allow" else f"denied Write new.txt: {reason}"
    assert await say("answer", *words) == (0, f"make-it: {told}\n", "")
    resolved = await until(session, e.PermissionResolved)
    assert (resolved.decision, resolved.reason, resolved.by) == (decision, reason, "user")


async def test_text_that_may_be_a_message_answers_no_permission(begin: Begin, say: Say) -> None:
    _, session = await begin(WRITE, Text("then"))
    asked = await until(session, e.PermissionRequested)
    done = await say("answer", "into another folder")
    assert (done.code, done.out) == (2, "")
    assert "neither allows nor denies: y allows it, n denies it" in done.err
    assert "midflight answer make-it deny --reason 'into another folder'" in done.err
    assert session.pending == (asked,)
    assert (await say("answer", "No.")).out == "make-it: denied Write new.txt\n"
    await until(session, e.TurnEnded)


async def test_always_allows_what_the_rule_says_and_nothing_without_one(
    begin: Begin, say: Say, project: Path
) -> None:
    wide = ToolCall("Bash", {"command": "touch a\ntouch b"})
    _, session = await begin(WRITE, wide, Text("then"))
    await until(session, e.PermissionRequested)
    done = await say("answer", "always")
    assert done.out == (
        f"make-it: allowed Write new.txt, and edits below {project} for the rest of this session\n"
    )
    assert session.rules == (f"Edit({project}/**)",)
    assert json.loads((await say("show", "--json")).out)["rules"] == list(session.rules)
    shown = (await say("show")).out
    assert f"rules    edits below {project}\n" in shown
    assert "answered a person's command" in shown
    async for event in session.events():
        if isinstance(event, e.PermissionRequested) and event.name == "Bash":
            break
    done = await say("answer", "always")
    assert (done.code, "allowed only once" in done.err) == (2, True)
    assert (await say("answer", "deny")).code == 0
    await until(session, e.TurnEnded)


async def test_a_label_called_deny_answers_its_question(begin: Begin, say: Say) -> None:
    options = [{"label": label, "description": ""} for label in ("Allow", "Deny")]
    asked = {"question": "Guests?", "header": "H", "multiSelect": False, "options": options}
    _, session = await begin(ToolCall("AskUserQuestion", {"questions": [asked]}), Text("then"))
    await until(session, e.QuestionRequested)
    assert (await say("answer", "Deny")).out == "make-it: answered Deny\n"
    resolved = await until(session, e.QuestionResolved)
    assert "[answered] Deny (a person's command)\n" in (await say("logs")).out
    assert resolved.answers == {"Guests?": "Deny"}
    assert resolved.who is not None
    assert (resolved.who.role, resolved.who.door) == ("user", "command")
    await until(session, e.TurnEnded)


async def test_a_request_is_named_where_several_wait() -> None:
    waiting = tuple(
        e.PermissionRequested(
            request=name,
            call=name,
            name="Write",
            input={},
            effects=(CommandEffect(command="ls", cwd="/"),),
        )
        for name in ("a-1", "b-2")
    )
    info = SessionInfo(
        id="1", name="both", agent="fake", model="", cwd="/", status="waiting", pending=waiting
    )
    with pytest.raises(InvalidInput, match="2 requests wait in session both: say which") as error:
        request_of(info, None)
    assert error.value.hint == "a-1: Write ls; b-2: Write ls"
    assert request_of(info, "b") is waiting[1]


async def test_what_has_only_just_been_asked_is_not_allowed_unnamed() -> None:
    """Who types it has seen another request, or none."""
    asked = e.PermissionRequested(
        request="a-1",
        call="1",
        name="Bash",
        input={},
        effects=(CommandEffect(command="ls", cwd="/"),),
    )
    asked = msgspec.structs.replace(asked, time=100.0)
    info = SessionInfo(
        id="1", name="one", agent="fake", model="", cwd="/", status="waiting", pending=(asked,)
    )
    allow, deny = c.Answer(request="a-1"), c.Answer(request="a-1", decision="deny")
    with pytest.raises(InvalidInput, match="only just been asked: Bash ls") as error:
        check_seen(asked, allow, 101.0, info)
    assert "midflight answer one a-1" in error.value.hint
    check_seen(asked, deny, 101.0, info)
    check_seen(asked, allow, 103.0, info)


async def test_a_request_is_named_alone_or_behind_its_session(begin: Begin, say: Say) -> None:
    _, session = await begin(WRITE, WRITE, Text("then"))
    first = (await until(session, e.PermissionRequested)).request
    assert (await say("answer", first, "deny")).code == 0
    async for event in session.events():
        if isinstance(event, e.PermissionRequested) and event.request != first:
            gone = await say("answer", "make-it", first, "deny")
            assert (gone.code, f"no request {first} waits in session" in gone.err) == (4, True)
            assert (await say("answer", "make-it", event.request, "allow")).code == 0
            break
    await until(session, e.TurnEnded)


async def test_questions_are_answered_by_label_or_number(begin: Begin, say: Say) -> None:
    ask = ToolCall("AskUserQuestion", {"questions": [SAUCE, SIZE]})
    _, session = await begin(ask, Text("thanks"))
    await until(session, e.QuestionRequested)
    wrong = await say("answer", "Red, White")
    assert (wrong.code, "2 questions wait" in wrong.err) == (2, True)
    assert (await say("answer", "1, 3; Large")).code == 0
    resolved = await until(session, e.QuestionResolved)
    assert resolved.answers == {"Which sauce?": ["Red", "White"], "Which size?": "Large"}


# Ending -------------------------------------------------------------------------------------


async def test_stop_ends_a_session_and_a_message_resumes_it(begin: Begin, say: Say) -> None:
    _, session = await begin(Text("one"))
    await until(session, e.TurnEnded)
    assert (await say("stop")).out == "stopped make-it\n"
    assert session.status == "closed"
    assert (await say("stop")).out == "make-it has ended already\n"
    assert (await say("interrupt")).out == "make-it is closed: there is nothing to stop\n"


async def test_a_session_is_removed_but_not_while_it_runs(begin: Begin, say: Say) -> None:
    model, session = await begin([Wait("never")])
    await model.reached("never")
    done = await say("rm", "make-it")
    assert (done.code, done.err) == (
        1,
        "midflight: session make-it is running\nhint: midflight rm --force make-it\n",
    )
    assert (await say("rm", "--force", "make-it")).out == "removed make-it\n"
    assert session.status == "closed"
    assert (await say("show", "make-it")).code == 4


async def test_a_session_at_rest_is_removed_without_a_host(
    begin: Begin, say: Say, host: Host
) -> None:
    _, session = await begin(Text("one"))
    await until(session, e.TurnEnded)
    await session.close()
    assert (await say("rm", "make-it")).code == 0
    assert await journal_of(host).sessions() == []


# Mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("show", "nothing"), 4, "no session is called 'nothing'"),
        (("logs",), 4, "there is no session in "),
        (("send", "hello"), 4, "there is no session in "),
        (("send", "one", "two", "three"), 2, "one text is expected"),
        (("send", ""), 2, ""),
        (("attach",), 2, "attach needs a terminal"),
        (("rm",), 2, "the following arguments are required"),
    ],
    ids=["name", "folder", "nobody", "too many words", "no words", "no terminal", "no name"],
)
async def test_a_mistake_is_an_error_of_one_line(
    say: Say, arguments: tuple[str, ...], code: int, text: str
) -> None:
    done = await say(*arguments)
    assert (done.code, done.out, text in done.err) == (code, "", True)
    assert len(done.err.splitlines()) <= 2


async def test_an_ambiguous_name_is_an_error_that_lists_the_matches(begin: Begin, say: Say) -> None:
    await begin(Text("one"), name="fix-this")
    await begin(Text("two"), name="fix-that")
    done = await say("show", "fix")
    assert (done.code, "fix-that, fix-this" in done.err) == (1, True)


async def test_nothing_is_answered_where_nothing_is_asked(begin: Begin, say: Say) -> None:
    _, session = await begin(Text("one"))
    await until(session, e.TurnEnded)
    done = await say("answer", "allow")
    assert (done.code, "nothing waits in session make-it" in done.err) == (4, True)


async def test_a_journal_that_others_can_read_is_refused_with_the_remedy(
    say: Say, tmp_path: Path
) -> None:
    folder = tmp_path / "state" / "midflight"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    done = await say("ls")
    assert (done.code, done.err.splitlines()[1]) == (1, f"hint: chmod 700 {folder}")


# Completion ---------------------------------------------------------------------------------


async def test_a_shell_completes_commands_options_and_names(begin: Begin, say: Say) -> None:
    for name in ("fix-this", "add-that"):  # a shell may be answered before the model is asked
        _, session = await begin(Text("done"), name=name)
        await until(session, e.TurnEnded)
    assert (await say("__complete", "re")).out.split() == ["redirect", "resume"]
    assert (await say("__complete", "send", "fi")).out.split() == ["fix-this"]
    assert (await say("__complete", "attach", "")).out.split() == ["add-that", "fix-this"]
    assert (await say("__complete", "redirect", "--dr")).out.split() == ["--drop-queued"]
    assert (await say("__complete", "run", "")).out == ""


@fault("S19")
async def test_an_agent_is_shown_no_name_of_a_session_that_it_may_not_read(
    begin: Begin, say: Say, host: Host, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a list nor in an error, whatever it asks for."""
    _, boss = await begin(Text("one"), name="fix-boss")
    for name in ("fix-secret", "fix-hidden"):
        _, session = await begin(Text("two"), name=name)
        await until(session, e.TurnEnded)
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    assert (await say("__complete", "send", "")).out.split() == ["fix-boss"]
    assert (await say("show", "fix")).out.startswith("fix-boss\n")
    assert (await say("show")).out.startswith("fix-boss\n")
    names = ("fix-s", "fix-secre", "fix-secret", "hidden", "x")
    for command, name in [(each, name) for each in ("show", "logs", "stop") for name in names]:
        done = await say(command, name)
        assert done.code
        assert "fix-secret" not in (done.out + done.err).replace(name, "")
        assert "fix-hidden" not in done.out + done.err


async def test_the_script_for_bash_completes_the_names_of_sessions(
    begin: Begin, say: Say, tmp_path: Path
) -> None:
    await begin(Text("one"), name="fix-this")
    program = tmp_path / "midflight"
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m midflight.cli.main "$@"\n'
    )
    program.chmod(0o700)
    script = (await say("completion", "bash")).out
    asked = 'COMP_WORDS=(midflight send fi); COMP_CWORD=2; _midflight; echo "${COMPREPLY[@]}"'
    env = dict(os.environ) | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{script}{asked}", env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await done.communicate()
    assert out == b"fix-this\n"


async def test_session_that_somebody_attends_is_not_removed_unasked(
    begin: Begin, say: Say, host: Host
) -> None:
    _, session = await begin(Text("done"))
    await until(session, e.TurnEnded)
    async with connect() as client, await client.session(session.id):
        done = await say("rm", session.name)
        assert done.code == 1
        assert done.err == (
            "midflight: somebody is at session make-it, in a terminal or a program\n"
            "hint: midflight rm --force make-it\n"
        )
    async with connect() as client, await client.session(session.id, attend=False):
        assert await say("rm", session.name) == (0, "removed make-it\n", "")


@pytest.mark.parametrize("command", ["interrupt", "stop"])
async def test_what_is_stopped_without_a_name_is_what_there_is_to_stop(
    begin: Begin, say: Say, command: str
) -> None:
    model, session = await begin([Text("going"), Wait("on")], name="older")
    await model.reached("on")
    _, newer = await begin(Text("done"), name="newer")
    await until(newer, e.TurnEnded)
    await newer.close()
    done = await say(command)
    assert (done.code, done.out.split()[1]) == (0, "older")
    await until(session, e.TurnEnded)  # an interrupt does not wait for that
    assert session.status == ("idle" if command == "interrupt" else "closed")


async def test_answer_without_a_name_says_which_session_waits(begin: Begin, say: Say) -> None:
    _, waits = await begin(WRITE, Text("done"), name="older")
    await until(waits, e.PermissionRequested)
    _, newer = await begin(Text("done"), name="newer")
    await until(newer, e.TurnEnded)
    done = await say("answer", "allow")
    assert done.err == (
        "midflight: nothing waits in session newer, the latest here\n"
        "hint: but in older: midflight answer older …\n"
    )
    assert (await say("answer", "older", "allow")).code == 0
    await until(waits, e.TurnEnded)
