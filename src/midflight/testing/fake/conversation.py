"""What `FakeAgent` does in a turn: asks the model, runs tools, tries again, and keeps limits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import msgspec

from midflight import events as e
from midflight.agents.base import (
    Finished,
    Remembered,
    Signal,
    Step,
    Taken,
    Unrecoverable,
    UsageLimit,
    Woke,
)
from midflight.options import Options
from midflight.testing.fake.tools import STOPPED, TOOLS, Toolbox
from midflight.testing.model import script
from midflight.values import Status, TokenUsage

INPUT_USD = 3e-6
CACHED_USD = 0.3e-6
OUTPUT_USD = 15e-6
"""The fake model's prices for one token."""

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 1.0
MAX_RETRIES = 10

_MARKER = "[Request interrupted by user]"
_RETRIED = (None, 401, 408, 409, 429)
_SERVER_ERRORS = 500
_ERRORS = {None: "unknown", 401: "authentication_failed", 429: "rate_limit", 529: "overloaded"}
_STOPS = {
    "refusal": "refusal",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "context_full",
}

_Outcome = tuple[Status, str, str]


class ModelError(Exception):
    """The model did not answer; ``status`` is None when the connection was dropped."""

    def __init__(
        self,
        status: int | None,
        message: str,
        retry_after_s: float = 0.0,
        resets_at: float | None = None,
    ) -> None:
        """Keep what decides whether and when the agent tries again.

        ``resets_at`` is when the account's usage limit is lifted, if that is what the error says.
        """
        super().__init__(f"API Error: {status or ''} {message}".replace("  ", " "))
        self.status = status
        self.retry_after_s = retry_after_s
        self.resets_at = resets_at


class Model(Protocol):
    """What a conversation asks of `FakeModel`: the history of each, and the next answer."""

    conversations: dict[str, list[dict[str, Any]]]

    def answer(self, request: script.ModelRequest) -> AsyncIterator[script.Part]:
        """Yield what the model says. Raises `ModelError`."""
        ...


class _ModelMessage:
    """One answer of the model as it streams; ``text`` is the block of text that streams."""

    def __init__(self) -> None:
        self.text = ""
        self.content: list[dict[str, Any]] = []
        self.calls: dict[str, script.ToolCall] = {}
        self.usage = script.Usage()
        self.stop = ""

    @property
    def begun(self) -> bool:
        return bool(self.text or self.content)


