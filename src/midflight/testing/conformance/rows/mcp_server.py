"""An MCP server with one tool, spoken to over stdio: `shout`. It is run by its path."""

import json
import os
import sys
from typing import Any

OUTPUT = 1
"""Standard output, which here belongs to the protocol and is no terminal."""

TOOL = {
    "name": "shout",
    "description": "Return the text in capitals",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a request."""
    match method:
        case "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "shouter", "version": "1"},
            }
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            return {"content": [{"type": "text", "text": params["arguments"]["text"].upper()}]}
    return {}


def main() -> None:
    """Answer every request on standard input."""
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            result = answer(request["method"], request.get("params", {}))
            reply = {"jsonrpc": "2.0", "id": request["id"], "result": result}
            os.write(OUTPUT, json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    main()
