"""What goes on by itself when the host of a session has died: by default nothing that was cut."""

from __future__ import annotations

from midflight.state.session import MOST_LOST, State

GO_ON = "Go on where you were cut. This is what you were asked:"
"""Begins the message that the agent gets, before the words that it may or may not have read."""

TOO_MANY_LOST = (
    f"{MOST_LOST} hosts in a row have died while they had this session, so it does not begin by"
    " itself any more; a message tries again"
)


def cut_words(state: State) -> str:
    """Return what the agent was told for the turn that a host's death cuts, handed over or read."""
    turn = state.turn.messages if state.turn else []
    told = [entry for entry in state.outbox if entry.id in turn or entry.handed]
    texts = [entry.text.removeprefix(f"{GO_ON}\n\n") for entry in told if entry.text]
    return "\n\n".join((GO_ON, *texts))
