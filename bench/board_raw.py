"""An application of Textual with nothing but a table of so many rows."""

from __future__ import annotations

import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable


class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield DataTable()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("name", "folder", "does", "time", "cost")
        for number in range(int(sys.argv[1])):
            table.add_row(f"session-{number}", "shop", "done: the last words", "0 s", "$0.10")


if __name__ == "__main__":
    Bare().run()
