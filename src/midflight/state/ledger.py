"""Money and tokens: what a turn and the session cost, reported by the agent or estimated."""

from __future__ import annotations

from midflight.events import Event, SessionCharged, TurnEnded, Usage
from midflight.state.pricing import estimate, money, prices_loaded, sane
from midflight.values import TokenUsage


class Ledger:
    """The books of a session: a fold of ``usage``, ``turn.ended`` and ``session.charged``.

    ``turn_usd`` and ``tokens`` are the running turn's, with what background work has used since
    the turn before it: agents count in the same way. ``settled_usd`` is what the ended turns have
    cost; ``charged_usd`` is what others have spent on the session's account. No figure decreases,
    except an estimate that the agent's own figure replaces. Money is in US dollars.
    """

    def __init__(self, settled_usd: float = 0.0) -> None:
        """Begin with what earlier parts of the session have cost."""
        self.settled_usd = settled_usd
        self.charged_usd = 0.0
        self.turn_usd = 0.0
        self.tokens = TokenUsage()
        self._shown_usd = settled_usd
        self._unpriced: list[tuple[str, TokenUsage]] = []

    @property
    def total_usd(self) -> float:
        """What the session has cost so far, the running turn included."""
        return self.settled_usd + self.turn_usd

    @property
    def unpriced(self) -> bool:
        """Some model calls wait for the price table to be estimated."""
        return bool(self._unpriced)

    def apply(self, event: Event) -> None:
        """Apply one event; most kinds change nothing here."""
        match event:
            case Usage():
                self.turn_usd = event.cost_usd
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
                self._clear()

    def _clear(self) -> None:
        self.turn_usd, self.tokens = 0.0, TokenUsage()
        self._unpriced.clear()

    def step(
        self, model: str, tokens: TokenUsage, cost_usd: float | None, *, estimated: bool = False
    ) -> Usage:
        """Return the ``usage`` event that follows from one more model call.

        ``cost_usd`` is None where the agent reports no price: if the price table is not loaded,
        the call waits for it; see `reprice`.
        """
        if cost_usd is None:
            self._unpriced.append((model, tokens))
        estimated = estimated or cost_usd is None
        return self._usage(self.tokens + sane(tokens), money(cost_usd or 0.0), estimated)

    def reprice(self) -> Usage | None:
        """Return a ``usage`` event with the calls that waited for the price table, or None."""
        return self._usage(self.tokens, 0.0, estimated=True) if self._unpriced else None

    def _usage(self, so_far: TokenUsage, usd: float, estimated: bool) -> Usage:  # noqa: FBT001
        if prices_loaded():
            usd += sum(estimate(model, tokens) for model, tokens in self._unpriced)
            self._unpriced.clear()
        turn_usd = self.turn_usd + usd
        return Usage(
            cost_usd=turn_usd,
            total_cost_usd=max(self._shown_usd, self.settled_usd + turn_usd),
            estimated=estimated,
            input_tokens=so_far.input_tokens,
            output_tokens=so_far.output_tokens,
            cache_read_tokens=so_far.cache_read_tokens,
            cache_write_tokens=so_far.cache_write_tokens,
        )
