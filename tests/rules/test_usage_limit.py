"""What follows when the account's usage limit is reached: by the rules alone."""

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


def cut(*, resets_in: float | None = HOUR, queued: tuple[str, ...] = (), **options: Any) -> Rules:
    """Return rules whose turn, opened by ``m``, was ended by the limit."""
    rules = Rules(**options)
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.do(*(send(message, "queue") for message in queued))
    hit(rules, resets_in, "m")
    return rules


def hit(rules: Rules, resets_in: float | None, *messages: str) -> None:
    resets_at = None if resets_in is None else rules.wall + resets_in
    rules.hear(*limit(*messages, resets_at=resets_at))


def waiting(**options: Any) -> Rules:
    rules = cut(on_usage_limit="wait", **options)
    rules.taken()
    return rules


def handed(rules: Rules) -> list[str]:
    return [action.text for action in rules.taken() if isinstance(action, Hand)]


def told(rules: Rules) -> e.UsageLimitReached:
    event: e.UsageLimitReached = rules.of(e.UsageLimitReached)[-1]
    return event


def go_on(rules: Rules) -> str:
    """Return the id of the message that waits for the reset."""
    message = told(rules).message
    assert message is not None
    return message


def state_of(rules: Rules, message: str) -> str:
    return rules.state.outbox.get(message).state


def pass_time(rules: Rules, seconds: float) -> None:
    """Let time go by in the steps that the rules ask for."""
    end = rules.now + seconds
    while (due := rules.conversation.due()) is not None and due <= end:
        rules.wait(max(due - rules.now, 0.0))
        if rules.conversation.engaged:
            break
    rules.wait(max(end - rules.now, 0.0))


def test_the_turn_ends_with_the_limit_and_its_message_fails() -> None:
    rules = cut(on_usage_limit="fail")
    (end,) = rules.of(e.TurnEnded)
    assert (end.status, end.reason) == ("limit", "usage_limit")
    assert rules.of(e.MessageFailed)[0].reason == "usage_limit"


def test_an_agent_that_waits_by_itself_is_stopped() -> None:
    rules = Rules(on_usage_limit="fail")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR, text="later", trying=True))
    assert rules.interrupted
    rules.obey()
    (end,) = rules.of(e.TurnEnded)
    assert (end.status, end.reason, end.text) == ("limit", "usage_limit", "later")
    assert told(rules).message is None


def test_an_agent_that_has_ended_its_turn_is_not_stopped() -> None:
    rules = cut(on_usage_limit="wait")
    assert not [action for action in rules.actions if isinstance(action, Interrupt)]


def test_a_turn_that_ends_well_in_spite_of_a_limit_is_not_gone_on_with() -> None:
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR), done("m"))
    assert rules.of(e.UsageLimitReached) == []
    assert rules.conversation.quiet


def test_without_waiting_what_is_queued_fails_too() -> None:
    rules = cut(on_usage_limit="fail", queued=("q",))
    assert told(rules).resets_at == rules.wall + HOUR
    assert told(rules).message is None
    assert state_of(rules, "q") == "failed"
    assert rules.conversation.quiet


def test_the_wait_is_a_queued_message_that_is_held_until_the_reset() -> None:
    rules = waiting()
    entry = rules.state.outbox.get(go_on(rules))
    assert (entry.text, entry.delivery, entry.state) == (CONTINUE, "queue", "accepted")
    assert told(rules).at == rules.wall + HOUR + GRACE_S
    assert rules.state.status == "waiting"
    assert not rules.conversation.quiet
    pass_time(rules, HOUR)
    assert handed(rules) == []
    pass_time(rules, GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_the_turn_after_the_wait_is_one_like_any_other() -> None:
    rules = waiting()
    pass_time(rules, HOUR + GRACE_S)
    rules.obey()
    assert state_of(rules, go_on(rules)) == "answered"
    assert rules.state.limit is None
    assert rules.state.status == "idle"
    assert rules.conversation.quiet


def test_the_message_that_goes_on_comes_before_what_was_queued() -> None:
    rules = waiting(queued=("q",))
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]
    rules.obey()
    assert handed(rules) == ["text of q"]


def test_a_steer_that_was_not_read_waits_behind_it() -> None:
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.do(send("s"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR, trying=True))
    rules.hear(base.Dropped("s"), done("m", status="interrupted", reason="interrupted"))
    assert [entry.id for entry in rules.state.outbox.waiting()] == [go_on(rules), "s"]


def test_a_steer_that_the_agent_keeps_meets_the_limit_before_the_wait_begins() -> None:
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.do(send("s"))
    hit(rules, HOUR, "m")
    assert rules.of(e.UsageLimitReached) == []
    rules.hear(base.Taken("s"))
    hit(rules, HOUR, "s")
    assert len(rules.of(e.UsageLimitReached)) == 1
    assert state_of(rules, "s") == "failed"
    assert rules.state.status == "waiting"


def test_the_time_of_day_is_looked_at_often() -> None:
    rules = waiting()
    due = rules.conversation.due()
    assert due is not None
    assert due - rules.now <= CLOCK_CHECK_S


