"""What goes on by itself when the host of a session has died: by default nothing that was cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from midflight import events as e
from midflight.agents.base import Finished
from midflight.state.session import MOST_LOST

GO_ON = "Go on where you were cut. This is what you were asked:"
"""Begins the message that the agent gets, before the words that it may or may not have read."""

TOO_MANY_LOST = (
    f"{MOST_LOST} hosts in a row have died while they had this session, so it does not begin by"
    " itself any more; a message tries again"
)


def cut_words(events: Iterable[e.Event], told: Collection[str]) -> str:
    """Return what the agent was told in the messages of these ids, which a host's death cuts."""
    said = {
        event.message: event.text.removeprefix(f"{GO_ON}\n\n")
        for event in events
        if isinstance(event, e.MessageAccepted | e.MessageChanged) and event.message in told
    }
    return "\n\n".join((GO_ON, *filter(None, said.values())))


def known_end(events: Iterable[e.Event], messages: Collection[str]) -> Finished | None:
    """Return how a turn had ended that is open only because its host died before all was on disk.

    Its ``messages`` end together, and then the turn: one that has ended tells of the others.
    """
    said, end = "", None
    for event in events:
        match event:
            case e.TurnStarted():
                said = ""
            case e.Text(parent=None, text=text):
                said = text
            case e.MessageAnswered() if event.message in messages:
                end = Finished(status="completed", reason="end_turn", text=said)
            case e.MessageCancelled(reason=reason) if event.message in messages:
                end = Finished(status="interrupted", reason=reason)
            case e.MessageFailed(reason=reason) if event.message in messages:
                if reason != "host_died":  # else that end was written after the death
                    end = Finished(status="failed", reason=reason)
    return end
