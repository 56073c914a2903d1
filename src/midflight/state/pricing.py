"""What a model call costs by public list prices, and which figures the ledger accepts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from midflight.values import TokenUsage


def money(value: float) -> float:
    """Return an amount for the ledger: what is not finite, or negative, counts as 0."""
    return float(value) if math.isfinite(value) and value > 0 else 0.0


def sane(tokens: TokenUsage) -> TokenUsage:
    """Return token counts for the ledger: a negative one counts as 0."""
    return TokenUsage(**{n: max(0, getattr(tokens, n)) for n in TokenUsage.__struct_fields__})


_prices: dict[str, Any] = {}
"""What `use_prices` was given; nothing at first."""


def prices_loaded() -> bool:
    """Tell whether the price table is in memory."""
    return bool(_prices)


def use_prices(calc_price: Callable[..., Any], usage: Callable[..., Any]) -> None:
    """Estimate with these two names of the package ``genai_prices`` from now on."""
    _prices.update(calc_price=calc_price, usage=usage)


def estimate(model: str, tokens: TokenUsage) -> float:
    """Return US dollars for a model call by public list prices; 0.0 for an unknown model.

    `use_prices` must have been called. The prices come from the package ``genai-prices``.
    Anthropic counts cached tokens beside the input tokens, the package among them, hence the sum.
    """
    counts = sane(tokens)
    try:
        price = _prices["calc_price"](
            _prices["usage"](
                input_tokens=(
                    counts.input_tokens + counts.cache_read_tokens + counts.cache_write_tokens
                ),
                output_tokens=counts.output_tokens,
                cache_read_tokens=counts.cache_read_tokens,
                cache_write_tokens=counts.cache_write_tokens,
            ),
            model,
            provider_id="anthropic",
        )
    except (LookupError, ValueError):
        return 0.0
    return float(price.total_price)
