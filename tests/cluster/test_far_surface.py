"""The rest of what `tests.cluster.test_surface` has a part of; it is right to run rarely."""

from __future__ import annotations

import pytest
from tests.cluster.test_surface import open_
from tests.host.test_surface import (
    test_command_that_fails_is_a_notice_with_its_id,
    test_denial_and_edited_input_reach_the_agent,
    test_events_begin_after_a_seq_and_end_with_the_session,
    test_first_message_is_the_task,
    test_interrupt_stops_the_turn_and_the_queue,
    test_message_has_its_state_and_result,
    test_model_and_permission_mode_can_be_switched,
    test_second_stream_at_a_time_is_a_conflict,
    test_session_has_to_be_entered,
    test_state_is_the_same_on_both_sides_in_every_phase,
    test_steer_that_the_agent_has_can_be_cancelled,
    test_stream_that_was_left_continues_where_it_stopped,
)

pytestmark = pytest.mark.long

__all__ = [
    "open_",
    "test_command_that_fails_is_a_notice_with_its_id",
    "test_denial_and_edited_input_reach_the_agent",
    "test_events_begin_after_a_seq_and_end_with_the_session",
    "test_first_message_is_the_task",
    "test_interrupt_stops_the_turn_and_the_queue",
    "test_message_has_its_state_and_result",
    "test_model_and_permission_mode_can_be_switched",
    "test_second_stream_at_a_time_is_a_conflict",
    "test_session_has_to_be_entered",
    "test_state_is_the_same_on_both_sides_in_every_phase",
    "test_steer_that_the_agent_has_can_be_cancelled",
    "test_stream_that_was_left_continues_where_it_stopped",
]
