"""Loads the price table, for the estimates of `midflight.state.pricing`."""

from __future__ import annotations

import contextlib

from midflight.state.pricing import use_prices


def load_prices() -> None:
    """Load the price table. It takes a third of a second, so call it in a thread, when needed."""
    import genai_prices

    # The package reads its table at the first price, which else would be in the event loop.
    with contextlib.suppress(LookupError):
        genai_prices.calc_price(genai_prices.Usage(), "no-such-model")
    use_prices(genai_prices.calc_price, genai_prices.Usage)
