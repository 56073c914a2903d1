from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.program import COMMAND, in_this_process

from midflight.cli.main import _with_command
from midflight.cli.parser import make_parser
from midflight.errors import InvalidInput

HEAVY = (
    "rich",
    "msgspec",
    "platformdirs",
    "prompt_toolkit",
    "starlette",
    "textual",
    "tomllib",
    "typer",
    "uvicorn",
    "midflight.cli.commands.run",
)


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=100
    )


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("run", "demo", "doctor", "130 interrupted"):
        assert word in done.stdout


def test_nothing_at_all_shows_the_help() -> None:
    assert run().stdout == run("--help").stdout


def test_help_loads_nothing_slow() -> None:
    # Where tests are measured, the measuring loads a reader of TOML into every program.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "midflight.cli.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=env,
        timeout=100,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "midflight.cli.output" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"midflight {version('midflight')}\n"


@fault("C1")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "TASK"),
        (("run", "x", "--fly"), "--fly"),
        (("run", "x", "--max-turns", "many"), "--max-turns"),
        (("run", "x", "--max-turns", "0"), "--max-turns"),
        (("run", "x", "--max-budget-usd", "nan"), "--max-budget-usd"),
        (("run", "x", "--timeout", "-1"), "--timeout"),
        (("run", "x", "--agent", "nobody"), "nobody"),
        (("run", "x", "--cwd", "/nowhere/at/all"), "--cwd"),
        (("run", "x", "--permission-mode", "yolo"), "--permission-mode"),
        (("run", "x", "--model=--settings=evil"), "--model"),
        (("run", "x", "--allow=-c"), "--allow"),
        (("",), "empty"),
        (("  ",), "empty"),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = in_this_process(arguments, {"HOME": str(tmp_path)}, tmp_path)
    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert first.startswith("midflight: ")
    assert said in first
    assert second.startswith("hint: ")


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["docter"], "; did you mean doctor?", "midflight run 'docter'"),
        (["demo1"], "; did you mean demo?", "midflight run 'demo1'"),
        (["rnu", "fix it", "--json"], "; did you mean run?", "midflight 'rnu fix it'"),
        (["list"], "; did you mean ls?", "midflight run 'list'"),
        (["kill", "beta"], "; did you mean stop?", "midflight 'kill beta'"),
        (["polish"], "", "midflight run 'polish'"),
        (["fix", "the", "bug"], "", "midflight 'fix the bug'"),
        (["hlep"], "; did you mean help?", "midflight run 'hlep'"),
        (["complete"], "; did you mean completion?", "midflight run 'complete'"),
    ],
)
def test_lone_word_is_no_task(arguments: list[str], said: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as error:
        _with_command(arguments)
    assert error.value.message == f"there is no command {arguments[0]!r}{said}"
    assert error.value.hint == f"{hint} gives it to an agent as a task"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["help"], ["--help"]),
        (["help", "run"], ["run", "--help"]),
        (["help", "worktree", "merge"], ["worktree", "--help"]),
        (["help", "help"], ["--help"]),
        (["version"], ["--version"]),
        (["--agent", "fake", "do it"], ["run", "--agent", "fake", "do it"]),
    ],
)
def test_help_and_version_are_words_too(arguments: list[str], meant: list[str]) -> None:
    assert _with_command(arguments) == meant


def test_help_for_what_is_no_command_names_the_like() -> None:
    with pytest.raises(InvalidInput) as error:
        _with_command(["help", "worktre"])
    assert error.value.message == "there is no command 'worktre'; did you mean worktree?"
    assert error.value.hint == "midflight help lists them"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["run", "--modle", "x", "do it"], "there is no option --modle", "did you mean --model?"),
        (["ls", "--jsn=1"], "there is no option --jsn", "did you mean --json?"),
        (["ls", "-z"], "there is no option -z", "midflight ls --help"),
        (["run", "--jsno"], "there is no option --jsno", "did you mean --json?"),
        (["run", "-v"], "there is no option -v", "midflight run --help"),
        (["run", "do", "it"], "one argument too many: it", "put a text in quotes"),
    ],
)
def test_option_that_does_not_exist_is_answered_by_the_like(
    arguments: list[str], message: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        make_parser().parse_args(arguments)
    assert (error.value.message, error.value.hint) == (message, hint)


@fault("S6")
def test_a_task_of_several_words_is_no_slip() -> None:
    assert _with_command(["doctor who"]) == ["run", "doctor who"]


def test_control_characters_in_an_error_are_not_written(tmp_path: Path) -> None:
    words = ("run", "x", "--agent", "\x1b[31mred\x1b]0;t\x07")
    done = in_this_process(words, {"HOME": str(tmp_path)}, tmp_path)
    assert done.code == 2
    assert "\x1b" not in done.err


def test_an_unexpected_error_is_one_line_and_a_hint(tmp_path: Path) -> None:
    breaks = tmp_path / "breaks.py"
    breaks.write_text(
        "from midflight.cli import main\n"
        "def fail(given):\n"
        "    raise ValueError('what\\nnow')\n"
        "main.COMMANDS['demo'] = main.COMMANDS['demo']._replace(handler='__main__:fail')\n"
        "main.main(['demo'])\n"
    )
    done = subprocess.run(
        [sys.executable, breaks], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first == "midflight: unexpected ValueError: what now (breaks.py:3)"
    assert second.startswith("hint: ")


@fault("C2")
def test_a_missing_agent_is_an_error_with_the_install_command(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    hides = tmp_path / "hides.py"
    hides.write_text(
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: "
        "None if name == 'claude_agent_sdk' else find(name, *more)\n"
        "from midflight.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    for arguments in (["do something"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, hides, *arguments],
            env={"PATH": str(empty), "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 1
        assert "not installed" in done.stdout + done.stderr
        assert "pip install" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


SPANS = ["timeout", "stall-timeout", "max-wait", "park-after"]


@pytest.mark.parametrize("option", SPANS)
@pytest.mark.parametrize(
    ("said", "seconds"), [("90", 90), ("45s", 45), ("90m", 5400), ("1.5h", 5400)]
)
def test_spans_take_any_unit(option: str, said: str, seconds: float) -> None:
    args = make_parser().parse_args(["run", "x", f"--{option}", said])
    assert getattr(args, option.replace("-", "_")) == seconds


@pytest.mark.parametrize("option", SPANS)
@pytest.mark.parametrize("said", ["soon", "", "h", "2d"])
def test_span_that_is_no_time_is_wrong_usage(option: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=option):
        make_parser().parse_args(["run", "x", f"--{option}", said])
