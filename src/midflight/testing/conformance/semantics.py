"""What each verb does in each phase of a session: the one table, as data.

The conformance suite runs every cell on every agent; docs/semantics.md shows the same data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PHASES: Mapping[str, str] = {
    "accepted": "accepted but not started",
    "first byte": "waiting for the model's first byte",
    "streaming": "streaming text",
    "thinking": "thinking",
    "tool": "a tool runs",
    "permission": "a permission is pending",
    "question": "a question is pending",
    "back-off": "in a retry's back-off",
    "silent": "the stream is silent",
    "last token": "the moment after the last token",
    "just ended": "the turn has just ended",
    "background": "idle, a background task is alive",
    "idle": "idle",
}

VERBS: Mapping[str, str] = {
    "send": "`send(text)`: steer",
    "queue": '`send(text, delivery="queue")`',
    "redirect": "`redirect(text)`",
    "interrupt": "`interrupt()`",
    "cancel": "`message.cancel()` of the phase's message",
    "answer": "`answer(request)`",
    "set_model": "`set_model(model)`",
    "close": "`close()`",
    "death": "the agent's program is killed",
}

NEEDS: Mapping[str, str] = {
    "permission": "permissions",
    "question": "questions",
    "back-off": "retries",
    "background": "background",
    "set_model": "set_model",
}
"""Phases and verbs that only an agent with this capability can have."""


class Cell(NamedTuple):
    """What must be seen. Where two things may happen (a race without a winner), both stand.

    first: how the message ends that the phase is about. turn: how its turn ends (status/reason),
    ``none`` if it never gets one. new: how the verb's own message is taken (``steered`` into the
    running turn, ``started`` in a turn of its own), empty if the verb has none; result: the status
    that it ends with. error: the code of the error that the verb raises. says: the same for people.
    """

    says: str
    first: tuple[str, ...] = ("answered",)
    turn: tuple[str, ...] = ("completed/end_turn",)
    new: tuple[str, ...] = ()
    result: tuple[str, ...] = ("completed",)
    error: str = ""


_RESTING = ("just ended", "background", "idle")


def _rows(default: Cell, groups: Mapping[tuple[str, ...], Cell]) -> dict[str, Cell]:
    cells = dict.fromkeys(PHASES, default)
    for phases, cell in groups.items():
        cells.update(dict.fromkeys(phases, cell))
    return cells


_OWN_TURN = Cell("its own turn, after the running one", new=("started",))
_AT_ONCE = Cell("its own turn, at once", new=("started",))
_READ_NEXT = Cell("read after the tool, answered by the same turn", new=("steered",))
_EITHER_READ = Cell("read with the first message, or a turn of its own", new=("steered", "started"))
_SILENT = Cell(
    "waits; whatever ends the silence (here an interrupt that keeps the queue) lets it start",
    first=("cancelled",),
    turn=("interrupted/interrupted",),
    new=("started",),
)
_REDIRECTED = Cell(
    "the old turn ends `interrupted/redirected`, then its own turn",
    first=("cancelled",),
    turn=("interrupted/redirected",),
    new=("started",),
)
_REDIRECTED_EARLY = Cell(
    "the first message is cancelled, usually before it got a turn; then its own turn",
    first=("cancelled",),
    turn=("none", "interrupted/redirected"),
    new=("started",),
)
_REDIRECTED_LATE = Cell(
    "its own turn; the old one ends `interrupted/redirected`, or completed if that came first",
    first=("cancelled", "answered"),
    turn=("interrupted/redirected", "completed/end_turn"),
    new=("started",),
)
_STOPPED = Cell(
    "the turn ends `interrupted/interrupted`",
    first=("cancelled",),
    turn=("interrupted/interrupted",),
)
_STOPPED_EARLY = Cell(
    "the message is cancelled, usually before it got a turn",
    first=("cancelled",),
    turn=("none", "interrupted/interrupted"),
)
_STOPPED_LATE = Cell(
    "`interrupted/interrupted`, or completed if that came first",
    first=("cancelled", "answered"),
    turn=("interrupted/interrupted", "completed/end_turn"),
)
_TOO_LATE = Cell("returns False; the message has been read")
_STALLED_ON = Cell(
    "{}; the silence goes on until something stops it",
    first=("cancelled",),
    turn=("interrupted/interrupted",),
)
_UNKNOWN = Cell("`NotFound`: no request has this id", error="not_found")
_ENDED = Cell("`session.ended`; the agent and its tools are gone")
_DIED = Cell(
    "the turn ends `failed/agent_died`; the next message resumes the conversation",
    first=("failed",),
    turn=("failed/agent_died",),
)

TABLE: Mapping[str, Mapping[str, Cell]] = {
    "send": _rows(
        _OWN_TURN,
        {
            ("accepted",): _EITHER_READ,
            ("tool",): _READ_NEXT,
            ("permission", "question"): Cell(
                "read after the answer and the tool, answered by the same turn", new=("steered",)
            ),
            ("silent",): _SILENT,
            _RESTING: _AT_ONCE,
        },
    ),
    "queue": _rows(_OWN_TURN, {("silent",): _SILENT, _RESTING: _AT_ONCE}),
    "redirect": _rows(
        _REDIRECTED,
        {
            ("accepted",): _REDIRECTED_EARLY,
            ("last token",): _REDIRECTED_LATE,
            _RESTING: _AT_ONCE,
        },
    ),
    "interrupt": _rows(
        _STOPPED,
        {
            ("accepted",): _STOPPED_EARLY,
            ("last token",): _STOPPED_LATE,
            _RESTING: Cell("no effect"),
            ("background",): Cell("the background task is stopped"),
        },
    ),
    "cancel": _rows(
        _TOO_LATE,
        {
            ("accepted",): Cell(
                "returns True and the message gets no turn; False if the agent was faster",
                first=("cancelled", "answered"),
                turn=("none", "completed/end_turn"),
            ),
            ("silent",): _STALLED_ON._replace(says=_STALLED_ON.says.format("returns False")),
        },
    ),
    "answer": _rows(
        _UNKNOWN,
        {
            ("permission",): Cell("the tool runs (or is denied), the turn goes on"),
            ("question",): Cell("the agent gets the answer, the turn goes on"),
            ("silent",): _STALLED_ON._replace(
                says="`NotFound`: no request has this id", error="not_found"
            ),
        },
    ),
    "set_model": _rows(
        Cell("holds for the calls that follow"),
        {("silent",): _STALLED_ON._replace(says="holds for the calls that follow")},
    ),
    "close": _rows(
        _STOPPED._replace(says="the turn ends `interrupted/interrupted`, then `session.ended`"),
        {
            ("accepted",): _STOPPED_EARLY._replace(
                says="the message is cancelled, then `session.ended`"
            ),
            ("last token",): _STOPPED_LATE._replace(
                says="`interrupted/interrupted`, or completed if that came first; `session.ended`"
            ),
            _RESTING: _ENDED,
        },
    ),
    "death": _rows(
        _DIED,
        {
            ("accepted",): _DIED._replace(
                says="the message fails with `agent_died`; the next one resumes the conversation",
                turn=("none", "failed/agent_died"),
            ),
            ("last token",): _DIED._replace(
                says="`failed/agent_died`, or completed if that came first",
                first=("failed", "answered"),
                turn=("failed/agent_died", "completed/end_turn"),
            ),
            _RESTING: Cell("nothing; the next message resumes the conversation"),
            ("background",): Cell("`task.ended`; the next message resumes the conversation"),
        },
    ),
}


_AT_ONCE_WITH_IT = Cell(
    "read at once: the answer is broken off, and the same turn goes on with both",
    new=("steered", "started"),
)

STEERED_AT_ONCE: Mapping[str, Cell] = {
    **dict.fromkeys(("first byte", "streaming", "thinking", "last token"), _AT_ONCE_WITH_IT),
    "silent": Cell(
        "read at once; whatever ends the silence (here an interrupt) ends both",
        first=("cancelled",),
        turn=("interrupted/interrupted",),
        new=("steered", "started"),
        result=("interrupted", "completed"),
    ),
}
"""A steer while the model speaks, where the agent does not wait for its next step to read it."""


def as_markdown() -> str:
    """Return the table as one Markdown section a verb."""
    parts = []
    for verb, title in VERBS.items():
        lines = [f"### {title}", "", "| when | outcome |", "|---|---|"]
        groups: dict[str, list[str]] = {}
        for phase, cell in TABLE[verb].items():
            groups.setdefault(cell.says, []).append(PHASES[phase])
        lines += [f"| {'; '.join(phases)} | {says} |" for says, phases in groups.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
