"""A session as plain text, in the order in which things happen: for pipes, files and the demo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from midflight import events as e
from midflight._util.sanitize import exact_line, one_line, one_name
from midflight._util.text import dollars
from midflight.cli.answers import for_the_session, rule_in_words, summary
from midflight.cli.exit_codes import FAILED, OF_STATUS
from midflight.cli.output import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Fragment
from midflight.cli.terminal.images import text_with_images
from midflight.cli.terminal.wrap import Wrap
from midflight.values import LIMIT_REASONS, PlanEntry, Question, Status, Who
from midflight.who import in_words

COLOURS: dict[Status, str] = {
    "completed": GREEN,
    "failed": RED,
    "limit": YELLOW,
    "interrupted": YELLOW,
}


_RETRIED = {
    "connection_lost": "the model's service does not answer, or has broken off",
    "overloaded": "the model's service is overloaded",
    "rate_limit": "the model's service takes no more for now",
    "server_error": "the model's service has failed",
}
"""What a retry's error means, where it is a word of the agent's own."""


def retry_reason(event: e.Retry) -> str:
    """Return why the model is asked again."""
    why = _RETRIED.get(event.error, event.error)
    return f"{why} ({event.status})" if event.status else why


class ExitOutcome:
    """How the last message ended, as an exit code: a fold of the events."""

    def __init__(self) -> None:
        """Begin without a message; a session that never had one has completed."""
        self.status: Status = "completed"
        self._background: set[int | None] = set()
        self._in_turn: set[str] = set()

    @property
    def code(self) -> int:
        """The exit code."""
        return OF_STATUS.get(self.status, FAILED)

    def take(self, event: e.Event) -> None:
        """Take in one event."""
        match event:
            case e.TurnStarted(origin="background", turn=turn):
                self._background.add(turn)
            case e.MessageStarted(message=message) | e.MessageSteered(message=message):
                self._in_turn.add(message)
                self._background.discard(event.turn)
            case e.TurnEnded(status=status, turn=turn) if turn not in self._background:
                self.status = status
            case e.MessageFailed(message=message) if message not in self._in_turn:
                self.status = "limit" if event.reason in LIMIT_REASONS else "failed"
            case e.MessageCancelled(message=message, reason="interrupted") if (
                message not in self._in_turn
            ):
                self.status = "interrupted"


def tool_line(event: e.ToolStarted, cwd: Path) -> list[Fragment]:
    """Return ``  [tool] Name summary``, further in for a tool of a sub-agent."""
    indent = "    " if event.parent else "  "
    summary = one_line(event.title.removeprefix(f"{cwd}/"), 120)
    return [
        (DIM, f"{indent}[tool] "),
        (CYAN, one_name(event.name)),
        ("", f" {summary}" if summary else ""),
        ("", "\n"),
    ]


def ending(end: e.TurnEnded) -> str:
    """Return how a turn ended, in a word or two."""
    if end.status in ("completed", end.reason):
        return end.status
    return f"{end.status} ({end.reason})"


def result_line(end: e.TurnEnded, *, said: bool = False) -> list[Fragment]:
    """Return ``Result: …``: the agent's last words, or how the turn ended if not well.

    ``said`` tells that these words stand above it already.
    """
    if end.status == "completed" and (said or not end.text):
        return [(BOLD, "Result: "), (GREEN, "completed\n")]
    if end.status == "completed":
        return [(BOLD, "Result: "), ("", f"{end.text}\n")]
    text = f": {end.text}" if end.text else ""
    return [(BOLD, "Result: "), (COLOURS.get(end.status, YELLOW), ending(end)), ("", f"{text}\n")]


def cost_line(end: e.TurnEnded) -> list[Fragment]:
    """Return ``Cost: $…`` of the turn, and the session's if that is another figure."""
    line, session = dollars(end.cost_usd), dollars(end.total_cost_usd)
    if session != line:
        line += f" (session {session})"
    return [(BOLD, "Cost: "), ("", f"{line}\n")]


def in_line(answers: Mapping[str, str | list[str]]) -> str:
    """Return what questions were answered with."""
    return "; ".join(
        answer if isinstance(answer, str) else ", ".join(answer) for answer in answers.values()
    )


def clock(at: float) -> str:
    """Return a time of day where the person is, with the date if that is not today's."""
    there, now = time.localtime(at), time.localtime()
    return time.strftime("%H:%M" if there[:3] == now[:3] else "%Y-%m-%d %H:%M", there)


