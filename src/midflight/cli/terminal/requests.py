"""The agent's requests at the terminal: one at a time, shown in full, answered by one line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rich.cells import cell_len

from midflight import commands as c
from midflight import events as e
from midflight._util.sanitize import exact, exact_line, one_line, one_name
from midflight.cli import answers
from midflight.cli.output import BOLD, DIM, YELLOW, Fragment
from midflight.cli.terminal.render import approval
from midflight.cli.terminal.wrap import wrapped
from midflight.effects import brief
from midflight.events import Request
from midflight.values import Question

HEAD_WIDTH = 40
"""How much of a long request stands at its prompt again."""

AROUND_LINES = 6
"""How many lines of the screen a request has besides its own: heading, prompt, status line."""

MESSAGE = frozenset({"m", "message"})


class _Waiting(NamedTuple):
    """A request that waits; ``asker`` is its session's name if that is not this one."""

    request: Request
    asker: str
    cwd: Path


class PendingRequests:
    """The requests that wait, in order. The first is `current`; lines are answers to that one."""

    def __init__(self, cwd: Path) -> None:
        """``cwd`` is the session's folder."""
        self._cwd = cwd
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._answers: dict[str, str | list[str]] = {}
        self._unclear = ""
        self._more = 0

    @property
    def _first(self) -> _Waiting | None:
        return next(iter(self._waiting.values()), None)

    @property
    def current(self) -> Request | None:
        """The request that the next line answers."""
        return self._first.request if self._first else None

    def add(self, request: Request, asker: str = "", cwd: Path | None = None) -> None:
        """Put a request behind those that wait; ``asker`` and ``cwd`` are another session's."""
        key = request.session, request.request
        self._waiting[key] = _Waiting(request, asker, cwd or self._cwd)

    def has(self, session: str, request: str) -> bool:
        """Tell whether a request still waits."""
        return (session, request) in self._waiting

    def remove(self, session: str, request: str) -> bool:
        """Forget a request that has been resolved; True if it was the current one."""
        key = session, request
        first = next(iter(self._waiting), None) == key
        self._waiting.pop(key, None)
        if first:
            self._answers, self._unclear, self._more = {}, "", 0
        return first

    # What is shown ------------------------------------------------------------------------

    @property
    def prompt(self) -> str:
        """The words in front of the input line."""
        first = self._first
        if first is None:
            return ""
        by = f"{first.asker}: " if first.asker else ""
        if self._unclear:
            return f'{by}"{one_line(self._unclear, 30)}": n denies with it, m sends it'
        if isinstance(first.request, e.PermissionRequested):
            always = "a, " if first.request.rule else ""
            return f"{by}Allow {self._head(first)}? y, n, {always}or n and why not"
        return f"{by}{self._how}" if self._how else ""

    def _head(self, first: _Waiting) -> str:
        """Return the tool, and what a request is about if that may have left the screen."""
        request = first.request
        if not isinstance(request, e.PermissionRequested):
            return ""
        name = one_name(request.name, HEAD_WIDTH)
        if not self._more:
            return name
        about = brief(request.effects, str(first.cwd)).partition(" (and ")[0]
        about = one_line(exact_line(about), HEAD_WIDTH)
        return f"{name}{': ' if about else ''}{about} …(+{self._more} lines)"

    @property
    def _how(self) -> str:
        """How the current question is answered."""
        question = self._question
        if question is None:
            return ""
        if not question.options:
            return "Your answer"
        return "Numbers, or your own words" if question.multiple else "A number, or your own words"

    def shown(self, columns: int = 80, rows: int = 0) -> list[Fragment]:
        """Return what the current request asks, in full, on a screen of this size; 0 is endless."""
        first = self._first
        if first is None:
            return []
        if isinstance(first.request, e.PermissionRequested):
            return self._permission(first, first.request, columns, rows)
        question = self._question
        if question is None:
            return []
        by = f"{first.asker} asks: " if first.asker else ""
        lines: list[Fragment] = [(YELLOW, f"\n{by}{exact(question.question)}\n")]
        for number, option in enumerate(question.options, 1):
            lines += [(BOLD, f"  {number}. "), ("", exact(option.label))]
            if option.description:
                lines.append((DIM, f" - {exact(option.description)}"))
            lines.append(("", "\n"))
        return lines

    def _permission(
        self, first: _Waiting, request: e.PermissionRequested, columns: int, rows: int
    ) -> list[Fragment]:
        detail = approval(request.effects, first.cwd)
        lines = "".join(text for _, text in detail).split("\n")[:-1]
        height = sum(max(1, -(-cell_len(line.expandtabs()) // columns)) for line in lines)
        self._more = height - 1 if rows and height + AROUND_LINES > rows else 0
        why = f" ({one_line(request.reason)})" if request.reason else ""
        long = f" ({height} lines)" if self._more else ""
        who = first.asker or "The agent"
        head = f"\n{who} asks for leave to use {one_name(request.name)}{why}{long}\n"
        rule = f"  a: allow {answers.for_the_session(request.rule)}\n"
        always = wrapped([(DIM, rule)], columns) if request.rule else []
        return [*wrapped([(YELLOW, head)], columns), *detail, *always]

    @property
    def _question(self) -> Question | None:
        if not isinstance(self.current, e.QuestionRequested):
            return None
        open_ = (each for each in self.current.questions if each.question not in self._answers)
        return next(open_, None)

    # What is answered ---------------------------------------------------------------------

    def answer(self, line: str) -> c.Answer | c.Send | str | None:
        """Take a line as the answer.

        Returns the whole answer, or what is wrong with the line, or None when a further question
        of the same request follows. A text that may be a reason or a message is asked back; it
        can become a message.
        """
        request = self.current
        if isinstance(request, e.PermissionRequested):
            return self._decide(request, line)
        question = self._question
        if request is None or question is None:
            return "nothing was asked"
        if denied := answers.deny_question(request, line):
            return denied
        chosen = answers.choose(question, line)
        if chosen is None:
            return f"there are {len(question.options)} numbers to choose from"
        self._answers[question.question] = chosen
        if self._question is not None:
            return None
        return c.Answer(request=request.request, answers=dict(self._answers))

    def _decide(self, request: e.PermissionRequested, line: str) -> c.Answer | c.Send | str:
        unclear, self._unclear = self._unclear, ""
        if unclear and line.strip().lower() in MESSAGE:
            return c.Send(text=unclear)
        if unclear and answers.word_of(line) in answers.NO:
            return c.Answer(request=request.request, decision="deny", reason=unclear)
        if unclear and answers.word_of(line):
            self._unclear = unclear
            return "that text first: n denies with it as the reason, m sends it as a message"
        answer = answers.decide(request, line)
        if answer is not None:
            return answer
        self._unclear = line.strip()
        return (
            "that neither allows nor denies: is it the reason of a denial (n), or a message to the"
            " agent (m)?"
        )
