"""What the terminal shows above its input line: a session's events as styled text."""

from __future__ import annotations

import textwrap
from pathlib import Path

from midflight import events as e
from midflight._util.sanitize import exact_line, inert, one_line
from midflight._util.text import dollars
from midflight.cli.answers import for_the_session, summary
from midflight.cli.output import BOLD, DIM, YELLOW, Fragment
from midflight.cli.terminal.images import text_with_images
from midflight.cli.terminal.render import Blocks, diff_lines, markdown, output_lines
from midflight.cli.terminal.running_tools import Running, RunningTools
from midflight.cli.terminal.transcript import (
    COLOURS,
    Transcript,
    ending,
    in_line,
    limit_line,
    retry_reason,
)
from midflight.cli.terminal.wrap import wrapped
from midflight.effects import EditEffect, place
from midflight.events import Request
from midflight.orchestrate.updates import is_update
from midflight.values import Who
from midflight.who import here, in_words

DIFF_LINES = 60

LEAST_LIVE_LINES = 3
"""As many lines of what is being written are shown on the smallest terminal."""


class Screen:
    """Turns events into what is printed; text appears block by block, laid out as Markdown."""

    def __init__(self, cwd: Path) -> None:
        """``cwd`` is where relative paths begin.

        `running` tells whether a turn runs, `tools` which tool calls do.
        """
        self._cwd = cwd
        self.tools = RunningTools()
        self._plain = Transcript(cwd)
        self._blocks = Blocks()
        self._streamed: list[str] = []
        self.running = False
        self._me = here("terminal")
        self._texts: dict[str, str] = {}
        self._mine: dict[str, str] = {}
        self._unsent: set[str] = set()
        self._waits: str | None = None
        self._diffs: dict[str, list[Fragment]] = {}
        self._asked: dict[tuple[str, str], Request] = {}

    def live(self, width: int, rows: int = LEAST_LIVE_LINES) -> list[str]:
        """Return the last lines of the text that is being written, as many as there are rows."""
        rows = max(rows, LEAST_LIVE_LINES)
        rest = self._blocks.rest[-rows * width :]
        lines = [
            wrapped
            for line in rest.splitlines()
            for wrapped in textwrap.wrap(inert(line), max(1, width - 2))
        ]
        return lines[-rows:]

    def take(self, event: e.Event, width: int) -> list[Fragment]:
        """Return what to print for an event; often nothing.

        It stands below all that was written before, but for the answer to a request, while which
        the text has waited.
        """
        ended = self.tools.take(event)
        match event:
            case e.TextDelta(parent=None, text=text):
                self._streamed.append(text)
                return self._show(self._blocks.feed(text), width)
            case e.Text(parent=None, text=text):
                return self._whole(text, width)
            case e.TextDelta() | e.Text():
                return []
            case e.PermissionResolved() | e.QuestionResolved():
                return wrapped(self._resolved(event), width)
        shown = self._beside_text(event, ended, width)
        return [*self.cut(width), *shown] if shown else []

    def _beside_text(self, event: e.Event, ended: Running | None, width: int) -> list[Fragment]:
        match event:
            case e.ToolStarted():
                return self._tool_started(event, width)
            case e.ToolEnded():
                return self._tool_ended(event, ended, width)
            case e.TurnStarted() | e.TurnEnded():
                return self._turn(event, width)
            case _:
                return wrapped(self._other_event(event), width)

    def cut(self, width: int) -> list[Fragment]:
        """Return what has been written of the block that has not ended: something stands below."""
        return self._show([self._blocks.cut()], width)

    def _other_event(self, event: e.Event) -> list[Fragment]:
        """Return what is neither the agent's text nor what its tools show."""
        match event:
            case e.Retry():
                return self._retry(event)
            case e.PermissionRequested() | e.QuestionRequested():
                self._asked[event.session, event.request] = event
                if isinstance(event, e.PermissionRequested):
                    self._diffs.pop(event.call, None)  # it is shown where it is asked for
                return []
            case _:
                return self._message(event)

    # Text ---------------------------------------------------------------------------------

    def _show(self, blocks: list[str], width: int) -> list[Fragment]:
        shown: list[Fragment] = []
        for block in blocks:
            if block.strip():
                shown += [("", "\n"), *markdown(block, width)]
        return shown

    def _whole(self, text: str, width: int) -> list[Fragment]:
        """Show what is not shown yet of a finished text."""
        streamed, self._streamed = "".join(self._streamed), []
        if not text.startswith(streamed):
            self._blocks.flush()
            streamed = ""
        blocks = self._blocks.feed(text[len(streamed) :] + "\n")
        return self._show([*blocks, self._blocks.flush()], width)

    def _retry(self, event: e.Retry) -> list[Fragment]:
        why = retry_reason(event)
        void = "; what it wrote before is void" if self._streamed else ""
        self._streamed = []
        self._blocks.flush()
        return _aside("retry", f"{why}, again in {event.delay_s:.1f} s{void}")

    # Tools and turns ----------------------------------------------------------------------

    def _tool_started(self, event: e.ToolStarted, width: int) -> list[Fragment]:
        # Compared before the edit is made: afterwards the file no longer tells.
        if diff := _edit_diff(event, self._cwd):
            self._diffs[event.call] = diff
        return wrapped(self._plain.take(event), width)

    def _tool_ended(
        self, event: e.ToolEnded, running: Running | None, width: int
    ) -> list[Fragment]:
        diff = self._diffs.pop(event.call, [])
        if event.status == "completed" and diff:
            return _bounded(diff)
        if event.status == "completed" and running is not None and running.kind == "execute":
            return output_lines(event.output, running.took(event.time))
        return wrapped(self._plain.take(event), width)

    def _turn(self, event: e.TurnStarted | e.TurnEnded, width: int) -> list[Fragment]:
        self.running = isinstance(event, e.TurnStarted)
        if isinstance(event, e.TurnStarted):
            waited = [self._texts[each] for each in event.messages if each in self._texts]
            return [(BOLD, f"\n> {one_line(' '.join(waited), width - 2)}\n")] if waited else []
        rest = self._show([self._blocks.flush()], width)
        self._streamed = []
        self._diffs.clear()
        line = f" · {event.duration_s:.0f} s · {dollars(event.cost_usd)}\n"
        why = [("", f"{one_line(event.text)}\n")] if event.status == "failed" else []
        how = (COLOURS.get(event.status, YELLOW), f"turn {event.turn} {ending(event)}")
        return [*rest, ("", "\n"), *wrapped([how, (DIM, line), *why], width)]

    # Messages and requests ----------------------------------------------------------------

    def _message(self, event: e.Event) -> list[Fragment]:
        """Acknowledge what the person typed, and what becomes of it."""
        match event:
            case e.UsageLimitReached(message=message):
                self._waits = message  # which no person has typed
                how = " – type to go on at once, Esc to stop" if message else ""
                return _aside("usage limit", limit_line(event) + how)
            case e.MessageAccepted(message=message) if message == self._waits:
                return []
            case e.MessageAccepted(message=message, text=text) if is_update(message):
                return [(DIM, f"  [news] {one_line(line)}\n") for line in text.splitlines()[1:]]
            case e.MessageSteered(message=message) if is_update(message):
                return []
            case e.MessageAccepted(message=message, delivery=delivery, who=who):
                by, text = self._other(who), text_with_images(event)
                if self.running:
                    self._texts[message] = text  # shown again if a turn of its own comes
                    if not by:
                        self._mine[message] = event.text
                fate = _FATES.get(delivery, "") if self.running else ""
                # Lines of what others send could look like ours.
                shown = one_line(text) if by else text.replace("\n", "\n  ")
                return [
                    (BOLD, f"\n> {shown}"),
                    (DIM, f"{by}\n"),
                    *([(DIM, f"  {fate}\n")] if fate else []),
                ]
            case e.MessageSteered(message=message):
                self._texts.pop(message, None)
                self._mine.pop(message, None)
                return [(DIM, "  [steered] the agent has read it\n")]
            case e.MessageChanged() | e.MessageCancelled() | e.MessageFailed():
                return self._unread(event)
            case e.MessageStarted(message=message):
                self._texts.pop(message, None)
                self._mine.pop(message, None)
                return []
            case e.MessageAccepted() | e.MessageAnswered():
                return []
        return self._plain.take(event)

    def _unread(
        self, event: e.MessageChanged | e.MessageCancelled | e.MessageFailed
    ) -> list[Fragment]:
        """Tell what has become of a message that no turn has had."""
        if not isinstance(event, e.MessageChanged):
            return self._lost(event)
        before = self._texts.get(event.message)
        if before is None:
            return []
        self._texts[event.message] = event.text
        if event.message in self._mine:
            self._mine[event.message] = event.text
        if event.text != before:
            return _aside("edited", event.text)
        if event.delivery != "queue":
            return [(DIM, f"  {_FATES[event.delivery]}: {one_line(event.text)}\n")]
        return _aside("moved", event.text)

    def _lost(self, event: e.MessageCancelled | e.MessageFailed) -> list[Fragment]:
        """Tell the end of a message that no turn has had; a turn's own end tells that of others."""
        text = self._texts.pop(event.message, None)
        if text is None:
            return []
        if isinstance(event, e.MessageFailed):
            return _aside("failed", f"{text} ({event.reason})")
        if event.reason == "interrupted" and event.message in self._mine:
            self._unsent.add(event.message)
        why = "" if event.reason == "cancelled" else f" ({event.reason})"
        return _aside("cancelled", f"{text}{why}")

    def take_unsent(self) -> list[str]:
        """Return once what was typed here and a stop has cancelled, in the order it was typed."""
        unsent, self._unsent = self._unsent, set()
        return [self._mine.pop(message) for message in list(self._mine) if message in unsent]

    def _resolved(self, event: e.PermissionResolved | e.QuestionResolved) -> list[Fragment]:
        asked = self._asked.pop((event.session, event.request), None)
        by = self._other(event.who)
        if isinstance(event, e.PermissionResolved):
            what = summary(asked, str(self._cwd)) if asked else ""
            if event.decision == "allow":
                always = event.rule and event.by == "user"
                more = f", and {for_the_session(event.rule)}" if always else ""
                more = f": {event.reason}" if event.by in ("policy", "rule") else more
                return _aside("allowed", f"{what}{more}" or event.reason, by)
            word = _DECISIONS.get(event.decision, event.decision)
            return _aside(word, event.reason or what, by)
        if not event.answers:
            return _aside("not answered", event.reason, by)
        return _aside("answered", in_line(event.answers), by)

    def _other(self, who: Who | None) -> str:
        """Return who it was, in brackets, unless it was the person at this terminal."""
        mine = who is None or (who.role, who.terminal) == (self._me.role, self._me.terminal)
        return "" if mine else f" ({one_line(in_words(who))})"


