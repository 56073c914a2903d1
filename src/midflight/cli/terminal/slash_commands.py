"""What begins with a slash at the terminal, and is carried out here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midflight import commands as c
from midflight._util.sanitize import exact_line, one_line
from midflight.cli.answers import rule_in_words
from midflight.cli.limits import in_words, typed
from midflight.cli.terminal.status_line import StatusLine
from midflight.errors import MidflightError
from midflight.session import BaseSession

HELP = """
  text             steers the running turn, or starts one
  /queue TEXT      a turn of its own, after the running one
  /redirect TEXT   stops the running turn and starts one for this
  /model M         another model              /mode P   another permission mode
  /limits          what bounds this session   /limits --max-budget-usd 5  changes it
  /rules           what you have allowed for the rest of this session
  /rules revoke N  withdraws one of these
  /cost            what it has cost           /stop     stop the turn (Esc, Ctrl-C)
  /help            this                       /quit     leave (idle: Ctrl-C twice, Ctrl-D)
  /detach          leave a session that you are attached to: it goes on, as with /quit
  /other, //text   what is no command here goes to the agent; //text sends /text
  Tab              while something is asked: to the message line, and back to the answer
  Alt-Enter, Ctrl-J, or \\ and Enter: a new line         Ctrl-G: your editor
"""

_WITH_TEXT = ("/queue", "/redirect", "/model", "/mode")

COMMANDS = (*_WITH_TEXT, "/stop", "/limits", "/rules", "/cost", "/help", "/detach", "/quit")
"""What a line begins with that is carried out here. Any other line goes to the agent."""


def split(line: str) -> tuple[str, str]:
    """Return the first word of a line, and what stands behind it."""
    name, *text = line.split(maxsplit=1) or [""]
    return name, "".join(text)


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
        attached: bool,
    ) -> None:
        """``say`` writes above the input line; ``quit_`` is set to leave the terminal."""
        self._session = session
        self._status = status
        self._say = say
        self._quit = quit_
        self._attached = attached

    async def carry_out(self, name: str, text: str) -> None:
        """Carry out one of `COMMANDS`. Raises `InvalidInput` for a text that no agent can take."""
        if name in _WITH_TEXT and not text:
            self._say(f"  {name} needs something behind it\n")
            return
        match name:
            case "/queue":
                await self._session.submit(c.Send(text=text, delivery="queue"))
            case "/redirect":
                await self._session.submit(c.Redirect(text=text))
            case "/model":
                self._status.model = ""  # which one that name means, the agent may not tell
                await self._session.submit(c.SetModel(model=text))
            case "/mode":
                await self._session.submit(c.SetPermissionMode(mode=text))
            case "/stop":
                await self._session.submit(c.Interrupt())
            case "/limits" | "/rules":
                await (self._limits if name == "/limits" else self._rules)(text)
            case "/cost":
                self._say(f"  {self._status.cost} so far\n")
            case "/help":
                self._say(HELP)
            case "/detach" if not self._attached:
                self._say("  this session lives in this terminal; run -d starts one apart\n")
            case "/quit" | "/detach":
                self._quit.set()

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
            wrong = await tried(self._session, c.Revoke(rule=rule))
            self._say(f"  {wrong}\n" if wrong else f"  withdrawn: {exact_line(rule)}\n")
        elif text:
            self._say(f"  /rules revoke N, of the {len(rules)} that /rules lists\n")
        elif not rules:
            self._say("  nothing is allowed for the rest of this session\n")
        for at, rule in enumerate(() if text else rules, 1):
            self._say(f"  {at}. {rule_in_words(rule)}: {exact_line(rule)}\n")
