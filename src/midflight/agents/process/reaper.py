"""Ends an agent whose host has died: a small shell that outlives the host by a moment.

An agent notices the end of its input, but finishes what it is at first, which may take a tool for
ever. The reaper notices by its own input. Where the host ends in good order, it releases it.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from pathlib import Path

from midflight._util.programs import search_path
from midflight.errors import AgentUnavailable

MARKER = "MIDFLIGHT_PROCESS"
"""The environment variable whose value names the agent that a process belongs to."""

GRACE_S = 2
"""How long an agent of a dead host may take to end in an orderly way."""

# A word on its input says that all is well; the end of the input without one, that the host died.
# The marker finds what started a session of its own; a system without /proc has `ps` to ask.
_SCRIPT = """
read -r word && exit
kill -TERM -- "-$1" 2>/dev/null
sleep "$3"
kill -KILL -- "-$1" 2>/dev/null
if [ -d /proc/self ]; then
    pids=$(grep -slz "^$2\\$" /proc/[0-9]*/environ | tr -cd '0-9\\n')
else
    pids=$(ps axeww -o pid=,command= | grep -F "$2" | awk '{print $1}')
fi
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
[ -z "$4" ] || rm -rf -- "$4"
"""


class Reaper:
    """Watches over one agent's program."""

    def __init__(self, pid: int, marker: str, folder: Path | None) -> None:
        """Begin to watch. ``pid`` leads the agent's group; ``marker`` is the value of `MARKER`.

        ``folder`` holds what must not outlive the agent, such as keys.
        """
        private = "" if folder is None else str(folder)
        try:
            self._shell = subprocess.Popen(
                [
                    "/bin/sh",
                    "-c",
                    _SCRIPT,
                    "reaper",
                    str(pid),
                    f"{MARKER}={marker}",
                    str(GRACE_S),
                    private,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": search_path()},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise AgentUnavailable(f"/bin/sh cannot be run: {error.strerror}") from error

    async def release(self) -> None:
        """Stop watching: the program has ended, with all that belonged to it."""
        await asyncio.to_thread(self.let_go)

    def let_go(self) -> None:
        """Do what `release` does, without an event loop."""
        with contextlib.suppress(OSError):
            self._shell.communicate(b"done\n")
