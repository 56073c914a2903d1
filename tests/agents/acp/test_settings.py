"""What an agent lets be chosen, and what midflight's words mean there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midflight.agents.acp.presets import PRESETS
from midflight.agents.acp.settings import Settings
from midflight.agents.opencode.permissions import BASE, as_config
from midflight.errors import UnsupportedOption


def old(*modes: str, current: str = "") -> Settings:
    listed = [{"id": mode} for mode in modes]
    return Settings({"modes": {"currentModeId": current, "availableModes": listed}})


def new(category: str, *values: str, current: str = "") -> Settings:
    options: list[dict[str, Any]] = [{"value": value} for value in values]
    option = {"id": "it", "category": category, "currentValue": current, "options": options}
    return Settings({"configOptions": [option]})


@pytest.mark.parametrize(
    ("modes", "mode", "own"),
    [
        (("default", "acceptEdits", "plan", "dontAsk"), "default", "default"),
        (("default", "acceptEdits", "plan", "dontAsk"), "acceptEdits", None),
        (("read-only", "auto", "full-access"), "default", "read-only"),
        (("https://x.dev/modes#plan", "build"), "plan", "https://x.dev/modes#plan"),
        (("build", "plan"), "default", "build"),
        (("build",), "plan", None),
    ],
)
@pytest.mark.parametrize("form", ["old", "new"])
def test_permission_mode_is_the_agents_own_of_that_meaning(
    modes: tuple[str, ...], mode: str, own: str | None, form: str
) -> None:
    settings = (
        old(*modes, current="build") if form == "old" else new("mode", *modes, current="build")
    )
    change = settings.to_mode(mode)
    assert settings.has_mode(mode) == (change is not None)
    if own is None or change is None:
        assert (own, change) == (None, None)
    else:
        assert own in change[1].values()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("x/opus-4", "x/opus-4"),
        ("opus", "x/opus-5-5"),
        ("OPUS-5", "x/opus-5-5"),
        ("sonnet", "y/sonnet-4-5"),
        ("gpt", None),
        ("pus", None),
    ],
)
def test_models_bare_name_means_the_newest_of_the_provider_in_use(
    wanted: str, found: str | None
) -> None:
    models = ("x/opus-4", "x/opus-5-5-fast", "x/opus-5-5", "y/opus-9", "y/sonnet-4-5-20250929")
    settings = new("model", *models, "y/sonnet-4-5", current="x/opus-4")
    if found is None:
        with pytest.raises(UnsupportedOption, match="not offered"):
            settings.to_model(wanted)
    else:
        assert settings.to_model(wanted)[2]["value"] == found


def test_models_of_the_older_form_have_their_own_method() -> None:
    listed = [{"modelId": "a"}, {"modelId": "b"}]
    settings = Settings({"models": {"currentModelId": "a", "availableModels": listed}})
    assert (settings.model, settings.has_models) == ("a", True)
    assert settings.to_model("b")[1:] == ("session/set_model", {"modelId": "b"})


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"modes": 3, "models": "x", "configOptions": 7},
        {"modes": {"availableModes": [5]}, "configOptions": [1, {"id": "m", "options": 3}]},
    ],
)
def test_agent_with_nonsense_settings_lets_nothing_be_chosen(told: dict[str, Any]) -> None:
    settings = Settings(told)
    assert (settings.has_models, settings.has_modes, settings.has_effort) == (False,) * 3


def test_opencodes_preset_asks_as_much_as_the_driver_of_opencode() -> None:
    told = json.loads(PRESETS["opencode-acp"].env["OPENCODE_PERMISSION"])
    by_name = {"edit": "ask", "bash": "ask", "webfetch": "ask"}
    assert told == {**as_config(BASE), **by_name, "task": "deny"}
    assert told["*"] == "ask"
