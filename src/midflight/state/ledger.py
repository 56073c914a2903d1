"""Money and tokens: what a turn and the session cost, reported by the agent or estimated."""

from __future__ import annotations

from collections.abc import Iterable

from midflight.events import Event, SessionCharged, TurnEnded, Usage
from midflight.state.pricing import estimate, money, prices_loaded, sane
from midflight.values import TokenUsage


class Ledger:
    """The books of a session: a fold of ``usage``, ``turn.ended`` and ``session.charged``.

    ``turn_usd`` and ``tokens`` are the running turn's, with what background work has used since
    the turn before it: agents count in the same way. ``settled_usd`` is what the ended turns have
    cost; ``charged_usd`` is what others have spent on the session's account. Both of the session's
    own figures are None where a part of them is not known; ``unknown`` says that what a turn of
    this session has cost is not. No figure decreases, except an estimate
    that the agent's own figure replaces. Money is in US dollars.
    """

    def __init__(self, settled_usd: float | None = 0.0) -> None:
        """Begin with what earlier parts of the session have cost, None if that is not known."""
        self.settled_usd = settled_usd
        self.charged_usd = 0.0
        self._settled_known_usd = settled_usd or 0.0
        self.unknown = False
        self.turn_usd: float | None = 0.0
        self.tokens = TokenUsage()
        self._shown_usd = settled_usd or 0.0
        self._clear()

    @property
    def total_usd(self) -> float | None:
        """What the session has cost so far, the running turn included; None if it is not known."""
        return _sum(self.settled_usd, self.turn_usd)

    @property
    def known_usd(self) -> float:
        """What is known of it: it has cost no less."""
        return self._settled_known_usd + self._known_usd

    @property
    def unpriced(self) -> bool:
        """Some model calls wait for the price table to be estimated."""
        return bool(self._unpriced)

    def apply(self, event: Event) -> None:
        """Apply one event; most kinds change nothing here."""
        match event:
            case Usage():
                self.turn_usd = event.cost_usd
                if event.cost_usd is not None:
                    self._known_usd = event.cost_usd
                if event.total_cost_usd is not None:
                    self._shown_usd = event.total_cost_usd
                self.tokens = TokenUsage(
                    input_tokens=event.input_tokens,
                    output_tokens=event.output_tokens,
                    cache_read_tokens=event.cache_read_tokens,
                    cache_write_tokens=event.cache_write_tokens,
                )
            case SessionCharged(usd=usd):
                self.charged_usd = usd
            case TurnEnded():
                self.settled_usd = event.total_cost_usd
                self.unknown |= event.cost_usd is None
                known = self._settled_known_usd + (event.cost_usd or 0.0)
                self._settled_known_usd = max(known, event.total_cost_usd or 0.0)
                self._clear()

    def _clear(self) -> None:
        self.turn_usd, self.tokens = 0.0, TokenUsage()
        self._known_usd = 0.0
        self._told = self._silent = self._no_price = False
        self._unpriced: list[tuple[str, TokenUsage]] = []

    def spent(self, cap: float) -> bool:
        """Tell whether so much has been spent, here and on the session's account.

        Where it is not known what a turn has cost, a limit cannot be kept, so it counts as spent.
        What was before the first one is not what the limit is for, where it is not known.
        """
        return self.unknown or self.known_usd + self.charged_usd >= cap

    def step(
        self, model: str, tokens: TokenUsage, cost_usd: float | None, *, estimated: bool = False
    ) -> Usage:
        """Return the ``usage`` event that follows from one more model call.

        ``cost_usd`` is None where the agent reports no price: if the price table is not loaded,
        the call waits for it; see `reprice`. Of a call without tokens either, nothing is known but
        what the agent tells of the turn elsewhere.
        """
        tokens = sane(tokens)
        if cost_usd is not None:
            self._known_usd += money(cost_usd)
            self._told = True
        elif tokens == TokenUsage():
            self._silent = True
        else:
            self._unpriced.append((model, tokens))
            estimated = True
        return self._usage(self.tokens + tokens, estimated=estimated)

    def reprice(self) -> Usage | None:
        """Return a ``usage`` event with the calls that waited for the price table, or None."""
        return self._usage(self.tokens, estimated=True) if self._unpriced else None

    def priced(self, used: Iterable[tuple[str, TokenUsage]]) -> float | None:
        """Return what the tokens of these models cost; None if the price of one is not known."""
        total: float | None = 0.0
        for model, tokens in used:
            total = _sum(total, estimate(model, tokens) if prices_loaded() else None)
        return total

    def _usage(self, so_far: TokenUsage, *, estimated: bool) -> Usage:
        if prices_loaded():
            for call in self._unpriced:
                price = self.priced([call])
                self._no_price |= price is None
                self._told |= price is not None
                self._known_usd += price or 0.0
            self._unpriced.clear()
        unknown = self._no_price or (self._silent and not self._told)
        turn_usd = None if unknown or self._unpriced else self._known_usd
        total = _sum(self.settled_usd, turn_usd)
        return Usage(
            cost_usd=turn_usd,
            total_cost_usd=None if total is None else max(self._shown_usd, total),
            estimated=estimated and not unknown,
            input_tokens=so_far.input_tokens,
            output_tokens=so_far.output_tokens,
            cache_read_tokens=so_far.cache_read_tokens,
            cache_write_tokens=so_far.cache_write_tokens,
        )


def _sum(one: float | None, other: float | None) -> float | None:
    """Return the sum of two amounts; None if one of them is not known."""
    return None if one is None or other is None else one + other
