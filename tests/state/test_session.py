from __future__ import annotations

import pytest

from midflight import events as e
from midflight.state.session import State


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("All is done.\n\n```python\nprint(1)\n```\n", "print(1)"),
        ("It is written.\n\n---\n", "It is written."),
        ("- one\n- 二\n", "- 二"),
        ("```\n", "```"),
        ("\n", ""),
    ],
)
def test_lists_show_the_last_line_that_says_something(text: str, last: str) -> None:
    state = State()
    state.apply(e.Text(text=text))
    assert state.last == last


def test_lists_show_that_a_task_has_failed_whose_agent_did_not_start() -> None:
    state = State()
    state.apply(e.MessageAccepted(message="m", text="do it", delivery="steer"))
    state.apply(e.MessageFailed(message="m", reason="agent_died"))
    assert state.last == "failed (agent_died)"
