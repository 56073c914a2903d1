from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support.rules import Rules, done, send

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.errors import AlreadyAnswered, InvalidInput, NotFound
from midflight.rules.actions import Reply
from midflight.rules.requests import UNATTENDED
from midflight.state.requests import KEPT_RESOLVED, Requests
from midflight.values import Question


def asking(**options: Any) -> Rules:
    rules = Rules(**options)
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.taken()
    return rules


def permission(request: str = "r") -> e.PermissionRequested:
    return e.PermissionRequested(request=request, call="c", name="Bash", input={"command": "x"})


def question(request: str = "q") -> e.QuestionRequested:
    asked = (Question(question="Which?"), Question(question="Many?", multiple=True))
    return e.QuestionRequested(request=request, questions=asked)


def edit(request: str, rule: str) -> e.PermissionRequested:
    return e.PermissionRequested(request=request, call="c", name="Edit", input={}, rule=rule)


def replies(rules: Rules) -> list[base.Reply]:
    return [action.reply for action in rules.taken() if isinstance(action, Reply)]


def test_answer_reaches_the_agent_with_the_edited_input() -> None:
    rules = asking()
    rules.hear(permission())
    assert rules.state.status == "waiting"
    rules.do(c.Answer(request="r", input={"command": "y"}, reason="fine"))
    assert replies(rules) == [
        base.Reply(request="r", allow=True, reason="fine", input={"command": "y"})
    ]
    assert not rules.state.requests.pending


def test_second_answer_names_the_first() -> None:
    rules = asking()
    rules.hear(permission(), question())
    rules.do(c.Answer(request="r", decision="deny"), c.Answer(request="q", decision="deny"))
    with pytest.raises(AlreadyAnswered, match="deny by user"):
        rules.do(c.Answer(request="r"))
    with pytest.raises(AlreadyAnswered, match="declined by user"):
        rules.do(c.Answer(request="q", answers={"Which?": "a", "Many?": "b"}))
    assert len(replies(rules)) == 2


def test_unknown_request_is_not_found() -> None:
    with pytest.raises(NotFound, match="'x'"):
        asking().do(c.Answer(request="x"))


def test_answers_to_a_question_reach_the_agent() -> None:
    rules = asking()
    rules.hear(question())
    answers: dict[str, str | list[str]] = {"Which?": "something else", "Many?": ["a", "b"]}
    rules.do(c.Answer(request="q", answers=answers))
    assert replies(rules) == [base.Reply(request="q", allow=True, answers=answers)]
    assert rules.of(e.QuestionResolved)[0].answers == answers


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (None, "no answer to 'Which\\?'"),
        ({"Which?": "a"}, "no answer to 'Many\\?'"),
        ({"Which?": "", "Many?": "b"}, "no answer to 'Which\\?'"),
        ({"Which?": ["a"], "Many?": "b"}, "takes one answer"),
        ({"What?": "a"}, "there is no question 'What\\?'"),
    ],
)
def test_answers_that_do_not_fit_are_refused_and_the_question_waits(answers: Any, why: str) -> None:
    rules = asking()
    rules.hear(question())
    with pytest.raises(InvalidInput, match=why):
        rules.do(c.Answer(request="q", answers=answers))
    assert "q" in rules.state.requests.pending


def test_permission_takes_no_answers() -> None:
    rules = asking()
    rules.hear(permission())
    with pytest.raises(InvalidInput, match="takes no answers"):
        rules.do(c.Answer(request="r", answers={"Which?": "a"}))


def test_request_that_the_agent_repeats_is_published_once() -> None:
    rules = asking()
    rules.hear(permission(), permission())
    rules.do(c.Answer(request="r"))
    rules.hear(permission(), base.Withdrawn("r"))
    assert len(rules.of(e.PermissionRequested)) == len(rules.of(e.PermissionResolved)) == 1


def test_request_is_denied_at_once_where_nobody_can_answer() -> None:
    rules = asking(attended=False)
    rules.hear(permission(), question())
    resolved = rules.of(e.PermissionResolved, e.QuestionResolved)
    assert [(event.by, event.reason) for event in resolved] == [("policy", UNATTENDED)] * 2
    assert [reply.allow for reply in replies(rules)] == [False, False]


