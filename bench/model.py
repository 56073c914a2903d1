"""The scripted model as a process of its own, the same one for both sides.

Prints one line of JSON (the environment for agents) and serves until its standard input ends.
What it says depends on the message:

    pong             one delta
    words 1000       that many deltas, as fast as the client reads
    drip 1000        that many deltas, 5 ms apart
    edits 20 FOLDER  so many new files in this folder, a model call each, then one delta
    stamps 500 10    that many deltas, so many ms apart; each is the time at which it was sent
    prose 500 10     that many deltas of Markdown
    hour 20 500      so many model calls, each with that many deltas of Markdown and a call of Read
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midflight.testing import FakeModel, ScriptedModel
from midflight.testing.home import make_home
from midflight.testing.model.script import ModelRequest, Part, Step, Text, ToolCall, Words

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

STAMP = "0000000000000000000"
"""Where a time goes: as many digits as nanoseconds have, so that no length changes."""

DRIP_S = 0.005

PROSE = """I have read the module. The check belongs **in front of** the query, because `find` takes
any text, and so far nobody has looked at what comes in.

- `UserIn` gets rules for its fields
- a wrong one is answered with 422 and its name

```python
class UserIn(BaseModel):
    email: EmailStr
    name: Annotated[str, Field(max_length=120)]
```

Next I run the tests of both endpoints, and after that I touch the validator that they share.

"""


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
        case ["stamps", count, pace]:
            return Words(" ".join([STAMP] * int(count)), pace_s=int(pace) / 1_000)
        case ["prose", count, pace]:
            return Words(prose(int(count)), pace_s=int(pace) / 1_000)
        case ["hour", steps, count]:
            return hour(request, int(steps), int(count))
    return None


def prose(count: int) -> str:
    """Return so many words of Markdown."""
    words = re.findall(r"\s*\S+", PROSE)
    return "".join(words * (count // len(words)) + words[: count % len(words)])


def hour(request: ModelRequest, steps: int, count: int) -> Step:
    """Write, and read a file; at the end say one word."""
    told = max(at for at, each in enumerate(request.messages) if "hour" in str(each["content"]))
    made = sum(each["role"] == "assistant" for each in request.messages[told:])
    if made == steps:
        return Text("pong")
    file = Path(__file__).with_name("__init__.py")
    return [Words(prose(count)), ToolCall("Read", {"file_path": str(file)})]


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
                message["body"] = body.replace(STAMP.encode(), stamp_now().encode())
            await send(message)

        await super()._app(scope, receive, stamp)


class StampingFake(FakeModel):
    """The same for agents of this process."""

    async def answer(self, request: ModelRequest) -> AsyncIterator[Part]:
        async for part in super().answer(request):
            if isinstance(part, Text) and STAMP in part.text:
                yield Text(part.text.replace(STAMP, stamp_now()))
            else:
                yield part


def stamp_now() -> str:
    return f"{time.monotonic_ns():0{len(STAMP)}d}"


async def main(home: str) -> None:
    make_home(Path(home))
    async with StampingModel(script) as model:
        print(json.dumps(model.env(home)), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
