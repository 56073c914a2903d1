"""Sessions as a list has them, and what they ask, without a session behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midflight import events as e
from midflight.cli.board.board import READ_S, Board
from midflight.effects import CommandEffect, EditEffect
from midflight.info import SessionInfo
from midflight.values import Question, QuestionOption

NOW = 1_000_000.0
CWD = "/home/me/shop"


def info(id: str, status: str = "idle", **fields: Any) -> SessionInfo:
    """A session; it is called like its id, and has begun and ended a moment ago."""
    known = {"agent": "fake", "model": "m", "cwd": CWD, "created": NOW - 60, "updated": NOW - 30}
    return SessionInfo(**{"id": id, "name": id, "status": status, **known, **fields})


def asks(id: str, *requests: e.Request, ago: float = 10, **fields: Any) -> SessionInfo:
    """A session that waits for an answer, and has asked some seconds ago."""
    pending = requests or (command(id, time=NOW - ago),)
    return info(id, "waiting", pending=pending, host="here", **fields)


def command(
    session: str, text: str = "npm test", request: str = "r-1", **fields: Any
) -> e.PermissionRequested:
    """A request to run a command."""
    known: dict[str, Any] = {"name": "Bash", "input": {"command": text}, "call": "c-1"}
    effects = (CommandEffect(command=text, cwd=CWD),)
    known |= {"session": session, "request": request, "time": NOW - 10, "effects": effects}
    known["rule"] = f"Bash({text})"
    return e.PermissionRequested(**(known | fields))


def edit(session: str, lines: int = 2, **fields: Any) -> e.PermissionRequested:
    """A request to add lines to a file."""
    diff = "\n".join(f"+line {number}" for number in range(lines))
    effect = EditEffect(path=f"{CWD}/new.txt", diff=diff, lines=lines, shown_lines=lines)
    return command(session, name="Write", effects=(effect,), rule=f"Edit({CWD}/**)", **fields)


def question(session: str, *labels: str, multiple: bool = False, text: str = "Which?") -> Question:
    """A question with options."""
    options = tuple(QuestionOption(label=label, description="") for label in labels)
    return Question(question=text, header="", multiple=multiple, options=options)


def asked(session: str, *questions: Question, request: str = "q-1") -> e.QuestionRequested:
    """A request with questions."""
    return e.QuestionRequested(session=session, request=request, questions=questions, time=NOW - 10)


def board(*infos: SessionInfo) -> Board:
    """A board with sessions; the first row is chosen."""
    made = Board(Path("/home/me"))
    made.take(infos, NOW)
    return made


def read(made: Board) -> float:
    """Have what is asked read, and return the moment from which keys answer it."""
    made.painted(whole=True, now=NOW)
    return NOW + READ_S
