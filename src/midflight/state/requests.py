"""Requests, which are permissions and questions: each is resolved exactly once, by its id."""

from __future__ import annotations

from midflight.errors import AlreadyAnswered, InvalidInput, NotFound
from midflight.events import (
    Event,
    PermissionRequested,
    PermissionResolved,
    QuestionRequested,
    QuestionResolved,
    Request,
)
from midflight.values import Question

KEPT_RESOLVED = 1_000
"""How many resolved requests are kept, so that a second answer can name the first."""


class Requests:
    """The pending requests, and how earlier ones were resolved: a fold of the request events."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.pending: dict[str, Request] = {}
        self._resolved: dict[str, tuple[str, str]] = {}

    def apply(self, event: Event) -> None:
        """Apply one event; most kinds change nothing here."""
        match event:
            case PermissionRequested(request=request) | QuestionRequested(request=request):
                self.pending[request] = event
            case PermissionResolved(request=request):
                self._resolve(request, event.decision, event.by)
            case QuestionResolved(request=request):
                self._resolve(request, "answered" if event.answers else "declined", event.by)

    def _resolve(self, request: str, decision: str, by: str) -> None:
        del self.pending[request]
        self._resolved[request] = (decision, by)
        if len(self._resolved) > KEPT_RESOLVED:
            del self._resolved[next(iter(self._resolved))]

    def known(self, request: str) -> bool:
        """Tell whether a request with this id is pending or was resolved."""
        return request in self.pending or request in self._resolved

    def get(self, request: str) -> Request:
        """Return a pending request. Raises `AlreadyAnswered` or `NotFound`."""
        if request in self._resolved:
            raise AlreadyAnswered(request, *self._resolved[request])
        if request not in self.pending:
            raise NotFound(f"no request has the id {request!r}")
        return self.pending[request]


def check_answers(
    questions: tuple[Question, ...], answers: dict[str, str | list[str]]
) -> dict[str, str | list[str]]:
    """Return the answers if they fit the questions. Raises `InvalidInput` that says what is wrong.

    An answer may be any text, not only one of the labels: agents accept other words.
    """
    by_text = {question.question: question for question in questions}
    for text, answer in answers.items():
        if text not in by_text:
            raise InvalidInput(f"there is no question {text!r}", f"asked: {', '.join(by_text)}")
        if isinstance(answer, list) and not by_text[text].multiple:
            raise InvalidInput(f"{text!r} takes one answer, not a list")
    missing = [text for text in by_text if not answers.get(text)]
    if missing:
        raise InvalidInput(f"no answer to {missing[0]!r}", "answer every question, or deny")
    return answers
