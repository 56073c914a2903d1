"""The files that are read by the place that hosts the repository, and by editors.

None of it can be run here. Each is held to its schema, and to what it refers to in the repository.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.support.program import unwatched

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / ".github"
WORKFLOWS = sorted((HOST / "workflows").glob("*.yml"))
FORMS = sorted(set((HOST / "ISSUE_TEMPLATE").glob("*.yml")) - {HOST / "ISSUE_TEMPLATE/config.yml"})
BY_SCHEMA = {
    "vendor.github-workflows": WORKFLOWS,
    "custom.github-workflows-require-timeout": WORKFLOWS,
    "vendor.github-issue-forms": FORMS,
    "vendor.github-issue-config": [HOST / "ISSUE_TEMPLATE/config.yml"],
}
# A folder of this repository and a name in it, not in the middle of another path.
SCRIPT = re.compile(r"(?<![\w/.-])(?:\./)?((?:\.ci|bench|examples|scripts|tests)/\w[\w./-]*)")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

Mapping = dict[str, Any]


def read(file: Path) -> Mapping:
    content = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def problems(schema: str, *files: Path) -> str:
    """Return what the schema has against the files; nothing if they are as they should be."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files],
        env=unwatched(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode in {0, 1}, done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


def jobs() -> Iterator[tuple[str, Mapping]]:
    for file in WORKFLOWS:
        for name, job in read(file)["jobs"].items():
            yield f"{file.stem}, {name}", job


def steps() -> Iterator[tuple[str, Mapping]]:
    for name, job in jobs():
        for step in job.get("steps", []):
            yield name, step


def commands() -> Iterator[tuple[str, str]]:
    """Yield every command that stands in one of the files, and where."""
    for name, step in steps():
        if "run" in step:
            yield name, step["run"]
    yield "devcontainer.json", container()["postCreateCommand"]
    for hook in hooks():
        yield ".pre-commit-config.yaml", hook["entry"]


def container() -> Mapping:
    content = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def hooks() -> list[Mapping]:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "a hook from elsewhere would have to be fetched"
    found = repository["hooks"]
    assert isinstance(found, list)
    return found


def missing(command: str) -> list[str]:
    """Return the scripts of the repository that a command names and that are not there."""
    return [
        name
        for found in SCRIPT.finditer(command)
        for name in [found[1]]
        if not (ROOT / name).is_file()
        or (found[0].startswith("./") and not os.access(ROOT / name, os.X_OK))
    ]


# ------------------------------------------------------------------ schemas


@pytest.mark.parametrize("schema", BY_SCHEMA)
def test_workflows_and_forms_are_as_their_schemas_want_them(schema: str) -> None:
    assert BY_SCHEMA[schema]
    assert problems(schema, *BY_SCHEMA[schema]) == ""


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ("vendor.github-workflows", "runs-on:", "run-on:"),
        (
            "custom.github-workflows-require-timeout",
            "timeout-minutes: 20",
            "continue-on-error: true",
        ),
        ("vendor.github-issue-forms", "type: textarea", "type: textfield"),
        ("vendor.github-issue-config", "url: https://", "url: "),
    ],
)
def test_mistake_in_a_workflow_or_form_is_found(
    tmp_path: Path, schema: str, right: str, wrong: str
) -> None:
    text = BY_SCHEMA[schema][0].read_text(encoding="utf-8")
    assert right in text
    slip = tmp_path / "slip.yml"
    slip.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    assert problems(schema, slip)


# ------------------------------------------------------------------ what they refer to


def test_workflows_call_only_scripts_that_exist() -> None:
    assert [(where, name) for where, command in commands() for name in missing(command)] == []
    called = {found[1] for _, command in commands() for found in SCRIPT.finditer(command)}
    assert {"scripts/test", "scripts/build", "scripts/release_notes.py"} <= called


@pytest.mark.parametrize(
    "command",
    [
        "./scripts/tests",
        "cd x && scripts/nothing.sh",
        "python scripts/no.py",
        "./scripts/write_docs.py",
    ],
)
def test_script_that_is_missing_or_not_executable_is_found(command: str) -> None:
    assert missing(command)
    assert not missing("./scripts/test fast && python scripts/write_docs.py --check")


def test_workflows_call_only_workflows_that_exist() -> None:
    called = [job["uses"] for _, job in jobs() if "uses" in job]
    assert called == ["./.github/workflows/check.yml"]
    assert (ROOT / called[0]).is_file()


