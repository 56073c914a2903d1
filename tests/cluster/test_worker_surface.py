"""A session that a worker has claimed is used as one here; see `tests.host.test_surface`.

Two workers, on machines of their own, and two clients on a third one: one that begins the session,
and one that uses it. What counts from a session's beginning is left out, for a message stands there
already. It is right to run rarely: a worker is a host, and a part is always tested of those.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import HERE
from tests.host.test_surface import (
    test_capabilities_and_permission_mode_are_known,
    test_events_begin_after_a_seq_and_end_with_the_session,
    test_interrupt_stops_the_turn_and_the_queue,
    test_queued_messages_can_be_edited_moved_and_promoted,
    test_reader_who_comes_late_has_the_text_from_its_beginning,
    test_second_answer_is_a_conflict_that_names_the_first,
    test_second_stream_at_a_time_is_a_conflict,
    test_state_is_the_same_on_both_sides_in_every_phase,
    test_steer_that_the_agent_has_can_be_cancelled,
    test_stream_ends_when_the_agent_is_quiet_and_the_next_continues,
    test_verb_that_cannot_be_carried_out_raises_its_error,
)
from tests.journal.conftest import Become
from tests.support.host import have

from midflight.client.client import connect
from midflight.testing import FakeModel, Text
from midflight.worker import Worker

Open = Callable[..., Awaitable[tuple[FakeModel, Any]]]

pytestmark = pytest.mark.long

__all__ = [
    "open_",
    "test_capabilities_and_permission_mode_are_known",
    "test_events_begin_after_a_seq_and_end_with_the_session",
    "test_interrupt_stops_the_turn_and_the_queue",
    "test_queued_messages_can_be_edited_moved_and_promoted",
    "test_reader_who_comes_late_has_the_text_from_its_beginning",
    "test_second_answer_is_a_conflict_that_names_the_first",
    "test_second_stream_at_a_time_is_a_conflict",
    "test_state_is_the_same_on_both_sides_in_every_phase",
    "test_steer_that_the_agent_has_can_be_cancelled",
    "test_stream_ends_when_the_agent_is_quiet_and_the_next_continues",
    "test_verb_that_cannot_be_carried_out_raises_its_error",
]

WORKERS = ("worker-one", "worker-two")


@pytest.fixture
async def open_(
    server: str,
    become: Become,
    fake_model: Callable[..., Awaitable[FakeModel]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    no_agent_left: None,
    tmp_path: Path,
) -> AsyncIterator[Open]:
    """Return a function from steps to a model and a session that a worker has claimed."""
    async with AsyncExitStack() as stack:

        async def start(*steps: Any, **options: Any) -> tuple[FakeModel, Any]:
            model = await fake_model(Text("begun"), *steps)
            env = model.env(tmp_path)
            have(monkeypatch, env)
            for machine in WORKERS:
                become(machine)
                worker = Worker(server, labels=["here"], variables=env)
                await stack.enter_async_context(worker)
            become(HERE)
            one = await stack.enter_async_context(connect(server))
            two = await stack.enter_async_context(connect(server))
            begun = await one.dispatch(
                "begin", on="here", agent="fake", cwd=tmp_path, env=env, **options
            )
            async with begun:
                assert begun.first is not None
                await begun.first.result()
            return model, await stack.enter_async_context(await two.session(begun.id))

        yield start
