"""What follows when the account's usage limit is reached, by the rules alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.rules import Rules, done, fold, limit, redirect, send

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.journal.base import Past
from midflight.rules.actions import Hand, Interrupt, Reply
from midflight.rules.usage_limit import CLOCK_CHECK_S, CONTINUE, GRACE_S, RETRY_S

HOUR = 3600.0


def limited(
    *, resets_in: float | None = HOUR, queued: tuple[str, ...] = (), **options: Any
) -> Rules:
    """Return rules whose turn, opened by ``m``, has ended at the limit."""
    rules = Rules(**options)
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.do(*(send(message, "queue") for message in queued))
    reach_limit(rules, resets_in, "m")
    return rules


def reach_limit(rules: Rules, resets_in: float | None, *messages: str) -> None:
    resets_at = None if resets_in is None else rules.wall + resets_in
    rules.hear(*limit(*messages, resets_at=resets_at))


def waiting(**options: Any) -> Rules:
    rules = limited(on_usage_limit="wait", **options)
    rules.taken()
    return rules


def handed(rules: Rules) -> list[str]:
    return [action.text for action in rules.taken() if isinstance(action, Hand)]


def limit_event(rules: Rules) -> e.UsageLimitReached:
    event: e.UsageLimitReached = rules.of(e.UsageLimitReached)[-1]
    return event


def wait_message(rules: Rules) -> str:
    """Return the id of the message that waits for the reset."""
    message = limit_event(rules).message
    assert message is not None
    return message


def state_of(rules: Rules, message: str) -> str:
    return rules.state.outbox.get(message).state


def pass_time(rules: Rules, seconds: float) -> None:
    """Let time go by in the steps that the rules ask for."""
    end = rules.now + seconds
    while (due := rules.session.due()) is not None and due <= end:
        rules.wait(max(due - rules.now, 0.0))
        if rules.session.engaged:
            break
    rules.wait(max(end - rules.now, 0.0))


def test_turn_ends_with_the_limit_and_its_message_fails() -> None:
    rules = limited(on_usage_limit="fail")
    (end,) = rules.of(e.TurnEnded)
    assert (end.status, end.reason) == ("limit", "usage_limit")
    assert rules.of(e.MessageFailed)[0].reason == "usage_limit"


def test_agent_that_waits_by_itself_is_stopped() -> None:
    rules = Rules(on_usage_limit="fail")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR, text="later", trying=True))
    assert rules.interrupted
    rules.obey()
    (end,) = rules.of(e.TurnEnded)
    assert (end.status, end.reason, end.text) == ("limit", "usage_limit", "later")
    assert limit_event(rules).message is None


def test_agent_that_has_ended_its_turn_is_not_stopped() -> None:
    rules = limited(on_usage_limit="wait")
    assert not [action for action in rules.actions if isinstance(action, Interrupt)]


def test_turn_that_completes_despite_a_limit_is_not_continued() -> None:
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR), done("m"))
    assert rules.of(e.UsageLimitReached) == []
    assert rules.session.quiet


def test_queued_message_fails_where_the_session_does_not_wait() -> None:
    rules = limited(on_usage_limit="fail", queued=("q",))
    assert limit_event(rules).resets_at == rules.wall + HOUR
    assert limit_event(rules).message is None
    assert state_of(rules, "q") == "failed"
    assert rules.session.quiet


def test_wait_is_a_queued_message_that_is_held_until_the_reset() -> None:
    rules = waiting()
    entry = rules.state.outbox.get(wait_message(rules))
    assert (entry.text, entry.delivery, entry.state) == (CONTINUE, "queue", "accepted")
    assert limit_event(rules).at == rules.wall + HOUR + GRACE_S
    assert rules.state.status == "waiting"
    assert not rules.session.quiet
    pass_time(rules, HOUR)
    assert handed(rules) == []
    pass_time(rules, GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_turn_after_the_wait_is_like_any_other() -> None:
    rules = waiting()
    pass_time(rules, HOUR + GRACE_S)
    rules.obey()
    assert state_of(rules, wait_message(rules)) == "answered"
    assert rules.state.limit is None
    assert rules.state.status == "idle"
    assert rules.session.quiet


def test_waiting_message_comes_before_queued_ones() -> None:
    rules = waiting(queued=("q",))
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]
    rules.obey()
    assert handed(rules) == ["text of q"]


def test_unread_steer_waits_behind_the_waiting_message() -> None:
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.do(send("s"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR, trying=True))
    rules.hear(base.Dropped("s"), done("m", status="interrupted", reason="interrupted"))
    assert [entry.id for entry in rules.state.outbox.waiting()] == [wait_message(rules), "s"]


def test_steer_that_the_agent_keeps_fails_before_the_wait_begins() -> None:
    """The wait begins only when the agent has nothing left to read."""
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.do(send("s"))
    reach_limit(rules, HOUR, "m")
    assert rules.of(e.UsageLimitReached) == []
    rules.hear(base.Taken("s"))
    reach_limit(rules, HOUR, "s")
    assert len(rules.of(e.UsageLimitReached)) == 1
    assert state_of(rules, "s") == "failed"
    assert rules.state.status == "waiting"


def test_time_of_day_is_compared_often() -> None:
    rules = waiting()
    due = rules.session.due()
    assert due is not None
    assert due - rules.now <= CLOCK_CHECK_S


def test_clock_that_jumps_ahead_ends_the_wait_at_the_next_look() -> None:
    rules = waiting()
    rules.clock_is_off = 2 * HOUR
    pass_time(rules, CLOCK_CHECK_S)
    assert handed(rules) == [CONTINUE]


def test_clock_that_is_set_back_does_not_end_the_wait_early() -> None:
    rules = waiting()
    rules.clock_is_off = -HOUR
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == []
    pass_time(rules, HOUR)
    assert handed(rules) == [CONTINUE]


@pytest.mark.parametrize("how", ["wait", None])
def test_limit_without_a_known_reset_is_not_waited_for(how: str | None) -> None:
    rules = limited(resets_in=None, on_usage_limit=how)
    assert "not known" in rules.of(e.Notice)[-1].text
    assert rules.session.quiet


def test_reset_beyond_max_wait_is_not_waited_for_and_both_times_shown() -> None:
    rules = limited(resets_in=2 * HOUR, on_usage_limit="wait", max_wait=HOUR)
    text = rules.of(e.Notice)[-1].text
    assert text.count(":") == 2
    assert "max_wait" in text
    assert rules.session.quiet


def test_limit_that_is_still_in_force_is_waited_for_again() -> None:
    rules = waiting()
    first = wait_message(rules)
    pass_time(rules, HOUR + GRACE_S)
    rules.hear(base.Taken(first))
    reach_limit(rules, -5.0, first)
    assert wait_message(rules) != first
    assert limit_event(rules).at == rules.wall + RETRY_S
    rules.taken()
    pass_time(rules, RETRY_S)
    assert handed(rules) == [CONTINUE]


def test_waits_together_are_bounded_by_max_wait() -> None:
    rules = waiting(max_wait=1.5 * HOUR)
    first = wait_message(rules)
    last = limit_event(rules).give_up_at
    pass_time(rules, HOUR + GRACE_S)
    rules.hear(base.Taken(first))
    reach_limit(rules, 0.2 * HOUR, first)
    second = wait_message(rules)
    assert limit_event(rules).give_up_at == last
    pass_time(rules, 0.2 * HOUR + GRACE_S)
    rules.hear(base.Taken(second))
    reach_limit(rules, HOUR, second)
    assert limit_event(rules).message is None
    assert rules.session.quiet


def test_limit_after_a_completed_turn_gets_a_max_wait_of_its_own() -> None:
    rules = waiting(max_wait=1.5 * HOUR)
    pass_time(rules, HOUR + GRACE_S)
    rules.obey()
    rules.do(send("n"))
    rules.hear(base.Taken("n"))
    reach_limit(rules, HOUR, "n")
    assert limit_event(rules).give_up_at == rules.wall + 1.5 * HOUR


@pytest.mark.parametrize(
    "command", [send("n"), send("n", "queue"), redirect("n")], ids=["steer", "queue", "redirect"]
)
def test_message_ends_the_wait_and_is_handed_at_once(command: c.Command) -> None:
    rules = waiting()
    rules.do(command)
    assert handed(rules) == ["text of n"]
    assert state_of(rules, wait_message(rules)) == "cancelled"
    pass_time(rules, 2 * HOUR)
    assert handed(rules) == []


def test_steer_that_ends_the_wait_comes_before_queued_messages() -> None:
    rules = waiting(queued=("q",))
    rules.do(send("n"))
    assert handed(rules) == ["text of n"]
    rules.obey()
    assert handed(rules) == ["text of q"]


def test_promotion_of_the_waiting_message_ends_the_wait() -> None:
    rules = waiting(queued=("q",))
    rules.do(c.Promote(message=wait_message(rules)))
    assert handed(rules) == [CONTINUE]


def test_promotion_of_another_message_cancels_the_wait() -> None:
    rules = waiting(queued=("p", "q"))
    rules.do(c.Promote(message="q"))
    assert handed(rules) == ["text of q"]
    assert state_of(rules, wait_message(rules)) == "cancelled"


def test_waiting_message_that_is_edited_is_held_as_before() -> None:
    rules = waiting()
    rules.do(c.Edit(message=wait_message(rules), text="Only the tests, then."))
    pass_time(rules, HOUR)
    assert handed(rules) == []
    pass_time(rules, GRACE_S)
    assert handed(rules) == ["Only the tests, then."]


@pytest.mark.parametrize("by", ["cancel", "interrupt"])
def test_wait_can_be_cancelled(by: str) -> None:
    rules = waiting()
    rules.do(c.Cancel(message=wait_message(rules)) if by == "cancel" else c.Interrupt())
    assert state_of(rules, wait_message(rules)) == "cancelled"
    assert rules.state.status == "idle"
    assert rules.session.quiet
    assert rules.session.due() is None


def test_interrupt_while_the_turn_is_being_stopped_means_no_wait() -> None:
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR, trying=True))
    rules.do(c.Interrupt())
    rules.obey()
    assert rules.of(e.UsageLimitReached) == []
    assert rules.session.quiet


def test_agent_that_continues_by_itself_cancels_the_wait() -> None:
    rules = waiting()
    rules.hear(base.Woke())
    assert state_of(rules, wait_message(rules)) == "cancelled"
    rules.hear(done())
    pass_time(rules, 2 * HOUR)
    assert handed(rules) == []


def test_death_of_an_idle_agent_does_not_end_the_wait() -> None:
    rules = waiting()
    rules.hear(base.Died("killed"))
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_close_cancels_the_wait() -> None:
    rules = waiting()
    rules.begin_close()
    rules.finish()
    assert state_of(rules, wait_message(rules)) == "cancelled"
    assert rules.session.due() is None


def taken_over(rules: Rules, *, later: float) -> Rules:
    """Return the rules of a host that takes the session over from one that died."""
    new = Rules(on_usage_limit="wait")
    new.now = rules.now + later
    durable = [event for event in rules.events if event.durable]
    new.session.recover(Past(events=durable), new.now)
    new.session.resume(new.now)
    return new


# ------------------------------------------------------------------ asking


def question(rules: Rules) -> e.QuestionRequested:
    (asked,) = rules.state.requests.pending.values()
    assert isinstance(asked, e.QuestionRequested)
    return asked


def answer(rules: Rules, label: str) -> None:
    asked = question(rules)
    rules.do(c.Answer(request=asked.request, answers={asked.questions[0].question: label}))


def test_person_who_attends_is_asked() -> None:
    rules = limited()
    (text,) = question(rules).questions
    assert [option.label for option in text.options] == ["Wait", "Stop"]
    assert rules.state.status == "waiting"
    assert not rules.session.quiet
    assert question(rules).deadline is None


def test_queued_message_waits_for_the_answer() -> None:
    rules = limited(queued=("q",))
    assert handed(rules) == ["text of m"]
    answer(rules, "Wait")
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_answer_wait_begins_the_wait() -> None:
    rules = limited()
    rules.taken()
    answer(rules, "Wait")
    assert not [action for action in rules.actions if isinstance(action, Reply)]
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


@pytest.mark.parametrize("label", ["Stop", "what?"])
def test_answer_other_than_wait_stops(label: str) -> None:
    rules = limited(queued=("q",))
    answer(rules, label)
    assert state_of(rules, "q") == "failed"
    assert rules.session.quiet


def test_question_has_a_deadline_where_no_person_attends() -> None:
    rules = limited(attended=None, request_timeout=50.0)
    assert question(rules).deadline == rules.wall + 50.0
    pass_time(rules, 50.0)
    assert rules.of(e.QuestionResolved)[-1].by == "deadline"
    assert rules.session.quiet


def test_limit_is_not_waited_for_where_nobody_can_answer() -> None:
    rules = limited(attended=False)
    assert rules.of(e.QuestionRequested) == []
    assert limit_event(rules).message is None
    assert rules.session.quiet


def test_message_cancels_the_question() -> None:
    rules = limited()
    rules.taken()
    rules.do(send("n"))
    assert handed(rules) == ["text of n"]
    assert rules.of(e.QuestionResolved)[-1].by == "turn"
    assert rules.state.requests.pending == {}


def test_agent_that_continues_by_itself_cancels_the_question() -> None:
    rules = limited()
    rules.hear(base.Woke())
    assert rules.state.requests.pending == {}


def test_death_of_the_agent_does_not_cancel_the_question() -> None:
    rules = limited()
    rules.taken()
    rules.hear(base.Died("killed"))
    answer(rules, "Wait")
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_question_is_asked_once_for_a_limit_that_is_still_in_force() -> None:
    rules = limited()
    answer(rules, "Wait")
    first = wait_message(rules)
    pass_time(rules, HOUR + GRACE_S)
    rules.hear(base.Taken(first))
    reach_limit(rules, 10.0, first)
    assert len(rules.of(e.QuestionRequested)) == 1
    assert rules.state.status == "waiting"


def test_person_who_ended_the_wait_is_asked_anew() -> None:
    rules = limited()
    answer(rules, "Wait")
    rules.do(send("n"))
    rules.hear(base.Taken("n"))
    reach_limit(rules, HOUR, "n")
    assert len(rules.of(e.QuestionRequested)) == 2


# ------------------------------------------------------------------ from a journal


@pytest.mark.parametrize("later", [10.0, 2 * HOUR])
def test_host_that_takes_over_resumes_the_wait(later: float) -> None:
    new = taken_over(waiting(), later=later)
    assert new.state.status == "waiting"
    assert not new.session.quiet
    new.session.look(new.now)
    assert handed(new) == ([] if later < HOUR else [CONTINUE])
    pass_time(new, HOUR + GRACE_S)
    assert handed(new) == ([CONTINUE] if later < HOUR else [])


def test_readers_know_the_wait_from_the_events() -> None:
    rules = waiting()
    state = fold(rules.events)
    assert state.status == "waiting"
    assert state.wait == limit_event(rules)