def limit_line(event: e.UsageLimitReached) -> str:
    """Return until when a usage limit holds, and whether that is waited for."""
    if event.at is not None:
        return f"reached, waits until {clock(event.at)} (your time)"
    if event.resets_at is None:
        return "reached; it is not known when it resets"
    return f"reached; it resets at {clock(event.resets_at)} (your time)"


def _question(question: Question) -> Fragment:
    labels = ", ".join(option.label for option in question.options)
    text = f"{question.question} ({labels})" if labels else question.question
    return "", f"  [question] {one_line(text, 1000)}\n"


class Transcript:
    """Turns events into text, each event once. Streamed text comes as it streams."""

    def __init__(self, cwd: Path, *, whole: bool = False, width: int = 0) -> None:
        """Begin at the start of a line; paths below ``cwd`` are shown from there.

        ``whole`` shows the first message too, which the person at a terminal has just typed, and
        who has sent and answered what. Lines are broken at a ``width`` that is not 0.
        """
        self._cwd = cwd
        self._wrap = Wrap(width) if width else None
        self._whole_session = whole
        self._column0 = True
        self._streamed: list[str] = []
        self._said = ""
        self._asked: dict[str, e.PermissionRequested] = {}
        self._texts: dict[str, str] = {}
        self._senders: dict[str, Who | None] = {}
        self._turns = 0

    def take(self, event: e.Event) -> list[Fragment]:
        """Return what to print for an event; often nothing."""
        return self._broken(self._take(event))

    def lines(self, lines: list[Fragment]) -> list[Fragment]:
        """Return whole lines of any kind, begun on a line of their own."""
        return self._broken(self._lines(lines))

    @property
    def waiting(self) -> list[Fragment]:
        """What of the permissions that were asked for has no answer yet."""
        asked = (summary(each, str(self._cwd)) for each in self._asked.values())
        return [line for what in asked for line in self._broken(self._aside("asks", what))]

    def _broken(self, what: list[Fragment]) -> list[Fragment]:
        return what if self._wrap is None else self._wrap.take(what)

    def _take(self, event: e.Event) -> list[Fragment]:
        match event:
            case e.TextDelta(parent=None, text=text):
                self._streamed.append(text)
                return self._stream(text)
            case e.Text(parent=None, text=text):
                return self._whole(text)
            case e.Retry():
                return self._retry(event)
            case e.ToolStarted():
                return self._lines(tool_line(event, self._cwd))
            case e.ToolEnded(status="failed"):
                return self._aside("failed", f"{event.name}: {event.output}")
            case e.TurnEnded():
                return self._end(event)
            case e.QuestionRequested(questions=questions):
                return self._lines([_question(each) for each in questions])
            case _:
                return self._messages(event)

    def _messages(self, event: e.Event) -> list[Fragment]:
        """Follow the messages: each turn after the first begins with its text."""
        match event:
            case e.MessageAccepted(message=message):
                self._texts[message] = text_with_images(event)
                self._senders[message] = event.who
            case e.MessageChanged(message=message, text=text) if message in self._texts:
                self._texts[message] = text
            case e.MessageStarted(message=message) | e.MessageSteered(message=message):
                text, who = self._texts.pop(message, ""), self._senders.pop(message, None)
                if text and isinstance(event, e.MessageSteered):  # no turn begins with it
                    return self._aside("steered", text, who)
            case e.MessageFailed(message=message) | e.MessageCancelled(message=message):
                # One that got a turn is dealt with by that turn's end.
                if text := self._texts.pop(message, ""):
                    how = "failed" if isinstance(event, e.MessageFailed) else "cancelled"
                    return self._aside(how, f"{event.reason}: {text}")
            case e.TurnStarted(messages=messages):
                self._turns += 1
                if messages and (self._turns > 1 or self._whole_session):
                    text = " ".join(self._texts.get(message, "") for message in messages)
                    whose = (self._by(self._senders.get(message)) for message in messages)
                    return self._lines(
                        [
                            (BOLD, f"\n> {one_line(text)}"),
                            (DIM, f"{''.join(dict.fromkeys(whose))}\n"),
                        ]
                    )
            case _:
                return self._other(event)
        return []

    def _other(self, event: e.Event) -> list[Fragment]:
        """Return what is rare and takes one line."""
        match event:
            case e.PermissionRequested(request=request):
                self._asked[request] = event
            case e.PermissionResolved(request=request):
                return self._resolved(event, self._asked.pop(request, None))
            case e.LimitsChanged(limits=limits):
                words = (f"{name} {value}".removesuffix(".0") for name, value in limits.items())
                return self._aside("limits", ", ".join(words) or "none")
            case e.RuleRevoked(rule=rule):
                return self._aside("rule", f"withdrawn: {rule_in_words(rule)}: {exact_line(rule)}")
            case e.QuestionResolved():
                return self._answered(event)
            case e.SessionStarted(problems=problems) if problems:
                return self._aside("notice", "; ".join(problems))
            case e.Notice(text=text, level=level):
                return self._aside("notice" if level == "info" else level, text)
            case e.Plan(entries=entries):
                return self._plan(entries)
            case e.UsageLimitReached():
                return self._aside("usage limit", limit_line(event))
            case e.Stalled(silent_s=silent):
                return self._aside("stalled", f"no sign of life for {silent:.0f} s")
            case e.TaskStarted() | e.TaskEnded():
                how = f": {event.status}" if isinstance(event, e.TaskEnded) else ""
                return self._aside("background", f"{event.title}{how}")
        return []

    def _resolved(
        self, event: e.PermissionResolved, asked: e.PermissionRequested | None
    ) -> list[Fragment]:
        """Return what was decided about what, unless a policy allowed it."""
        what = summary(asked, str(self._cwd)) if asked else "a tool"
        match event:
            case e.PermissionResolved(decision="deny", reason=reason):
                denied = f"{what}: {reason}" if reason else what
                return self._aside("denied", denied, event.who)
            case e.PermissionResolved(decision="allow", by="user", rule=rule):
                allowed = f"{what}, and {for_the_session(rule)}" if rule else what
                return self._aside("allowed", allowed, event.who)
            case e.PermissionResolved(decision="allow", by="rule", reason=reason):
                return self._aside("allowed", f"{what}: {reason}")
        return []

    def _answered(self, event: e.QuestionResolved) -> list[Fragment]:
        if not event.answers:
            return self._aside("unanswered", event.reason, event.who)
        return self._aside("answered", in_line(event.answers), event.who)

    def _by(self, who: Who | None) -> str:
        """Return who it was, in brackets, where the whole session is shown."""
        words = in_words(who) if self._whole_session else ""
        return f" ({one_line(words)})" if words else ""

    def _stream(self, text: str) -> list[Fragment]:
        self._column0 = text.endswith("\n") if text else self._column0
        return [("", text)]

    def _whole(self, text: str) -> list[Fragment]:
        """Print what the stream did not bring of a finished block, and end its line."""
        self._said = text
        streamed, self._streamed = "".join(self._streamed), []
        if text.startswith(streamed):
            rest = text[len(streamed) :]
            return [*self._stream(rest), *self._lines([])]
        return [*self._lines([]), *self._stream(text), *self._lines([])]

    def _lines(self, lines: list[Fragment]) -> list[Fragment]:
        before = [] if self._column0 else [("", "\n")]
        self._column0 = True
        return [*before, *lines]

    def _aside(self, word: str, text: str, who: Who | None = None) -> list[Fragment]:
        line = [(YELLOW, f"  [{word}] "), ("", one_line(text)), (DIM, self._by(who)), ("", "\n")]
        return self._lines(line)

    def _retry(self, event: e.Retry) -> list[Fragment]:
        why = retry_reason(event)
        void = "; the text since the last line is void" if self._streamed else ""
        self._streamed = []
        return self._aside("retry", f"{why}, again in {event.delay_s:.1f} s{void}")

    def _plan(self, entries: tuple[PlanEntry, ...]) -> list[Fragment]:
        """Return how far the agent's plan is, and its current entry."""
        done = sum(entry.status == "completed" for entry in entries)
        at = next((entry.text for entry in entries if entry.status == "in_progress"), "")
        return self._aside("plan", f"{done} of {len(entries)} done {at and '· ' + at}")

    def _end(self, end: e.TurnEnded) -> list[Fragment]:
        self._streamed = []
        denied = [
            ("", f"Denied: {one_name(denial.name)}: {one_line(denial.reason)}\n")
            for denial in end.denials
        ]
        said, self._said = self._said.strip() == end.text.strip(), ""
        return self._lines([("", "\n"), *result_line(end, said=said), *denied, *cost_line(end)])
