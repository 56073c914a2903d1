"""What a model call costs by public list prices, and which figures the ledger accepts."""

from __future__ import annotations

import math
import re
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


def has_price(model: str) -> bool:
    """Tell whether a model has a list price; `use_prices` must have been called."""
    return estimate(model, TokenUsage()) is not None


def estimate(model: str, tokens: TokenUsage) -> float | None:
    """Return US dollars for a model call by public list prices; None for an unknown model.

    `use_prices` must have been called. The prices come from the package ``genai-prices``. Agents
    may name a model with its provider before or behind it, or an effort behind it: ``a/b``,
    ``a|b(c)``, ``b[c]``. Tokens are counted as Anthropic does, cached ones beside the input tokens;
    the package counts all together, hence the sum.
    """
    counts = sane(tokens)
    usage = _prices["usage"](
        input_tokens=counts.input_tokens + counts.cache_read_tokens + counts.cache_write_tokens,
        output_tokens=counts.output_tokens,
        cache_read_tokens=counts.cache_read_tokens,
        cache_write_tokens=counts.cache_write_tokens,
    )
    for name in dict.fromkeys((model, *re.split(r"[/\[(|]", model))):
        try:
            return float(_prices["calc_price"](usage, name).total_price)
        except (LookupError, ValueError):
            continue
    return None
