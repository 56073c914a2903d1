"""What a model call costs by public list prices, and which sums the books take."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from midflight.values import TokenUsage


def money(value: float) -> float:
    """Return a sum that books can hold: an agent's nonsense (NaN, negative) counts as nothing."""
    return float(value) if math.isfinite(value) and value > 0 else 0.0


def sane(tokens: TokenUsage) -> TokenUsage:
    """Return token counts that books can hold: a negative one counts as nothing."""
    return TokenUsage(**{n: max(0, getattr(tokens, n)) for n in TokenUsage.__struct_fields__})


_prices: dict[str, Any] = {}
"""What `load_prices` has loaded of the package."""


def prices_loaded() -> bool:
    """Tell whether the price table is in memory."""
    return bool(_prices)


def load_prices() -> None:
    """Load the price table. It takes a third of a second, so do it in a thread, when needed."""
    import genai_prices

    # The package reads its table only when it is first asked, which would be in the event loop.
    with contextlib.suppress(LookupError):
        genai_prices.calc_price(genai_prices.Usage(), "no-such-model", provider_id="anthropic")
    _prices.update(vars(genai_prices))


def estimate(model: str, tokens: TokenUsage) -> float:
    """Return US dollars for a model call by public list prices; 0.0 for an unknown model.

    `load_prices` must have been called. Prices come from the ``genai-prices`` package. Anthropic
    counts cached tokens beside the input tokens, the package inside them, hence the sum.
    """
    counts = sane(tokens)
    try:
        price = _prices["calc_price"](
            _prices["Usage"](
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
