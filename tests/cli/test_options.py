"""The options of a run as the program has them, and the doctor that shows their sources."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.faults.manifest import fault
from tests.support.program import Done, in_this_process

from midflight.agents.claude.program import MINIMUM

RECORDER = f"""\
#!/bin/sh
if [ "$1" = --version ]; then echo {".".join(map(str, MINIMUM))}; exit; fi
printf '%s\\n' "$@" > "$HOME/argv"
exit 1
"""


class Place(NamedTuple):
    """A home and a repository in it; the agent's program only writes down what it was told."""

    home: Path
    project: Path

    def user(self, content: str) -> Path:
        path = self.home / ".config" / "midflight" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)
        return path

    def narrows(self, content: str) -> Path:
        path = self.project / "midflight.toml"
        path.write_text(content)
        return path

    def run(self, *arguments: str, **more: str) -> Done:
        config = {"XDG_CONFIG_HOME": str(self.home / ".config")}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), **config, **more}
        return in_this_process(arguments, env, self.project)

    def doctor(self, **more: str) -> Done:
        """Run it with a key, where no agent is but the one that midflight comes with."""
        return self.run("doctor", PATH=os.defpath, ANTHROPIC_API_KEY="dummy", **more)

    def told(self) -> set[str]:
        """Return the options that the agent's program was started with."""
        return set((self.home / "argv").read_text().splitlines())

    @property
    def started(self) -> bool:
        return (self.home / "argv").exists()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home = tmp_path / "home"
    project = home / "shop"
    (project / ".git").mkdir(parents=True)
    (home / "agent").write_text(RECORDER)
    (home / "agent").chmod(0o755)
    return Place(home, project)


AGENT = 'agent_path = "~/agent"\n'


def test_a_run_uses_the_users_file_narrowed_by_the_projects(place: Place) -> None:
    place.user(f'{AGENT}model = "m"\nmax_turns = 9\npermission_mode = "acceptEdits"\n')
    place.narrows('max_turns = 4\npermission_mode = "plan"\n')
    done = place.run("run", "hello")
    assert done.code == 1
    assert place.told() >= {"--model=m", "--max-turns=4", "--permission-mode=plan"}
    assert "asks for less" not in done.err


def test_effort_folders_and_prompt_reach_the_agents_program(place: Place) -> None:
    (place.home / "lib").mkdir()
    place.user(f'{AGENT}effort = "low"\nadd_dirs = ["."]\n')
    more = ("--add-dir", "../lib", "--add-dir=.", "--effort=high", "--system-prompt=Be brief.")
    assert place.run("run", "hello", *more).code == 1
    told = place.told()
    folders = {word for word in told if word.startswith("--add-dir=")}
    assert folders == {f"--add-dir={place.home / 'lib'}", f"--add-dir={place.project}"}
    assert "--effort=high" in told
    assert any(word.startswith("--system-prompt-file=") for word in told)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--add-dir=nowhere",), "midflight: --add-dir: {project}/nowhere does not exist"),
        (("--effort=enormous",), "midflight: --effort: 'enormous' is none of low, medium"),
        (("--agent=fake", "--effort=low"), "midflight: --effort: the fake agent has none"),
        (("--agent=fake", "--add-dir=."), "midflight: --add-dir: the fake agent has none"),
        (("--timeout=5x",), "midflight: argument --timeout: expected a span of time such as 90"),
        (("--max-turns=x",), "midflight: argument --max-turns: expected a whole number, got 'x'"),
        (("--max-budget-usd=x",), "midflight: argument --max-budget-usd: expected US dollars"),
        (("--agent=gemini", "--system-prompt=x"), "midflight: --system-prompt: ACP has no such"),
    ],
)
def test_what_an_agent_cannot_have_is_named_as_it_was_typed(
    place: Place, arguments: tuple[str, ...], expected: str
) -> None:
    done = place.run("run", "hello", "--no-journal", *arguments)
    assert done.code == 2
    assert done.err.startswith(expected.format(project=place.project))


