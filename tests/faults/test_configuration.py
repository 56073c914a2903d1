"""Bad options and a bad agent program: all refused before anything starts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.events import read
from tests.support.faults import Models, Use, agents

import midflight
from midflight.testing import Text

pytestmark = pytest.mark.anyio


@fault("C1")
def test_unknown_option_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(midflight.InvalidOption, match=r"max_turn: .*did you mean max_turns\?"):
        midflight.dispatch("go", max_turn=3)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(midflight.InvalidOption, match=r"agent: 'claud'.*did you mean claude\?"):
        midflight.dispatch("go", agent="claud")


@fault("C1")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", 7),
        ("model", ""),
        ("cwd", None),
        ("allowed_tools", "Bash"),
        ("allowed_tools", [None]),
        ("permission_mode", "yolo"),
        ("plugins", "one"),
        ("mcp_servers", ["server"]),
        ("mcp_servers", {"server": {}}),
        ("env", {"A": 1}),
        ("env", {"A=B": "c"}),
        ("env", ["A=b"]),
        ("on_request", "allow"),
        ("attended", "yes"),
        ("system_prompt", b"bytes"),
        ("resume", 5),
    ],
)
def test_option_of_the_wrong_type_is_refused_by_its_name(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(midflight.InvalidOption, match=f"^{name}: ") as caught:
        midflight.dispatch("go", **options)
    assert caught.value.option == name


@fault("C2")
@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (None, "does not exist"),
        ("", "is not executable"),
        ("#!/nowhere/at/all\n", "cannot be run"),
        ("#!/bin/sh\necho Welcome to the machine\n", "does not say its version, but 'Welcome"),
        ("#!/bin/sh\nyes | cat\n", "does not say its version"),
        ("#!/bin/sh\necho 1.0.3\n", "is Claude Code 1.0.3; .* or newer is needed"),
        ("#!/bin/sh\nexit 3\n", "does not say its version"),
    ],
    ids=[
        "missing",
        "not executable",
        "no interpreter",
        "rubbish",
        "endless rubbish",
        "old",
        "failing",
    ],
)
async def test_bad_agent_program_is_reported_with_what_to_do(
    tmp_path: Path, no_agent_left: None, script: str | None, complaint: str
) -> None:
    path = tmp_path / "agent"
    if script is not None:
        path.write_text(script)
        path.chmod(0o755 if script else 0o644)
    session = midflight.dispatch("go", agent_path=path, cwd=tmp_path)
    with pytest.raises(midflight.AgentUnavailable, match=complaint) as caught:
        async with session:
            pass
    assert caught.value.hint
    assert session.status == "closed"
    assert len(str(caught.value)) < 1000


@fault("C2")
async def test_agent_program_that_never_tells_its_version_is_given_up(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.shared.version.TIMEOUT_S", 0.3)
    path = tmp_path / "agent"
    path.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    path.chmod(0o755)
    with pytest.raises(midflight.AgentUnavailable, match="does not answer"):
        async with midflight.dispatch("go", agent_path=path, cwd=tmp_path):
            pass


@fault("C5")
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, True, "10", [1], 0.0])
@pytest.mark.parametrize(
    "name", ["max_turns", "max_budget_usd", "timeout", "stall_timeout", "request_timeout"]
)
def test_limit_that_limits_nothing_is_refused_by_its_name(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(midflight.InvalidOption, match=f"^{name}: "):
        midflight.dispatch("go", **options)


@fault("C5")
def test_request_timeout_is_finite_and_a_count_is_whole() -> None:
    with pytest.raises(midflight.InvalidOption, match=r"^request_timeout: "):
        midflight.dispatch("go", request_timeout=None)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(midflight.InvalidOption, match=r"^max_turns: "):
        midflight.dispatch("go", max_turns=2.5)  # type: ignore[arg-type]  # on purpose


@fault("C6")
async def test_empty_list_reaches_the_agent_as_empty(
    scripted_model: Models, use: Use, project: Path
) -> None:
    (project / "CLAUDE.md").write_text("Always think of the heron.")
    model = await scripted_model([Text("one"), Text("two")])
    for sources, known in ((None, True), ([], False)):
        options = use(model, setting_sources=sources, allowed_tools=[], disallowed_tools=[])
        async with midflight.dispatch("go", **options) as session:
            arguments = agents()[0].cmdline()
            await read(session)
        assert ("--setting-sources=" in arguments) is (sources == [])
        assert ("think of the heron" in str(model.requests[-1].body)) is known


@fault("C6")
async def test_empty_list_of_allowed_tools_means_that_each_is_asked_for(
    scripted_model: Models, use: Use
) -> None:
    bash = midflight.testing.ToolCall("Bash", {"command": "touch here"})
    model = await scripted_model([bash, Text("denied")])
    options = use(model, allowed_tools=[], attended=False)
    async with midflight.dispatch("go", **options) as session:
        await read(session)
        assert session.first is not None
        assert [denial.name for denial in (await session.first.result()).denials] == ["Bash"]
