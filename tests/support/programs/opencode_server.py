#!/usr/bin/env -S python3 -E -S
"""A program that passes for `opencode serve`, and then does as `HOW` says; it knows no sessions."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

HOW = os.environ["HOW"]
if "--version" in sys.argv:
    sys.stdout.write(f"{HOW.rpartition(' ')[2]}\n")
    sys.exit()
PORT = int(next(arg for arg in sys.argv if arg.startswith("--port=")).partition("=")[2])


class Answer(BaseHTTPRequestHandler):
    """Answers every request with a version, or with what it was told to."""

    def do_GET(self) -> None:
        if HOW == "deaf":
            sys.stdin.read()
        status = int(HOW) if HOW.isdigit() else 200
        told = {"version": HOW} if HOW[0].isdigit() else ["not", "an", "object"]
        body = b"<html>" if HOW == "a web page" else json.dumps(told).encode()
        if HOW.startswith("version 2"):
            is_known = self.path.startswith("/api/info")
            told = {"version": HOW.rpartition(" ")[2]}
            body = json.dumps(told).encode() if is_known else b"<html>"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if HOW.startswith("taken"):
    tried = Path(os.environ["HOME"]) / "tried"
    if HOW == "taken for ever" or not tried.exists():
        tried.touch()
        sys.exit("Error: Failed to start server: EADDRINUSE")
    HOW = "1.0.0"

server = HTTPServer(("127.0.0.1", PORT), Answer)
sys.stdout.write(f"opencode server listening on http://127.0.0.1:{PORT}\n")
sys.stdout.flush()
server.serve_forever()
