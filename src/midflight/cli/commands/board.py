"""``midflight`` alone: the board, all sessions on one screen."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from midflight._util.files import current_folder
from midflight.cli.output import at_terminal, write
from midflight.errors import InvalidInput, MidflightError

if TYPE_CHECKING:
    from midflight.cli.board.board import Board
    from midflight.client.client import Client


def board(args: argparse.Namespace) -> int:
    """Show the board until the person leaves it; a session that is opened there comes between."""
    if not (at_terminal() and sys.stderr.isatty()):  # which is where Textual draws
        raise InvalidInput("the board needs a terminal", "midflight ls lists the sessions anywhere")
    if os.environ.get("TERM", "dumb") == "dumb":
        from midflight.cli.commands.ls import ls

        write("This terminal cannot show the board, so here is the list of midflight ls.\n")
        return ls(argparse.Namespace(cwd=None, all=False, json=False, watch=False))
    from midflight.cli.board import board as model

    shown = model.Board(current_folder())
    while session := _show(shown):
        from midflight.cli.commands.attach import attach

        try:
            attach(argparse.Namespace(session=session))
        except MidflightError as error:
            shown.said = str(error)
    return 0


def _show(board: Board) -> str | None:
    """Show the board once, and return the session to open, if one is."""
    from midflight.cli.board.app import BoardApp

    app = BoardApp(board, _connect)
    session = app.run()
    if app.error is not None:
        raise app.error
    return session


def _connect() -> Client:
    from midflight.client.client import connect

    return connect(door="terminal")
