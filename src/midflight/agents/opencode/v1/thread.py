"""The content of one OpenCode session: its texts, tool calls and model calls.

A session is the main one or a sub-agent's. Everything has an id and is reported once, so that
messages which are fetched after the stream of events was cut yield only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from midflight import events as e
from midflight.agents.base import Signal, Step
from midflight.agents.opencode.content import KINDS, CutCall, tokens
from midflight.agents.opencode.ids import CallIds
from midflight.agents.opencode.v1.content import is_summary
from midflight.agents.shared.content import OUTPUT_CHARS, put_out_since, title
from midflight.values import TokenUsage

SUMMARISED = "the conversation was too long: OpenCode goes on from a summary of it"

Price = Callable[[str, TokenUsage], float | None]


class Thread:
    """One session's content, as signals. ``parent`` is the tool call that it belongs to."""

    def __init__(
        self, price: Price, parent: str | None = None, *, replaced: Collection[str] = ()
    ) -> None:
        """``price`` gives US dollars for tokens of a model (``provider/model``), None if unknown.

        It is not known of the ``replaced`` tools what they change.
        """
        self.parent = parent
        self._edits_unknown = replaced
        self.model = ""
        self.text = ""
        self.inputs: dict[str, tuple[str, dict[str, Any]]] = {}
        self._price = price
        self._kinds: dict[str, str] = {}
        self._held: dict[str, tuple[str, str]] = {}
        self._done: dict[str, None] = {}
        self._shown: dict[str, str] = {}
        self._ids = CallIds()
        self._summaries: set[str] = set()
        self._cut = CutCall()

    def settle(self) -> None:
        """Forget what no later part refers to: the turn has ended."""
        self._kinds.clear()
        self._held.clear()
        self._done.clear()
        self._shown.clear()
        self._summaries.clear()
        self.inputs.clear()

    def message(self, info: dict[str, Any]) -> Iterator[Signal]:
        """Take in an assistant message; its beginning voids the text of the one before.

        A summary of the conversation so far is the agent's note to itself, and no answer.
        """
        self.model = f"{info.get('providerID', '')}/{info.get('modelID', '')}"
        if self._new(f"message {info['id']}"):
            self.text = ""
            if is_summary(info):
                self._summaries.add(info["id"])
                yield e.Notice(level="info", text=SUMMARISED)

    def _new(self, name: str) -> bool:
        """Tell whether this has not been dealt with before."""
        if name in self._done:
            return False
        self._done[name] = None
        return True

    def delta(self, properties: dict[str, Any]) -> Signal | None:
        """Translate a piece of text, unless the whole has been reported: then it comes late."""
        if properties["partID"] in self._done or properties["messageID"] in self._summaries:
            return None
        text = properties["delta"]
        self._cut.streamed(text)
        if self._kinds.get(properties["partID"]) == "reasoning":
            return e.ThinkingDelta(text=text, parent=self.parent)
        return e.TextDelta(text=text, parent=self.parent)

    def part(self, part: dict[str, Any]) -> Iterator[Signal]:
        """Translate a part of an assistant message."""
        match part["type"]:
            case "text" | "reasoning":
                self._kinds[part["id"]] = part["type"]
                over = (part.get("time") or {}).get("end") is not None
                hidden = part.get("synthetic") or part["messageID"] in self._summaries
                if over and not hidden and part["id"] not in self._done:
                    self._held[part["id"]] = (part["type"], part["text"])
            case "tool":
                yield from self._tool(part)
            case "step-finish":
                yield from self.flush()
                if self._new(part["id"]):
                    used = tokens(part["tokens"])
                    self._cut.counted(used)
                    usd = float(part.get("cost") or 0.0)
                    known = usd or self._price(self.model, used) is not None
                    yield self._step(used, usd if known else None)

    def _step(self, used: TokenUsage, usd: float | None, *, estimated: bool = False) -> Step:
        return Step(
            model=self.model,
            tokens=used,
            cost_usd=usd,
            estimated=estimated,
            main=self.parent is None and not estimated,
        )

    def flush(self) -> Iterator[Signal]:
        """Yield the texts that are final: the model call has passed them."""
        held, self._held = self._held, {}
        for part, (kind, text) in held.items():
            if self._new(part) and text:
                if kind == "reasoning":
                    yield e.Thinking(text=text, parent=self.parent)
                else:
                    self.text += text
                    yield e.Text(text=text, parent=self.parent)

    def void(self) -> None:
        """Forget the texts of a model call that is made again: they come a second time."""
        for part in self._held:
            self._new(part)
        self._held.clear()
        self._cut.void()

    def cut(self) -> Iterator[Signal]:
        """Count a model call that was broken off: the server counts it as nothing."""
        yield from self.flush()
        if (used := self._cut.estimate()) is not None:
            yield self._step(used, self._price(self.model, used), estimated=True)

    # Tools --------------------------------------------------------------------------------

    def call(self, message: str, call_id: str) -> str:
        """Return our id for a call."""
        return self._ids.of(message, call_id)

    def _tool(self, part: dict[str, Any]) -> Iterator[Signal]:
        call = self.call(part["messageID"], part["callID"])
        name, state = part["tool"], part["state"]
        if state["status"] == "pending" or f"end {call}" in self._done:
            return
        call_input = state.get("input") or {}
        if self._new(f"tool {call}"):
            yield from self.flush()
            self.inputs[call] = (name, call_input)
            yield e.ToolStarted(
                call=call,
                name=name,
                kind="other" if self._replaces_edit(name) else KINDS.get(name, "other"),
                title=title(call_input),
                input=call_input,
                parent=self.parent,
            )
        if state["status"] == "running":
            yield from self._progress(call, state)
            return
        self._new(f"end {call}")
        self._shown.pop(call, None)
        failed = state["status"] == "error"
        yield e.ToolEnded(
            call=call,
            name=name,
            status="failed" if failed else "completed",
            output=str(state.get("error" if failed else "output") or "")[:OUTPUT_CHARS],
            parent=self.parent,
        )

    def _replaces_edit(self, name: str) -> bool:
        return name in self._edits_unknown and KINDS.get(name) == "edit"

    def _progress(self, call: str, state: dict[str, Any]) -> Iterator[Signal]:
        """Yield what a tool has put out since the last event of it."""
        output = str((state.get("metadata") or {}).get("output") or "")
        new = put_out_since(self._shown.get(call, ""), output)
        self._shown[call] = output
        if new:
            yield e.ToolProgress(call=call, text=new, parent=self.parent)
