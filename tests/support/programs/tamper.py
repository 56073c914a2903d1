#!/usr/bin/env python3
"""Runs the real agent and tampers with what it says.

REAL_AGENT is the program to run, TAMPER names what is done to each line of its output; of several
names, one for each turn.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

STRANGE: list[Any] = [
    {"type": "from_the_future", "value": 1},
    {"type": None},
    {},
    {"type": "system"},
    {"type": "system", "subtype": "from_the_future"},
    {"type": "assistant"},
    {"type": "assistant", "message": "text where an object belongs"},
    {"type": "assistant", "message": {"id": "x", "model": "m", "content": "no list"}},
    {"type": "assistant", "message": {"id": "x", "model": "m", "content": [{"type": "new"}]}},
    {"type": "user", "message": {"content": [{"type": "tool_result"}]}},
    {"type": "stream_event", "event": {"type": "from_the_future"}},
    {"type": "stream_event", "event": []},
    {"type": "command_lifecycle", "command_uuid": 7, "state": "floating"},
    {"type": "control_response", "response": None},
    {"type": "control_response", "response": {"request_id": "unknown", "subtype": "success"}},
    {"type": "control_request", "request_id": "r1", "request": {"subtype": "from_the_future"}},
    {"type": "control_request", "request_id": "r2"},
    {"type": "control_request", "request_id": "r3", "request": {"subtype": "can_use_tool"}},
    {"type": "control_cancel_request", "request_id": "nobody"},
]

seen: list[bytes] = []


def noise(line: bytes) -> Iterator[bytes]:
    """Put chatter between the frames."""
    yield b'chatter\n\n\xff\xfe\x00 no text\n[1, 2]\nnull\n"text"\n'
    yield line


def windows(line: bytes) -> Iterator[bytes]:
    """Write a byte order mark before each line, and both ends after it."""
    yield b"\xef\xbb\xbf" + line.rstrip(b"\n") + b"\r\n"


def split(line: bytes) -> Iterator[bytes]:
    """Write each line in four pieces."""
    step = len(line) // 4 + 1
    for start in range(0, len(line), step):
        yield line[start : start + step]


def damaged(line: bytes) -> Iterator[bytes]:
    """Put a broken frame before each result, and bytes that are no UTF-8 into the text."""
    if b'"type":"result"' in line:
        yield b'{"type":"assistant","message":{"content":[{"ty\n'
    yield line.replace(b"smooth", b"sm\xffth")


def endless(line: bytes) -> Iterator[bytes]:
    """Put a line that is longer than any may be before each result."""
    if b'"type":"result"' in line:
        for _ in range(66):
            yield b"{" + b"x" * 1024 * 1024
        yield b"\n"
    yield line


def strange(line: bytes) -> Iterator[bytes]:
    """Put frames that nobody knows before each result."""
    if b'"type":"result"' in line:
        for frame in STRANGE:
            yield json.dumps(frame).encode() + b"\n"
    yield line


def twice(line: bytes) -> Iterator[bytes]:
    """Say everything twice."""
    yield line
    yield line


def late(line: bytes) -> Iterator[bytes]:
    """Say the whole turn again, under other ids, after its end."""
    yield line
    if b'"type":"result"' in line:
        again = [*seen, line]
        seen.clear()
        for old in again:
            frame = json.loads(old)
            if frame.get("subtype") != "init":
                frame["uuid"] = str(uuid.uuid4())
                yield json.dumps(frame, separators=(",", ":")).encode() + b"\n"
    elif b'"type":"control_' not in line:
        seen.append(line)


def flood(line: bytes) -> Iterator[bytes]:
    """Write 100 MB to standard error before each result."""
    if b'"type":"result"' in line:
        for _ in range(100):
            os.write(2, b"complaint " * 104858 + b"\n")
    yield line


def die(line: bytes) -> Iterator[bytes]:
    """Be killed in the middle of the line of the first text."""
    if b'"type":"assistant"' in line:
        yield line[: len(line) // 2]
        os.kill(os.getpid(), signal.SIGKILL)
    yield line


def main() -> int:
    """Run the agent to its end."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write("2.1.330 (tampered)\n")
        return 0
    ways = [globals()[name] for name in os.environ["TAMPER"].split()]
    # The agent would make a shared standard error refuse what does not fit at once.
    agent = subprocess.Popen(
        [os.environ["REAL_AGENT"], *sys.argv[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert agent.stdout is not None
    for line in agent.stdout:
        for piece in ways[0](line):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        if b'"type":"result"' in line and len(ways) > 1:
            del ways[0]
    return agent.wait()


if __name__ == "__main__":
    sys.exit(main())
