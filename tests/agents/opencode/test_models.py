"""Which of OpenCode's models a name means, what it costs, and what it can be told."""

from __future__ import annotations

from typing import Any

import pytest

from midflight.agents.opencode.models import Model, ModelChoice, Models
from midflight.errors import UnsupportedOption
from midflight.values import TokenUsage


def model(released: str, **rest: Any) -> dict[str, Any]:
    return {"release_date": released, "status": "active", **rest}


PRICE = {"input": 3, "output": 15, "cache": {"read": 0.3, "write": 3.75}}
TOLD = {
    "providers": [
        {"id": "opencode", "models": {"plum-large-4": model("2026-05-01")}},
        {
            "id": "garden",
            "models": {
                "plum-large-3": model("2025-01-01", cost=PRICE, variants={"high": {}, "max": {}}),
                "plum-large-4": model("2026-01-01"),
                "plum-large-4-0101": model("2026-01-01"),
                "plum-large-5": model("2026-06-01", status="alpha"),
                "pear": model("2026-01-01"),
            },
        },
        {"id": "orchard", "models": {"plum-large-4": model("2026-02-01")}},
    ]
}


def models(default: str | None = "garden/pear") -> Models:
    return Models(TOLD, default)


def test_images_are_refused_for_a_model_that_is_known_to_see_none() -> None:
    """OpenCode would tell the model that it cannot read one, and the user nothing."""
    told = {"text": True, "image": False}
    seeing = {"capabilities": {"input": told | {"image": True}}}
    blind = {"capabilities": {"input": told}}
    known = Models(
        {"providers": [{"id": "p", "models": {"blind": blind, "seeing": seeing, "new": {}}}]},
        "p/blind",
    )
    choice = ModelChoice(known)
    with pytest.raises(UnsupportedOption, match="images: p/blind takes none"):
        choice.check_images()
    for name in ("seeing", "new"):
        choice.use(name)
        choice.check_images()
    ModelChoice(Models({"providers": []}, None)).check_images()


def test_full_name_means_itself() -> None:
    assert str(models().find("orchard/plum-large-4")) == "orchard/plum-large-4"


def test_bare_alias_means_the_newest_model_of_the_configured_provider() -> None:
    assert str(models().find("plum")) == "garden/plum-large-4"
    assert str(models("orchard/plum-large-4").find("plum")) == "orchard/plum-large-4"


def test_opencodes_own_provider_comes_last_without_a_configured_one() -> None:
    assert models(None).find("plum").provider == "orchard"


def test_id_is_an_id_before_it_is_a_part_of_one() -> None:
    assert models().find("plum-large-3").id == "plum-large-3"


@pytest.mark.parametrize("name", ["garden/plumm-large-4", "grape", "/", "nowhere/"])
def test_unknown_model_is_an_error_before_anything_starts(name: str) -> None:
    with pytest.raises(UnsupportedOption, match="OpenCode has no") as caught:
        models().find(name)
    assert caught.value.hint


def test_nearest_models_are_named() -> None:
    with pytest.raises(UnsupportedOption, match="garden/plum-large-4"):
        models().find("garden/plum-larg-4")


def test_model_costs_what_the_server_says() -> None:
    million = TokenUsage(
        input_tokens=1_000_000, output_tokens=1_000_000, cache_read_tokens=1_000_000
    )
    assert models().price("garden/plum-large-3", million) == pytest.approx(18.3)


def test_model_without_a_price_is_of_unknown_cost_unless_given_away() -> None:
    some = TokenUsage(input_tokens=1)
    assert models().price("garden/pear", some) is None
    assert models().price("unknown", some) is None
    assert models().price("opencode/plum-large-4", some) == 0.0
    choice = ModelChoice(models())
    assert [choice.priced(name) for name in (None, "plum-large-3", "pear")] == [False, True, False]


def test_effort_is_one_of_the_models_variants() -> None:
    large = Model("garden", "plum-large-3")
    assert models().variant(large, "high") == "high"
    with pytest.raises(UnsupportedOption, match=r"effort.*high, max"):
        models().variant(large, "low")
