"""The services' own clients, which judge what the scripted model says in their APIs' words.

Each asks once and tells what it has heard, in the words that scripts have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from openai import (
    APIStatusError,
    AsyncOpenAI,
    ContentFilterFinishReasonError,
    LengthFinishReasonError,
)

from midflight.testing import ScriptedModel

TOOLS: Mapping[str, Mapping[str, Any]] = {
    "Bash": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    }
}
SYSTEM = "You are a gardener."
MODEL = "plum-1"


@dataclass
class Heard:
    """One answer, as a client has understood it."""

    text: str = ""
    pieces: list[str] = field(default_factory=list)
    thoughts: str = ""
    calls: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    stop: str = ""
    tokens: tuple[int, int, int] | None = None


@dataclass
class Turn:
    """What has been said before: by the user, by the model that called a tool, and by the tool."""

    asked: str
    call: str
    command: str
    result: str


class ModelClient(Protocol):
    """One API's client."""

    async def ask(
        self, model: ScriptedModel, text: str, *, stream: bool, before: Sequence[Turn] = ()
    ) -> Heard:
        """Ask with `SYSTEM` and `TOOLS`, and tell what was answered."""

    def status_of(self, error: Exception) -> int:
        """Return the status in the error that the client raises."""


def _openai(model: ScriptedModel) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{model.url}/v1", api_key="a-key", max_retries=0)


class _OpenAi:
    def status_of(self, error: Exception) -> int:
        assert isinstance(error, APIStatusError)
        assert error.body is not None  # The client has found the error object.
        return error.status_code


_UNFINISHED: Mapping[type[Exception], str] = {
    LengthFinishReasonError: "length",
    ContentFilterFinishReasonError: "content_filter",
}
"""What the client raises for some reasons to stop, in a stream."""


class ChatClient(_OpenAi):
    """Chat Completions."""

    async def ask(
        self, model: ScriptedModel, text: str, *, stream: bool, before: Sequence[Turn] = ()
    ) -> Heard:
        """Ask, and have the client put the deltas together."""
        messages: list[Any] = [{"role": "system", "content": SYSTEM}]
        for turn in before:
            function = {"name": "Bash", "arguments": json.dumps({"command": turn.command})}
            call = {"id": turn.call, "type": "function", "function": function}
            messages += [
                {"role": "user", "content": turn.asked},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": turn.call, "content": turn.result},
            ]
        messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
        asked: dict[str, Any] = {
            "model": MODEL,
            "messages": messages,
            "tools": [
                {
                    "type": "function",
                    "function": {"name": name, "parameters": schema},
                }
                for name, schema in TOOLS.items()
            ],
        }
        heard = Heard()
        async with _openai(model) as client:
            if not stream:
                whole = await client.chat.completions.create(**asked)
            else:
                asked["stream_options"] = {"include_usage": True}
                try:
                    async with client.chat.completions.stream(**asked) as events:
                        async for event in events:
                            if event.type == "content.delta" and event.delta:
                                heard.pieces.append(event.delta)
                        whole = await events.get_final_completion()
                except (LengthFinishReasonError, ContentFilterFinishReasonError) as error:
                    heard.stop = _UNFINISHED[type(error)]
                    return heard
        assert whole.model == MODEL
        (choice,) = whole.choices
        heard.text = choice.message.content or ""
        heard.thoughts = str((choice.message.model_extra or {}).get("reasoning_content") or "")
        heard.calls = [
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        ]
        heard.stop = choice.finish_reason
        if (usage := whole.usage) is not None:
            details = usage.prompt_tokens_details
            cached = (details.cached_tokens if details else None) or 0
            heard.tokens = usage.prompt_tokens, cached, usage.completion_tokens
        return heard