_DECISIONS = {"deny": "denied", "cancelled": "no longer asked"}
_FATES = {
    "steer": "[steer] the agent reads it at its next step",
    "queue": "[queued] gets a turn of its own",
    "now": "[redirect] the running turn is stopped for it",
}


def _aside(word: str, text: str, by: str = "") -> list[Fragment]:
    return [(YELLOW, f"  [{word}]"), ("", f" {one_line(text)}" if text else ""), (DIM, f"{by}\n")]


def _edit_diff(event: e.ToolStarted, cwd: Path) -> list[Fragment]:
    """Return what an edit changes that nobody was asked about, by the agents' own tables."""
    from midflight.agents.claude.effects import TOOLS as CLAUDES
    from midflight.agents.opencode.v1.effects import TOOLS as OPENCODES
    from midflight.agents.shared.effects import effects_of

    tools = {**CLAUDES, **OPENCODES}
    known = event.kind == "edit" and event.name in tools
    effects = effects_of(tools, event.name, event.input, cwd) if known else ()
    match effects:
        case (EditEffect() as edit,) if edit.diff.startswith("@@ -"):  # else the file is another
            name = place(edit, str(cwd))
            return [(BOLD, f"  {exact_line(name)}\n"), *diff_lines(edit.diff)]
    return []


def _bounded(diff: list[Fragment]) -> list[Fragment]:
    """Return the first lines of a diff that needed no approval."""
    more = len(diff) - DIFF_LINES
    return [*diff[:DIFF_LINES], (DIM, f"  … {more} more lines\n")] if more > 0 else diff
