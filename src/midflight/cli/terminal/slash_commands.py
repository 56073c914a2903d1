"""What begins with a slash at the terminal, and is carried out here."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import msgspec

from midflight import commands as c
from midflight._util.sanitize import exact_line, one_line
from midflight.cli.answers import rule_in_words
from midflight.cli.limits import in_words, typed
from midflight.cli.terminal import queue
from midflight.cli.terminal.images import in_line
from midflight.cli.terminal.status_line import StatusLine
from midflight.cli.terminal.wrap import two_columns
from midflight.errors import MidflightError
from midflight.images import Image, check_images
from midflight.session import BaseSession
from midflight.session.image_files import read_images
from midflight.values import CHANGEABLE


class SlashCommand(NamedTuple):
    """What a command takes, in brackets if that may be left out, and what it does."""

    takes: str
    does: str


COMMANDS = {
    "/queue": SlashCommand("[TEXT]", "a turn of its own, afterwards; alone: what waits"),
    "/redirect": SlashCommand("TEXT", "stops the running turn and starts one for this"),
    "/image": SlashCommand("FILE", "an image for the next message; none drops them"),
    "/model": SlashCommand("M", "another model, from the next call on"),
    "/mode": SlashCommand("P", "another permission mode"),
    "/limits": SlashCommand("[OPTIONS]", "what bounds this session, or changes it"),
    "/rules": SlashCommand("[revoke N]", "what is allowed for the session; withdraws one"),
    "/cost": SlashCommand("", "what it has cost"),
    "/stop": SlashCommand("", "stops the turn"),
    "/help": SlashCommand("", "this"),
    "/background": SlashCommand("", "leaves, and the session goes on; so does /detach"),
    "/detach": SlashCommand("", "the same as /background"),
    "/quit": SlashCommand("", "leaves"),
}
"""What a line begins with that is carried out here. Any other line goes to the agent."""

_MODES: Mapping[str, str] = {
    "default": "asks where the agent's own rules say so",
    "acceptEdits": "edits without asking",
    "plan": "looks, and changes nothing",
    "dontAsk": "denies what would be asked",
    "bypassPermissions": "asks nothing",
}

_MODELS: Mapping[str, Mapping[str, str]] = {
    "claude": {"sonnet": "", "opus": "", "haiku": ""},
}
"""Names of models that an agent takes whatever its version is."""

_KEYS = (
    ("//text", "sends /text to the agent, which may have commands too"),
    ("Esc, Ctrl-C", "stop the turn; idle, Ctrl-C twice or Ctrl-D leaves"),
    ("Tab, @", "complete commands and files; asked: message and back"),
    ("Up, Ctrl-R", "what was said before, in other sessions too; search"),
    ("F2", "to another session that waits for you, and back"),
    ("Alt-Enter, Ctrl-J", "a new line, as \\ and Enter; Ctrl-G: your editor"),
)


def help_text(width: int) -> str:
    """Return what can be typed, and the keys, for a terminal of this width."""
    commands = [(f"{name} {each.takes}".strip(), each.does) for name, each in COMMANDS.items()]
    text = ("text", "steers the running turn, or starts one")
    queued = ("/queue edit N …", "another text; also cancel N, promote N, move N M")
    return "\n" + two_columns([text, commands[0], queued, *commands[1:], *_KEYS], width)


Leave = Callable[[], Awaitable[str]]
"""Has a session go on without its terminal; returns why it cannot, or nothing."""


def split(line: str) -> tuple[str, str]:
    """Return the first word of a line, and what stands behind it."""
    name, *text = line.split(maxsplit=1) or [""]
    return name, "".join(text)


def values(session: BaseSession, name: str) -> Mapping[str, str]:
    """Return what a command can take, as far as that is known, with a word of explanation."""
    match name:
        case "/queue" if session.queued:
            return {verb: behind for verb, (behind, _) in queue.VERBS.items()}
        case "/model":
            return _MODELS.get(session.agent, {})
        case "/mode":
            return _MODES
        case "/limits":
            return {f"--{each.replace('_', '-')}": "" for each in CHANGEABLE}
        case "/rules":
            rules = enumerate(session.rules, 1)
            return {f"revoke {number}": exact_line(rule) for number, rule in rules}
    return {}


def _unquoted(text: str) -> str:
    """Return a path without the quotes in which a terminal pastes one with spaces."""
    with contextlib.suppress(ValueError):
        words = shlex.split(text)
        return words[0] if len(words) == 1 else text
    return text


async def tried(session: BaseSession, command: c.Command) -> str:
    """Carry out a command; return what is wrong, or nothing."""
    try:
        await session.command(command)
    except MidflightError as error:
        return one_line(str(error))
    return ""


class SlashCommands:
    """Carries out such lines for one session."""

    def __init__(
        self,
        session: BaseSession,
        status: StatusLine,
        say: Callable[[str], None],
        quit_: asyncio.Event,
        *,
        leave: Leave | None,
        attached: bool,
    ) -> None:
        """``say`` writes above the input line; ``quit_`` is set to leave the terminal."""
        self._session = session
        self._status = status
        self._say = say
        self._quit = quit_
        self._leave = leave
        self._attached = attached
        self._images: list[Image] = []

    def why_not(self, name: str, text: str) -> str:
        """Return why one of `COMMANDS` cannot be carried out as it was typed, or nothing."""
        takes = COMMANDS[name].takes
        if takes and not takes.startswith("[") and not text:
            return f"{name} needs something behind it"
        try:
            if name == "/queue" and (change := queue.typed(text)) is not None:
                change.command(self._session)
        except MidflightError as error:
            return one_line(str(error))
        return ""

    async def carry_out(self, name: str, text: str) -> None:
        """Carry out one of `COMMANDS`. Raises `InvalidInput` for a text that no agent can take."""
        match name:
            case "/redirect":
                await self.submit(c.Redirect(text=text))
            case "/model":
                self._status.model = ""  # which one that name means, the agent may not tell
                await self._session.submit(c.SetModel(model=text))
            case "/mode":
                await self._session.submit(c.SetPermissionMode(mode=text))
            case "/stop":
                await self._session.submit(c.Interrupt())
            case "/queue" | "/image" | "/limits" | "/rules":
                own = {"/queue": self._queue, "/image": self._attach, "/limits": self._limits}
                await own.get(name, self._rules)(text)
            case "/cost":
                self._say(f"  {self._status.money} so far\n")
            case "/help":
                self._say(help_text(shutil.get_terminal_size().columns))
            case "/background" | "/detach" if not self._attached:
                why = await self._leave() if self._leave else "no other terminal could reach it"
                self._say(f"  it cannot go on without this terminal: {why}\n" if why else "")
                if not why:
                    self._quit.set()
            case "/quit" | "/background" | "/detach":
                self._quit.set()

    async def submit(self, message: c.Send | c.Redirect) -> bool:
        """Send a message, with the images that wait for it; say what is wrong, if it was refused.

        Its session may be at rest and stay so: then it has no event that would tell.
        """
        images, self._images = tuple(self._images), []
        wrong = await tried(self._session, msgspec.structs.replace(message, images=images))
        if wrong:
            self._images = list(images)
            self._say(f"  {wrong}\n")
        return not wrong

    async def _attach(self, text: str) -> None:
        """Read a file, so that it goes with the next message."""
        if text == "none":
            self._images.clear()
            self._say("  the next message has no image\n")
            return
        try:
            made = await asyncio.to_thread(read_images, [_unquoted(text)])
            self._images = list(check_images((*self._images, *made)))
        except MidflightError as error:
            self._say(f"  {one_line(str(error))}\n")
            return
        shown = ", ".join(in_line(image.info) for image in self._images)
        self._say(f"  with the next message: {shown}\n")

    async def _queue(self, text: str) -> None:
        """Queue a text; list what waits, or change it."""
        change = queue.typed(text)
        if change is not None:
            try:
                await change.carry_out(self._session)
            except MidflightError as error:
                self._say(f"  {one_line(str(error))}\n")
        elif text:
            await self.submit(c.Send(text=text, delivery="queue"))
        else:
            width = shutil.get_terminal_size().columns
            waiting = queue.lines(self._session.queued, width - 1) or ["  nothing waits"]
            self._say("".join(f"{line}\n" for line in waiting))

    async def _limits(self, text: str) -> None:
        """Show the limits, or change them by the options of ``midflight limits``."""
        try:
            command = typed(text)
        except MidflightError as error:
            self._say(f"  {one_line(str(error))}\n")
            return
        wrong = await tried(self._session, command) if command is not None else ""
        self._say(f"  {wrong}\n" if wrong else in_words(self._session.limits))

    async def _rules(self, text: str) -> None:
        """List what the person has allowed for the rest of the session, or withdraw one."""
        rules = self._session.rules
        word, _, number = text.partition(" ")
        if word == "revoke" and number.strip().isdecimal() and 0 < int(number) <= len(rules):
            rule = rules[int(number) - 1]
            if wrong := await tried(self._session, c.Revoke(rule=rule)):
                self._say(f"  {wrong}\n")  # what was done, its event says
        elif text:
            self._say(f"  /rules revoke N, of the {len(rules)} that /rules lists\n")
        elif not rules:
            self._say("  nothing is allowed for the rest of this session\n")
        for at, rule in enumerate(() if text else rules, 1):
            self._say(f"  {at}. {rule_in_words(rule)}: {exact_line(rule)}\n")
