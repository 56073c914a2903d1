"""Turns an ACP agent's updates and the answers to its prompts into midflight's words.

ACP does not report model calls. They are counted by their traces: a call is over when its first
tool begins or the prompt is answered, and another one begins when every tool has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from midflight import events as e
from midflight._util.lines import MALFORMED
from midflight.agents.acp.content import AcpCall, kind_of, output_of, progress_of
from midflight.agents.acp.jsonrpc import RpcResponse, complaint
from midflight.agents.acp.permissions import AcpPermissions
from midflight.agents.acp.results import outcome, usage_limit, used, used_by_call
from midflight.agents.acp.settings import Settings
from midflight.agents.base import Calling, Finished, ModeChanged, Signal, Step, Taken, Unrecoverable
from midflight.values import Denial, PermissionMode, PlanEntry, TokenUsage

KEPT_CALLS = 1_000

_SILENT = {"available_commands_update", "session_info_update", "user_message_chunk"}
_ENDS = ("completed", "failed")
_DENIED = "disallowed_tools"


class UpdateTranslator:
    """Translates updates; knows the running prompt, and the tools and money of the session.

    ``answers`` is the mode by which midflight answers while the agent does not plan.
    """

    def __init__(
        self,
        permissions: AcpPermissions,
        redact: Callable[[str], str],
        paid_usd: float | None = None,
        *,
        tells_money: bool = False,
    ) -> None:
        """Begin with no prompt. ``redact`` takes secrets out of the agent's errors.

        ``paid_usd`` is what a resumed conversation is known to have cost; ``tells_money`` that the
        agent is known to tell.
        """
        self._permissions = permissions
        self._tells_money = tells_money
        self._redact = redact
        self._calls: dict[str, AcpCall] = {}
        self._open: set[str] = set()
        self._block: type[e.Text | e.Thinking] | None = None
        self._parts: list[str] = []
        self._text = ""
        self._stepped = False
        self._heard = False
        self._spent = paid_usd or 0.0
        self._resumed = paid_usd is not None
        self._begun = self._total_known = False
        self._turn_usd: float | None = None
        self._denials: list[Denial] = []
        self.settings = Settings({})
        self.answers: PermissionMode = "default"
        self._alive = False
        self._early = False
        self._cancelled_again = False
        self._denied = False
        self.running = False
        self.cancelled = False

    # The prompt's beginning and end -------------------------------------------------------

    def begin(self) -> Iterator[Signal]:
        """Begin a prompt."""
        yield from self._flush()
        self.running, self.cancelled, self._begun = True, False, True
        self._stepped = self._heard = self._alive = self._early = self._cancelled_again = False
        self._text, self._turn_usd, self._denied = "", None, False
        self._open.clear()
        self._denials.clear()

    def taken(self, message: str) -> Iterator[Signal]:
        """Take the prompt as read, which ACP does not report.

        From here on it is not known what the turn costs, until something tells.
        """
        yield Taken(message)
        if not self._tells_money:
            yield Step(model=self.settings.model, tokens=TokenUsage(), main=False)

    def cancel(self) -> None:
        """Note that the prompt was cancelled; the agent may not even have begun."""
        self.cancelled = True
        self._early = not self._alive

    def must_cancel_again(self) -> bool:
        """Tell, once, that the agent has begun after a cancel: some do not remember it."""
        again = self._early and self._alive and not self._cancelled_again
        self._cancelled_again = self._cancelled_again or again
        return again

    def end(self, answer: RpcResponse) -> Iterator[Signal]:
        """End the prompt."""
        yield from self._flush()
        for call in self._calls.values():
            yield from self._show(call)
        status, reason = outcome(answer, cancelled=self.cancelled)
        if self._early and status == "completed":
            # It was cancelled before it had begun, and was faster than the second cancel.
            status, reason = "interrupted", "interrupted"
        if status == "interrupted" and self._denied and not self.cancelled:
            reason = "denied"  # the agent has ended its turn at that; nobody has interrupted it
        if not self.cancelled and (self._heard or status == "completed"):
            yield from self._step()
        text = self._text
        if answer.error is not None and status != "interrupted":
            text = self._redact(complaint(answer.error))
        if reason == "usage_limit":
            yield usage_limit(answer, text)
        spent = used(answer, self.settings.model)
        # An agent that fails before it has done anything has not come to its model.
        nothing = status == "failed" and not (self._alive or spent or self._turn_usd)
        yield Finished(
            status=status,
            reason=reason,
            text=text,
            cost_usd=0.0 if nothing else self._turn_usd,
            tokens=sum((each for _, each in spent), TokenUsage()) if spent else None,
            used=spent,
            denials=tuple(self._denials),
        )
        self.running = False
        self._calls.clear()

    # Updates ------------------------------------------------------------------------------

    def update(self, update: object) -> Iterator[Signal]:
        """Translate the update in a ``session/update``."""
        try:
            assert isinstance(update, dict)  # noqa: S101 - caught with the other malformations
            kind = str(update["sessionUpdate"])
            handler = self._HANDLERS.get(kind)
            if handler is not None:
                yield from handler(self, update)
            elif kind not in _SILENT:
                yield e.Raw(data=update)
        except (*MALFORMED, AssertionError):
            yield e.Raw(data=update)

    def settle(self, update: object) -> None:
        """Take from an update about the past only how things stand: the money and the choices."""
        kind = update.get("sessionUpdate") if isinstance(update, dict) else None
        if kind in ("usage_update", "config_option_update", "current_mode_update"):
            for _ in self.update(update):
                pass

    def _message(self, update: dict[str, Any]) -> Iterator[Signal]:
        yield from self._chunk(e.Text, e.TextDelta, update)

    def _thought(self, update: dict[str, Any]) -> Iterator[Signal]:
        yield from self._chunk(e.Thinking, e.ThinkingDelta, update)

    def _chunk(
        self,
        block: type[e.Text | e.Thinking],
        delta: type[e.TextDelta | e.ThinkingDelta],
        update: dict[str, Any],
    ) -> Iterator[Signal]:
        if (spent := used_by_call(update)) is not None:
            yield Step(model=self.settings.model, tokens=spent, main=False)
        content = update["content"]
        text = content["text"] if content["type"] == "text" else f"[{content['type']}]"
        if not text:
            return
        if block is not self._block:
            yield from self._flush()
            self._block = block
        self._heard = self._alive = True
        self._parts.append(str(text))
        yield delta(text=str(text))

    def _flush(self) -> Iterator[Signal]:
        """Yield the block that was streamed, whole."""
        block, text = self._block, "".join(self._parts)
        self._block = None
        self._parts.clear()
        if block is not None:
            if block is e.Text:
                self._text = text
            yield block(text=text)

    def _usage(self, update: dict[str, Any]) -> Iterator[Signal]:
        """Money comes as the sum of the session; it starts anew where an agent forgets it.

        In a resumed conversation, a sum that comes before anything of the first prompt is of the
        past.
        """
        cost = update.get("cost")
        if cost is None:
            return
        if cost.get("currency") != "USD":
            yield e.Raw(data=update)
            return
        total = float(cost["amount"])
        if self._resumed and not (self._begun and (self._total_known or self._alive)):
            self._spent, self._total_known = total, True
        if not self.running:
            return
        added = total - self._spent if total >= self._spent else total
        first, self._spent = self._turn_usd is None, total
        self._turn_usd = (self._turn_usd or 0.0) + added
        if added or first:
            yield Step(model=self.settings.model, tokens=TokenUsage(), cost_usd=added, main=False)

    def _plan(self, update: dict[str, Any]) -> Iterator[Signal]:
        yield e.Plan(entries=_entries(update["entries"]))

    def _choices(self, update: dict[str, Any]) -> Iterator[Signal]:
        """Follow the agent's choices; it changes its mode by itself when it begins or ends a plan.

        In every mode but plan it asks, and midflight answers by the mode that was chosen.
        """
        own = self.settings.changed_to(update)
        if own is not None:
            meaning = self.settings.meaning(own)
            mode = self.answers if meaning == "default" else "plan" if meaning else None
            yield ModeChanged(mode, own)

    # Tools --------------------------------------------------------------------------------

    def _tool(self, update: dict[str, Any]) -> Iterator[Signal]:
        known = str(update["toolCallId"])
        first, self._alive = known not in self._calls, True
        call = self.call(known)
        call.learn(update)
        status = update.get("status")
        if first:
            yield from self._flush()
            if call.parent is None:
                yield from self._step()
        if not first or status in ("in_progress", *_ENDS):
            # The first update about a call often comes before its input.
            yield from self._show(call)
        if status in _ENDS:
            yield from self._ended(call, str(status), update.get("rawOutput"))
        elif update.get("content") and status == "in_progress" and (new := progress_of(call)):
            yield e.ToolProgress(call=call.id, text=new, parent=call.parent)

    def call(self, call: str) -> AcpCall:
        """Return what is known of a call, which may be nothing yet."""
        if call not in self._calls:
            self._calls[call] = AcpCall(call)
            if len(self._calls) > KEPT_CALLS:
                self._calls.pop(next(iter(self._calls)))
        return self._calls[call]

    def _show(self, call: AcpCall) -> Iterator[Signal]:
        if call.shown:
            return
        call.shown = True
        self._open.add(call.id)
        yield e.ToolStarted(
            call=call.id,
            name=call.name,
            kind=kind_of(call),
            title=call.title,
            input=call.input,
            parent=call.parent,
        )
        if isinstance(todos := call.input.get("todos"), list):
            # Some agents have a tool for their plan, and report the tool alone.
            yield e.Plan(entries=_entries(todos), parent=call.parent)

    def _ended(self, call: AcpCall, status: str, raw: object) -> Iterator[Signal]:
        if call.id not in self._open:
            return
        self._open.discard(call.id)
        ended: Any = "denied" if call.denied else "cancelled" if self.cancelled else status
        output = output_of(call, raw)
        yield e.ToolEnded(
            call=call.id, name=call.name, status=ended, output=output, parent=call.parent
        )
        if status == "completed" and not call.asked and self._permissions.refuses(call):
            text = f"the agent ran {call.name} without asking, which {_DENIED} forbids"
            yield Unrecoverable("agent_error", text)
        if self.running and call.parent is None and not self._open:
            self._stepped = self._heard = False
            if not self.cancelled:
                yield Calling()

    def _step(self) -> Iterator[Signal]:
        """Count the model call that has just shown itself, once."""
        if self.running and not self._stepped:
            self._stepped = True
            yield Step(model=self.settings.model, tokens=TokenUsage())

    def asked(self, fields: Mapping[str, Any]) -> tuple[AcpCall, list[Signal]]:
        """Take in the call that the agent asks permission for; it is shown if it has not been."""
        signals = list(self._tool({**fields, "status": None}))
        call = self.call(str(fields["toolCallId"]))
        call.asked = True
        return call, [*signals, *self._show(call)]

    def denied(self) -> None:
        """Note that the agent gets a denial, by the options or by an answer."""
        self._denied = True

    def deny(self, call: AcpCall) -> None:
        """Note that the options refuse a call."""
        call.denied = True
        self._denials.append(Denial(call=call.id, name=call.name, reason=_DENIED))

    _HANDLERS: Mapping[str, Callable[[UpdateTranslator, dict[str, Any]], Iterator[Signal]]] = {
        "agent_message_chunk": _message,
        "agent_thought_chunk": _thought,
        "tool_call": _tool,
        "tool_call_update": _tool,
        "plan": _plan,
        "usage_update": _usage,
        "config_option_update": _choices,
        "current_mode_update": _choices,
    }


def _entries(entries: list[dict[str, Any]]) -> tuple[PlanEntry, ...]:
    return tuple(
        PlanEntry(text=str(entry["content"]), status=str(entry["status"])) for entry in entries
    )
