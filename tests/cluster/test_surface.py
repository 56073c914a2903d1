"""A session on another machine is used as one here; see `tests.host.test_surface`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.host.test_surface import (
    test_attendance_can_be_changed,
    test_capabilities_and_permission_mode_are_known,
    test_close_ends_everything,
    test_event_is_the_same_on_both_sides,
    test_permission_mode_set_by_another_client_is_known,
    test_queued_messages_can_be_edited_moved_and_promoted,
    test_reader_who_comes_late_has_the_text_from_its_beginning,
    test_redirect_replaces_a_running_tool,
    test_same_id_twice_is_one_message,
    test_second_answer_is_a_conflict_that_names_the_first,
    test_steer_is_read_by_the_running_turn,
    test_stream_ends_when_the_agent_is_quiet_and_the_next_continues,
    test_verb_that_cannot_be_carried_out_raises_its_error,
)

from midflight.client.session import RemoteSession
from midflight.session.session import Session
from midflight.testing import FakeModel

__all__ = [
    "test_attendance_can_be_changed",
    "test_capabilities_and_permission_mode_are_known",
    "test_close_ends_everything",
    "test_event_is_the_same_on_both_sides",
    "test_permission_mode_set_by_another_client_is_known",
    "test_queued_messages_can_be_edited_moved_and_promoted",
    "test_reader_who_comes_late_has_the_text_from_its_beginning",
    "test_redirect_replaces_a_running_tool",
    "test_same_id_twice_is_one_message",
    "test_second_answer_is_a_conflict_that_names_the_first",
    "test_steer_is_read_by_the_running_turn",
    "test_stream_ends_when_the_agent_is_quiet_and_the_next_continues",
    "test_verb_that_cannot_be_carried_out_raises_its_error",
]

Open = Callable[..., Awaitable[tuple[FakeModel, Any]]]


@pytest.fixture
def open_(
    begin: Callable[..., Awaitable[tuple[FakeModel, Session]]],
    attach: Callable[..., Awaitable[RemoteSession]],
) -> Open:
    """Return a function from steps to a model and a session, which is on another machine."""

    async def start(*steps: Any, **options: Any) -> tuple[FakeModel, RemoteSession]:
        model, session = await begin(*steps, **options)
        return model, await attach(session)

    return start