class FakeConversation:
    """The agent's side of one conversation. ``unread`` are the messages that wait, by their ids."""

    def __init__(
        self,
        model: Model,
        options: Options,
        session: str,
        tools: Toolbox,
        say: Callable[[Signal], None],
        *,
        remembers: bool = False,
    ) -> None:
        """``session`` is the agent's own id of the conversation, which may have a history.

        ``remembers`` has each new entry of that reported.
        """
        self._model = model
        self._options = options
        self._session = session
        self._tools = tools
        self._say = say
        self._remembers = remembers
        self._history = model.conversations.setdefault(session, [])
        self._retries = int(options.env.get("CLAUDE_CODE_MAX_RETRIES", MAX_RETRIES))
        self._spent = options.spent_usd or 0.0
        self.model_name = options.model or "fake-model"
        self.unread: dict[str, list[dict[str, Any]]] = {}
        self._begin()

    def _begin(self) -> None:
        self._messages: list[str] = []
        self._answer = _ModelMessage()
        self._open: dict[str, script.ToolCall] = {}
        self._tokens = TokenUsage()
        self._cost = 0.0
        self._tools.denials = []

    async def turn(self) -> None:
        """Read what waits, or a note about background work, and work until the end of the turn."""
        self._begin()
        content = self._read()
        background = not content
        if background:
            if not self._tools.notes:
                return  # the message was taken back in the moment before it was read
            content = [{"type": "text", "text": self._tools.notes.popleft()}]
        self._say(
            e.SessionStarted(
                agent="fake",
                agent_version="1",
                agent_session=self._session,
                model=self.model_name,
                cwd=str(self._options.cwd),
                tools=tuple(self._tools.offered),
            )
        )
        if background:
            self._say(Woke())
        self._remember("user", content)
        try:
            status, reason, text = await self._work()
        except asyncio.CancelledError:
            status, reason, text = self._interrupted()
        self._say(
            Finished(
                status=status,
                reason=reason,
                text=text,
                cost_usd=self._cost,
                tokens=self._tokens,
                messages=tuple(self._messages),
                denials=tuple(self._tools.denials),
            )
        )

    def _read(self) -> list[dict[str, Any]]:
        """Take every unread message."""
        content: list[dict[str, Any]] = []
        for message in list(self.unread):
            content += self.unread.pop(message)
            self._messages.append(message)
            self._say(Taken(message))
        return content

    def _remember(self, role: str, content: list[dict[str, Any]]) -> None:
        entry = {"role": role, "content": content}
        self._history.append(entry)
        if self._remembers:
            self._say(Remembered(self._session, (as_line(entry),)))

    async def _work(self) -> _Outcome:
        steps, refused = 0, False
        while not self._over_budget():
            try:
                answer = await self._ask()
            except ModelError as error:
                if error.resets_at is None:
                    return "failed", _failure(error), str(error)
                self._say(UsageLimit(resets_at=error.resets_at, text=str(error)))
                return "limit", "usage_limit", str(error)
            steps += 1
            if self._over_budget():
                break
            if answer.calls:
                await self._use_tools(answer)
                if steps == self._options.max_turns:
                    return "limit", "max_turns", f"Reached maximum number of turns ({steps})"
            elif answer.stop == "refusal" and not refused:
                refused = True  # Claude Code asks once more, so this agent does.
            elif answer.stop in _STOPS:
                return "failed", _STOPS[answer.stop], answer.text
            else:
                return "completed", "end_turn", answer.text
        return "limit", "max_budget", "Reached maximum budget"

    def _over_budget(self) -> bool:
        cap = self._options.max_budget_usd
        return cap is not None and self._spent >= cap

    # Asking the model ---------------------------------------------------------------------

    async def _ask(self) -> _ModelMessage:
        """Return a whole answer; what may pass is tried again. Raises `ModelError`."""
        attempt = 0
        while True:
            try:
                return await self._ask_once()
            except ModelError as error:
                status = error.status
                passing = status in _RETRIED or (status or 0) >= _SERVER_ERRORS
                if attempt == self._retries or not passing or error.resets_at:
                    raise
                retry_after_s = error.retry_after_s
            delay = max(retry_after_s, min(FIRST_DELAY_S * 2**attempt, LONGEST_DELAY_S))
            attempt += 1
            error_name = _ERRORS.get(status, "server_error")
            self._say(e.Retry(attempt=attempt, delay_s=delay, status=status, error=error_name))
            if error_name == "authentication_failed":
                self._say(Unrecoverable("auth", "the model's service does not accept the key"))
            await asyncio.sleep(delay)

    async def _ask_once(self) -> _ModelMessage:
        answer = self._answer = _ModelMessage()
        body = {
            "model": self.model_name,
            "system": self._options.system_prompt or "",
            "messages": list(self._history),
            "tools": [{"name": name} for name in self._tools.offered],
            "stream": True,
        }
        try:
            async for part in self._model.answer(script.ModelRequest("/v1/messages", body, {})):
                self._hear(answer, part)
        except ModelError:
            if answer.begun:
                self._count(answer)
            answer.text = ""
            raise
        text = answer.text
        self._end_text(answer)
        answer.text = text
        self._open = dict(answer.calls)
        self._remember("assistant", answer.content)
        self._count(answer)
        return answer

    def _hear(self, answer: _ModelMessage, part: script.Part) -> None:
        match part:
            case script.Text(text):
                answer.text += text
                self._say(e.TextDelta(text=text))
            case script.Thinking(text):
                self._end_text(answer)
                answer.content.append({"type": "thinking", "thinking": text})
                self._say(e.ThinkingDelta(text=text))
                self._say(e.Thinking(text=text))
            case script.ToolCall(name, args, call):
                self._end_text(answer)
                call = call or f"toolu_{uuid.uuid4().hex[:24]}"
                answer.calls[call] = part
                answer.content.append(
                    {"type": "tool_use", "id": call, "name": name, "input": dict(args)}
                )
                title = str(args.get("command", args.get("file_path", "")))
                kind = TOOLS.get(name, "other")
                self._say(
                    e.ToolStarted(call=call, name=name, kind=kind, title=title, input=dict(args))
                )
            case script.ServiceCall(name, args, result, _, call):
                self._end_text(answer)
                call = call or f"srvtoolu_{uuid.uuid4().hex[:24]}"
                self._say(e.ToolStarted(call=call, name=name, kind="other", input=dict(args)))
                self._say(e.ToolEnded(call=call, name=name, status="completed", output=str(result)))
            case script.Usage():
                answer.usage = part
            case script.Stop(reason):
                answer.stop = reason

    def _end_text(self, answer: _ModelMessage) -> None:
        """End the block of text that streams, if there is one."""
        if answer.text:
            answer.content.append({"type": "text", "text": answer.text})
            self._say(e.Text(text=answer.text))
            answer.text = ""

    def _count(self, answer: _ModelMessage) -> None:
        """Report what this model call cost."""
        usage = answer.usage
        tokens = TokenUsage(
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            cache_read_tokens=usage.cache_read_tokens or 0,
            cache_write_tokens=usage.cache_write_tokens or 0,
        )
        cost = (
            (tokens.input_tokens + tokens.cache_write_tokens) * INPUT_USD
            + tokens.cache_read_tokens * CACHED_USD
            + tokens.output_tokens * OUTPUT_USD
        )
        self._tokens += tokens
        self._cost += cost
        self._spent += cost
        self._say(Step(model=self.model_name, tokens=tokens, cost_usd=cost))

    # Tools and the end --------------------------------------------------------------------

    async def _use_tools(self, answer: _ModelMessage) -> None:
        """Run the calls one after another, then read what the user has sent meanwhile."""
        content: list[dict[str, Any]] = []
        for call, tool in answer.calls.items():
            output = await self._tools.use(call, tool)
            del self._open[call]
            content.append({"type": "tool_result", "tool_use_id": call, "content": output})
        content += self._read()
        self._remember("user", content)

    def _interrupted(self) -> _Outcome:
        """End the text and the tools under way, and leave a mark for the model."""
        answer = self._answer
        if answer.text and not self._open:
            self._end_text(answer)
            self._remember("assistant", answer.content)
        content: list[dict[str, Any]] = []
        for call, tool in self._open.items():
            self._say(e.ToolEnded(call=call, name=tool.name, status="failed", output=STOPPED))
            content.append({"type": "tool_result", "tool_use_id": call, "content": STOPPED})
        self._remember("user", [*content, {"type": "text", "text": _MARKER}])
        return "interrupted", "interrupted", ""


def as_line(entry: Mapping[str, Any]) -> str:
    """Return an entry of a history as what is remembered of it."""
    return msgspec.json.encode(entry).decode()


def _failure(error: ModelError) -> str:
    """Return the reason for which a turn fails that the model's service has refused."""
    if error.status in (401, 403):
        return "auth"
    return "context_full" if "prompt is too long" in str(error).lower() else "api_error"
