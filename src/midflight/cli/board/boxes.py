"""The boxes for what a person types on the board, and what comes of the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from midflight import commands as c
from midflight._util.sanitize import one_name
from midflight.cli.board.acts import Act, CarryOut, Dispatch
from midflight.cli.board.request import Asking
from midflight.cli.board.words import folder
from midflight.errors import InvalidInput
from midflight.info import SessionInfo
from midflight.state.session import BUSY

_ENDS = "Enter sends, Alt-Enter new line, Esc"


class Box(Protocol):
    """An input: what stands above it and below it, what it begins with, and what its text does."""

    text: str

    @property
    def title(self) -> str:
        """What is to be typed, and about what."""
        ...

    @property
    def hint(self) -> str:
        """What Enter will do, and other keys."""
        ...

    def tab(self) -> None:
        """Choose another way, where there is one."""
        ...

    def submit(self, text: str) -> Act | str | None:
        """Take the text. Returns what to do, or nothing, or in words why it cannot be."""
        ...


class MessageBox:
    """A message to a session: a steer, a queued one, or a redirect."""

    WAYS = ("steer", "queue", "redirect")

    def __init__(self, info: SessionInfo, way: str, doing: str, queued: int) -> None:
        """``doing`` is what the session does now, and ``queued`` how many messages wait."""
        self.text = ""
        self._info = info
        self._way = way
        self._doing = doing
        self._queued = queued

    @property
    def title(self) -> str:
        """To whom, and which way of the three is chosen."""
        ways = "  ".join(f"[{way}]" if way == self._way else way for way in self.WAYS)
        return f"Message to {one_name(self._info.name)}   {ways}   Tab"

    @property
    def hint(self) -> str:
        """What will become of the message."""
        return f"{self._fate}. {_ENDS}"

    @property
    def _fate(self) -> str:
        if self._info.status not in BUSY:
            return "Starts a turn"
        if self._way == "steer":
            return "Read at the agent's next step"
        if self._way == "queue":
            return "Gets a turn of its own, after this one"
        requests = len(self._info.pending)
        also = f" and {requests} request{'s' * (requests > 1)}" if requests else ""
        behind = f"; {self._queued} queued stay behind it" if self._queued else ""
        return f"Ends {self._doing}{also}{behind}"

    def tab(self) -> None:
        """Choose the next way."""
        self._way = self.WAYS[(self.WAYS.index(self._way) + 1) % len(self.WAYS)]

    def submit(self, text: str) -> Act | str | None:
        """Send it."""
        if wrong := _wrong(text):
            return wrong
        if self._way == "redirect":
            return CarryOut(self._info.id, c.Redirect(text=text), "redirected")
        if self._way == "queue":
            return CarryOut(self._info.id, c.Send(text=text, delivery="queue"), "queued")
        return CarryOut(self._info.id, c.Send(text=text), "sent")


class DenyBox:
    """The reason of a denial, which may be empty."""

    hint = "Enter denies, Esc goes back; empty is no reason"

    def __init__(self, asking: Asking) -> None:
        """What is denied."""
        self.text = ""
        self._asking = asking
        self.title = "Deny, because" if asking.question is None else "Leave it unanswered, because"

    def tab(self) -> None:
        """There is one way."""

    def submit(self, text: str) -> Act | str | None:
        """Deny it."""
        done = "denied" if self._asking.question is None else "not answered"
        return CarryOut(self._asking.info.id, self._asking.denied(text), done)


class WordsBox:
    """An answer to a question in one's own words."""

    title = "In your own words"
    hint = "Enter answers, Esc goes back"

    def __init__(self, asking: Asking) -> None:
        """What is answered."""
        self.text = ""
        self._asking = asking

    def tab(self) -> None:
        """There is one way."""

    def submit(self, text: str) -> Act | str | None:
        """Answer it."""
        answer = self._asking.say(text)
        if answer is None or isinstance(answer, str):
            return answer
        return CarryOut(self._asking.info.id, answer, "answered")


class EditBox:
    """Another command in the place of the one that is asked for."""

    title = "This command runs instead"
    hint = "Enter allows it, Alt-Enter new line, Esc goes back"

    def __init__(self, asking: Asking) -> None:
        """What is asked for."""
        self.text = asking.command
        self._asking = asking

    def tab(self) -> None:
        """There is one way."""

    def submit(self, text: str) -> Act | str | None:
        """Allow it."""
        if not text.strip():
            return "a command has words"
        return CarryOut(self._asking.info.id, self._asking.edited(text), "allowed as edited")


class TaskBox:
    """The task of a new session, in one of some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """The first folder is chosen."""
        self.text = ""
        self._folders = list(dict.fromkeys(folders))

    @property
    def title(self) -> str:
        """Where it will work."""
        other = "   Tab: another folder" if len(self._folders) > 1 else ""
        return f"New session in {one_name(folder(str(self._folders[0])))}{other}"

    hint = f"It runs in the background, with your defaults. {_ENDS}"

    def tab(self) -> None:
        """Choose the next folder."""
        self._folders.append(self._folders.pop(0))

    def submit(self, text: str) -> Act | str | None:
        """Begin it."""
        return _wrong(text) or Dispatch(text, self._folders[0])


class FilterBox:
    """Words that a session must have to be listed, which hold while they are typed."""

    title = "Filter"
    hint = "words of the name, the folder, what it does; wait run rest fail. Esc shows all"

    def __init__(self, text: str, changed: Callable[[str], None]) -> None:
        """``changed`` gets the words whenever they are others."""
        self.text = text
        self.changed = changed

    def tab(self) -> None:
        """There is one way."""

    def submit(self, text: str) -> Act | str | None:
        """Keep it."""
        self.changed(text)
        return None


def _wrong(text: str) -> str:
    """Return why a text can be no message, or nothing."""
    try:
        c.check_text(text)
    except InvalidInput as error:
        return error.message
    return ""
