from __future__ import annotations


def known(usd: float | None) -> float:
    """Return what something has cost; that it is not known is a failure."""
    assert usd is not None, "what it has cost is not known"
    return usd