def test_request_is_denied_at_its_deadline() -> None:
    rules = asking(attended=None, request_timeout=5)
    rules.hear(permission("r1"))
    rules.wait(3)
    rules.hear(permission("r2"))
    assert rules.of(e.PermissionRequested)[0].deadline is not None
    rules.wait_until_due()
    assert [event.request for event in rules.of(e.PermissionResolved)] == ["r1"]
    assert rules.of(e.PermissionResolved)[0].by == "deadline"
    rules.wait_until_due()
    assert not rules.state.requests.pending


def test_request_has_no_deadline_while_a_person_attends() -> None:
    rules = asking(attended=True, request_timeout=5)
    rules.hear(permission())
    rules.wait(1000)
    assert rules.of(e.PermissionRequested)[0].deadline is None
    assert "r" in rules.state.requests.pending
    rules.attended = False
    rules.session.attendance_changed(rules.now)
    assert rules.of(e.PermissionResolved)[0].reason == UNATTENDED


@pytest.mark.parametrize(
    ("mode", "decision"), [("bypassPermissions", "allow"), ("dontAsk", "deny")]
)
def test_permission_mode_decides_pending_and_later_requests(mode: str, decision: str) -> None:
    rules = asking()
    rules.hear(permission("r1"), question())
    rules.do(c.SetPermissionMode(mode=mode))
    rules.hear(permission("r2"))
    resolved = rules.of(e.PermissionResolved)
    assert [(event.request, event.decision, event.by) for event in resolved] == [
        ("r1", decision, "policy"),
        ("r2", decision, "policy"),
    ]
    assert list(rules.state.requests.pending) == ["q"]


def test_withdrawn_request_ends_without_a_reply() -> None:
    rules = asking()
    rules.hear(permission(), base.Withdrawn("r"), base.Withdrawn("r"))
    assert rules.of(e.PermissionResolved)[0].decision == "cancelled"
    assert replies(rules) == []


def test_request_during_a_stop_is_refused_unseen() -> None:
    rules = asking()
    rules.do(c.Interrupt())
    rules.hear(permission())
    assert rules.of(e.PermissionRequested) == []
    assert [reply.allow for reply in replies(rules)] == [False]


def test_denial_is_listed_in_the_result() -> None:
    rules = asking()
    rules.hear(
        e.ToolStarted(call="c", name="Bash", kind="execute", input={}),
        permission(),
    )
    rules.do(c.Answer(request="r", decision="deny", reason="not that"))
    rules.hear(
        e.ToolEnded(call="c", name="Bash", status="failed"),
        done("m"),
    )
    assert rules.of(e.ToolEnded)[0].status == "denied"
    denial = rules.of(e.TurnEnded)[0].denials[0]
    assert (denial.call, denial.name, denial.reason) == ("c", "Bash", "not that")


def test_request_of_background_work_outlives_the_turn_that_completes() -> None:
    rules = asking()
    rules.hear(e.TaskStarted(task="t"), permission(), done("m"))
    assert list(rules.state.requests.pending) == ["r"]
    rules.do(c.Answer(request="r"))
    assert [reply.allow for reply in replies(rules)] == [True]


def test_interrupt_of_background_work_ends_its_requests() -> None:
    rules = asking()
    rules.hear(e.TaskStarted(task="t"), permission(), done("m"))
    rules.do(c.Interrupt())
    assert rules.of(e.PermissionResolved)[0].decision == "cancelled"


def test_resolved_requests_are_kept_up_to_a_bound() -> None:
    requests = Requests()
    for number in range(KEPT_RESOLVED + 1):
        requests.apply(permission(str(number)))
        requests.apply(e.PermissionResolved(request=str(number), decision="allow", by="user"))
    assert not requests.known("0")
    assert requests.known("1")


# Rules of the session ---------------------------------------------------------------------------


def with_rule(request: str, rule: str = "Bash(npm test)") -> e.PermissionRequested:
    return msgspec.structs.replace(permission(request), rule=rule)


def test_a_remembered_answer_settles_what_its_rule_covers() -> None:
    rules = asking()
    rules.hear(with_rule("r1"), with_rule("r2"), with_rule("r3", "Bash(other)"))
    rules.do(c.Answer(request="r1", remember="session"))
    resolved = rules.of(e.PermissionResolved)
    assert [(event.request, event.by, event.rule) for event in resolved] == [
        ("r1", "user", "Bash(npm test)"),
        ("r2", "rule", "Bash(npm test)"),
    ]
    rules.hear(with_rule("r4"))
    assert rules.of(e.PermissionResolved)[-1].request == "r4"
    assert list(rules.state.rules) == ["Bash(npm test)"]


