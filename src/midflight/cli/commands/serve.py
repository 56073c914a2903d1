"""``midflight serve``: the sessions of all hosts over HTTP, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import platform
import signal
import time

from midflight._util.sanitize import one_line
from midflight.cli.options import user_file
from midflight.cli.output import at_terminal, write
from midflight.environment import TOKEN_VARIABLE
from midflight.host.http.logins import LINK_S, Device, Logins
from midflight.host.notify import Notifier
from midflight.journal.choice import choose
from midflight.mcp.bounds import DispatchBounds
from midflight.server.server import ServeOptions, check_no_agent, serving


def serve(args: argparse.Namespace) -> int:
    """Serve until it is told to end, or say who may come in; return the exit code."""
    if args.link is not None or args.devices or args.forget is not None:
        check_no_agent()
        return _logins(args, Logins(choose().location))
    if args.notify:
        Notifier(args.notify, choose().location)  # one that cannot be used is said now
    file = user_file()
    options = ServeOptions(
        host=args.host,
        port=args.port,
        public=args.public_url,
        cert=args.tls_cert,
        key=args.tls_key,
        bounds=DispatchBounds(**(dict(file.mcp) if file else {})),
        notify=args.notify or "",
    )
    for library in ("uvicorn", "mcp"):  # what any client can have them say is no news
        logging.getLogger(library).addHandler(logging.NullHandler())
    env = {name: os.environ.pop(name) for name in (TOKEN_VARIABLE,) if name in os.environ}
    return asyncio.run(_serve(options, env))


def _logins(args: argparse.Namespace, logins: Logins) -> int:
    """Make a link, log a device out, or list them."""
    if args.link is not None:
        urls = logins.urls()
        code = logins.link(args.link)
        write("".join(f"{url}/#code={code}\n" for url in urls))
        write(f"one of these can be used, once, within {LINK_S / 60:.0f} minutes\n")
        if at_terminal():
            write(qr_code(f"{urls[0]}/#code={code}"))
    elif args.forget is not None:
        device = logins.forget(args.forget)
        write(f"{one_line(device.name)} ({device.id}) is logged out\n")
    else:
        devices = logins.devices()
        write("".join(_line(each) for each in devices) or "no device is logged in\n")
    return 0


def qr_code(text: str) -> str:
    """Return a code for the camera of a phone: two of its rows in each line, dark on light."""
    import segno

    rows = [[*row] for row in segno.make(text, error="l").matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    halves = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "".join(
        "".join(halves[each] for each in zip(*pair, strict=True)) + "\n" for pair in pairs
    )


def _line(device: Device) -> str:
    last = time.strftime("%Y-%m-%d %H:%M", time.localtime(device.seen))
    return f"{device.id}  {one_line(device.name)}  last used about {last}\n"


async def _serve(options: ServeOptions, env: dict[str, str]) -> int:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    async with serving(options, env) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        gc.freeze()  # what is loaded stays: to look at it again would hold up every stream
        token = server.token_file or TOKEN_VARIABLE
        write(f"serving at {server.urls[0]}\ntoken: {token}\n")
        if at_terminal():  # where a log may be read, no link is written
            code = await asyncio.to_thread(server.logins.link, platform.node() or "this computer")
            write(
                f"open it, once within {LINK_S / 60:.0f} minutes: {server.urls[0]}/#code={code}\n"
            )
        write("for another device: midflight serve --link NAME\nCtrl-C ends it; sessions go on\n")
        await stopped.wait()
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one does not wait for answers
            loop.remove_signal_handler(number)
    return 0
