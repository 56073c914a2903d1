from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2 as httpx
import pytest

from midflight.testing import (
    Drop,
    HttpError,
    Malformed,
    Mark,
    ModelRequest,
    ScriptedModel,
    ServiceCall,
    Silence,
    Step,
    StreamError,
    Text,
    ToolCall,
    Usage,
    Wait,
    Words,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        yield client


def asking(text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "scripted", "max_tokens": 9, "messages": messages, **more}


async def ask(
    http: httpx.AsyncClient, model: ScriptedModel, text: str = "hi", *, stream: bool = False
) -> httpx.Response:
    return await http.post(model.url + "/v1/messages", json=asking(text, stream=stream))


def events(body: str) -> list[dict[str, Any]]:
    lines = [line for line in body.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_answer_without_streaming_is_one_message(http: httpx.AsyncClient) -> None:
    step: Step = [Text("a "), Words("b c"), ToolCall("Bash", {"command": "ls"}, id="t1")]
    async with ScriptedModel([step]) as model:
        message = (await ask(http, model)).json()
    assert message["content"] == [
        {"type": "text", "text": "a b c"},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}},
    ]
    assert message["stop_reason"] == "tool_use"
    assert message["usage"]["output_tokens"] == 5


async def test_words_stream_one_delta_each_in_one_block(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([[Words("a  b\nc"), Text(" d")]]) as model:
        seen = events((await ask(http, model, stream=True)).text)
    texts = [e["delta"]["text"] for e in seen if e["type"] == "content_block_delta"]
    assert texts == ["a", "  b", "\nc", " d"]
    assert [e["type"] for e in seen if e["type"] != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_ten_thousand_words_all_arrive(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([Words(10_000)]) as model:
        seen = events((await ask(http, model, stream=True)).text)
    texts = [e["delta"]["text"] for e in seen if e["type"] == "content_block_delta"]
    assert texts == [f"word{number} " for number in range(1, 10_001)]


async def test_tool_call_input_streams_as_json_that_joins(http: httpx.AsyncClient) -> None:
    call = ToolCall("Write", {"path": "ü", "lines": [1, None]})
    async with ScriptedModel([call]) as model:
        seen = events((await ask(http, model, stream=True)).text)
    pieces = [e["delta"]["partial_json"] for e in seen if e["type"] == "content_block_delta"]
    assert json.loads("".join(pieces)) == {"path": "ü", "lines": [1, None]}


async def test_usage_can_be_left_out(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([[Text("a"), Usage(None, None, None, None)]]) as model:
        body = (await ask(http, model, stream=True)).text
    assert "usage" not in body


async def test_http_error_is_given_as_often_as_it_says(http: httpx.AsyncClient) -> None:
    error = HttpError(429, headers={"retry-after": "7"}, times=2)
    async with ScriptedModel([error, Text("ok")]) as model:
        answers = [await ask(http, model) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[0].json()["error"]["type"] == "rate_limit_error"


async def test_error_has_no_digit_that_the_script_does_not_have(http: httpx.AsyncClient) -> None:
    """An agent that looks for a status in the body of an error finds no other one by chance."""
    async with ScriptedModel([HttpError(402, message="pay", times=20)]) as model:
        bodies = [(await ask(http, model)).text for _ in range(20)]
    assert not [body for body in bodies if any(char.isdigit() for char in body)]


@pytest.mark.parametrize("before", [[], [Words("a b c")]])
async def test_drop_cuts_the_connection(http: httpx.AsyncClient, before: list[Any]) -> None:
    received = bytearray()

    async def read(url: str) -> None:
        body = asking("hi", stream=True)
        async with http.stream("POST", url + "/v1/messages", json=body) as response:
            async for chunk in response.aiter_raw():
                received.extend(chunk)

    async with ScriptedModel([[*before, Drop()]]) as model:
        with pytest.raises(httpx.RemoteProtocolError):
            await read(model.url)
    deltas = [e for e in events(received.decode()) if e["type"] == "content_block_delta"]
    assert len(deltas) == (3 if before else 0)
    assert b"message_stop" not in received


async def test_silence_lasts_until_the_server_stops(http: httpx.AsyncClient) -> None:
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        async with ScriptedModel([[Text("a"), Mark("silent"), Silence()]]) as model:
            pending = group.create_task(
                asyncio.wait_for(_failure(ask(http, model, stream=True)), timeout=5)
            )
            await model.reached("silent")
            assert not pending.done()
        assert isinstance(await pending, httpx.TransportError)


async def _failure(request: Any) -> BaseException | None:
    try:
        await request
    except httpx.TransportError as error:
        return error
    return None


async def test_error_within_the_stream_ends_it(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([[Text("a"), StreamError("api_error", "broke")]]) as model:
        seen = events((await ask(http, model, stream=True)).text)
    assert seen[-1]["type"] == "error"
    assert seen[-1]["error"] == {"type": "api_error", "message": "broke"}


async def test_malformed_bytes_go_out_as_they_are(http: httpx.AsyncClient) -> None:
    async with ScriptedModel(
        [[Text("a"), Malformed(b"data: {oops\n\n")], Malformed(b"{")]
    ) as model:
        streamed = await ask(http, model, stream=True)
        plain = await ask(http, model)
    assert b"data: {oops\n\n" in streamed.content
    assert plain.content == b"{"


async def test_wait_first_holds_back_the_headers(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([[Wait("go"), Text("a")]]) as model, asyncio.TaskGroup() as group:
        request = http.build_request(
            "POST", model.url + "/v1/messages", json=asking("hi", stream=True)
        )
        headers = group.create_task(http.send(request, stream=True))
        await model.reached("go")
        assert not headers.done()
        model.signal("go")
        response = await headers
        assert b"message_stop" in await response.aread()


async def test_signal_may_come_before_the_wait(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([[Wait("go"), Text("a")]]) as model:
        model.signal("go")
        assert (await ask(http, model)).json()["content"][0]["text"] == "a"


async def test_signal_that_never_comes_is_reported(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([[Wait("go"), Text("a")]], timeout_s=0.05) as model:
        with pytest.raises(httpx.TransportError):
            await ask(http, model, stream=True)
        with pytest.raises(AssertionError, match="signal 'go' was not given"):
            model.finish()


async def test_reached_and_request_time_out_with_a_reason() -> None:
    async with ScriptedModel([], timeout_s=0.05) as model:
        with pytest.raises(TimeoutError, match=r"no step reached 'x'.*no request has come"):
            await model.reached("x")
        with pytest.raises(TimeoutError, match="request 1 did not come"):
            await model.request(1)


async def test_request_can_be_waited_for(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([Text("a"), Text("b")]) as model, asyncio.TaskGroup() as group:
        waiting = group.create_task(model.request(2))
        await ask(http, model, "first")
        assert not waiting.done()
        await ask(http, model, "second")
        assert (await waiting).last_user_text == "second"


async def test_request_beyond_the_script_is_refused_and_reported(
    http: httpx.AsyncClient,
) -> None:
    async with ScriptedModel([]) as model:
        answer = await ask(http, model, "why me")
        assert answer.status_code == 402
        assert "no step is left" in answer.json()["error"]["message"]
        with pytest.raises(AssertionError, match=r"no step is left for request 1 .*'why me'"):
            model.finish()


async def test_step_left_over_is_reported_and_an_exception_goes_first() -> None:
    with pytest.raises(AssertionError, match=r"1 step\(s\) left over .*Text\(text='never'\)"):
        async with ScriptedModel([Text("never")]):
            pass
    with pytest.raises(KeyError):
        async with ScriptedModel([Text("never")]):
            raise KeyError


async def test_script_as_a_function_answers_by_conversation(http: httpx.AsyncClient) -> None:
    def script(request: ModelRequest) -> Step | None:
        return Text("to " + request.last_user_text) if request.last_user_text != "?" else None

    async with ScriptedModel(script) as model:
        assert (await ask(http, model, "Ann")).json()["content"][0]["text"] == "to Ann"
        assert (await ask(http, model, "?")).status_code == 402
        with pytest.raises(AssertionError, match="request 2"):
            model.finish()


async def test_script_that_raises_is_reported(http: httpx.AsyncClient) -> None:
    def script(request: ModelRequest) -> Step:
        raise LookupError(request.model)

    async with ScriptedModel(script) as model:
        assert (await ask(http, model)).status_code == 402
        with pytest.raises(AssertionError, match=r"raised LookupError\('scripted'\)"):
            model.finish()


async def test_side_requests_use_up_no_step(http: httpx.AsyncClient) -> None:
    def side(request: ModelRequest) -> Step | None:
        return Text("aside") if request.last_user_text == "psst" else None

    async with ScriptedModel([Text("main")], side=side) as model:
        count = await http.post(model.url + "/v1/messages/count_tokens", json=asking("x"))
        assert count.json()["input_tokens"] > 0
        quota = await http.post(model.url + "/v1/messages", json=asking("q") | {"max_tokens": 1})
        assert quota.status_code == 200
        assert (await ask(http, model, "psst")).json()["content"][0]["text"] == "aside"
        assert (await ask(http, model)).json()["content"][0]["text"] == "main"
        assert (len(model.side_requests), len(model.requests)) == (3, 1)


async def test_request_outside_of_the_api_is_answered_plainly(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([]) as model:
        assert (await http.head(model.url)).status_code == 200
        assert (await http.get(model.url + "/nothing")).status_code == 404


async def test_body_that_is_not_json_is_refused_and_reported(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([]) as model:
        answer = await http.post(model.url + "/v1/messages", content=b"[1")
        assert answer.status_code == 400
        with pytest.raises(AssertionError, match="not JSON"):
            model.finish()


async def test_environment_holds_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "real")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", "/home/me")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    async with ScriptedModel([]) as model:
        env = model.env("/tmp/home")
    assert env["HOME"] == "/tmp/home"
    assert env["ANTHROPIC_BASE_URL"] == model.url
    assert not {"ANTHROPIC_AUTH_TOKEN", "CLAUDE_CONFIG_DIR", "HTTPS_PROXY"} & env.keys()


async def test_next_model_can_listen_where_this_one_did(http: httpx.AsyncClient) -> None:
    async with ScriptedModel([Text("one")]) as first:
        await http.post(first.url + "/v1/messages", json=asking("go"))
    port = int(first.url.rpartition(":")[2])
    async with ScriptedModel([Text("two")], port=port) as second:
        assert second.url == first.url
        answer = await http.post(second.url + "/v1/messages", json=asking("go"))
    assert answer.json()["content"][0]["text"] == "two"


async def test_environment_points_opencode_to_the_model_too() -> None:
    async with ScriptedModel([]) as model:
        config = json.loads(model.env("/tmp/home")["OPENCODE_CONFIG_CONTENT"])
    assert config["provider"]["anthropic"]["options"]["baseURL"] == model.url + "/v1"


def test_step_with_parts_after_its_end_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing can follow"):
        ScriptedModel([[Drop(), Text("a")]])
    with pytest.raises(TypeError, match="parts such as Text"):
        ScriptedModel(["just a string"])  # type: ignore[list-item]


def test_address_is_known_only_while_it_is_served() -> None:
    with pytest.raises(RuntimeError, match="no address"):
        _ = ScriptedModel([]).url


@pytest.mark.parametrize("stream", [False, True])
async def test_call_of_the_service_comes_with_its_result(
    http: httpx.AsyncClient, stream: bool
) -> None:
    call = ServiceCall("web_search", {"query": "x"}, [{"type": "web_search_result"}], id="s1")
    async with ScriptedModel([[call, Text("found")]]) as model:
        response = await ask(http, model, stream=stream)
    begun = [
        event["content_block"]
        for event in (events(response.text) if stream else ())
        if event["type"] == "content_block_start"
    ]
    blocks = begun or response.json()["content"]
    assert [(block["type"], block.get("id", block.get("tool_use_id"))) for block in blocks] == [
        ("server_tool_use", "s1"),
        ("web_search_tool_result", "s1"),
        ("text", None),
    ]


async def test_request_beside_the_conversation_uses_up_no_step(http: httpx.AsyncClient) -> None:
    """The agent says itself that it is; or it is one that is known from before they said so."""
    strange: list[tuple[str, dict[str, str]]] = [
        ("what next?", {"x-claude-code-request-class": "auxiliary"}),
        ("by the way", {"x-claude-code-request-class": "side_reply"}),
        ("[SUGGESTION MODE: Suggest what the user might type]", {}),
    ]
    async with ScriptedModel([Text("one"), Text("two")]) as model:
        said = []
        for kind in ("main", "subagent"):
            for text, headers in (*strange, ("go", {"x-claude-code-request-class": kind})):
                response = await http.post(
                    model.url + "/v1/messages", json=asking(text), headers=headers
                )
                assert response.status_code == 200
                said.append(response.json()["content"][0]["text"])
    assert said == ["ok", "ok", "ok", "one", "ok", "ok", "ok", "two"]
    assert [each.last_user_text for each in model.requests] == ["go", "go"]
    assert model.strange_requests == model.side_requests
    assert len(model.strange_requests) == 2 * len(strange)


async def test_request_beside_the_conversation_can_be_answered_by_the_test(
    http: httpx.AsyncClient,
) -> None:
    async with ScriptedModel([], side=lambda request: Text("mine")) as model:
        response = await http.post(
            model.url + "/v1/messages",
            json=asking("what next?"),
            headers={"x-claude-code-request-class": "auxiliary"},
        )
    assert response.json()["content"][0]["text"] == "mine"
    assert model.strange_requests == []
