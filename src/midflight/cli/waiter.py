"""A run that can leave its terminal: the process that the shell waits for is another one.

A shell gives its prompt back when the process ends that it has started. So that one does nothing
but wait, and the run is its child: it can leave the shell's session, and with that lets the other
one end, while it goes on with its agent, its journal and its socket as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import termios
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from midflight.cli.output import at_terminal

HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What the waiting process is told is meant for the run."""

_STAYS = ("detach", "go_on", "json", "no_journal")
"""Options with which a run has no session of its own here, or none that others could reach."""


class Waiter:
    """The process that the shell waits for, as the run has it."""

    def __init__(self, link: socket.socket) -> None:
        """``link`` ends when the waiting process does."""
        self._link = link

    def on_end(self, call: Callable[[], None]) -> None:
        """Have this called when the waiting process was killed: nobody else would end the run."""
        import asyncio

        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._link)
            call()

        loop.add_reader(self._link, ended)

    def leave(self, log: int) -> None:
        """Leave the terminal for good, and let the waiting process end; errors go to ``log``."""
        import asyncio

        asyncio.get_running_loop().remove_reader(self._link)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor, instead in ((0, nothing), (1, nothing), (2, log)):
            os.dup2(instead, descriptor)
        os.close(nothing)
        os.close(log)
        with contextlib.suppress(OSError):
            self._link.send(b"left")
        self._link.close()


def with_waiter(args: argparse.Namespace) -> Waiter | None:
    """Go on in a child of this process, which only waits from now on, and ends as the child does.

    So it is at a terminal with a session that can do without it; else this returns None. It is
    called before there is a thread or an event loop, and before what those need is loaded: what
    the child writes to of that, both would have.
    """
    if not at_terminal() or any(getattr(args, name, False) for name in _STAYS):
        return None
    ours, runs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    child = os.fork()
    if child:
        for number in HANDED_ON:
            signal.signal(number, lambda number, _: os.kill(child, number))
    else:
        signal.signal(signal.SIGINT, _interrupt)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if child:
        runs.close()
        _wait(child, ours)
    ours.close()
    return Waiter(runs)


def _interrupt(number: int, _: FrameType | None) -> None:
    """End the start of a run, once: a key of the terminal reaches it twice."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _wait(child: int, link: socket.socket) -> NoReturn:
    """End when the child has left, or as it ends; nothing is to run here that is the child's."""
    if link.recv(1):
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def terminal_is_gone() -> bool:
    """Tell whether the terminal of this process has been closed."""
    try:
        termios.tcgetattr(0)
    except (OSError, termios.error):
        return True
    return False