def test_a_clock_that_jumps_ahead_ends_the_wait_at_the_next_look() -> None:
    rules = waiting()
    rules.clock_is_off = 2 * HOUR
    pass_time(rules, CLOCK_CHECK_S)
    assert handed(rules) == [CONTINUE]


def test_a_clock_that_is_set_back_does_not_end_the_wait_early() -> None:
    rules = waiting()
    rules.clock_is_off = -HOUR
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == []
    pass_time(rules, HOUR)
    assert handed(rules) == [CONTINUE]


@pytest.mark.parametrize("how", ["wait", None])
def test_without_a_known_reset_nothing_is_waited_for(how: str | None) -> None:
    rules = cut(resets_in=None, on_usage_limit=how)
    assert "not known" in rules.of(e.Notice)[-1].text
    assert rules.conversation.quiet


def test_a_reset_beyond_max_wait_is_not_waited_for_and_both_times_are_told() -> None:
    rules = cut(resets_in=2 * HOUR, on_usage_limit="wait", max_wait=HOUR)
    text = rules.of(e.Notice)[-1].text
    assert text.count(":") == 2
    assert "max_wait" in text
    assert rules.conversation.quiet


def test_a_limit_that_is_still_there_is_waited_for_again() -> None:
    rules = waiting()
    first = go_on(rules)
    pass_time(rules, HOUR + GRACE_S)
    rules.hear(base.Taken(first))
    hit(rules, -5.0, first)
    assert go_on(rules) != first
    assert told(rules).at == rules.wall + RETRY_S
    rules.taken()
    pass_time(rules, RETRY_S)
    assert handed(rules) == [CONTINUE]


def test_all_waiting_together_is_bounded_by_max_wait() -> None:
    rules = waiting(max_wait=1.5 * HOUR)
    first = go_on(rules)
    last = told(rules).give_up_at
    pass_time(rules, HOUR + GRACE_S)
    rules.hear(base.Taken(first))
    hit(rules, 0.2 * HOUR, first)
    second = go_on(rules)
    assert told(rules).give_up_at == last
    pass_time(rules, 0.2 * HOUR + GRACE_S)
    rules.hear(base.Taken(second))
    hit(rules, HOUR, second)
    assert told(rules).message is None
    assert rules.conversation.quiet


def test_a_limit_after_a_turn_that_worked_is_counted_anew() -> None:
    rules = waiting(max_wait=1.5 * HOUR)
    pass_time(rules, HOUR + GRACE_S)
    rules.obey()
    rules.do(send("n"))
    rules.hear(base.Taken("n"))
    hit(rules, HOUR, "n")
    assert told(rules).give_up_at == rules.wall + 1.5 * HOUR


@pytest.mark.parametrize(
    "command", [send("n"), send("n", "queue"), redirect("n")], ids=["steer", "queue", "redirect"]
)
def test_a_message_cuts_the_wait_short_and_goes_to_the_agent_at_once(command: c.Command) -> None:
    rules = waiting()
    rules.do(command)
    assert handed(rules) == ["text of n"]
    assert state_of(rules, go_on(rules)) == "cancelled"
    pass_time(rules, 2 * HOUR)
    assert handed(rules) == []


def test_a_steer_that_cuts_the_wait_short_comes_before_what_was_queued() -> None:
    rules = waiting(queued=("q",))
    rules.do(send("n"))
    assert handed(rules) == ["text of n"]
    rules.obey()
    assert handed(rules) == ["text of q"]


def test_promoting_what_waits_goes_on_at_once() -> None:
    rules = waiting(queued=("q",))
    rules.do(c.Promote(message=go_on(rules)))
    assert handed(rules) == [CONTINUE]


def test_promoting_another_message_cuts_the_wait_short() -> None:
    rules = waiting(queued=("p", "q"))
    rules.do(c.Promote(message="q"))
    assert handed(rules) == ["text of q"]
    assert state_of(rules, go_on(rules)) == "cancelled"


def test_an_edited_message_is_held_as_before() -> None:
    rules = waiting()
    rules.do(c.Edit(message=go_on(rules), text="Only the tests, then."))
    pass_time(rules, HOUR)
    assert handed(rules) == []
    pass_time(rules, GRACE_S)
    assert handed(rules) == ["Only the tests, then."]


@pytest.mark.parametrize("by", ["cancel", "interrupt"])
def test_the_wait_can_be_cancelled(by: str) -> None:
    rules = waiting()
    rules.do(c.Cancel(message=go_on(rules)) if by == "cancel" else c.Interrupt())
    assert state_of(rules, go_on(rules)) == "cancelled"
    assert rules.state.status == "idle"
    assert rules.conversation.quiet
    assert rules.conversation.due() is None


def test_an_interrupt_while_the_turn_is_being_ended_means_no_wait() -> None:
    rules = Rules(on_usage_limit="wait")
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.hear(base.UsageLimit(resets_at=rules.wall + HOUR, trying=True))
    rules.do(c.Interrupt())
    rules.obey()
    assert rules.of(e.UsageLimitReached) == []
    assert rules.conversation.quiet


