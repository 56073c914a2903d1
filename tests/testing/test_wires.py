"""What a script says reaches the clients of each API, and what they ask reaches the script.

The services' own clients are the judges: they refuse what their API would not say.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx2 as httpx
import pytest
from tests.support.model_clients import (
    MODEL,
    SYSTEM,
    TOOLS,
    ChatClient,
    GeminiClient,
    ModelClient,
    ResponsesClient,
    Turn,
)

from midflight.testing import (
    Drop,
    HttpError,
    Malformed,
    ModelRequest,
    ScriptedModel,
    Step,
    Stop,
    StreamError,
    Text,
    Thinking,
    ToolCall,
    Usage,
    Words,
)

pytestmark = pytest.mark.anyio

CLIENTS: Mapping[str, ModelClient] = {
    "chat": ChatClient(),
    "gemini": GeminiClient(),
    "responses": ResponsesClient(),
}
STOPS = {
    "chat": {
        "end_turn": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "refusal": "content_filter",
    },
    "gemini": {
        "end_turn": "STOP",
        "tool_use": "STOP",
        "max_tokens": "MAX_TOKENS",
        "refusal": "SAFETY",
    },
    "responses": {
        "end_turn": "completed",
        "tool_use": "completed",
        "max_tokens": "max_output_tokens",
        "refusal": "content_filter",
    },
}
"""What each API calls the reasons to stop."""

each_client = pytest.mark.parametrize("api", CLIENTS)
both_forms = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@each_client
@both_forms
async def test_text_reaches_the_client_of_each_api(api: str, stream: bool) -> None:
    async with ScriptedModel([[Text("a "), Words("b ü"), Text(".")]]) as model:
        heard = await CLIENTS[api].ask(model, "hi", stream=stream)
    assert heard.text == "a b ü."
    assert heard.stop == STOPS[api]["end_turn"]
    if stream:
        assert heard.pieces == ["a ", "b", " ü", "."]


@each_client
@both_forms
async def test_parallel_calls_reach_the_client_of_each_api(api: str, stream: bool) -> None:
    step: Step = [
        Thinking("let me see"),
        Text("I look."),
        ToolCall("Bash", {"command": "ls ü"}, id="call_1"),
        ToolCall("Bash", {"command": "pwd"}, id="call_2"),
    ]
    async with ScriptedModel([step]) as model:
        heard = await CLIENTS[api].ask(model, "hi", stream=stream)
    assert heard.thoughts == "let me see"
    assert heard.text == "I look."
    assert heard.calls == [
        ("call_1", "Bash", {"command": "ls ü"}),
        ("call_2", "Bash", {"command": "pwd"}),
    ]
    assert heard.stop == STOPS[api]["tool_use"]


@each_client
@both_forms
async def test_tokens_are_counted_as_each_api_does(api: str, stream: bool) -> None:
    """Those from a cache are part of the input everywhere but in the Messages API."""
    steps: list[Step] = [
        [Text("a"), Usage(100, 7, 20, 3)],
        [Text("b"), Usage(None, None, None, None)],
    ]
    async with ScriptedModel(steps) as model:
        told = [await CLIENTS[api].ask(model, "hi", stream=stream) for _ in steps]
    assert [heard.tokens for heard in told] == [(123, 20, 7), None]


@each_client
@both_forms
@pytest.mark.parametrize("reason", ["max_tokens", "refusal"])
async def test_reason_to_stop_is_each_apis_own(api: str, stream: bool, reason: str) -> None:
    async with ScriptedModel([[Text("a"), Stop(reason)]]) as model:
        heard = await CLIENTS[api].ask(model, "hi", stream=stream)
    assert heard.stop == STOPS[api][reason]


@each_client
@both_forms
@pytest.mark.parametrize(("status", "seen"), [(429, 429), (529, 503)])
async def test_http_error_is_an_error_of_each_api(
    api: str, stream: bool, status: int, seen: int
) -> None:
    async with ScriptedModel([HttpError(status, message="no plums")]) as model:
        with pytest.raises(Exception, match="no plums") as raised:
            await CLIENTS[api].ask(model, "hi", stream=stream)
    assert CLIENTS[api].status_of(raised.value) == seen


@each_client
@pytest.mark.parametrize("before", [[], [Text("a")]], ids=["at once", "later"])
async def test_error_within_a_stream_is_one_of_each_api(api: str, before: list[Text]) -> None:
    async with ScriptedModel([[*before, StreamError(message="no plums")]]) as model:
        with pytest.raises(Exception, match=r"no plums|server_is_overloaded"):
            await CLIENTS[api].ask(model, "hi", stream=True)


@each_client
@both_forms
async def test_conversation_is_read_in_the_words_of_scripts(api: str, stream: bool) -> None:
    turn = Turn("what is here?", "call_1", "ls", "a plum")
    async with ScriptedModel([Text("ok")]) as model:
        await CLIENTS[api].ask(model, "and now?", stream=stream, before=[turn])
        (request,) = model.requests
    assert request.model == MODEL
    assert request.system == SYSTEM
    assert request.schemas == TOOLS
    assert request.tools == ["Bash"]
    assert request.last_user_text == "and now?"
    assert request.tool_results == {"call_1": "a plum"}
    assert [message["role"] for message in request.messages] == [
        "user",
        "assistant",
        *["user"] * 2,
    ]
    (call,) = request.messages[1]["content"]
    assert call == {
        "type": "tool_use",
        "id": "call_1",
        "name": "Bash",
        "input": {"command": "ls"},
    }
    assert "a-key" not in str(request.headers)


PATHS = {
    "chat": "/v1/chat/completions",
    "gemini": "/v1beta/models/plum-1:streamGenerateContent",
    "responses": "/v1/responses",
}


@pytest.mark.parametrize("api", PATHS)
async def test_what_a_script_breaks_is_broken_in_each_api(api: str) -> None:
    steps: list[Step] = [[Text("a"), Malformed(b"data: {plum\n\n")], [Text("a"), Drop()]]
    async with ScriptedModel(steps) as model, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(model.url + PATHS[api], json={"stream": True})
        assert b"data: {plum\n\n" in answer.content
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(model.url + PATHS[api], json={"stream": True})


@pytest.mark.parametrize("api", PATHS)
async def test_request_that_is_no_object_is_each_apis_error(api: str) -> None:
    async with ScriptedModel([]) as model, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(model.url + PATHS[api], content="[plum")
        with pytest.raises(AssertionError, match="not JSON"):
            model.finish()
    assert answer.status_code == 400
    assert "type" not in answer.json()
    assert "JSON object" in answer.json()["error"]["message"]


async def test_geminis_tokens_are_counted_without_an_answer() -> None:
    async with ScriptedModel([]) as model, httpx.AsyncClient(trust_env=False) as http:
        url = f"{model.url}/v1beta/models/plum-1:countTokens"
        answer = await http.post(url, json={"contents": [{"parts": [{"text": "plum " * 99}]}]})
        assert answer.json()["totalTokens"] > 99


async def test_custom_tool_of_the_responses_api_gets_its_text() -> None:
    """Its input is no object but one text, under ``input`` in a script."""
    body = {"stream": False, "tools": [{"type": "custom", "name": "patch"}]}
    call = ToolCall("patch", {"input": "*** Begin"}, id="c1")
    async with ScriptedModel([call]) as model, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{model.url}/v1/responses", json=body)
    (item,) = answer.json()["output"]
    assert item["type"] == "custom_tool_call"
    assert (item["call_id"], item["input"]) == ("c1", "*** Begin")


async def test_mcp_tool_of_the_responses_api_is_called_in_its_namespace() -> None:
    """The request may leave such tools out: the model searches for them."""
    call = ToolCall("mcp__good__shout", {"text": "hi"}, id="c1")
    space = {"type": "namespace", "name": "mcp__other", "tools": [{"name": "say"}]}
    async with ScriptedModel([call]) as model, httpx.AsyncClient(trust_env=False) as http:
        url = f"{model.url}/v1/responses"
        answer = await http.post(url, json={"stream": False, "tools": [space]})
        (item,) = answer.json()["output"]
        assert (item["namespace"], item["name"]) == ("mcp__good", "shout")
        assert model.requests[0].tools == ["mcp__other__say"]


@pytest.mark.parametrize(
    "around", ["session_context", "environment_context", "current_datetime", "system-reminder"]
)
def test_last_user_text_is_without_what_agents_put_before_it(around: str) -> None:
    given = f"<{around}>today\nis a day</{around}>\n\n"
    content = [{"type": "text", "text": given}, {"type": "text", "text": "dig"}]
    request = ModelRequest("/v1/messages", {"messages": [{"role": "user", "content": content}]}, {})
    assert request.last_user_text == "dig"