@fault("A15")
def test_budget_of_a_file_names_its_line_and_how_it_is_lifted(place: Place) -> None:
    path = place.user('max_budget_usd = 5.0\n[agents."acp:x y"]\nmax_budget_usd = "none"\n')
    done = place.run("say hello", "--agent=copilot", "--no-journal")
    assert done.code == 2
    told, hint = done.err.splitlines()
    assert told.startswith(f"midflight: {path}:1: max_budget_usd: this agent has not been seen to")
    assert hint == (
        'hint: to lift it for this agent, there: [agents.copilot] max_budget_usd = "none"'
    )
    lifted = place.run("say hello", "--agent=acp:x y", "--no-journal")
    assert "x is not installed" in lifted.err
    other = place.run("say hello", "--agent=acp:z y", "--no-journal").err
    assert '[agents."acp:z y"] max_budget_usd = "none"' in other


def test_only_the_table_of_an_agent_lifts_a_limit(place: Place) -> None:
    place.user(f'{AGENT}max_turns = 9\nstall_timeout = "none"\n')
    assert "3: stall_timeout: expected a finite number above 0" in place.run("say hello").err
    place.user(f'{AGENT}max_turns = 9\n[agents.claude]\nmax_turns = "none"\n')
    place.run("say hello")
    assert not any(word.startswith("--max-turns") for word in place.told())
    place.narrows('[agents.claude]\nmax_turns = "none"\n')
    place.user(f"{AGENT}max_turns = 9\n")
    place.run("say hello")
    assert "--max-turns=9" in place.told()


@fault("A15")
def test_cost_that_is_not_known_is_never_shown_as_nothing(place: Place) -> None:
    program = Path(__file__).parents[1] / "support" / "programs" / "acp_agent.py"
    agent = shlex.join(
        ["acp:" + sys.executable, "-SE", str(program), str(place.home / "log"), "{}"]
    )
    state = {"XDG_STATE_HOME": str(place.home / "state")}
    run = place.run("run", "hello", "--agent", agent, "--name", "silent", **state)
    assert "\nCost: unknown\n" in run.out
    shown = place.run("show", "silent", **state).out
    assert "cost     unknown" in shown
    listed = place.run("ls", "--all", **state).out
    assert "unknown" in listed
    assert "$" not in run.out + shown + listed
    (info,) = json.loads(place.run("ls", "--all", "--json", **state).out)
    assert info["total_cost_usd"] is None


def test_typed_options_hold_and_a_narrower_project_is_reported(place: Place) -> None:
    place.user(f'{AGENT}disallowed_tools = ["WebFetch", "Edit"]\n')
    path = place.narrows('permission_mode = "plan"\nmax_turns = 4\n')
    done = place.run(
        "run",
        "hello",
        "--permission-mode=acceptEdits",
        "--max-turns=2",
        "--deny=Bash",
        "--allow=Edit",
    )
    assert place.told() >= {
        "--permission-mode=acceptEdits",
        "--max-turns=2",
        "--disallowedTools=Bash,WebFetch",
        "--allowedTools=Edit",
    }
    told = f"midflight: {path}:1: permission_mode asks for less; --permission-mode stands"
    assert done.err.splitlines()[0] == told
    assert done.err.count("asks for less") == 1


def test_the_projects_file_is_that_of_the_folder_to_work_in(place: Place) -> None:
    place.user(AGENT)
    other = place.home / "other"
    (other / "sub").mkdir(parents=True)
    (other / "midflight.toml").write_text("max_turns = 7")
    place.narrows("max_turns = 4")
    place.run("run", "hello", "--cwd", str(other / "sub"))
    assert "--max-turns=7" in place.told()


