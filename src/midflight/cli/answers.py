"""The words that answer a request: the same in every terminal and on the command line."""

from __future__ import annotations

import re

from midflight import commands as c
from midflight import events as e
from midflight._util.sanitize import exact_line, one_line
from midflight.effects import brief
from midflight.events import Request
from midflight.values import Question

YES = frozenset({"y", "yes", "allow", "ok", "sure"})
ALWAYS = frozenset({"a", "always"})
NO = frozenset({"n", "no", "deny"})

LONGEST_ANSWERS = 10_000
"""A longer text is no answers: it would take time to look."""

_ANSWERS = re.compile(rf"(?:(?:{'|'.join(sorted(YES | ALWAYS | NO))})[,.:;!\s]*)+")

HOW = "y allows it, n denies it, n and why not denies it with that reason"
HOW_ALWAYS = f"{HOW}, a allows it for the rest of the session"

NO_RULE = "no narrow rule describes this, so it can be allowed only once: y allows it, n denies it"


# ------------------------------------------------------------------ reading


def word_of(line: str) -> str:
    """Return the answering word that a line consists of, or nothing."""
    word = line.strip().lower().rstrip(",.:;!")
    return word if word in YES | ALWAYS | NO else ""


def is_answer(line: str) -> bool:
    """Tell whether a text can only be meant as an answer, or several typed ahead: ``yy``.

    Such a text is never a message, nor are answers that were pasted with their line breaks.
    """
    line = line.strip().lower()
    if line.split(maxsplit=1)[:1] == ["n"]:
        return True
    return len(line) <= LONGEST_ANSWERS and _ANSWERS.fullmatch(line) is not None


def how(request: e.PermissionRequested) -> str:
    """Return the words that answer a permission request."""
    return HOW_ALWAYS if request.rule else HOW


def decide(request: e.PermissionRequested, line: str) -> c.Answer | str | None:
    """Read the answer to a permission request.

    Returns what is wrong with the line, or None for a text that may be a reason or a message.
    """
    line = line.strip()
    if not line:
        return how(request)
    word = word_of(line)
    if word in YES:
        return c.Answer(request=request.request)
    if word in ALWAYS:
        return c.Answer(request=request.request, remember="session") if request.rule else NO_RULE
    first, _, rest = line.partition(" ")
    if (first := word_of(first)) not in NO:
        return None
    # "no tests" without its first word would be the opposite.
    reason = line if first == "no" and rest else rest.strip()
    return c.Answer(request=request.request, decision="deny", reason=reason)


def deny_question(request: e.QuestionRequested, line: str, reason: str = "") -> c.Answer | None:
    """Return that a question stays unanswered, if ``deny`` says so and is none of its labels."""
    labels = (option.label for each in request.questions for option in each.options)
    if line.strip() != "deny" or any(label.casefold() == "deny" for label in labels):
        return None
    return c.Answer(request=request.request, decision="deny", reason=reason)


def choose(question: Question, line: str) -> str | list[str] | None:
    """Read labels, the numbers of options, or own words; None for a number that does not exist.

    A label to the letter is that label, whatever else it may look like.
    """
    line = line.strip()
    labels = [option.label for option in question.options]
    if label := _label(line, labels):
        return [label] if question.multiple else label
    words = line.replace(",", " ").split()
    if not words:
        return None
    if not all(word.isdecimal() for word in words) or not labels:
        if not question.multiple:
            return line
        several = [_label(part.strip(), labels) for part in line.split(",")]
        return list(dict.fromkeys(several)) if all(several) else [line]
    numbers = [int(word) for word in words]
    if not all(1 <= number <= len(labels) for number in numbers):
        return None
    if question.multiple:
        return [labels[number - 1] for number in dict.fromkeys(numbers)]
    return labels[numbers[0] - 1] if len(numbers) == 1 else None


def _label(text: str, labels: list[str]) -> str:
    """Return the label that a text is: to the letter, or but for capitals if only one is that."""
    if text in labels:
        return text
    alike = [label for label in labels if label.casefold() == text.casefold()]
    return alike[0] if len(alike) == 1 else ""


# ------------------------------------------------------------------ in words


def summary(request: Request, cwd: str = "") -> str:
    """Return what a request is about, in one line; paths below ``cwd`` are shown from there."""
    if isinstance(request, e.PermissionRequested):
        return one_line(f"{request.name} {brief(request.effects, cwd)}")
    return one_line(" / ".join(question.question for question in request.questions))


def rule_in_words(rule: str) -> str:
    """Return what a rule allows, as the end of "allow …"."""
    tool, _, about = rule.removesuffix(")").partition("(")
    match tool:
        case "Bash":
            return "this very command"
        case "Edit":
            return f"edits below {exact_line(about.removesuffix('/**'))}"
        case "Read":
            return f"reading below {exact_line(about.removesuffix('/**'))}"
        case "WebFetch":
            return f"this host, {exact_line(about.removeprefix('domain:'))}"
    return exact_line(rule)


def decided(request: Request, answer: c.Answer, cwd: str = "") -> str:
    """Return what an answer has decided."""
    if answer.answers:
        chosen = (
            each if isinstance(each, str) else ", ".join(each) for each in answer.answers.values()
        )
        return f"answered {'; '.join(chosen)}"
    what = summary(request, cwd)
    if answer.decision == "deny":
        return f"denied {what}" + (f": {answer.reason}" if answer.reason else "")
    if answer.remember and isinstance(request, e.PermissionRequested):
        return f"allowed {what}, and {for_the_session(request.rule)}"
    return f"allowed {what}"


def for_the_session(rule: str) -> str:
    """Return what a rule allows from now on, as the end of a sentence."""
    return f"{rule_in_words(rule)} for the rest of this session"
