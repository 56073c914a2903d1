"""The command line, with a fake agent that asks the scripted model of the test over HTTP.

A `FakeModel` lives in the process that plays it. Here it hands each request on to the address in
``ANTHROPIC_BASE_URL``, so that the script, its signals and the requests stay with the test.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

from midflight.cli import standard_input
from midflight.cli.main import main
from midflight.cli.terminal import input_line
from midflight.testing import FakeModel, ModelRequest, Stop, Text, Thinking, ToolCall, Usage
from midflight.testing.fake import agent
from midflight.testing.fake.conversation import ModelError
from midflight.testing.model.script import Part

USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


class RemoteModel(FakeModel):
    """The model of agents whose options name none."""

    async def answer(self, request: ModelRequest) -> AsyncIterator[Part]:
        url = f"{os.environ['ANTHROPIC_BASE_URL']}{request.path}"
        reader = Reader()
        try:
            async with (
                httpx2.AsyncClient(timeout=None, trust_env=False) as client,
                client.stream("POST", url, json=dict(request.body)) as response,
            ):
                if response.is_error:
                    raise problem(response.status_code, await response.aread(), response.headers)
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        for part in reader.parts(json.loads(line.removeprefix("data: "))):
                            yield part
        except httpx2.TransportError as error:
            raise ModelError(None, "the connection was dropped") from error


class Reader:
    """Reads the parts of one answer from its stream of events."""

    def __init__(self) -> None:
        self._call: dict[str, Any] = {}
        self._input = ""

    def parts(self, event: dict[str, Any]) -> Iterator[Part]:
        match event:
            case {"content_block": {"type": "tool_use"} as call}:
                self._call, self._input = call, ""
            case {"delta": {"type": "text_delta", "text": text}}:
                yield Text(text)
            case {"delta": {"type": "thinking_delta", "thinking": text}}:
                yield Thinking(text)
            case {"delta": {"type": "input_json_delta", "partial_json": text}}:
                self._input += text
            case {"type": "content_block_stop"} if self._call:
                yield ToolCall(self._call["name"], json.loads(self._input), self._call["id"])
                self._call = {}
            case {"type": "message_delta", "delta": {"stop_reason": reason}}:
                usage = event.get("usage", {})
                yield Usage(**{ours: usage.get(theirs) for theirs, ours in USAGE.items()})
                yield Stop(reason)


def problem(status: int, body: bytes, headers: httpx2.Headers) -> ModelError:
    resets_at = headers.get("anthropic-ratelimit-unified-reset")
    return ModelError(
        status,
        json.loads(body)["error"]["message"],
        float(headers.get("retry-after", 0)),
        None if resets_at is None else float(resets_at),
    )


if __name__ == "__main__":
    os.environ["MIDFLIGHT_AGENT"] = "fake"
    input_line.READ_S = float(os.environ.get("MIDFLIGHT_TEST_READ_S", "0"))
    standard_input.WAIT_S = float(os.environ.get("MIDFLIGHT_TEST_WAIT_S", "5"))
    agent._models[""] = RemoteModel([])  # noqa: SLF001 - no option of the command line names a model
    main()
