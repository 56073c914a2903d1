"""docs/cli.md tells what there is: every command, option, key word, exit code and JSON command."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest

from midflight import commands as c
from midflight.cli.command_table import COMMANDS
from midflight.cli.parser import EPILOG, make_parser
from midflight.cli.terminal.slash_commands import help_text

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def run_options() -> list[str]:
    subparsers = next(
        action
        for action in make_parser()._actions  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    )
    given = [
        (flag, action.metavar)
        for action in subparsers.choices["run"]._actions  # noqa: SLF001
        for flag in action.option_strings
    ]
    return [f"{flag} {value}" if value else flag for flag, value in given[2:]]


def test_every_command_is_documented() -> None:
    told = PAGE.split("## ")[0]
    for name in (name for name, command in COMMANDS.items() if command.group):
        assert f"| `midflight {name}" in told


def test_every_option_is_documented_and_no_other() -> None:
    assert first_column(section("Options of `run`")) == run_options()


def test_every_option_of_a_session_command_is_documented() -> None:
    of_sessions = {n: each for n, each in COMMANDS.items() if each.group not in ("start", "more")}
    assert of_sessions
    for name, command in of_sessions.items():
        parser = argparse.ArgumentParser()
        command.add_options(parser)
        for option in parser._option_string_actions.keys() - {"-h", "--help"}:  # noqa: SLF001
            assert f"`{option}" in PAGE, f"{name} {option}"


def test_every_word_of_the_console_is_documented_and_no_other() -> None:
    words = set(re.findall(r"(?<![\w/])/[a-z]+", help_text(80))) - {"/text"}
    assert set(re.findall(r"`(/[a-z]+)", section("In a terminal"))) - {"/text"} == words


def test_every_exit_code_is_documented() -> None:
    table = re.findall(r"^\| (\d+) \| (.+) \|$", section("Exit codes"), re.MULTILINE)
    text = " ".join(EPILOG.split())
    assert len(table) == 6
    for code, meaning in table:
        assert f"{code} {meaning}" in text


VALUES = {"steer", "queue", "now", "allow", "deny", "session"}
"""Words of the table that are values and no fields."""


def test_every_json_command_is_documented_with_its_fields() -> None:
    told = {
        name: set(re.findall(r"`(\w+)`", fields)) - VALUES
        for name, fields in re.findall(r"^\| `(\w+)` \| ?(.*)\|$", section("JSON"), re.MULTILINE)
    }
    real = {
        str(kind.__struct_config__.tag): set(kind.__struct_fields__) - {"id"}
        for kind in c.Command.__subclasses__()
    }
    assert told == real


@pytest.mark.parametrize("line", re.findall(r"^\{.*\}$", PAGE, re.MULTILINE))
def test_the_json_examples_are_json_and_commands_are_commands(line: str) -> None:
    if "seq" not in json.loads(line):
        c.decode(line)