def test_a_revoked_rule_allows_nothing_more() -> None:
    rules = asking()
    rules.hear(with_rule("r1"))
    rules.do(c.Answer(request="r1", remember="session"))
    rules.do(c.Revoke(rule="Bash(npm test)"))
    assert [event.rule for event in rules.of(e.RuleRevoked)] == ["Bash(npm test)"]
    rules.hear(with_rule("r2"))
    assert list(rules.state.requests.pending) == ["r2"]
    with pytest.raises(NotFound, match="no rule"):
        rules.do(c.Revoke(rule="Bash(npm test)"))


@pytest.mark.parametrize(
    "answer",
    [
        c.Answer(request="r1", decision="deny", remember="session"),
        c.Answer(request="r1", input={"command": "ls"}, remember="session"),
        c.Answer(request="r2", remember="session"),
    ],
)
def test_only_a_plain_allow_with_a_rule_is_remembered(answer: c.Answer) -> None:
    rules = asking()
    rules.hear(with_rule("r1"), permission("r2"))
    with pytest.raises(InvalidInput, match="whole session"):
        rules.do(answer)
    assert list(rules.state.requests.pending) == ["r1", "r2"]


def test_plan_mode_knows_no_rule() -> None:
    rules = asking()
    rules.hear(with_rule("r1"))
    rules.do(c.Answer(request="r1", remember="session"))
    rules.do(c.SetPermissionMode(mode="plan"))
    rules.hear(with_rule("r2"))
    assert list(rules.state.requests.pending) == ["r2"]


def test_a_renewed_request_is_answered_to_the_agent_under_its_own_id() -> None:
    rules = asking()
    rules.hear(with_rule("r1"))
    renewed = rules.session.renew("r1", with_rule("r1", "Bash(changed)"), rules.now)
    (cancelled,) = rules.of(e.PermissionResolved)
    assert (cancelled.request, cancelled.decision) == ("r1", "cancelled")
    assert not [action for action in rules.actions if isinstance(action, Reply)]
    rules.do(c.Answer(request=renewed))
    (reply,) = [action for action in rules.actions if isinstance(action, Reply)]
    assert reply.reply.request == "r1"


def test_an_agent_withdraws_a_renewed_request_by_its_own_id() -> None:
    rules = asking()
    rules.hear(with_rule("r1"))
    rules.session.renew("r1", with_rule("r1"), rules.now)
    rules.hear(base.Withdrawn("r1"))
    assert not rules.state.requests.pending


def test_an_answer_that_says_what_a_rule_has_decided_is_no_conflict() -> None:
    rules = asking()
    rules.hear(with_rule("r1"))
    rules.do(c.Answer(request="r1", remember="session"))
    rules.hear(with_rule("r2"))
    rules.do(c.Answer(request="r2"))
    with pytest.raises(AlreadyAnswered, match="allow by rule"):
        rules.do(c.Answer(request="r2", decision="deny"))
    with pytest.raises(AlreadyAnswered, match="allow by user"):
        rules.do(c.Answer(request="r1"))


def test_accepting_edits_allows_those_that_wait_and_nothing_else() -> None:
    rules = asking(folders=["/w", "/more"])
    rules.hear(edit("in", "Edit(/w/**)"), edit("below", "Edit(/more/src/**)"))
    rules.hear(edit("beside", "Edit(/w2/**)"), edit("protected", ""), permission("command"))
    rules.hear(edit("reading", "Read(/w/**)"), question())
    rules.do(c.SetPermissionMode(mode="acceptEdits"))
    allowed = rules.of(e.PermissionResolved)
    assert [each.request for each in allowed] == ["in", "below"]
    assert {(each.by, each.reason) for each in allowed} == {
        ("policy", "permission mode acceptEdits")
    }
    assert [each.request for each in replies(rules)] == ["in", "below"]
    rules.hear(edit("later", "Edit(/w/**)"))  # which the agent asks for all the same
    assert "later" in rules.state.requests.pending