def test_an_agent_that_goes_on_by_itself_is_not_told_to() -> None:
    rules = waiting()
    rules.hear(base.Woke())
    assert state_of(rules, go_on(rules)) == "cancelled"
    rules.hear(done())
    pass_time(rules, 2 * HOUR)
    assert handed(rules) == []


def test_the_death_of_an_agent_that_rests_does_not_end_the_wait() -> None:
    rules = waiting()
    rules.hear(base.Died("killed"))
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_a_session_that_is_closed_waits_no_longer() -> None:
    rules = waiting()
    rules.begin_close()
    rules.finish()
    assert state_of(rules, go_on(rules)) == "cancelled"
    assert rules.conversation.due() is None


def again(rules: Rules, *, later: float) -> Rules:
    """Return the rules of a host that takes the session over from one that died."""
    new = Rules(on_usage_limit="wait")
    new.now = rules.now + later
    kept = [event for event in rules.events if event.durable]
    new.conversation.recover(Past(events=kept), new.now)
    new.conversation.resume(new.now)
    return new


# ------------------------------------------------------------------ asking


def question(rules: Rules) -> e.QuestionRequested:
    (asked,) = rules.state.requests.pending.values()
    assert isinstance(asked, e.QuestionRequested)
    return asked


def answer(rules: Rules, said: str) -> None:
    asked = question(rules)
    rules.do(c.Answer(request=asked.request, answers={asked.questions[0].question: said}))


def test_whoever_attends_is_asked() -> None:
    rules = cut()
    (text,) = question(rules).questions
    assert [option.label for option in text.options] == ["Wait", "Stop"]
    assert rules.state.status == "waiting"
    assert not rules.conversation.quiet
    assert question(rules).deadline is None


def test_what_is_queued_waits_for_the_answer() -> None:
    rules = cut(queued=("q",))
    assert handed(rules) == ["text of m"]
    answer(rules, "Wait")
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_the_answer_wait_waits() -> None:
    rules = cut()
    rules.taken()
    answer(rules, "Wait")
    assert not [action for action in rules.actions if isinstance(action, Reply)]
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


@pytest.mark.parametrize("said", ["Stop", "what?"])
def test_any_other_answer_stops(said: str) -> None:
    rules = cut(queued=("q",))
    answer(rules, said)
    assert state_of(rules, "q") == "failed"
    assert rules.conversation.quiet


def test_where_nobody_attends_the_question_has_a_deadline() -> None:
    rules = cut(attended=None, request_timeout=50.0)
    assert question(rules).deadline == rules.wall + 50.0
    pass_time(rules, 50.0)
    assert rules.of(e.QuestionResolved)[-1].by == "deadline"
    assert rules.conversation.quiet


def test_where_nobody_can_be_asked_nothing_is_waited_for() -> None:
    rules = cut(attended=False)
    assert rules.of(e.QuestionRequested) == []
    assert told(rules).message is None
    assert rules.conversation.quiet


def test_a_message_is_an_answer_of_its_own() -> None:
    rules = cut()
    rules.taken()
    rules.do(send("n"))
    assert handed(rules) == ["text of n"]
    assert rules.of(e.QuestionResolved)[-1].by == "turn"
    assert rules.state.requests.pending == {}


def test_the_question_is_void_when_the_agent_goes_on_by_itself() -> None:
    rules = cut()
    rules.hear(base.Woke())
    assert rules.state.requests.pending == {}


def test_the_death_of_the_agent_does_not_take_the_question_away() -> None:
    rules = cut()
    rules.taken()
    rules.hear(base.Died("killed"))
    answer(rules, "Wait")
    pass_time(rules, HOUR + GRACE_S)
    assert handed(rules) == [CONTINUE]


def test_it_is_asked_once_for_a_limit_that_is_still_there() -> None:
    rules = cut()
    answer(rules, "Wait")
    first = go_on(rules)
    pass_time(rules, HOUR + GRACE_S)
    rules.hear(base.Taken(first))
    hit(rules, 10.0, first)
    assert len(rules.of(e.QuestionRequested)) == 1
    assert rules.state.status == "waiting"


def test_a_person_who_has_cut_the_wait_short_is_asked_anew() -> None:
    rules = cut()
    answer(rules, "Wait")
    rules.do(send("n"))
    rules.hear(base.Taken("n"))
    hit(rules, HOUR, "n")
    assert len(rules.of(e.QuestionRequested)) == 2


# ------------------------------------------------------------------ from a journal


@pytest.mark.parametrize("later", [10.0, 2 * HOUR])
def test_a_host_that_takes_over_goes_on_with_the_wait(later: float) -> None:
    new = again(waiting(), later=later)
    assert new.state.status == "waiting"
    assert not new.conversation.quiet
    new.conversation.look(new.now)
    assert handed(new) == ([] if later < HOUR else [CONTINUE])
    pass_time(new, HOUR + GRACE_S)
    assert handed(new) == ([CONTINUE] if later < HOUR else [])


def test_readers_know_the_wait_from_the_events() -> None:
    rules = waiting()
    state = fold(rules.events)
    assert state.status == "waiting"
    assert state.wait == told(rules)
