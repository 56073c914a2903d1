"""What a folder has an agent behind ACP run is said before that agent starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.acp_agent import Open, words

import midflight
from midflight import agents
from midflight.agents.acp.presets import PRESETS
from midflight.agents.acp.trust import obeyed_by
from midflight.cli.trust_question import listing, question
from midflight.options import Options
from midflight.trust import decision
from midflight.trust.stake import look

SETTINGS = '{"mcpServers": {"evil": {"command": "touch", "args": ["it"]}}, "theme": "x"}'


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def settings(folder: Path) -> Path:
    place = folder / ".gemini" / "settings.json"
    place.parent.mkdir()
    place.write_text(SETTINGS)
    return place


@fault("S7")
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("option", [None, False])
async def test_what_an_acp_agent_obeys_is_said_before_it_starts(
    scripted: Open, tmp_path: Path, option: bool | None
) -> None:
    """It cannot be told to leave it out, whatever the option says."""
    place = settings(tmp_path)
    async with scripted(trust=option) as agent:
        _, events = await agent.run(words("here"))
    assert [event.type for event in events[:2]] == ["notice", "session.started"]
    assert isinstance(events[0], midflight.Notice)
    said = events[0].text
    assert " cannot be told to leave out what this folder has it run or redirect" in said
    assert ".gemini/settings.json" in said
    assert f"midflight trust {tmp_path}" in said
    assert place.exists()


@fault("S7")
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("option", [None, True])
async def test_what_was_agreed_to_is_not_said_of_an_acp_agent(
    scripted: Open, tmp_path: Path, option: bool | None
) -> None:
    place = settings(tmp_path)
    if option is None:
        decision.record(look(Options.build(cwd=tmp_path), obeyed_by("gemini")))
    async with scripted(trust=option) as agent:
        _, events = await agent.run(words("here"))
    assert not [event for event in events if isinstance(event, midflight.Notice)]
    place.write_text("{}")
    changed = decision.decide(Options.build(cwd=tmp_path), obeyed_by("gemini"))
    assert "you have not trusted them" in changed.notice


@pytest.mark.parametrize("name", PRESETS)
def test_what_each_preset_obeys_is_looked_at(tmp_path: Path, name: str) -> None:
    obeyed = agents.obeyed(name)
    assert obeyed is not None
    assert (obeyed.agent, obeyed.told) == (name, False)
    place = tmp_path / obeyed.names[0]
    place.mkdir()
    (place / "settings.json").write_text("{}")
    standing = decision.decide(Options.build(cwd=tmp_path, agent=name), obeyed)
    assert standing.notice.startswith(f"{name} cannot be told to leave out")


@pytest.mark.parametrize(
    ("agent", "like"),
    [("acp:/opt/bin/gemini --acp -y", "gemini"), ("acp:opencode acp", "opencode-acp")],
)
def test_a_command_obeys_what_the_preset_with_its_program_obeys(agent: str, like: str) -> None:
    assert obeyed_by(agent).names == obeyed_by(like).names
    assert set(obeyed_by("gemini").names) < set(obeyed_by("acp:one-of-my-own").names)


def test_the_question_shows_what_an_acp_agent_runs(tmp_path: Path) -> None:
    settings(tmp_path)
    obeyed = obeyed_by("gemini")
    stake = look(Options.build(cwd=tmp_path), obeyed)
    shown = listing(obeyed, stake)
    assert ".gemini/settings.json: MCP server evil: touch it" in shown
    assert ".gemini/settings.json: theme: x" in shown
    assert question(obeyed, stake) == "[t]rust them, [g]o on all the same, or [q]uit? "
