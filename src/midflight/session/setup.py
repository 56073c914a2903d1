"""Runs the command that prepares a session's folder, and tells of it as of a call of a tool."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from midflight import events as e
from midflight._util.own_variables import for_others
from midflight._util.redact import Redactor
from midflight.agents.process.process import AgentProcess
from midflight.agents.shared.content import OUTPUT_CHARS
from midflight.errors import MidflightError
from midflight.values import ToolStatus

SETUP_S = 600.0
"""How long it may take."""

NAME = "setup"
"""What the call is called."""


async def run_setup(
    command: str, folder: Path, env: Mapping[str, str], report: Callable[[e.Event], None]
) -> str:
    """Run a shell's command in a folder; return why it failed, or nothing where it has not.

    It has the environment of this process, without midflight's own variables, and ``env``. What it
    leaves running is ended.
    """
    call = f"{NAME}-{uuid.uuid4().hex[:12]}"
    given = {"command": command}
    report(e.ToolStarted(call=call, name=NAME, kind="execute", title=command, input=given))
    process, output = AgentProcess(), ""
    whole = {**for_others(os.environ), **env, "PWD": str(folder)}
    redact = Redactor(whole)
    problem = ""
    status: ToolStatus = "failed"
    try:
        argv = ["/bin/sh", "-c", f"exec </dev/null 2>&1\n{command}"]
        async with asyncio.timeout(SETUP_S):
            await process.start(argv, whole, folder)
            async for line in process.lines():
                text = redact(line.decode(errors="replace")) + "\n"
                output = (output + text)[-OUTPUT_CHARS:]
                report(e.ToolProgress(call=call, text=text))
            await process.exited()
        if process.exit_code:
            problem = process.last_words()
        else:
            status = "completed"
    except asyncio.CancelledError:
        status = "cancelled"
        raise
    except TimeoutError:
        problem = f"it took more than {SETUP_S:.0f} s"
    except MidflightError as error:
        problem = error.message
    finally:
        await process.kill()
        report(e.ToolEnded(call=call, name=NAME, status=status, output=output or problem))
    return problem
