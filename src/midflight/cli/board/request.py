"""What a session asks, as the board shows it: whole, with the keys that answer it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.cells import cell_len

from midflight import commands as c
from midflight import events as e
from midflight._util.sanitize import exact, exact_line, one_line, one_name
from midflight.cli import answers
from midflight.cli.board.words import WAITS, asks, at_home, folder
from midflight.cli.board.wrap import Line, lines_of, wrap
from midflight.cli.output import BOLD, DIM, Fragment
from midflight.cli.terminal.render import approval
from midflight.effects import CommandEffect
from midflight.events import Request
from midflight.info import SessionInfo
from midflight.values import Question

_DIGITS = "123456789"


class Asked(NamedTuple):
    """A request as it is shown: what it is about in full, and the keys that answer it."""

    body: list[Line]
    keys: list[Line]


class Asking:
    """The request of a session that waits longest, and what has been chosen of it so far.

    Several questions of one request come one after the other.
    """

    def __init__(self, info: SessionInfo) -> None:
        """Begin with a session that has a request."""
        self.info = info
        self.request: Request = info.pending[0]
        self.chosen: set[int] = set()
        self._answers: dict[str, str | list[str]] = {}

    @property
    def answered(self) -> int:
        """How many of its questions are answered: then the next one is asked."""
        return len(self._answers)

    @property
    def keys(self) -> set[str]:
        """The keys that answer it as it is now."""
        if self.question is not None:
            return {*_option_keys(self.question), "t", "n", *(["enter"] if self.chosen else [])}
        return {"y", "n", *("a" if self.rule else ""), *("e" if self.editable else "")}

    @property
    def question(self) -> Question | None:
        """The question that is to be answered next, if it is one."""
        if isinstance(self.request, e.PermissionRequested):
            return None
        open_ = (each for each in self.request.questions if each.question not in self._answers)
        return next(open_, None)

    # What is shown ------------------------------------------------------------------------

    def shown(self, width: int) -> Asked:
        """Return the request laid out for a width; none of it is left out."""
        count = len(self.info.pending)
        title = asks(self.request, self.info.cwd)
        lines: list[Fragment] = [
            (WAITS, f" ? {title[:1].upper()}{title[1:]}"),
            (DIM, f"{self._place()}{f'   1 of {count}' if count > 1 else ''}\n"),
            *(self._question() if self.question else self._permission()),
        ]
        return Asked(wrap(lines_of(lines), width), wrap(lines_of(self._keys(width)), width))

    def _permission(self) -> list[Fragment]:
        if not isinstance(self.request, e.PermissionRequested):
            return []
        why = one_line(self.request.reason)
        detail = approval(self.request.effects, Path(self.info.cwd))
        return [*([(DIM, f"  {why}\n")] if why else []), *detail]

    def _place(self) -> str:
        """Return which tool it is, and where."""
        if not isinstance(self.request, e.PermissionRequested):
            return ""
        return f"   {one_name(self.request.name)} in {one_name(folder(self.info.cwd))}"

    def _question(self) -> list[Fragment]:
        question = self.question
        if question is None:
            return []
        lines: list[Fragment] = [
            ("", f"  {line}\n") for line in exact(question.question).split("\n")
        ]
        keys = _option_keys(question)
        for at, option in enumerate(question.options):
            box = f"[{'x' if at in self.chosen else ' '}] " if question.multiple else ""
            key = keys[at] if at < len(keys) else " "
            lines += [(BOLD, f"  {key} "), ("", f"{box}{exact_line(option.label)}")]
            if option.description:
                lines.append((DIM, f"   {exact_line(option.description)}"))
            lines.append(("", "\n"))
        return lines

    def _keys(self, width: int) -> list[Fragment]:
        question = self.question
        if question is not None:
            return self._question_keys(question)
        lines = _keys({"y": "allow", "n": "deny"} | ({"e": "edit"} if self.editable else {}))
        if self.rule:
            rule = _keys({"a": f"allow {at_home(answers.for_the_session(self.rule))}"})
            room = width - sum(cell_len(text) for _, text in (*lines, *rule))
            lines += rule if room >= 0 else [("", "\n"), *rule]
        return lines

    def _question_keys(self, question: Question) -> list[Fragment]:
        keys = _option_keys(question)
        others = {"t": "in your own words", "n": "leave it unanswered"}
        if not keys:
            return _keys(others)
        verb = "choose, Enter answers" if question.multiple else "answer"
        return [(BOLD, f" {' '.join(keys)}"), ("", f" {verb}  "), *_keys(others)]

    # What is answered ---------------------------------------------------------------------

    @property
    def editable(self) -> str:
        """The field of the tool's input that holds the command, if just one does.

        What stands in it is what will run, so a person can write another command there.
        """
        if not isinstance(self.request, e.PermissionRequested):
            return ""
        command = self.command
        fields = [key for key, value in self.request.input.items() if value == command]
        return fields[0] if command and len(fields) == 1 else ""

    @property
    def command(self) -> str:
        """The command that would run, if that is all, and none of it is invisible."""
        match self.request:
            case e.PermissionRequested(effects=(CommandEffect(command=command),)):
                return command if exact(command) == command else ""
        return ""

    def edited(self, command: str) -> c.Answer:
        """Return the answer that allows another command in the place of what was asked."""
        before = self.request.input if isinstance(self.request, e.PermissionRequested) else {}
        return c.Answer(request=self.request.request, input={**before, self.editable: command})

    def denied(self, reason: str) -> c.Answer:
        """Return the answer that denies it, or leaves a question unanswered."""
        return c.Answer(request=self.request.request, decision="deny", reason=reason.strip())

    def press(self, key: str) -> c.Answer | None:
        """Take a key: ``y`` or ``a`` for a permission, an option's number or Enter for a question.

        Returns the whole answer, or None where there is none yet.
        """
        question = self.question
        if question is None:
            return self._permit(key)
        labels = [option.label for option in question.options]
        if key == "enter" and self.chosen:
            return self._answer(question, [labels[at] for at in sorted(self.chosen)])
        keys = _option_keys(question)
        if key not in keys:
            return None
        if not question.multiple:
            return self._answer(question, labels[keys.index(key)])
        self.chosen ^= {keys.index(key)}
        return None

    @property
    def rule(self) -> str:
        """What can be allowed for the rest of the session, or nothing."""
        return self.request.rule if isinstance(self.request, e.PermissionRequested) else ""

    def _permit(self, key: str) -> c.Answer | None:
        if key == "y":
            return c.Answer(request=self.request.request)
        if key == "a" and self.rule:
            return c.Answer(request=self.request.request, remember="session")
        return None

    def say(self, words: str) -> c.Answer | str | None:
        """Take words as the answer to the question; returns also what is wrong with them."""
        question = self.question
        chosen = answers.choose(question, words) if question else None
        if question is None or chosen is None:
            return "that is none of the numbers" if words.strip() else "an answer has words"
        return self._answer(question, chosen)

    def _answer(self, question: Question, chosen: str | list[str]) -> c.Answer | None:
        self._answers[question.question] = chosen
        self.chosen.clear()
        if self.question is not None:
            return None
        return c.Answer(request=self.request.request, answers=dict(self._answers))


def _option_keys(question: Question) -> str:
    """Return the key of each option, as far as there are digits.

    Where all labels are digits themselves, each is its own: 4 chooses the option that says 4.
    """
    labels = [option.label for option in question.options]
    if len({*labels}) == len(labels) and all(len(x) == 1 and x in _DIGITS for x in labels):
        return "".join(labels)
    return _DIGITS[: len(labels)]


def _keys(keys: Mapping[str, str]) -> list[Fragment]:
    """Return keys with what they do."""
    return [part for key, does in keys.items() for part in ((BOLD, f" {key}"), ("", f" {does}  "))]
