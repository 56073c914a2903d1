"""``midflight doctor --probe``: what the agents on this machine can do, tried and not believed.

Each row of the capabilities is tried on the real programs, in a temporary folder with a home of its
own, and the tools that they offer are compared with the keys that midflight knows. The model is
scripted and local, so there is no key, no cost and no network.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
import traceback
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from midflight._util.sanitize import one_line
from midflight.cli.commands.demo import drop_user_environment
from midflight.cli.output import BOLD, DIM, GREEN, RED, YELLOW, Fragment, json_line, write
from midflight.errors import AgentUnavailable, InvalidOption, MidflightError
from midflight.testing.conformance.rig import OPENCODE, OPENCODE2, RIGS, Rig, opencode2_here
from midflight.testing.conformance.rows import ROWS, RowSeen, check_row
from midflight.testing.conformance.tool_keys import ROW, check_tool_keys
from midflight.testing.opencode import OpenCode2Server, OpenCodeServer

STYLES = {"supported": GREEN, "emulated": YELLOW, "not": DIM, "failed": RED}

ROW_TIMEOUT_S = 90.0
"""How long one row may take; on an idle machine it is a few seconds."""


_SERVERS = {OPENCODE: OpenCodeServer, OPENCODE2: OpenCode2Server}
"""The servers that the rows of these agents share."""


class RowResult(NamedTuple):
    """One row as it was observed. For a failed one ``how`` says what contradicts the driver.

    ``strange`` is what the agent asked its model beside the conversation and the kit does not know.
    """

    agent: str
    version: str
    row: str
    verdict: str
    how: str
    strange: tuple[str, ...] = ()


def probe(agent: str | None, *, as_json: bool) -> int:
    """Try every row on the agents that are here, or on one; return 1 if any contradicts its driver.

    Raises `InvalidOption` for an agent that the suite does not know, `AgentUnavailable` for one
    that is not here.
    """
    drop_user_environment()
    failed = False
    for rig in _rigs(agent):
        outcomes = []
        began = time.monotonic()
        if not as_json:
            write([(BOLD, f"{rig.name}\n")])
        for outcome in _try_rows(rig):
            outcomes.append(outcome)
            _print(outcome, as_json=as_json)
        failed = failed or any(outcome.verdict == "failed" for outcome in outcomes)
        if not as_json:
            _print_summary(outcomes, time.monotonic() - began)
    return 1 if failed else 0


def _rigs(agent: str | None) -> list[Rig]:
    known = {rig.name: rig for rig in RIGS}
    if agent is None:
        return [rig for rig in RIGS if rig.name != "fake" and not rig.missing()]
    known[OPENCODE2.name] = opencode2_here()
    if agent not in known:
        raise InvalidOption("agent", f"{agent!r} cannot be tried", f"known: {', '.join(known)}")
    if missing := known[agent].missing():
        raise AgentUnavailable(missing, known[agent].install)
    return [known[agent]]


def _try_rows(rig: Rig) -> Iterator[RowResult]:
    """Try the rows one after another, and yield each as it is seen."""
    with contextlib.ExitStack() as on:
        folder = Path(on.enter_context(tempfile.TemporaryDirectory(prefix="midflight-probe-")))
        if rig in _SERVERS:
            rig = rig.on(on.enter_context(_SERVERS[rig](folder / "server")))
        for row in ROWS:
            (folder / row).mkdir()
            yield asyncio.run(_try(rig, row, check_row(rig, row, folder / row)))
        if rig.tools:
            (folder / ROW).mkdir()
            yield asyncio.run(_try(rig, ROW, check_tool_keys(rig, folder / ROW)))


async def _try(rig: Rig, row: str, check: Coroutine[Any, Any, RowSeen]) -> RowResult:
    try:
        async with asyncio.timeout(ROW_TIMEOUT_S):
            return RowResult(*await check)
    except Exception as error:  # noqa: BLE001 - a check that breaks has found something too
        return RowResult(rig.name, "", row, "failed", _reason(error))


def _reason(error: Exception) -> str:
    """Return what was wrong: the message, or the line of code that failed."""
    if isinstance(error, MidflightError):
        return error.message
    text = str(error) or str(traceback.extract_tb(error.__traceback__)[-1].line)
    return f"{type(error).__name__}: {text}"


def _print(outcome: RowResult, *, as_json: bool) -> None:
    if as_json:
        write(json_line(msgspec.json.encode(outcome._asdict())).decode())
        return
    line: list[Fragment] = [
        ("", f"  {outcome.row:20}"),
        (STYLES[outcome.verdict], f"{outcome.verdict:10}"),
        ("", f" {one_line(outcome.how)}\n" if outcome.how else "\n"),
    ]
    write(line)


def _print_summary(outcomes: list[RowResult], seconds: float) -> None:
    version = max(outcome.version for outcome in outcomes)
    failed = [outcome.row for outcome in outcomes if outcome.verdict == "failed"]
    counted = f"{len(outcomes) - len(failed)} of {len(outcomes)} rows are as they should be"
    line = one_line(f"{outcomes[0].agent} {version}: {counted}, seen in {seconds:.0f} s")
    write([(RED if failed else GREEN, line), ("", "\n")])
    if strange := sorted({text for outcome in outcomes for text in outcome.strange}):
        lines = "".join(f"    {one_line(text)}\n" for text in strange)
        write([(DIM, "  also answered, beside the conversation:\n"), (DIM, lines)])
    write("\n")
