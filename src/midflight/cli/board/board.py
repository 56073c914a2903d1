"""The board without a screen: what is listed, what is chosen, and what each key does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from midflight import commands as c
from midflight._util.sanitize import one_name
from midflight.cli.board import words
from midflight.cli.board.acts import Act, CarryOut, Dispatch, Enter, Leave, Look
from midflight.cli.board.boxes import (
    Box,
    DenyBox,
    EditBox,
    FilterBox,
    MessageBox,
    TaskBox,
    WordsBox,
)
from midflight.cli.board.groups import Family, Group, Key, Row, arrange, families, group_of
from midflight.cli.board.request import Asking
from midflight.cli.terminal.activity import Activity
from midflight.cli.terminal.transcript import clock
from midflight.info import SessionInfo
from midflight.state.session import BUSY

NOTHING = Key("", above=True)
"""What is chosen where there is no row."""

READ_S = 0.5
"""How long a request must have been on the screen, whole, before a key answers it."""

HELD_S = 0.7
"""How soon after the last one the same key is taken to be held down.

A keyboard begins to repeat a key after 0.66 s (X11) or less, and then many times a second.
"""

ANSWERED_S = 3.0
"""How long a session that was answered keeps its place, and says what was decided."""

_MOVES = {
    "j": 1,
    "down": 1,
    "k": -1,
    "up": -1,
    "pagedown": 10,
    "pageup": -10,
    "g": -1_000_000,
    "home": -1_000_000,
    "G": 1_000_000,
    "end": 1_000_000,
}
"""Keys that choose another row, and how many rows further down that is."""

_WAYS = {"m": "steer", "u": "queue", "r": "redirect"}
_STATES = {"wait": "waits", "run": "runs", "rest": "rests"}


class Answered(NamedTuple):
    """What was decided of a request: since when it was asked, until when that is said."""

    request: str
    asked: float
    word: str
    until: float


class Board:
    """All sessions in their ``rows``, and the one that is chosen. Times are those of the epoch.

    ``box`` is what is being typed into, if anything; ``asking`` what the chosen session asks, and
    ``whole`` whether all of that is on the screen; ``queued`` how many messages wait there;
    ``stopping`` is the session of which is asked what to stop, or empty; ``said`` is a line about
    what was done last.
    """

    def __init__(self, folder: Path) -> None:
        """Begin without a session; ``folder`` is where the person has started it."""
        self.infos: dict[str, SessionInfo] = {}
        self.activities: dict[str, Activity] = {}
        self.rows: list[Row] = []
        self.counts: Counter[Group] = Counter()
        self.chosen = NOTHING
        self.asking: Asking | None = None
        self.whole = True
        self.queued = 0
        self.box: Box | None = None
        self.stopping = ""
        self.said = ""
        self.filter = ""
        self.loaded = False
        self._folder = folder
        self._at = 0
        self._awaited = ""
        self._now = 0.0
        self._answered: dict[str, Answered] = {}
        self._folded: set[str] = set()
        self._older = False
        self._families: dict[str, Family] = {}
        self._new: set[str] = set()
        self._shown: tuple[Asking, int, float] | None = None
        self._pressed = "", 0.0

    # What there is ------------------------------------------------------------------------

    def take(self, infos: Iterable[SessionInfo], now: float) -> None:
        """Take in all sessions, as they are now."""
        before, self.infos = self.infos, {info.id: info for info in infos}
        for info in self.infos.values():
            was = before.get(info.id)
            if info.status in BUSY:
                self._new.discard(info.id)
            elif was is not None and was.status in BUSY:
                self._new.add(info.id)
        self._new &= self.infos.keys()
        for gone in self.activities.keys() - self.infos.keys():
            del self.activities[gone]
        if self._awaited in self.infos:
            self.chosen, self._awaited = Key(self._awaited), ""
        self.loaded = True
        self.arrange(now)

    def arrange(self, now: float) -> None:
        """Put what there is in order; what is chosen stays chosen, wherever it stands now."""
        self._now = now
        self._answered = {
            session: answered
            for session, answered in self._answered.items()
            if now < answered.until and session in self.infos
        }
        self.counts = Counter(map(group_of, self.infos.values()))
        self.rows = arrange(
            [info for info in self.infos.values() if self._matches(info)],
            {session: answered.asked for session, answered in self._answered.items()},
            self._folded,
            now,
            older=self._older,
            flat=bool(self.filter),
        )
        self._families = families(self.infos)
        self._keep_chosen()
        self._look_at_request()

    def activity(self, session: str) -> Activity:
        """Return what is known of what a session does."""
        return self.activities.get(session) or Activity()

    @property
    def session(self) -> SessionInfo | None:
        """The session that is chosen, if it is one."""
        return self.infos.get(self.chosen.session)

    def state(self, info: SessionInfo) -> str:
        """Return the word for a session's state, of `words.MARKS`."""
        return words.state(info, self.activity(info.id), new=info.id in self._new)

    def answered(self, info: SessionInfo) -> str:
        """Return what has just been decided of what a session asked, or nothing."""
        answered = self._answered.get(info.id)
        if answered is None:
            return ""
        return f"{answered.word}, runs" if info.status == "running" else answered.word

    def cost(self, info: SessionInfo) -> str:
        """Return what a session has cost; of one with children, with theirs and its budget."""
        family = self._families.get(info.id)
        if family is None:
            return words.cost(info, self.activity(info.id))
        limit = info.limits.get("max_budget_usd")
        return f"{words.money(family.usd, estimated=family.open)}{f'/${limit:g}' if limit else ''}"

    def _matches(self, info: SessionInfo) -> bool:
        text = f"{info.name} {info.cwd} {words.doing(info, self.activity(info.id))}".lower()
        for word in self.filter.lower().split():
            if word == "fail":
                if self.state(info) not in ("failed", "limit"):
                    return False
            elif word in _STATES:
                if group_of(info) != _STATES[word]:
                    return False
            elif word not in text:
                return False
        return True

    # What is chosen -----------------------------------------------------------------------

    @property
    def keys(self) -> list[Key]:
        """What can be chosen, from the top."""
        return [row.key for row in self.rows if row.key is not None]

    def choose(self, key: Key) -> None:
        """Choose a row."""
        self.chosen = key
        self._keep_chosen()
        self._look_at_request()

    def _keep_chosen(self) -> None:
        """Follow what is chosen to its place; of what has gone the next in place is chosen."""
        keys = self.keys
        other = self.chosen._replace(above=not self.chosen.above)
        if self.chosen not in keys and other in keys and self.chosen.session:
            self.chosen = other
        if self.chosen not in keys:
            self.chosen = keys[min(self._at, len(keys) - 1)] if keys else NOTHING
        self._at = keys.index(self.chosen) if keys else 0
        self._new.discard(self.chosen.session)

    def move(self, rows: int) -> None:
        """Choose a row so many further down, or up."""
        if keys := self.keys:
            self.choose(keys[max(0, min(self._at + rows, len(keys) - 1))])

    def next_waiting(self) -> bool:
        """Choose the next session that waits for an answer; tell whether there is one."""
        waiting = [
            key for key in self.keys if key.above and not self._is_answered(self.infos[key.session])
        ]
        at = self.keys.index(self.chosen) if self.chosen in self.keys else -1
        below = [key for key in waiting if self.keys.index(key) > at]
        for key in [*below, *waiting][:1]:
            self.choose(key)
        return bool(waiting)

    @property
    def hidden_waiting(self) -> int:
        """How many wait that the filter hides."""
        shown = {key.session for key in self.keys}
        return sum(bool(info.pending) and info.id not in shown for info in self.infos.values())

    def _is_answered(self, info: SessionInfo) -> bool:
        answered = self._answered.get(info.id)
        return answered is not None and all(x.request == answered.request for x in info.pending[:1])

    def _look_at_request(self) -> None:
        """Have what the chosen session asks, and what has been chosen of it already."""
        info = self.session
        if info is None or not info.pending or self._is_answered(info):
            self.asking = None
            return
        asked, asking = (info.id, info.pending[0]), self.asking
        if asking is None or (asking.info.id, asking.request) != asked:
            self.asking = asking = Asking(info)
        asking.info = info

    def painted(self, *, whole: bool, now: float) -> None:
        """Know whether all of what is asked is on the screen now."""
        self.whole = whole
        if self.asking is None or not whole:
            self._shown = None
        elif self._shown is None or self._shown[:2] != (self.asking, self.asking.answered):
            self._shown = self.asking, self.asking.answered, now

    def ready(self, now: float) -> bool:
        """Tell whether what is asked can have been read: then keys answer it."""
        if self.asking is None or self._shown is None:
            return False
        asked, answered, since = self._shown
        same = asked is self.asking and answered == self.asking.answered
        return same and now - since >= READ_S

    # What a key does ----------------------------------------------------------------------

    def press(self, key: str, now: float) -> Act | None:
        """Take a key: a character, or the name of one that has none."""
        self.said = ""
        last, since = self._pressed
        self._pressed = key, now
        held = key == last and now - since < HELD_S
        if self.stopping:
            return self._press_stop(key)
        if self.asking is not None and key == "enter" and not self.whole:
            return Look("request")
        if self.asking is not None and key in self.asking.keys:
            return None if held else self._press_answer(self.asking, key, now)
        match key:
            case "q" | "ctrl+c" | "ctrl+d":
                return Leave()
            case "?" | "d":
                return Look("keys" if key == "?" else "diff")
            case "enter":
                return self._enter()
            case " ":
                self._fold(now)
            case "w":
                self._next(now)
            case "escape" if self.filter:
                self._filtered("")
            case _ if key in _MOVES:
                self.move(_MOVES[key])
            case _:
                self._open(key)
        return None

    def _open(self, key: str) -> None:
        """Open what is typed into, or ask what is to be stopped."""
        info = self.session
        if key == "/":
            self.box = FilterBox(self.filter, self._filtered)
        elif key == "c":
            self.box = TaskBox([self._folder, *([Path(info.cwd)] if info else [])])
        elif key in _WAYS and info is not None:
            doing = words.doing(info, self.activity(info.id))
            self.box = MessageBox(info, _WAYS[key], doing, self.queued)
        elif key == "s" and info is not None and info.status != "closed":
            self.stopping = info.id

    def _press_answer(self, asking: Asking, key: str, now: float) -> Act | None:
        """Take a key as an answer to what is asked, if it has been there to be read."""
        if not self.ready(now):
            return None
        match key:
            case "n":
                self.box = DenyBox(asking)
            case "t":
                self.box = WordsBox(asking)
            case "e":
                self.box = EditBox(asking)
            case _:
                word = {"y": "allowed", "a": "allowed for this session"}.get(key, "answered")
                if answer := asking.press(key):
                    return self._decide(CarryOut(asking.info.id, answer, word))
        return None

    def _press_stop(self, key: str) -> Act | None:
        """Take the key that says what is to be stopped."""
        info, self.stopping = self.infos.get(self.stopping), ""
        if info is None:
            return None
        match key:
            case "s":
                return CarryOut(info.id, c.Interrupt(), "stopped")
            case "k":
                return CarryOut(
                    info.id, c.Interrupt(keep_queued=True), "stopped, the queue is kept"
                )
            case "x":
                return CarryOut(info.id, c.Close(), "ended")
        return None

    def submit(self, text: str) -> Act | None:
        """Take what was typed into the box; where it cannot be, the box stays, and says why."""
        box, self.said = self.box, ""
        act = box.submit(text) if box is not None else None
        if isinstance(act, str):
            self.said = act
            return None
        self.box = None
        return self._decide(act) if isinstance(act, CarryOut) else act

    def _decide(self, act: CarryOut) -> CarryOut:
        """Have an answer on its way: it is given once, and the next request can be looked at."""
        info = self.infos.get(act.session)
        if isinstance(act.command, c.Answer) and info is not None and info.pending:
            asked = info.pending[0].time
            self._answered[act.session] = Answered(act.command.request, asked, "…", float("inf"))
            self._look_at_request()
            self.next_waiting()
        return act

    def done(self, act: CarryOut, now: float) -> None:
        """A command was carried out."""
        answered = self._answered.get(act.session)
        if isinstance(act.command, c.Answer) and answered is not None:
            word = f"{act.done} {clock(now)}"
            self._answered[act.session] = answered._replace(word=word, until=now + ANSWERED_S)
        elif info := self.infos.get(act.session):
            self.said = f"{one_name(info.name)}: {act.done}"

    def begun(self, session: str) -> None:
        """A session was begun: it is chosen once it is listed."""
        self._awaited = session

    def failed(self, act: CarryOut | Dispatch, why: str) -> None:
        """A command could not be carried out: what is asked can be answered again."""
        if isinstance(act, CarryOut) and isinstance(act.command, c.Answer):
            self._answered.pop(act.session, None)
            self._look_at_request()
        self.said = why

    def _enter(self) -> Act | None:
        if self.chosen.session:
            return Enter(self.chosen.session)
        self._older = True
        self.arrange(self._now)
        return None

    def _fold(self, now: float) -> None:
        """Fold or unfold: the children of what is chosen, or what has been at rest for long."""
        root = next((row.root for row in self.rows if row.key == self.chosen), "")
        if root and any(info.parent == root for info in self.infos.values()):
            self._folded ^= {root}
            self.chosen = Key(root)
        else:
            self._older = not self._older
        self.arrange(now)

    def _next(self, now: float) -> None:
        """Choose the next that waits, whatever the filter hides."""
        if not self.next_waiting() and self.hidden_waiting:
            self._filtered("")
            self.next_waiting()

    def _filtered(self, text: str) -> None:
        self.filter = text
        self.arrange(self._now)
