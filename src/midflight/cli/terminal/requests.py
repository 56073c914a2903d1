"""The agent's requests at the terminal: one at a time, shown in full, answered by one line."""

from __future__ import annotations

from pathlib import Path

from midflight import events as e
from midflight._util.sanitize import exact, one_line, one_name
from midflight.cli.output import Fragment
from midflight.cli.terminal.render import approval
from midflight.commands import Answer
from midflight.events import Request
from midflight.values import Question

BOLD, DIM, YELLOW = "1", "2", "33"


def summary(request: Request) -> str:
    """Return what a request is about, in one line."""
    if isinstance(request, e.PermissionRequested):
        body = request.input
        detail = body.get("command") or body.get("file_path") or body.get("filePath") or ""
        return one_line(f"{request.name} {detail}")
    return one_line(" / ".join(question.question for question in request.questions))


class PendingRequests:
    """The requests that wait, in order. The first is `current`; lines are answers to that one."""

    def __init__(self, cwd: Path) -> None:
        """``cwd`` is where relative paths in a request begin."""
        self._cwd = cwd
        self._waiting: dict[tuple[str, str], Request] = {}
        self._askers: dict[tuple[str, str], str] = {}
        self._answers: dict[str, str | list[str]] = {}

    @property
    def current(self) -> Request | None:
        """The request that the next line answers."""
        return next(iter(self._waiting.values()), None)

    def add(self, request: Request, asker: str = "") -> None:
        """Put a request behind those that wait; ``asker`` is the session, if not this one."""
        key = request.session, request.request
        self._waiting[key], self._askers[key] = request, asker

    def remove(self, session: str, request: str) -> bool:
        """Forget a request that has been resolved; True if it was the current one."""
        key = session, request
        first = next(iter(self._waiting), None) == key
        self._waiting.pop(key, None)
        self._askers.pop(key, None)
        if first:
            self._answers = {}
        return first

    @property
    def _asker(self) -> str:
        return next(iter(self._askers.values()), "")

    @property
    def prompt(self) -> str:
        """The words in front of the input line."""
        by = f"{self._asker}: " if self._asker else ""
        if isinstance(self.current, e.PermissionRequested):
            return f"{by}Allow {one_name(self.current.name, 40)}? y, n, or why not"
        return f"{by}{self._how}" if self._how else ""

    @property
    def _how(self) -> str:
        """How the current question is answered."""
        question = self._question
        if question is None:
            return ""
        if not question.options:
            return "Your answer"
        return "Numbers, or your own words" if question.multiple else "A number, or your own words"

    def shown(self) -> list[Fragment]:
        """Return what the current request asks, in full."""
        request = self.current
        if isinstance(request, e.PermissionRequested):
            why = f" ({one_line(request.reason)})" if request.reason else ""
            who = self._asker or "The agent"
            head = (YELLOW, f"\n{who} asks for leave to use {one_name(request.name)}{why}\n")
            return [head, *approval(request.name, request.input, self._cwd)]
        question = self._question
        if question is None:
            return []
        by = f"{self._asker} asks: " if self._asker else ""
        lines: list[Fragment] = [(YELLOW, f"\n{by}{exact(question.question)}\n")]
        for number, option in enumerate(question.options, 1):
            lines += [(BOLD, f"  {number}. "), ("", exact(option.label))]
            if option.description:
                lines.append((DIM, f" - {exact(option.description)}"))
            lines.append(("", "\n"))
        return lines

    @property
    def _question(self) -> Question | None:
        if not isinstance(self.current, e.QuestionRequested):
            return None
        open_ = (each for each in self.current.questions if each.question not in self._answers)
        return next(open_, None)

    def answer(self, line: str) -> Answer | str | None:
        """Take a line as the answer.

        Returns the whole answer, or what is wrong with the line, or None when a further question
        of the same request follows.
        """
        request = self.current
        if isinstance(request, e.PermissionRequested):
            return _decide(request.request, line)
        question = self._question
        if request is None or question is None:
            return "nothing was asked"
        chosen = choose(question, line)
        if chosen is None:
            return f"there are {len(question.options)} numbers to choose from"
        self._answers[question.question] = chosen
        if self._question is not None:
            return None
        return Answer(request=request.request, answers=dict(self._answers))


def _decide(request: str, line: str) -> Answer | str:
    """Read y, n, n with a reason, or only a reason; a yes with more words is none."""
    first, _, rest = line.strip().partition(" ")
    word = first.lower().rstrip(",.:;!")
    if word in ("y", "yes"):
        return "y alone allows it; anything else would be a no" if rest else Answer(request=request)
    if word in ("n", "no"):
        return Answer(request=request, decision="deny", reason=rest.strip())
    if not word:
        return "y allows it, n denies it"
    return Answer(request=request, decision="deny", reason=line.strip())


def choose(question: Question, line: str) -> str | list[str] | None:
    """Read the numbers of options, or own words; None for a number that does not exist."""
    words = line.replace(",", " ").split()
    labels = [option.label for option in question.options]
    if not words:
        return None
    if not all(word.isdecimal() for word in words) or not labels:
        return [line.strip()] if question.multiple else line.strip()
    numbers = [int(word) for word in words]
    if not all(1 <= number <= len(labels) for number in numbers):
        return None
    if question.multiple:
        return [labels[number - 1] for number in dict.fromkeys(numbers)]
    return labels[numbers[0] - 1] if len(numbers) == 1 else None
