#!/usr/bin/env python3
"""An agent that takes a message and then obeys nothing: no interrupt, no end of input, no TERM."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any


def say(**frame: Any) -> None:
    """Write a frame."""
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Listen for ever."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write("2.1.330 (stubborn)\n")
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        frame = json.loads(line)
        if frame["type"] == "user":
            say(type="command_lifecycle", command_uuid=frame["uuid"], state="started")
        elif frame.get("request", {}).get("subtype") == "initialize":
            body = {"subtype": "success", "request_id": frame["request_id"], "response": {}}
            say(type="control_response", response=body)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