def test_the_variable_overrides_the_file_and_the_option_overrides_both(
    place: Place,
) -> None:
    place.user(f'agent = "claude"\n{AGENT}')
    assert "fake agent" in place.run("run", "hello", MIDFLIGHT_AGENT="fake").err
    assert not place.started
    place.run("run", "hello", "--agent=claude", MIDFLIGHT_AGENT="fake")
    assert place.started


@pytest.mark.parametrize("value", ["fak", " "])
def test_an_unknown_agent_is_reported_with_the_variables_name(place: Place, value: str) -> None:
    done = place.run("run", "hello", MIDFLIGHT_AGENT=value)
    assert done.code == 2
    assert done.err.startswith("midflight: MIDFLIGHT_AGENT: ")
    assert "hint: " in done.err


def test_an_empty_variable_is_none(place: Place) -> None:
    place.user(AGENT)
    place.run("run", "hello", MIDFLIGHT_AGENT="")
    assert place.started


@fault("C1")
@pytest.mark.parametrize(
    ("content", "line", "said", "hint"),
    [
        ("max_turn = 3", 1, "max_turn: there is no such key", "did you mean max_turns?"),
        ("\ntimeout = 0", 2, "timeout: expected a finite number above 0", ""),
        ("\n\nmodel = ", 3, "is not TOML", ""),
        ('[agents.fake]\neffort = "low"', 2, "agents.fake.effort: the fake agent has none", "hint"),
    ],
    ids=["unknown key", "value", "syntax", "what the agent cannot do"],
)
def test_a_broken_file_ends_the_program_before_anything_starts(
    place: Place, content: str, line: int, said: str, hint: str
) -> None:
    path = place.user(content)
    done = place.run("run", "hello", "--agent=fake")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"midflight: {path}:{line}: {said}")
    assert hint in done.err
    assert "Traceback" not in done.err


@fault("S7")
def test_a_project_that_would_choose_the_agents_program_is_refused(place: Place) -> None:
    path = place.narrows(AGENT)
    done = place.run("run", "hello")
    assert (done.code, done.out) == (2, "")
    assert f"{path}:1: agent_path: a project can only narrow" in done.err
    assert not place.started


def test_a_wrong_option_is_reported_by_its_name_on_the_command_line(place: Place) -> None:
    place.user("max_turns = 3")
    done = place.run("run", "hello", "--max-turns=0")
    assert done.err.startswith("midflight: --max-turns: expected")


def test_the_doctor_shows_what_sets_defaults(place: Place) -> None:
    user = place.user('model = "m"\n[agents.fake]\nmax_turns = 3\n')
    narrow = place.narrows('disallowed_tools = ["Edit"]')
    done = place.doctor(MIDFLIGHT_AGENT="fake")
    assert done.code == 0
    assert f'{user}: model = "m"; agents.fake.max_turns = 3\n' in done.out
    assert f'{narrow}: disallowed_tools = ["Edit"]\n' in done.out
    assert "set by MIDFLIGHT_AGENT" in done.out


def test_the_doctor_shows_where_a_file_would_be(place: Place) -> None:
    done = place.doctor()
    assert done.code == 0
    assert f"no {place.home}" in done.out
    assert "no midflight.toml" in done.out


def test_the_doctor_shows_every_broken_file_and_does_not_call_that_ready(place: Place) -> None:
    user, narrow = place.user("max_turn = 3"), place.narrows('model = "m"')
    done = place.doctor()
    assert (done.code, done.err) == (1, "")
    assert f"{user}:1: max_turn: there is no such key" in done.out
    assert "did you mean max_turns?" in done.out
    assert f"{narrow}:1: model: a project can only narrow" in done.out
    assert "Ready" not in done.out


def test_a_preset_can_be_the_default_agent_and_have_a_table(place: Place, tmp_path: Path) -> None:
    place.user('agent = "goose"\n[agents.goose]\nmax_turns = 5\n')
    done = place.run("run", "hi", PATH=str(tmp_path))
    assert done.code == 1
    assert done.err.startswith("midflight: goose is not installed\nhint: ")
