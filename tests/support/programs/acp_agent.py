"""A scripted agent that speaks ACP: what it does with a prompt stands in the prompt, as JSON.

Arguments: a file that gets every line that is read, and a JSON object with ``hello`` (the result of
``initialize``, null for none), ``session`` and ``refusal`` (the result or error of the call that
opens the session), ``replay`` (updates before that), ``steering`` (the outcome of a steer), and
``change`` (the result of every other request).
"""

import json
import sys
from pathlib import Path
from typing import Any

LOG, SAID = Path(sys.argv[1]), json.loads(sys.argv[2])
HELLO = {"protocolVersion": 1, "agentCapabilities": {}} | (SAID.get("hello") or {})


def write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}))


def update(session: str, what: Any) -> None:
    say({"method": "session/update", "params": {"sessionId": session, "update": what}})


def read() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    with LOG.open("a") as log:
        log.write(line)
    message: dict[str, Any] = json.loads(line)
    return message


def result(request: dict[str, Any], value: Any) -> None:
    say({"id": request["id"], "result": value})


def until(wanted: Any) -> None:
    """Read up to a method, or to the answer to our own request; serve what comes before."""
    while True:
        message = read()
        if wanted in (
            message.get("method"),
            message.get("id") if "method" not in message else None,
        ):
            if message.get("method") == "_session/steering":
                result(message, SAID.get("steering", {"outcome": "injected"}))
            return
        serve(message)


def play(request: dict[str, Any], steps: list[Any]) -> None:
    session = request["params"]["sessionId"]
    for number, step in enumerate(steps):
        match step:
            case {"update": what}:
                update(session, what)
            case {"raw": text}:
                write(text)
            case {"huge": size}:
                content = {"type": "text", "text": "x" * size}
                update(session, {"sessionUpdate": "agent_message_chunk", "content": content})
            case {"request": method, "params": params}:
                say({"id": f"ask-{number}", "method": method, "params": params})
                until(f"ask-{number}")
            case {"until": method}:
                until(method)
            case {"error": error}:
                say({"id": request["id"], "error": error})
                return
            case {"end": value}:
                result(request, value)
                return
            case {"exit": code}:
                sys.exit(code)
    result(request, {"stopReason": "end_turn"})


def serve(message: dict[str, Any]) -> None:
    match message.get("method"):
        case "initialize":
            if SAID.get("hello", {}) is not None:
                result(message, HELLO)
        case "session/new" | "session/load" | "session/resume":
            for what in SAID.get("replay", ()):
                update(message["params"].get("sessionId", "s-1"), what)
            if "refusal" in SAID:
                say({"id": message["id"], "error": SAID["refusal"]})
            else:
                result(message, SAID.get("session", {"sessionId": "s-1"}))
        case "session/prompt":
            text = message["params"]["prompt"][0]["text"]
            play(message, json.loads(text) if text.startswith("[") else [])
        case "_session/steering":
            result(message, SAID.get("steering", {"outcome": "injected"}))
        case str() if "id" in message:
            result(message, SAID.get("change", {}))


while True:
    serve(read())
