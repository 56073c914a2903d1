"""A scripted model on loopback: an API of a model's service for real agents that run offline."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict, deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from midflight._util.uvicorn_server import serve
from midflight.testing.model.dialect import translated
from midflight.testing.model.environment import env_for
from midflight.testing.model.player import Signals, StepPlayer
from midflight.testing.model.script import (
    HttpError,
    ModelRequest,
    Part,
    Script,
    SideRule,
    Step,
    Text,
    parts_of,
)
from midflight.testing.model.wire.base import Wire
from midflight.testing.model.wire.messages import MessagesWire
from midflight.testing.model.wire.routes import answering, counting

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send


_SECRET_HEADERS = {
    *("authorization", "cookie", "proxy-authorization"),
    *("api-key", "x-api-key", "x-goog-api-key"),
}
_SHOWN = 200

# Known by what the agent's system prompt says it is; the answer is the smallest it accepts.
_BY_SYSTEM_PROMPT: dict[str, Step] = {
    "You are naming a coding session": Text('{"title": "Scripted session"}'),
    "You run a web search for another Claude model": Text("The scripted model finds nothing."),
    # Asked in plan and auto mode about each call; a monitor in a test lets nothing through.
    "You are a security monitor for autonomous AI coding agents": Text("<block>yes</block>"),
    "You are a title generator": Text("Scripted session"),  # OpenCode
    "You are now acting as the managed memory extraction subagent": Text("ok"),  # Qwen Code
}
_BY_LAST_WORDS: dict[str, Step] = {
    # Codex, when it begins to use another model.
    "You are performing a CONTEXT CHECKPOINT COMPACTION": Text("All went well so far."),
    "Your task is to generate a very short title for a conversation": Text(
        '{"title": "Scripted session"}'
    ),  # Codex
}

_CLASS = "x-claude-code-request-class"
_NOT_THE_CONVERSATION = ("auxiliary", "side_reply")
"""What Claude Code says of a request that is neither a turn's, a sub-agent's nor a compaction's.