class ResponsesClient(_OpenAi):
    """Responses."""

    async def ask(
        self, model: ScriptedModel, text: str, *, stream: bool, before: Sequence[Turn] = ()
    ) -> Heard:
        """Ask, and have the client put the events together."""
        items: list[Any] = []
        for turn in before:
            arguments = json.dumps({"command": turn.command})
            items += [
                {"role": "user", "content": turn.asked},
                {
                    "type": "function_call",
                    "call_id": turn.call,
                    "name": "Bash",
                    "arguments": arguments,
                },
                {"type": "function_call_output", "call_id": turn.call, "output": turn.result},
            ]
        items.append({"role": "user", "content": [{"type": "input_text", "text": text}]})
        asked: dict[str, Any] = {
            "model": MODEL,
            "instructions": SYSTEM,
            "input": items,
            "tools": [
                {"type": "function", "name": name, "parameters": schema, "strict": True}
                for name, schema in TOOLS.items()
            ],
        }
        heard = Heard()
        async with _openai(model) as client:
            if not stream:
                whole = await client.responses.create(**asked)
            else:
                numbers = []
                async with client.responses.stream(**asked) as events:
                    async for event in events:
                        numbers.append(event.sequence_number)
                        if event.type == "response.output_text.delta":
                            heard.pieces.append(event.delta)
                        if event.type in ("response.incomplete", "response.failed"):
                            whole = event.response
                        if event.type == "response.completed":
                            whole = await events.get_final_response()
                assert numbers == list(range(len(numbers)))
        assert whole.model == MODEL
        if whole.error is not None:
            raise RuntimeError(whole.error.code)
        heard.text = whole.output_text
        for item in whole.output:
            if item.type == "reasoning":
                heard.thoughts += "".join(part.text for part in item.summary)
            if item.type == "function_call":
                heard.calls.append((item.call_id, item.name, json.loads(item.arguments)))
        why = whole.incomplete_details
        heard.stop = str(whole.status if why is None else why.reason)
        if (usage := whole.usage) is not None:
            cached = usage.input_tokens_details.cached_tokens
            heard.tokens = usage.input_tokens, cached, usage.output_tokens
        return heard


class GeminiClient:
    """generateContent and streamGenerateContent."""

    async def ask(
        self, model: ScriptedModel, text: str, *, stream: bool, before: Sequence[Turn] = ()
    ) -> Heard:
        """Ask, and put the parts together."""
        contents: list[Any] = []
        for turn in before:
            call = types.FunctionCall(id=turn.call, name="Bash", args={"command": turn.command})
            result = types.FunctionResponse(
                id=turn.call, name="Bash", response={"output": turn.result}
            )
            contents += [
                types.Content(role="user", parts=[types.Part(text=turn.asked)]),
                types.Content(role="model", parts=[types.Part(function_call=call)]),
                types.Content(role="user", parts=[types.Part(function_response=result)]),
            ]
        contents.append(types.Content(role="user", parts=[types.Part(text=text)]))
        declared = [
            types.FunctionDeclaration(name=name, parameters_json_schema=schema)
            for name, schema in TOOLS.items()
        ]
        config = types.GenerateContentConfig(
            system_instruction=SYSTEM,
            tools=[types.Tool(function_declarations=declared)],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        heard = Heard()
        options = types.HttpOptions(base_url=model.url)
        async with genai.Client(api_key="a-key", http_options=options).aio as client:
            asked: dict[str, Any] = {"model": MODEL, "contents": contents, "config": config}
            if stream:
                answers = await client.models.generate_content_stream(**asked)
                async for answer in answers:
                    self._take(heard, answer)
            else:
                self._take(heard, await client.models.generate_content(**asked))
        heard.text = "".join(heard.pieces)
        return heard

    def _take(self, heard: Heard, answer: types.GenerateContentResponse) -> None:
        assert answer.model_version == MODEL
        assert answer.candidates
        (candidate,) = answer.candidates
        for part in (candidate.content and candidate.content.parts) or ():
            if part.function_call is not None:
                call = part.function_call
                heard.calls.append((str(call.id), str(call.name), call.args or {}))
            elif part.thought:
                heard.thoughts += part.text or ""
            elif part.text:
                heard.pieces.append(part.text)
        if candidate.finish_reason is not None:
            heard.stop = candidate.finish_reason.value
        if (usage := answer.usage_metadata) is not None:
            heard.tokens = (
                usage.prompt_token_count or 0,
                usage.cached_content_token_count or 0,
                usage.candidates_token_count or 0,
            )

    def status_of(self, error: Exception) -> int:
        """Return the status, if the client has found the error object."""
        assert isinstance(error, genai_errors.APIError)
        assert error.status
        return int(error.code)