def test_workflows_install_only_lists_of_versions_that_exist() -> None:
    texts = [command for _, command in commands()]
    texts += [
        (ROOT / name).read_text(encoding="utf-8") for name in ("scripts/test", "scripts/build")
    ]
    names = {name for text in texts for name in re.findall(r"requirements/\w+\.txt", text)}
    assert names == {"requirements/dev.txt", "requirements/release.txt", "requirements/run.txt"}
    assert all((ROOT / name).is_file() for name in names)


def test_check_runs_on_every_promised_python_with_the_fast_half_first() -> None:
    check = read(HOST / "workflows/check.yml")["jobs"]
    assert check["check"]["needs"] == "fast"
    assert check["check"]["strategy"] == check["fast"]["strategy"]
    matrix = check["check"]["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = [
        name.removeprefix("Programming Language :: Python :: ")
        for name in project["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
    ]
    assert set(promised) <= set(matrix["python"])
    assert f">={matrix['python'][0]}" == project["requires-python"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"}


# ------------------------------------------------------------------ what they may do


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_use_no_secret_and_only_pinned_actions(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "secrets" not in text
    used = [line.split("uses: ")[1].strip() for line in text.splitlines() if "uses: " in line]
    assert used
    assert [name for name in used if not (name.startswith("./") or PINNED.fullmatch(name))] == []


def test_workflows_may_write_only_where_they_must() -> None:
    assert [read(file)["permissions"] for file in WORKFLOWS] == [{"contents": "read"}, {}]
    writes = {
        name: {scope for scope, access in job.get("permissions", {}).items() if access == "write"}
        for name, job in jobs()
    }
    assert {name: scopes for name, scopes in writes.items() if scopes} == {
        "release, announce": {"contents"},
        "release, attest": {"attestations", "id-token"},
        "release, pages": {"id-token", "pages"},
        "release, publish": {"id-token"},
    }


def test_commands_have_no_text_of_others_pasted_into_them() -> None:
    assert [command for _, command in commands() if "${{" in command] == []


def test_checkouts_leave_no_key_behind() -> None:
    checkouts = [step for _, step in steps() if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_release_is_published_only_after_the_check_has_passed() -> None:
    release = dict(read(HOST / "workflows/release.yml")["jobs"])
    before: set[str] = set()
    ahead = ["publish"]
    while ahead:
        needs = release[ahead.pop()].get("needs", [])
        new = {needs} if isinstance(needs, str) else set(needs)
        ahead += new - before
        before |= new
    assert before == {"version", "check", "build", "site", "attest"}
    assert release["publish"]["environment"] == "pypi"
    for last in ("announce", "pages"):
        assert release[last]["needs"] == "publish"


# ------------------------------------------------------------------ forms, container, hooks


def test_bug_report_asks_for_what_reproduces_it() -> None:
    body = read(HOST / "ISSUE_TEMPLATE/bug.yml")["body"]
    asked = {part["id"]: part for part in body if part["type"] != "markdown"}
    assert set(asked) == {"agent", "doctor", "expected", "reproduce", "seen", "version"}
    assert all(part["validations"]["required"] for part in asked.values())
    assert "`midflight doctor --json`" in asked["doctor"]["attributes"]["label"]


def test_security_report_is_sent_to_the_policy() -> None:
    config = read(HOST / "ISSUE_TEMPLATE/config.yml")
    assert config["blank_issues_enabled"] is False
    assert any("SECURITY.md" in link["about"] for link in config["contact_links"])
    assert (ROOT / "SECURITY.md").is_file()


def test_pull_request_asks_for_its_test_and_the_check() -> None:
    text = (HOST / "pull_request_template.md").read_text(encoding="utf-8")
    assert "The test that fails without it" in text
    assert "`scripts/check` passes" in text


def test_container_has_what_the_set_up_needs() -> None:
    # There is no schema of it at hand; these are the keys that its documentation names.
    assert set(container()) == {"name", "image", "features", "postCreateCommand"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    image, _, python = container()["image"].partition("/python:")
    assert image == "mcr.microsoft.com/devcontainers"
    assert f">={python}" == project["requires-python"]
    ((feature, options),) = container()["features"].items()
    assert feature == "ghcr.io/devcontainers/features/node:1"
    assert f"Node.js {options['version']} or newer" in (ROOT / "scripts/test").read_text()


def test_hooks_before_a_commit_need_no_network() -> None:
    for hook in hooks():
        assert hook["language"] == "system"
        assert {"id", "name", "entry"} <= set(hook)
        assert hook["entry"].split()[0] in {".venv/bin/ruff", "git"}