It does where `CLAUDE_CODE_GATEWAY_HINT_HEADERS` is set, and has ever more such requests.
"""
_SUGGESTION = "[SUGGESTION MODE"
"""How the newest of them begins that versions before make without saying so."""

_ANY_ANSWER = Text("ok")


class ScriptedModel:
    """A model server that plays a script. An async context manager.

    The script is a list of steps, one for each request, or a function from a request to its step
    (``None`` where it has no answer). Requests that an agent makes on the side (a session title, a
    token count, a suggestion) use up no step: ``side`` may answer them, else built-in rules do;
    ``side_requests`` has them, ``strange_requests`` those among them that no rule knows. Leaving
    the block without an exception calls `finish`.
    """

    def __init__(
        self,
        script: Script,
        *,
        side: SideRule | None = None,
        timeout_s: float = 60.0,
        port: int = 0,
    ) -> None:
        """Check the script. ``timeout_s`` bounds every wait, in the script and in the test.

        ``port`` is for an agent that outlives this model and shall find the next one; 0 is any.
        """
        self._function = script if callable(script) else None
        self._steps: deque[tuple[Part, ...]] = deque()
        if not callable(script):
            for step in script:
                parts = parts_of(step)
                last = parts[-1] if parts else None
                times = last.times if isinstance(last, HttpError) else 1
                self._steps.extend([parts] * times)
        self._side = side
        self._timeout_s = timeout_s
        self._problems: list[str] = []
        self._signals = Signals()
        self._recorded: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._server: uvicorn.Server | None = None
        self._wanted_port = port
        self._port = 0
        self.requests: list[ModelRequest] = []
        self.side_requests: list[ModelRequest] = []
        self.strange_requests: list[ModelRequest] = []

    @property
    def url(self) -> str:
        """The base URL of the API."""
        if not self._port:
            raise RuntimeError("the scripted model has no address before its block is entered")
        return f"http://127.0.0.1:{self._port}"

    def env(self, home: str | os.PathLike[str], *, subscription: bool = False) -> dict[str, str]:
        """Return the whole environment of an agent that lives in ``home`` and asks this model.

        With a ``subscription`` it has no key but an account, which has usage limits.
        Next to nothing is inherited, so no key or setting of the user's own agent gets in.
        """
        return env_for(self.url, home, subscription=subscription)

    def signal(self, name: str) -> None:
        """Release every `Wait` for this signal, those to come as well."""
        self._signals.released[name].set()

    async def reached(self, name: str) -> None:
        """Return once a `Wait` or `Mark` of this name has been reached."""
        await self._bounded(self._signals.reached[name], f"no step reached {name!r}")

    async def request(self, number: int) -> ModelRequest:
        """Return the request of this number, counted from 1, once it has come."""
        if len(self.requests) < number:
            await self._bounded(self._recorded[number], f"request {number} did not come")
        return self.requests[number - 1]

    def finish(self) -> None:
        """Raise AssertionError if a step is left over or an unforeseen request arrived.

        Everything is reported once.
        """
        problems, self._problems = self._problems, []
        if self._steps:
            problems.append(
                f"{len(self._steps)} step(s) left over after {len(self.requests)} request(s); "
                f"the next one is {list(self._steps[0])!r}"
            )
            self._steps.clear()
        if problems:
            raise AssertionError("scripted model: " + "\n  ".join(problems))

    async def __aenter__(self) -> Self:
        """Listen on a free port of the loopback interface, within the running event loop."""
        listener = socket.create_server(("127.0.0.1", self._wanted_port), backlog=512)
        self._port = listener.getsockname()[1]
        # An agent may reuse a connection after any pause.
        self._server = await serve(self._app, listener, http="h11", keep_alive_s=3600)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection at once; then verify, unless an exception is on its way."""
        await self._close()
        if exc_type is None:
            self.finish()

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)

    async def _bounded(self, event: asyncio.Event, complaint: str) -> None:
        try:
            await asyncio.wait_for(event.wait(), self._timeout_s)
        except TimeoutError:
            raise TimeoutError(
                f"{complaint} within {self._timeout_s:g} s; {self._seen()}"
            ) from None

    def _seen(self) -> str:
        if not self.requests:
            return "no request has come"
        return f"{len(self.requests)} request(s) have come, {_about(self.requests[-1])}"

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response

        request = Request(scope, receive)
        method, path = request.method, request.url.path
        answers, counts = answering(path), counting(path)
        response: Response
        if method == "POST" and (api := answers or counts) is not None:
            try:
                recorded = await _record(request, api)
            except ValueError as error:
                self._problems.append(f"a request is not JSON: {error}")
                said = "the body is not a JSON object"
                response = JSONResponse(api.error(400, "invalid_request_error", said), 400)
            else:
                if answers is not None:
                    await self._answer(answers, recorded, scope, receive, send)
                    return
                self.side_requests.append(recorded)
                # Four bytes a token is near enough for an agent that only plans with the number.
                response = JSONResponse({api.count: len(str(recorded.body)) // 4})
        elif method in ("GET", "HEAD") and path == "/":
            response = Response()
        else:
            said = f"nothing is served at {path}"
            response = JSONResponse(MessagesWire.error(404, "not_found_error", said), 404)
        await response(scope, receive, send)

    async def _answer(
        self, api: type[Wire], request: ModelRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        parts = self._parts_for(request)
        wire = api(request, parts)
        player = StepPlayer(wire, self._signals, self._timeout_s, receive, send)
        if problem := await player.play(parts):
            self._problems.append(f"{problem} ({_about(request)})")
        if player.cut:
            self._cut(scope)
            await player.gone()

    def _parts_for(self, request: ModelRequest) -> tuple[Part, ...]:
        """Record the request and return what answers it, in the words of the agent that asks."""
        return tuple(translated(part, request) for part in self._answer_to(request))

    def _answer_to(self, request: ModelRequest) -> tuple[Part, ...]:
        step = self._side(request) if self._side else None
        if step is None:
            step = _side_step(request)
        if step is None and _is_aside(request):
            step = _ANY_ANSWER
            self.strange_requests.append(request)
        if step is not None:
            self.side_requests.append(request)
            return parts_of(step)
        self.requests.append(request)
        number = len(self.requests)
        self._recorded[number].set()
        try:
            step = self._next(request)
            if step is not None:
                return parts_of(step)
            problem = "no step is left for"
        except Exception as error:  # noqa: BLE001 - whatever the script raises, finish() reports.
            problem = f"the script raised {error!r} at"
        problem = f"{problem} request {number} ({_about(request)})"
        self._problems.append(problem)
        # Agents ask again after most errors. Claude Code does so even after a 400, with less in it.
        return (HttpError(402, "invalid_request_error", f"scripted model: {problem}"),)

    def _next(self, request: ModelRequest) -> Step | None:
        if self._function is not None:
            return self._function(request)
        return self._steps.popleft() if self._steps else None

    def _cut(self, scope: Scope) -> None:
        """Close the connection that this request came on, after what was written to it."""
        if self._server is None:
            return
        for connection in self._server.server_state.connections:
            if getattr(connection, "client", None) == tuple(scope["client"]):
                connection.transport.close()


def _side_step(request: ModelRequest) -> Step | None:
    """Return the answer to a request on the side, or None for a request of the conversation."""
    if request.body.get("max_tokens") == 1:
        return Text("ok")  # A check of the key or the quota.
    for beginning, step in _BY_SYSTEM_PROMPT.items():
        if beginning in request.system:
            return step
    for words, step in _BY_LAST_WORDS.items():
        if words in request.last_user_text:
            return step
    return None


def _is_aside(request: ModelRequest) -> bool:
    """Tell whether the agent itself says that a request is not of the conversation."""
    said = request.headers.get(_CLASS) in _NOT_THE_CONVERSATION
    return said or request.last_user_text.startswith(_SUGGESTION)


async def _record(request: Request, api: type[Wire]) -> ModelRequest:
    body = await request.json()
    if not isinstance(body, dict):
        # To the client this is the same mistake as broken JSON.
        raise ValueError(f"{type(body).__name__} instead of an object")  # noqa: TRY004
    headers = {
        name: "(removed)" if name in _SECRET_HEADERS else value
        for name, value in request.headers.items()
    }
    path = request.url.path
    return ModelRequest(path, body, headers, api.read(path, body))


def _about(request: ModelRequest) -> str:
    text = request.last_user_text
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return f"model {request.model}, last user text {shown!r}"
