"""The content of one session of OpenCode 2: its texts, tool calls and model calls.

A session is the main one or a sub-agent's. What is numbered is seen once: `EventTranslator` drops
an event that comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from midflight import events as e
from midflight.agents.base import Signal, Step
from midflight.agents.opencode.content import CutCall, tokens
from midflight.agents.opencode.ids import CallIds
from midflight.agents.opencode.v2.content import kind_of, output_of
from midflight.agents.opencode.v2.names import call_of, field, part_of
from midflight.agents.shared.content import OUTPUT_CHARS, put_out_since, title
from midflight.values import TokenUsage

Data = Mapping[str, Any]
Price = Callable[[str, TokenUsage], float | None]


class Thread:
    """One session's content, as signals. ``parent`` is the tool call that it belongs to."""

    def __init__(self, price: Price, parent: str | None = None) -> None:
        """``price`` gives US dollars for tokens of a model, None if unknown."""
        self.parent = parent
        self.model = ""
        self.text = ""
        self.inputs: dict[str, tuple[str, dict[str, Any]]] = {}
        self._price = price
        self._names: dict[str, str] = {}
        self._open: dict[str, str] = {}
        self._held: list[tuple[str, str]] = []
        self._over: set[tuple[str, str, str]] = set()
        self._shown: dict[str, str] = {}
        self._ids = CallIds()
        self._cut = CutCall()

    def settle(self) -> None:
        """Forget what no later event refers to: the turn has ended."""
        for kept in (self._names, self._open, self._held, self._over, self._shown, self.inputs):
            kept.clear()

    # Model calls --------------------------------------------------------------------------

    def begin(self, data: Data) -> None:
        """A model call begins; its text takes the place of the one before."""
        model = data.get("model") or {}
        self.model = f"{model.get('providerID', '')}/{model.get('id', '')}"
        self.text = ""
        self._over.clear()

    def end(self, data: Data) -> Iterator[Signal]:
        """A model call has ended, or has failed and perhaps says what it took."""
        yield from self.flush()
        if "tokens" in data:
            used = tokens(data["tokens"])
            cost = float(data.get("cost") or 0.0)
            usd = cost or self._price(self.model, used)  # The preview tells 0 whatever it costs.
            self._cut.counted(used)
            estimated = bool(usd) and not cost
            yield self._step(used, usd, estimated=estimated, main=self.parent is None)

    def cut(self) -> Iterator[Signal]:
        """Count a model call that was broken off and does not say what it took."""
        yield from self.flush()
        if (used := self._cut.estimate()) is not None:
            yield self._step(used, self._price(self.model, used), estimated=True, main=False)

    def _step(self, used: TokenUsage, usd: float | None, *, estimated: bool, main: bool) -> Step:
        return Step(model=self.model, tokens=used, cost_usd=usd, estimated=estimated, main=main)

    # Texts --------------------------------------------------------------------------------

    def delta(self, kind: str, data: Data) -> Signal | None:
        """Translate a piece of text, unless the whole has been told: then it comes late."""
        if (kind, str(data.get("assistantMessageID")), part_of(data)) in self._over:
            return None
        text = data["delta"]
        self._cut.streamed(text)
        if kind == "reasoning":
            return e.ThinkingDelta(text=text, parent=self.parent)
        return e.TextDelta(text=text, parent=self.parent)

    def whole(self, kind: str, data: Data) -> None:
        """Keep a whole text until the model has passed it: a new attempt would send it again."""
        self._over.add((kind, str(data.get("assistantMessageID")), part_of(data)))
        if data["text"]:
            self._held.append((kind, data["text"]))

    def flush(self) -> Iterator[Signal]:
        """Yield the texts that are final."""
        held, self._held = self._held, []
        for kind, text in held:
            if kind == "reasoning":
                yield e.Thinking(text=text, parent=self.parent)
            else:
                self.text += text
                yield e.Text(text=text, parent=self.parent)

    def void(self) -> None:
        """Forget the texts of a model call that is made again: they come a second time."""
        self._held.clear()
        self._over.clear()
        self._cut.void()

    # Tools --------------------------------------------------------------------------------

    def call(self, message: str, call_id: str) -> str:
        """Return our id for a call."""
        return self._ids.of(message, call_id)

    def call_id(self, data: Data) -> str:
        """Return our id for the call that an event is about."""
        return self.call(field(data, "assistantMessageID"), call_of(data))

    def named(self, data: Data) -> None:
        """Keep a call's name: stable 2.x says it only where the input begins."""
        self._names[self.call_id(data)] = str(data["name"])

    def called(self, data: Data) -> Iterator[Signal]:
        """Translate the beginning of a call."""
        call = self.call_id(data)
        name = str(data.get("tool") or self._names.get(call) or "unknown")
        call_input = data.get("input") or {}
        yield from self.flush()
        self.inputs[call] = (name, call_input)
        self._open[call] = name
        yield e.ToolStarted(
            call=call,
            name=name,
            kind=kind_of(name),
            title=title(call_input),
            input=call_input,
            parent=self.parent,
        )

    def progress(self, data: Data) -> Iterator[Signal]:
        """Yield what a tool has put out since the last event of it."""
        call, output = self.call_id(data), output_of(data)
        if call not in self._open:
            return
        new = put_out_since(self._shown.get(call, ""), output)
        self._shown[call] = output
        if new:
            yield e.ToolProgress(call=call, text=new, parent=self.parent)

    def over(self, data: Data, *, failed: bool) -> Iterator[Signal]:
        """Translate the end of a call."""
        call = self.call_id(data)
        name = self._open.pop(call, None)
        self._shown.pop(call, None)
        if name is None:
            return  # It was cut by the end of its turn, or its input could not be read.
        output = output_of(data)
        if failed:
            output = field(data.get("error") or {}, "message") or output
        yield e.ToolEnded(
            call=call,
            name=name,
            status="failed" if failed else "completed",
            output=output[:OUTPUT_CHARS],
            parent=self.parent,
        )
