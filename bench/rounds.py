"""The rounds: every figure on one side, then on the other, again and again."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.base import Size
from bench.figures import Samples
from bench.sides import SIDES

__all__ = ["FULL", "QUICK", "measure", "surroundings"]

HERE = Path(__file__).parent
MIDFLIGHT = Path(sys.executable).with_name("midflight")
COMMAND_LINE = MIDFLIGHT.exists() and importlib.util.find_spec("midflight.cli") is not None
TIMEOUT_S = 300


FULL = Size(
    warm_up=True,
    starts=3,
    warm=3,
    live=18,
    cpu=10_000,
    delay=300,
    memory=500,
    sessions=8,
    servers=10,
    edits=20,
    writes=20_000,
    writers=50,
    drips=400,
    listed=2_000,
    turns=10,
    long=2_222,
    idle=20,
    rest=1_000,
    readers=200,
    lapse=180_000,
    waiting=10_000,
    files=10_000,
)
WARM_UP = FULL._replace(
    starts=1,
    warm=1,
    live=6,
    cpu=1_000,
    delay=100,
    memory=100,
    servers=1,
    edits=5,
    writes=1_000,
    drips=40,
    idle=0.1,
    rest=1,
    readers=20,
    lapse=4_000,
    waiting=10,
    files=10,
)
QUICK = Size(
    warm_up=False,
    starts=1,
    warm=1,
    live=1,
    cpu=100,
    delay=20,
    memory=20,
    sessions=1,
    servers=1,
    edits=2,
    writes=200,
    writers=2,
    drips=5,
    listed=5,
    turns=1,
    long=60,
    idle=0.1,
    rest=1,
    readers=2,
    lapse=400,
    waiting=10,
    files=10,
)

PROBES = {
    "claude": ("warm", "edits", "cpu", "delay", "memory"),
    "opencode": ("live", "edits", "servers"),
    "host": ("journal", "lists", "idle", "agents"),
    "terminal": ("echo", "answer", "commands"),
    "board": ("opened", "redraw"),
    "tools": ("tools",),
    "server": ("ages", "readers"),
    "page": ("painted", "opened", "scrolled", "streams", "lapse", "arrived"),
    "background": ("cost", "hosted", "json", "served"),
    "cluster": ("events", "tasks", "turns", "rest", "failover", "deltas", "moves"),
}
"""One after the other: what the end of ten servers leaves to be done disturbs no other figure."""

NO_RAW = (
    *("lists", "idle", "cost", "echo", "redraw", "scrolled", "streams", "lapse", "arrived"),
    *("turns", "rest", "failover", "deltas", "moves"),
)
"""There is nothing below that does the same."""


class Bench:
    """The surroundings of all programs that are measured: one model, one home, one folder."""

    def __init__(self, env: Mapping[str, str], cwd: Path) -> None:
        self._env = {**env, "PYTHONPATH": str(HERE.parent)}
        self._cwd = cwd

    def first_text(self, argv: Sequence[str]) -> float:
        """Start a program and return the seconds until the model's text comes out of it."""
        began = time.perf_counter()
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._env,
                cwd=self._cwd,
            ) as process,
        ):
            seen, took = b"", 0.0
            assert process.stdout is not None
            while piece := os.read(process.stdout.fileno(), 65536):
                seen += piece
                if not took and b"pong" in seen:
                    took = time.perf_counter() - began
            process.wait(TIMEOUT_S)
            if process.returncode or not took:
                errors.seek(0)
                told = (seen + errors.read()).decode(errors="replace")
                raise RuntimeError(f"{argv} failed:\n{told}")
        return took

    def whole(self, argv: Sequence[str]) -> float:
        """Run a program and return the seconds until its end."""
        began = time.perf_counter()
        self._run(argv)
        return time.perf_counter() - began

    def probe(self, agent: str, side: str, name: str, size: Size) -> dict[str, list[float]]:
        """Measure inside of a program."""
        given = json.dumps(size._asdict())
        out = self._run([sys.executable, "-m", "bench.probe", agent, side, name, given])
        samples: dict[str, list[float]] = json.loads(out)
        return samples

    def _run(self, argv: Sequence[str]) -> str:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._env,
            cwd=self._cwd,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{argv} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


@contextlib.contextmanager
def surroundings() -> Iterator[Bench]:
    """Serve the model from a process of its own, with a home and a folder for the agents."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home, cwd = Path(folder, "home"), Path(folder, "work")
        home.mkdir()
        cwd.mkdir()
        argv = [sys.executable, "-m", "bench.model", str(home)]
        clean = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        with subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, "PYTHONPATH": str(HERE.parent)},
        ) as model:
            assert model.stdin is not None
            assert model.stdout is not None
            yield Bench(json.loads(model.stdout.readline()), cwd)
            model.stdin.close()
        assert model.returncode == 0, "a message came that the model has no answer to"


def one_round(bench: Bench, agent: str, size: Size) -> Iterator[tuple[str, str, float]]:
    """Yield figure, side and value."""
    for _ in range(size.starts if agent in ("claude", "opencode") else 0):
        for side in SIDES:
            program = f"{HERE}/start_{agent}_{side}.py"
            yield "start", side, bench.first_text([sys.executable, program])
        if agent == "claude" and COMMAND_LINE:
            argv = [str(MIDFLIGHT), "run", "pong", "--model", "sonnet"]
            yield "start_cli", "midflight", bench.first_text(argv)
            yield "help", "midflight", bench.whole([str(MIDFLIGHT), "--help"])
    for name in PROBES[agent]:
        for side in SIDES if name not in NO_RAW else ("midflight",):
            for figure, values in bench.probe(agent, side, name, size).items():
                for value in values:
                    yield figure, side, value


def measure(agent: str, rounds: int, size: Size) -> Samples:
    """Measure the rounds, after one that warms up and does not count."""
    kept: Samples = {}
    with surroundings() as bench:
        if size != QUICK:
            list(one_round(bench, agent, WARM_UP))
        for number in range(1, rounds + 1):
            values: Samples = {}
            for figure, side, value in one_round(bench, agent, size):
                values.setdefault(figure, {}).setdefault(side, []).append(value)
            print(f"{agent}: round {number} of {rounds} is done", file=sys.stderr)
            for figure, sides in values.items():
                for side, all_of_them in sides.items():
                    median = statistics.median(all_of_them)
                    kept.setdefault(figure, {}).setdefault(side, []).append(median)
    if "start_cli" in kept:
        kept["start_cli"]["raw"] = kept["start"]["raw"]
    return kept
