"""A contract stand-in for a server of stable OpenCode 2. It is NOT OpenCode, and runs no model.

Stable 2.x could not be run where the driver was written. What only it has (the end of each run, the
inbox, forms, money by step) is played here as its source text describes it: routes and fields of
``packages/protocol`` and ``packages/schema``, the order of events of ``packages/core``. What a test
with it shows is that the driver keeps that contract, and nothing about OpenCode.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from midflight._util.uvicorn_server import serve

VERSION = "2.0.27"
PASSWORD = "stand-in"
MODEL = {"providerID": "anthropic", "id": "plum"}
USED = {"input": 10, "output": 5, "reasoning": 1, "cache": {"read": 3, "write": 2}}

Json = dict[str, Any]


class FailedRun(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.error = {"type": kind, "message": message}


class Session:
    def __init__(self, server: StandIn, info: Json) -> None:
        self.server = server
        self.info = info
        self.log: list[Json] = []
        self.inbox: dict[str, Json] = {}
        self.permission: dict[str, Json] = {}
        self.form: dict[str, Json] = {}
        self.answers: dict[str, asyncio.Future[Json]] = {}
        self.running: asyncio.Task[None] | None = None
        self.parked: set[str] = set()

    def emit(self, kind: str, data: Json, *, durable: bool = True) -> None:
        """Publish an event; a durable one has the next number, and stays in the log."""
        frame: Json = {"type": kind, "data": {"sessionID": self.info["id"], **data}}
        if durable:
            self.log.append(frame)
            frame["durable"] = {"aggregateID": self.info["id"], "seq": len(self.log)}
        self.server.publish(frame)

    def deliver(self, delivery: str, most: int = 1000) -> list[str]:
        """Give the model the next prompts of the inbox; return their texts."""
        free = [self.inbox[each] for each in self.inbox if each not in self.parked]
        items = [each for each in free if each["delivery"] == delivery][:most]
        for item in items:
            del self.inbox[item["id"]]
            self.emit("session.inbox.delivered", {"inboxID": item["id"]})
        return [item["text"] for item in items]

    def wake(self) -> None:
        """Run what waits, unless it runs already; what was queued before a stop stays parked."""
        if self.running is None:
            self.running = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self.inbox.keys() - self.parked:
                self.emit("session.execution.started", {})
                texts = self.deliver("steer") or self.deliver("queue", 1)
                try:
                    await self.server.play(Run(self), "\n".join(texts))
                except FailedRun as failed:
                    self.emit("session.execution.failed", {"error": failed.error})
                else:
                    self.emit("session.execution.succeeded", {})
                self.parked.clear()
        except asyncio.CancelledError:
            self.parked = set(self.inbox)
            self.permission.clear()
            self.form.clear()
            self.emit("session.execution.interrupted", {"reason": "user"})
        finally:
            self.running = None


class Run:
    def __init__(self, session: Session) -> None:
        self.session = session
        self._message = ""

    @contextlib.asynccontextmanager
    async def step(self, finish: str = "stop", cost: float = 0.5) -> AsyncIterator[None]:
        """Play a model call; steers are delivered where it is over and another one follows."""
        session = self.session
        self._message = f"msg_{len(session.log)}"
        self._emit("step.started", {"model": MODEL})
        used = {"cost": cost, "tokens": USED}
        try:
            yield
        except (FailedRun, asyncio.CancelledError) as ended:
            aborted = {"type": "aborted", "message": "Step interrupted"}
            error = ended.error if isinstance(ended, FailedRun) else aborted
            self._emit("step.failed", {"error": error, **used})
            raise
        self._emit("step.ended", {"finish": finish, **used})
        session.emit("session.usage.updated", {"cost": 99.0, "tokens": USED}, durable=False)
        if finish == "tool-calls":
            session.deliver("steer")

    def _emit(self, kind: str, data: Json, *, durable: bool = True) -> None:
        said = {"assistantMessageID": self._message, **data}
        self.session.emit(f"session.{kind}", said, durable=durable)

    def say(self, text: str) -> None:
        """Stream a text, and tell the whole."""
        self._emit("text.started", {"ordinal": 0})
        self._emit("text.delta", {"ordinal": 0, "delta": text}, durable=False)
        self._emit("text.ended", {"ordinal": 0, "text": text})

    def retry(self, attempt: int) -> None:
        """Report that the call is made again."""
        error = {"type": "provider.rate-limit", "message": "slow down"}
        self.session.emit("session.retry.scheduled", {"attempt": attempt, "at": 0, "error": error})

    def call(self, call: str, name: str, call_input: Json) -> str:
        """Begin a call of a tool; its name stands where its input begins."""
        self._emit("tool.input.started", {"id": call, "name": name})
        self._emit("tool.called", {"id": call, "input": call_input, "executed": False})
        return call

    def progress(self, call: str, metadata: Json) -> None:
        self._emit("tool.progress", {"id": call, "metadata": metadata}, durable=False)

    def result(self, call: str, text: str) -> None:
        content = [{"type": "text", "text": text}]
        self._emit("tool.success", {"id": call, "content": content, "metadata": {}})

    async def ask(self, call: str, action: str, *resources: str) -> Json:
        """Ask for a permission, and return the reply."""
        source = {"type": "tool", "messageID": self._message, "id": call}
        about = {"action": action, "resources": list(resources), "source": source}
        request = {**self._named("per", call), **about}
        self.session.permission[request["id"]] = request
        return await self._asked("permission.asked", request["id"], request)

    async def fill(self, call: str, fields: list[Json]) -> Json:
        """Ask by a form, and return its answer."""
        form = {**self._named("frm", call), "fields": fields}
        self.session.form[form["id"]] = form
        return await self._asked("form.created", form["id"], {"form": form})

    def _named(self, kind: str, call: str) -> Json:
        return {"id": f"{kind}_{self._message}_{call}", "sessionID": self.session.info["id"]}

    async def _asked(self, kind: str, request: str, data: Json) -> Json:
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self.session.answers[request] = answer
        self.session.emit(kind, data, durable=False)
        return await answer


class StandIn:
    """Serves the routes that the driver uses. ``play`` is called for each run with its prompt.

    What is ``held`` reaches no reader; where it ``parks``, a prompt waits as one does after a stop.
    """

    def __init__(self, play: Callable[[Run, str], Awaitable[None]]) -> None:
        self.play = play
        self.sessions: dict[str, Session] = {}
        self.asked: list[tuple[str, str, Json]] = []
        self.held = False
        self.parks = False
        self._readers: set[asyncio.Queue[Json]] = set()
        self._server: Any = None
        self._listener: socket.socket

    @property
    def options(self) -> Json:
        """The options of a session on it."""
        url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        return {"agent": "opencode2", "server_url": url, "env": {"OPENCODE_PASSWORD": PASSWORD}}

    def publish(self, frame: Json) -> None:
        """Send an event to every reader, unless they are to miss it."""
        for reader in () if self.held else self._readers:
            reader.put_nowait(frame)

    def cut(self) -> None:
        """End every stream of events."""
        for reader in self._readers:
            reader.put_nowait({})

    def begin(self, **info: Any) -> Session:
        """Begin a session."""
        known = f"ses_{len(self.sessions) + 1}"
        self.sessions[known] = Session(self, {"id": known, "model": MODEL, **info})
        return self.sessions[known]

    async def __aenter__(self) -> Self:
        methods = ["GET", "POST", "PATCH", "DELETE"]
        app = Starlette(routes=[Route("/api/{path:path}", self._serve, methods=methods)])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = await serve(app, self._listener, http="h11", keep_alive_s=60)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for session in self.sessions.values():
            if session.running is not None:
                session.running.cancel()
        self._listener.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self._server.server_state.tasks, return_exceptions=True)

    async def _serve(self, request: Request) -> Response:
        key = base64.b64encode(f"opencode:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {key}":
            return Response(status_code=401)
        body = json.loads(await request.body() or b"{}")
        parts = request.path_params["path"].split("/")
        self.asked.append((request.method, request.path_params["path"], body))
        match [request.method, *parts]:
            case ["GET", "info"]:
                return JSONResponse({"version": VERSION})
            case ["GET", "event"]:
                return StreamingResponse(self._stream(), media_type="text/event-stream")
            case ["GET", "model"]:
                return _data([{**MODEL, "cost": [], "variants": [], "status": "active"}])
            case ["GET", "agent"]:
                return _data([{"id": "build", "permissions": []}])
            case ["GET", "skill" | "plugin" | "mcp"]:
                return _data([])
            case ["POST", "session"]:
                return _data(self.begin(location=body["location"]).info)
            case ["GET", "session", "active"]:
                return _data({name: {} for name, each in self.sessions.items() if each.running})
            case ["GET", "experimental", "session", known, "log"]:
                after = int(request.query_params["after"])
                frames = [*self.sessions[known].log[after:], {"type": "log.synced"}]
                text = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames)
                return Response(text, media_type="text/event-stream")
            case [method, "session", known, *rest] if known in self.sessions:
                return self._session(self.sessions[known], method, rest, body)
        return Response(status_code=404)

    def _session(self, session: Session, method: str, rest: list[str], body: Json) -> Response:
        match [method, *rest]:
            case ["GET"]:
                return _data(session.info)
            case ["GET", "permission" | "form" | "inbox" as what]:
                return _data(list(getattr(session, what).values()))
            case ["POST", "prompt"]:
                session.inbox[body["id"]] = body
                session.emit("session.inbox.enqueued", {"inboxID": body["id"], "item": body})
                session.parked |= {body["id"]} if self.parks else set()
                session.wake()
                return _data(body)
            case ["POST", "interrupt"]:
                if (running := session.running) is not None:
                    running.cancel()
                return JSONResponse({"interrupted": running is not None})
            case ["POST", "permission" | "form" as what, known, verb]:
                if getattr(session, what).pop(known, None) is None:
                    return Response(status_code=404)
                session.emit(f"{what}.replied", {"requestID": known, "id": known}, durable=False)
                session.answers.pop(known).set_result({"verb": verb, **body})
            case ["DELETE", "inbox", known]:
                session.inbox.pop(known, None)
            case ["PATCH", "inbox", known]:
                session.inbox[known]["delivery"] = body["delivery"]
                session.parked.discard(known)
                session.wake()
        return Response(status_code=204)

    async def _stream(self) -> AsyncIterator[str]:
        reader: asyncio.Queue[Json] = asyncio.Queue()
        self._readers.add(reader)
        frame: Json = {"type": "server.connected", "data": {}}
        try:
            while frame:
                yield f"data: {json.dumps(frame)}\n\n"
                frame = await reader.get()
        finally:
            self._readers.discard(reader)


def _data(value: Any) -> Response:
    return JSONResponse({"data": value})
