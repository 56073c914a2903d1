from __future__ import annotations

import math

import pytest

from midflight import events as e
from midflight.session.price_table import load_prices
from midflight.state.ledger import Ledger
from midflight.state.pricing import estimate, has_price, money, prices_loaded, sane
from midflight.values import TokenUsage

MILLION = TokenUsage(input_tokens=1_000_000, output_tokens=1_000_000)


def priced(model: str, tokens: TokenUsage = MILLION) -> float:
    cost = estimate(model, tokens)
    assert cost is not None
    return cost


@pytest.fixture
def prices() -> None:
    load_prices()
    assert prices_loaded()


@pytest.mark.usefixtures("prices")
def test_known_model_is_estimated_by_its_list_price() -> None:
    assert priced("claude-sonnet-4-5") > priced("claude-haiku-4-5") > 0
    cached = TokenUsage(cache_read_tokens=1_000_000)
    fresh = TokenUsage(input_tokens=1_000_000)
    assert 0 < priced("claude-haiku-4-5", cached) < priced("claude-haiku-4-5", fresh)


@pytest.mark.usefixtures("prices")
@pytest.mark.parametrize(
    "model",
    [
        "gpt-5",
        "gemini-2.5-pro",
        "gpt-5/high",
        "gpt-5-codex[high]",
        "google/gemini-2.5-pro",
        "$runtime|openai|gpt-5(openai)",
    ],
)
def test_model_of_any_provider_is_estimated_by_its_list_price(model: str) -> None:
    assert has_price(model)
    assert priced(model) > 1


@pytest.mark.usefixtures("prices")
@pytest.mark.parametrize("model", ["", "no-such-model", "/", "a/b", "sonnet"])
def test_what_a_model_without_a_list_price_costs_is_not_known(model: str) -> None:
    assert not has_price(model)
    assert estimate(model, MILLION) is None


@pytest.mark.usefixtures("prices")
def test_negative_tokens_are_estimated_at_nothing() -> None:
    assert estimate("claude-haiku-4-5", TokenUsage(input_tokens=-5, output_tokens=-5)) == 0.0


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf, -1.0, 0])
def test_amount_that_is_not_finite_or_negative_is_zero(nonsense: float) -> None:
    assert money(nonsense) == 0.0


def test_negative_tokens_count_as_nothing() -> None:
    assert sane(TokenUsage(input_tokens=-3, output_tokens=4)) == TokenUsage(output_tokens=4)


def spend(
    ledger: Ledger, cost_usd: float | None, tokens: int = 10, model: str = "claude-haiku-4-5"
) -> e.Usage:
    usage = ledger.step(model, TokenUsage(input_tokens=tokens), cost_usd)
    ledger.apply(usage)
    return usage


def end(ledger: Ledger, cost_usd: float | None) -> None:
    known = cost_usd is not None and ledger.settled_usd is not None
    total = ledger.settled_usd + cost_usd if known else None  # type: ignore[operator]
    ledger.apply(
        e.TurnEnded(status="completed", reason="end_turn", cost_usd=cost_usd, total_cost_usd=total)
    )


def test_steps_add_up_over_turns() -> None:
    ledger = Ledger(1.0)
    assert spend(ledger, 0.25).total_cost_usd == 1.25
    usage = spend(ledger, 0.25)
    assert (usage.cost_usd, usage.total_cost_usd, usage.input_tokens) == (0.5, 1.5, 20)
    assert not usage.estimated
    end(ledger, 0.5)
    usage = spend(ledger, 0.25)
    assert (usage.cost_usd, usage.total_cost_usd, usage.input_tokens) == (0.25, 1.75, 10)


def test_running_total_does_not_fall_to_a_lower_figure_of_the_agent() -> None:
    ledger = Ledger()
    spend(ledger, 2.0)
    end(ledger, 0.5)
    assert ledger.total_usd == 0.5
    assert spend(ledger, 0.25).total_cost_usd == 2.0
    assert ledger.total_usd == 0.75


def test_negative_step_takes_nothing_back() -> None:
    ledger = Ledger()
    spend(ledger, 1.0, tokens=100)
    usage = spend(ledger, -5.0, tokens=-50)
    assert (usage.cost_usd, usage.input_tokens) == (1.0, 100)


def test_estimates_wait_for_the_price_table(monkeypatch: pytest.MonkeyPatch) -> None:
    load_prices()
    with monkeypatch.context() as before:
        before.setattr("midflight.state.pricing._prices", {})
        ledger = Ledger()
        usage = spend(ledger, None, tokens=1_000_000)
        assert (usage.cost_usd, usage.total_cost_usd, usage.estimated) == (None, None, True)
        assert not ledger.spent(0.000001)
    late = ledger.reprice()
    assert late is not None
    assert late.cost_usd == priced("claude-haiku-4-5", TokenUsage(input_tokens=1_000_000)) > 0
    assert late.input_tokens == 1_000_000
    assert ledger.reprice() is None


def test_cost_is_not_known_while_nothing_tells_it() -> None:
    ledger = Ledger()
    usage = spend(ledger, None, tokens=0)
    assert (usage.cost_usd, usage.total_cost_usd, usage.estimated) == (None, None, False)
    assert ledger.total_usd is None
    usage = spend(ledger, 0.5)  # as the sum of what there was so far
    assert (usage.cost_usd, usage.total_cost_usd) == (0.5, 0.5)
    assert spend(ledger, None, tokens=0).cost_usd == 0.5


@pytest.mark.usefixtures("prices")
def test_total_with_a_part_that_is_not_known_is_not_known() -> None:
    ledger = Ledger(0.25)
    usage = spend(ledger, None, model="no-such-model")
    assert (usage.cost_usd, usage.total_cost_usd, usage.estimated) == (None, None, False)
    assert spend(ledger, 0.5).cost_usd is None
    end(ledger, None)
    usage = spend(ledger, 0.5)
    assert (usage.cost_usd, usage.total_cost_usd) == (0.5, None)
    end(ledger, 0.5)
    assert ledger.total_usd is None
    assert ledger.known_usd == 0.75


def test_budget_counts_as_spent_once_a_turns_cost_is_not_known() -> None:
    ledger = Ledger()
    spend(ledger, None, tokens=0)
    assert not ledger.spent(1.0)  # the turn's end may tell it
    end(ledger, None)
    assert ledger.spent(1.0)


def test_budget_is_for_what_follows_a_past_whose_cost_is_not_known() -> None:
    ledger = Ledger(None)
    assert (ledger.total_usd, ledger.known_usd, ledger.spent(1.0)) == (None, 0.0, False)
    usage = spend(ledger, 0.5)
    assert (usage.cost_usd, usage.total_cost_usd) == (0.5, None)
    end(ledger, 0.5)
    assert (ledger.total_usd, ledger.known_usd, ledger.spent(1.0)) == (None, 0.5, False)
    spend(ledger, 0.5)
    assert ledger.spent(1.0)


@pytest.mark.usefixtures("prices")
def test_tokens_of_several_models_are_priced_together_or_not_at_all() -> None:
    ledger = Ledger()
    both = [("gemini-2.5-pro", MILLION), ("gemini-2.5-flash", MILLION)]
    assert ledger.priced(both) == priced("gemini-2.5-pro") + priced("gemini-2.5-flash")
    assert ledger.priced([*both, ("no-such-model", MILLION)]) is None
