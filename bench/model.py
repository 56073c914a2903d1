"""The scripted model as a process of its own, the same one for both sides.

Prints one line of JSON (the environment for agents) and serves until its standard input ends.
What it says depends on the message:

    pong             one delta
    words 1000       that many deltas, as fast as the client reads
    drip 1000        that many deltas, 5 ms apart
    edits 20 FOLDER  so many new files in this folder, a model call each, then one delta
    stamps 500       that many deltas, 10 ms apart; each is the time at which it was sent
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midflight.testing import ScriptedModel
from midflight.testing.home import make_home
from midflight.testing.model.script import ModelRequest, Step, Text, ToolCall, Words

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

STAMP = "0000000000000000000"
"""Where a time goes: as many digits as nanoseconds have, so that no length changes."""

DRIP_S = 0.005
STAMP_S = 0.01


def script(request: ModelRequest) -> Step | None:
    # The last line is the message; after an interrupt the agent puts a note above it.
    match request.last_user_text.splitlines()[-1].split():
        case ["pong"]:
            return Text("pong")
        case ["words", count]:
            return Words(int(count))
        case ["drip", count]:
            return Words(int(count), pace_s=DRIP_S)
        case ["edits", count, folder]:
            return edit(request, int(count), folder)
        case ["stamps", count]:
            return Words(" ".join([STAMP] * int(count)), pace_s=STAMP_S)
    return None


def edit(request: ModelRequest, count: int, folder: str) -> Step:
    """Write the next file of the turn, or say one word if it has had all."""
    made = sum(str(message).count("'type': 'tool_use'") for message in request.messages)
    if request.tool_results and made % count == 0:
        return Text("pong")
    name, key = ("Write", "file_path") if "Write" in request.tools else ("write", "filePath")
    return ToolCall(name, {key: f"{folder}/edit-{made}.txt", "content": "a line\n" * 40})


class StampingModel(ScriptedModel):
    """Writes the time into the stamps at the moment at which they are sent."""

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamp(message: MutableMapping[str, Any]) -> None:
            body = message.get("body", b"")
            if STAMP.encode() in body:
                now = b"%0*d" % (len(STAMP), time.monotonic_ns())
                message["body"] = body.replace(STAMP.encode(), now)
            await send(message)

        await super()._app(scope, receive, stamp)


async def main(home: str) -> None:
    make_home(Path(home))
    async with StampingModel(script) as model:
        print(json.dumps(model.env(home)), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
