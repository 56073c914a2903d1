"""What is measured, and what is aimed at."""

from __future__ import annotations

import statistics
from typing import NamedTuple

__all__ = ["COMPARISONS", "Comparison", "Figure", "Row", "Samples", "rows"]

Samples = dict[str, dict[str, list[float]]]
"""Figure → side → one value a round: the median of that round's samples."""


class Figure(NamedTuple):
    """``scale`` turns seconds or bytes into ``unit``. An aim is a ratio, or in ``unit``."""

    key: str
    title: str
    unit: str
    scale: float
    ratio_aim: float | None = None
    value_aim: float | None = None


_MIB = 1 / 1024**2


class Comparison(NamedTuple):
    """What is measured of one agent; ``raw`` names the other side."""

    title: str
    raw: str
    figures: tuple[Figure, ...]


COMPARISONS = {
    "claude": Comparison(
        "Claude Code",
        "raw SDK",
        (
            Figure("start", "process start → first text, 10-line program", "ms", 1e3, 0.65),
            Figure("start_cli", "process start → first text, `midflight run`", "ms", 1e3, 0.65),
            Figure("help", "`midflight --help`, start to end", "ms", 1e3, value_aim=150),
            Figure("call", "call → first text, warm process", "ms", 1e3, 1.05),
            Figure("follow_up", "live follow-up → first text", "ms", 1e3, 1.05),
            Figure("interrupt", "interrupt → the turn's end, while text streams", "ms", 1e3, 1.2),
            Figure("edit", "an edit that is accepted, with its model call", "ms", 1e3, 1.25),
            Figure("cpu", "processor time per 10,000 text deltas", "ms", 1e3, 1.0),
            Figure("delay_p50", "8 sessions: age of a delta, median", "ms", 1e3, 1.1),
            Figure("delay_p99", "8 sessions: age of a delta, 99th percentile", "ms", 1e3, 1.1),
            Figure("memory", "memory per further session (unique)", "MiB", _MIB, value_aim=2.0),
            Figure(
                "memory_rss", "memory per further session (resident)", "MiB", _MIB, value_aim=2.0
            ),
        ),
    ),
    "opencode": Comparison(
        "OpenCode",
        "raw HTTP",
        (
            Figure("start", "process start → first text, 10-line program", "ms", 1e3, 1.1),
            Figure("follow_up", "live follow-up → first text", "ms", 1e3, 1.1),
            Figure("interrupt", "interrupt → the turn's end, while text streams", "ms", 1e3, 1.2),
            Figure("cpu", "processor time per 10,000 text deltas", "ms", 1e3, 1.2),
            Figure("edit", "an edit that is accepted, with its model call", "ms", 1e3, 1.25),
            Figure("servers", "10 sessions: the agent's memory for each", "MiB", _MIB, 0.3),
        ),
    ),
    "host": Comparison(
        "Journal and hosts",
        "raw parts",
        (
            Figure("append_1", "1,000 durable events, 1 session writing", "ms", 1e3, 5.0),
            Figure("append_many", "1,000 durable events, 50 sessions writing", "ms", 1e3, 5.0),
            Figure("seen_p50", "event → seen by another process, median", "ms", 1e3, 3.0),
            Figure("seen_p99", "event → seen by another process, 99th percentile", "ms", 1e3, 5.0),
            Figure("attach", "attach to 100,000 events → last screen", "ms", 1e3, value_aim=200),
            Figure(
                "attach_cli",
                "the same, `midflight attach`",
                "ms",
                1e3,
                value_aim=1_500,
            ),
            Figure("ls", "list 2,000 sessions of 1,000,000 events", "ms", 1e3, value_aim=150),
            Figure("ls_cli", "the same, `midflight ls --json`", "ms", 1e3, value_aim=500),
            Figure("idle_1", "1 idle session: processor time per second", "ms", 1e3, value_aim=5),
            Figure(
                "idle_many", "8 idle sessions: processor time per second", "ms", 1e3, value_aim=5
            ),
            Figure("idle_rest", "1,000 at rest: processor time per second", "ms", 1e3, value_aim=5),
            Figure(
                "host_memory", "memory of a host with 1 idle session", "MiB", _MIB, value_aim=64
            ),
            Figure("live_memory", "memory per further idle session", "MiB", _MIB, value_aim=0.5),
            Figure("rest_memory", "memory of 1,000 sessions at rest", "MiB", _MIB, value_aim=16),
            Figure(
                "rest_held",
                "1,000 sessions at rest: threads, tasks, timers, descriptors",
                "",
                1,
                value_aim=0,
            ),
            Figure("wake", "session at rest: message → first text", "ms", 1e3, 1.1),
            Figure("wake_gone", "the same, its host has ended too", "ms", 1e3, 2.0),
            Figure("follow_up", "live follow-up over the socket → first text", "ms", 1e3, 1.5),
            Figure("warm", "task → first text, agent kept warm", "ms", 1e3, 0.5),
        ),
    ),
    "background": Comparison(
        "Sessions in the background",
        "raw SDK, raw HTTP",
        (
            Figure("run_d", "`midflight run -d`, a host lives", "ms", 1e3, value_aim=500),
            Figure("run_d_cold", "the same, none does", "ms", 1e3, value_aim=1_000),
            Figure(
                "further_memory",
                "memory of a further session, beyond its agent's",
                "MiB",
                _MIB,
                value_aim=5,
            ),
            Figure("hosted_delay_p50", "8 sessions: age of a delta, median", "ms", 1e3, 1.3),
            Figure("hosted_delay_p99", "8 sessions: the same, 99th percentile", "ms", 1e3, 1.5),
            Figure("json_delay_p50", "8 × `run --json`: age of a delta, median", "ms", 1e3, 1.5),
            Figure("json_interrupt", "`run --json`: interrupt → the turn's end", "ms", 1e3, 1.2),
            Figure("served_memory", "OpenCode, 8 sessions: the agent's memory", "MiB", _MIB, 1.5),
            Figure(
                "served_delay_p99", "OpenCode, 8 sessions: 99th percentile of ages", "ms", 1e3, 2.0
            ),
            Figure(
                "served_again",
                "OpenCode: task → first text, its server runs; raw: a cold one",
                "ms",
                1e3,
                0.5,
            ),
        ),
    ),
    "terminal": Comparison(
        "The terminal",
        "raw SDK, `import sqlalchemy`",
        (
            Figure(
                "echo_p99",
                "8 sessions stream: key → its echo, 99th percentile",
                "ms",
                1e3,
                value_aim=50,
            ),
            Figure("answer", "40,000-word answer, first word → end", "ms", 1e3, 1.25),
            Figure("ls_few", "`midflight ls`, start to end; raw: the import", "ms", 1e3, 2.0),
            Figure("ls_many", "the same, 2,000 sessions", "ms", 1e3, 4.0),
            Figure("tab", "a shell's Tab: names of 2,000 sessions", "ms", 1e3, value_aim=150),
        ),
    ),
    "board": Comparison(
        "The board",
        "a bare Textual application",
        (
            Figure("frame", "process start → the first frame", "ms", 1e3, 1.5),
            Figure("opened", "process start → 200 rows are there", "ms", 1e3, 1.5),
            Figure(
                "redraw",
                "200 sessions, 10 events a second each: processor time per second",
                "ms",
                1e3,
                value_aim=300,
            ),
        ),
    ),
    "server": Comparison(
        "The server",
        "raw SDK, fake agents in process",
        (
            Figure("one_delay_p50", "1 session: age of a delta, median", "ms", 1e3, 2.5),
            Figure("one_delay_p99", "the same, 99th percentile", "ms", 1e3, 2.5),
            Figure("some_delay_p50", "8 sessions: age of a delta, median", "ms", 1e3, 2.5),
            Figure("some_delay_p99", "the same, 99th percentile", "ms", 1e3, 2.5),
            Figure("many_delay_p50", "50 fake ones: age of a delta, median", "ms", 1e3),
            Figure("many_delay_p99", "the same, 99th percentile", "ms", 1e3, value_aim=100),
            Figure("reader_cpu", "a reader: processor time for a delta", "µs", 1e6, 1.0),
            Figure(
                "reader_p99",
                "200 readers: age of a delta, 99th percentile",
                "ms",
                1e3,
                value_aim=100,
            ),
            Figure("reader_memory", "200 readers: memory for each", "MiB", _MIB, value_aim=0.25),
            Figure(
                "reader_missed",
                "200 readers: deltas that one of them has not had",
                "",
                1,
                value_aim=0,
            ),
        ),
    ),
    "page": Comparison(
        "The page",
        "raw SDK, fake agents in process, a short session",
        (
            Figure("one_delay_p50", "1 session: send → painted, median", "ms", 1e3, value_aim=50),
            Figure("one_delay_p99", "the same, 99th percentile", "ms", 1e3, value_aim=100),
            Figure("some_delay_p50", "8 sessions: send → painted, median", "ms", 1e3, value_aim=50),
            Figure("some_delay_p99", "the same, 99th percentile", "ms", 1e3, value_aim=100),
            Figure(
                "many_delay_p50", "50 fake ones: send → painted, median", "ms", 1e3, value_aim=50
            ),
            Figure("many_delay_p99", "the same, 99th percentile", "ms", 1e3, value_aim=100),
            Figure(
                "opened",
                "a session of 100,000 events → its last screen; raw: of 90",
                "ms",
                1e3,
                2.0,
            ),
            Figure(
                "scrolled",
                "the longest time without a frame while it is scrolled up",
                "ms",
                1e3,
                value_aim=50,
            ),
            Figure("scrolled_nodes", "nodes of the page after that", "", 1, value_aim=10_000),
            Figure(
                "streams", "8 sessions stream: processor time per second", "ms", 1e3, value_aim=300
            ),
            Figure(
                "lapse",
                "memory that the page adds in three quarters of an hour",
                "MiB",
                _MIB,
                value_aim=4,
            ),
            Figure("lapse_nodes", "nodes of the page then", "", 1, value_aim=10_000),
            Figure(
                "bytes",
                "what is sent before the first paint, compressed",
                "kB",
                1e-3,
                value_aim=150,
            ),
        ),
    ),
    "cluster": Comparison(
        "Many machines",
        "one machine, or PostgreSQL by hand",
        (
            Figure("task", "task → first text, Claude Code on an idle worker", "ms", 1e3, 1.3),
            Figure("queued_p50", "task → its turn begins, median", "ms", 1e3, value_aim=50),
            Figure("queued_p99", "task → its turn begins, 99th percentile", "ms", 1e3),
            Figure("command_p50", "message → accepted by a far owner, median", "ms", 1e3),
            Figure("command_p99", "message → accepted by a far owner, 99th percentile", "ms", 1e3),
            Figure("outcome_p50", "the same until its sender knows, median", "ms", 1e3),
            Figure("outcome_p99", "the same until its sender knows, 99th percentile", "ms", 1e3),
            Figure("events_1", "1,000 durable events, 1 session writing", "ms", 1e3, 5.0),
            Figure("events_50", "1,000 durable events, 50 sessions on 3 machines", "ms", 1e3, 5.0),
            Figure(
                "events_500", "1,000 durable events, 500 sessions on 3 machines", "ms", 1e3, 5.0
            ),
            Figure(
                "queued_worker",
                "10,000 sessions wait: a worker's processor time per second",
                "ms",
                1e3,
                value_aim=30,
            ),
            Figure(
                "queued_database",
                "10,000 sessions wait: PostgreSQL's processor time per second",
                "ms",
                1e3,
                value_aim=50,
            ),
            Figure(
                "parked_worker",
                "10,000 at rest: a worker's processor time per second",
                "ms",
                1e3,
                value_aim=30,
            ),
            Figure(
                "parked_database",
                "10,000 at rest: PostgreSQL's processor time per second",
                "ms",
                1e3,
                value_aim=50,
            ),
            Figure("far_p50", "8 sessions far away, 100 deltas/s each: age, median", "ms", 1e3),
            Figure("far_p99", "the same, 99th percentile", "ms", 1e3),
            Figure("far_database", "the same: PostgreSQL's processor time per second", "ms", 1e3),
            Figure(
                "moved_claude",
                "Claude Code and 200 MB move to a worker that knows them → next text",
                "ms",
                1e3,
                value_aim=5_000,
            ),
            Figure(
                "moved_opencode",
                "the same, OpenCode, its server is warm",
                "ms",
                1e3,
                value_aim=5_000,
            ),
            Figure("moved_claude_cold", "Claude Code, to one that knows neither", "ms", 1e3),
            Figure("moved_opencode_cold", "OpenCode, to one that knows the repository", "ms", 1e3),
            Figure("failover_p50", "worker killed → next turn elsewhere, median", "ms", 1e3),
            Figure("failover_worst", "worker killed → next turn elsewhere, worst", "ms", 1e3),
        ),
    ),
    "tools": Comparison(
        "Tools over MCP",
        "the verb itself",
        (
            Figure("interrupt", "`interrupt` → its result", "ms", 1e3, 3.0),
            Figure("sessions", "`sessions`, 20 of them → the list", "ms", 1e3, 3.0),
            Figure(
                "tokens_tools", "all tools as a model is told of them", "tokens", 1, None, 4_000
            ),
            Figure("tokens_report", "result without news", "tokens", 1, None, 100),
            Figure(
                "tokens_wait", "`wait`, with 3,000 characters of news", "tokens", 1, None, 1_000
            ),
            Figure("tokens_sessions", "`sessions`, 20 of them", "tokens", 1, None, 1_000),
        ),
    ),
}


class Row(NamedTuple):
    """One figure's outcome, in the figure's unit. Ratios are of rounds, midflight to raw."""

    figure: Figure
    midflight: list[float]
    raw: list[float]

    @property
    def ratio(self) -> float | None:
        """The ratio of the medians."""
        if not self.raw or self.figure.ratio_aim is None:
            return None
        return statistics.median(self.midflight) / statistics.median(self.raw)

    @property
    def ratios(self) -> list[float]:
        """The ratio in each round."""
        return [ours / theirs for ours, theirs in zip(self.midflight, self.raw, strict=True)]

    @property
    def met(self) -> bool:
        """The aim was met."""
        if self.figure.value_aim is not None:
            return statistics.median(self.midflight) <= self.figure.value_aim
        return self.ratio is None or self.ratio <= (self.figure.ratio_aim or 0)


def rows(comparison: Comparison, samples: Samples) -> list[Row]:
    """Return the outcome of each figure that was measured."""
    return [
        Row(
            figure,
            [value * figure.scale for value in sides["midflight"]],
            [value * figure.scale for value in sides.get("raw", [])],
        )
        for figure in comparison.figures
        if "midflight" in (sides := samples.get(figure.key, {}))
    ]
