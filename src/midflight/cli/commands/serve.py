"""``midflight serve``: the sessions of all hosts over HTTP, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal

from midflight.cli.output import write
from midflight.environment import TOKEN_VARIABLE
from midflight.server.server import ServeOptions, serving


def serve(args: argparse.Namespace) -> int:
    """Serve until it is told to end; return the exit code. The sessions go on."""
    options = ServeOptions(
        host=args.host,
        port=args.port,
        public=args.public_url,
        cert=args.tls_cert,
        key=args.tls_key,
        where=args.journal,
    )
    env = {name: os.environ.pop(name) for name in (TOKEN_VARIABLE,) if name in os.environ}
    return asyncio.run(_serve(options, env))


async def _serve(options: ServeOptions, env: dict[str, str]) -> int:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    async with serving(options, env) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        gc.freeze()  # what is loaded stays: to look at it again would hold up every stream
        token = server.token_file or TOKEN_VARIABLE
        write(f"serving at {server.urls[0]}\ntoken: {token}\nCtrl-C ends it; sessions go on\n")
        await stopped.wait()
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one does not wait for answers
            loop.remove_signal_handler(number)
    return 0
