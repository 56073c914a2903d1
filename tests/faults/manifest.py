"""The faults that midflight must survive, as data. Each covered row has at least one test.

`test_manifest.py` checks both directions. What is not covered yet says why in ``not_yet``; a row
with tests may still name a part that has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

__all__ = ["ROWS", "Row", "fault"]


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: what goes wrong, what must come of it, and where it was seen before."""

    sentence: str
    source: str
    tested: bool = True
    not_yet: str = ""


ROWS: dict[str, Row] = {
    # Configuration
    "C1": Row(
        "An unknown option or one of the wrong type is refused by its name, with the nearest "
        "valid one and, from a file, with the line, before anything starts.",
        "a misspelt limit that was silently ignored",
    ),
    "C2": Row(
        "An agent program that is missing, not executable, too old or not the right program is "
        "told with what to do about it, before a session exists.",
        "claude-agent-sdk: a missing or wrong binary ended in a traceback",
        not_yet="`doctor` with a bad program: it looks only at the one that it finds itself",
    ),
    "C3": Row(
        "A server on a public address without a real token refuses to start.",
        "CVE-2026-22812, CVE-2026-112346",
    ),
    "C4": Row(
        "State that others can read or own is refused; ours is created private.",
        "CVE-2026-34450, CVE-2026-46406",
    ),
    "C5": Row(
        "A limit that is 0, negative, not finite, a bool or a string is refused by its name.",
        "a budget of 0 that meant none",
    ),
    "C6": Row(
        "An empty list is not the same as none given, and reaches the agent as empty.",
        "claude-agent-sdk 0.1.60, 0.2.111",
    ),
    # What users and programs send
    "I1": Row(
        "An empty or blank prompt is refused and no session is made.",
        "an empty prompt ran a whole turn",
    ),
    "I2": Row(
        "A prompt of 20 MB and JSON that is absurdly deep or wide are refused in bounded memory.",
        "general practice",
    ),
    "I3": Row(
        "NUL, bidi and combining characters make the exact round trip; what is not text is "
        "refused by name; nothing crashes.",
        "a lone surrogate that the agent took and the log could not write",
    ),
    "I4": Row(
        "A value that looks like a command-line option never becomes one.",
        "claude-agent-sdk 0.2.121, 0.2.124, 0.2.129; the Claude Code deeplink",
    ),
    "I5": Row(
        "A working directory that is missing, a file or unreadable is refused at dispatch; one "
        "that vanishes during the run fails what needs it and not the session's owner.",
        "general practice",
    ),
    "I6": Row(
        "Of two answers to one request the first stands, and the second learns which that was.",
        "opencode: a request answered twice",
    ),
    "I7": Row(
        "A message to a session that is starting, idle, failed or closed has a defined outcome, "
        "and is delivered in order and once.",
        "omnigent #2464, #4437",
    ),
    "I8": Row(
        "Stopping twice, while idle, while a request waits or during the start ends in one state; "
        "an id that comes twice is one command.",
        "paseo #3217, #4327",
    ),
    # The agent's process
    "A1": Row(
        "An agent that ends or stays silent before it has greeted fails the start in a bounded "
        "time, with its last words, without secrets and without a process left.",
        "claude-code #18666",
    ),
    "A2": Row(
        "An agent that is killed in the middle of a turn or of a line fails the turn as "
        "agent_died, its tools go with it, and the next message resumes the conversation.",
        "t3code #4381, MyAgentive #78",
    ),
    "A3": Row(
        "An agent that obeys neither an interrupt nor a polite signal is ended within a bound.",
        "claude-agent-sdk #701",
    ),
    "A4": Row(
        "A tool's process with a session or an environment of its own ends with the agent.",
        "openclaw #104847, #44790, buzz #4708",
        not_yet="a process that was orphaned in a new session with an emptied environment before "
        "the stop began has lost every sign of where it came from; what a command of OpenCode has "
        "orphaned while another session runs one lives until the folder's last session closes",
    ),
    "A5": Row(
        "However the program that uses midflight is cancelled, the agent ends with it.",
        "claude-agent-sdk 0.2.111",
    ),
    "A6": Row(
        "When midflight itself is killed, the agent and its tools end; a restart finds orphans "
        "and runs nothing again.",
        "AgentWrapper and t3code: turns that ran twice",
    ),
    "A7": Row(
        "Noise, split, huge or damaged lines between the agent's frames lose no frame, and what "
        "could not be read is told.",
        "claude-agent-sdk 0.1.51, 0.2.111",
    ),
    "A8": Row(
        "A frame of an unknown type or a broken form is kept as raw, and the session goes on.",
        "claude-agent-sdk 0.1.40, 0.2.111",
    ),
    "A9": Row(
        "A silent agent is reported, and stopped only by a limit; a long tool is not silence.",
        "claude-code #59243, lobehub #18575",
    ),
    "A10": Row(
        "Frames that come twice or after the end change nothing; a turn ends once.",
        "claude-agent-sdk 0.2.127",
    ),
    "A11": Row(
        "A flood on standard error and a failing or hanging handler of the user's own cost "
        "neither memory nor the session.",
        "claude-agent-sdk 0.2.82",
        not_yet="a handler that blocks its thread: on_request and on_event are called in the "
        "event loop, which such a function stops, whoever calls it",
    ),
    "A12": Row(
        "A server whose event stream stops without an end is noticed, and nothing is lost.",
        "opencode #38458, #28729, #37580, #31281; assistant-ui #7605",
    ),
    # The model's service
    "M1": Row(
        "A rate limit is shown, the agent's own retry is respected, and time limits still hold.",
        "FACTS A6",
    ),
    "M2": Row(
        "A service that keeps failing is visible, then fails the turn, without a tight loop.",
        "FACTS A6",
    ),
    "M3": Row(
        "A stream that is cut or ends in an error leaves no partial text standing as final.",
        "opencode #28729",
    ),
    "M4": Row(
        "A stream that stays open and says nothing is detected by the limit for silence.",
        "claude-code #61001",
    ),
    "M5": Row(
        "Broken streams, tool inputs and blocks end in a visible way; the session stays usable.",
        "general practice",
    ),
    "M6": Row(
        "A refused key fails the turn at once, is not tried again, and is never shown.",
        "FACTS A6: Claude Code tries ten times",
    ),
    "M7": Row(
        "max_tokens, a refusal, a full context and an empty answer end for distinct reasons.",
        "FACTS A6",
    ),
    "M8": Row(
        "Usage that is missing, huge or shrinking never makes the books negative; a limit that is "
        "passed ends the turn as a limit.",
        "AionCore #767, claw-orchestrator #112",
    ),
    # Networks and clients
    "N1": Row("A client that comes back gets exactly what it missed.", "opencode #38458"),
    "N2": Row(
        "A nonsensical Last-Event-ID is refused.",
        "general practice",
        not_yet="the number of an event that another session has too: an id is a number, no more",
    ),
    "N3": Row(
        "A reader that is too slow is cut off and disturbs nobody.",
        "OpenHands agent-server",
    ),
    "N4": Row(
        "A thousand connections come and go and leave nothing behind.",
        "OpenHands agent-server",
    ),
    "N5": Row(
        "An idle stream shows signs of life at once and all the time; a HEAD starts none.",
        "opencode #28729",
    ),
    "N6": Row(
        "Junk on the socket never stops the server.",
        "CVE-2025-53365",
    ),
    "N7": Row(
        "A server that is told to end finishes its streams and agents within a bound.",
        "opencode #50699",
    ),
    "N8": Row(
        "A clock that jumps changes no limit; an MCP caller that leaves takes nothing with it.",
        "general practice",
    ),
    "N9": Row(
        "A page of events is bounded by bytes too, and the next page has the rest.",
        "thirty messages of 9 MB in one reply",
    ),
    "N10": Row(
        "Connections that send half a head, half a body or nothing are closed after a while, and "
        "are never so many that others are kept out.",
        "slowloris",
    ),
    # Disks
    "D1": Row(
        "A full disk or one with errors stops the session safely; it goes on when there is room.",
        "general practice",
    ),
    "D2": Row("A state directory that cannot be used is told at the start.", "general practice"),
    "D3": Row(
        "A damaged journal is not written to, and what can be read of it is read.",
        "general practice",
    ),
    "D4": Row(
        "Two owners of one session cannot both write to it: the error names the owner, and one "
        "that is gone is taken over.",
        "t3code #4584",
    ),
    "D5": Row("A kill at any step leaves every promise true after the restart.", "DBOS"),
    "D6": Row(
        "A newer journal is left untouched, an older one is migrated.",
        "general practice",
        not_yet="a list of 2,000 sessions with a million events: that is measured, not tested",
    ),
    "D7": Row(
        "A host that is sick (its folder was deleted, it hangs, it answers nonsense) is in the way "
        "of nobody who does not need that very host, and neither is a deleted current folder.",
        "one host whose folder was deleted made every dispatch of the machine fail",
    ),
    # Security
    "S1": Row("No route answers without the right token.", "CVE-2026-22812"),
    "S2": Row(
        "A foreign Host is refused; no address is trusted.",
        "CVE-2025-66416, CVE-2026-26316",
    ),
    "S3": Row("A foreign Origin and a form post are refused.", "CVE-2025-52882"),
    "S4": Row(
        "A key is in no event, no error, no argument list and no traceback.",
        "GitHub Actions: secrets in logs, also encoded",
    ),
    "S5": Row(
        "Markup in agent text is inert in the page.",
        "CVE-2026-22813, CVE-2026-25253",
    ),
    "S6": Row(
        "Escape sequences and bidi controls in any field reach programs as they are, and no "
        "terminal.",
        "openai/codex #15974",
    ),
    "S7": Row(
        "A hostile repository configures nothing before it is trusted.",
        "CVE-2025-59536, CVE-2026-21852, CVE-2026-33068",
    ),
    "S8": Row(
        "An agent cannot change our own configuration, token or store.",
        "CVE-2026-25725",
        not_yet="a command that is allowed can: an agent runs as the user whose files they are",
    ),
    "S9": Row(
        "What was approved is exactly what runs, and was shown in full.",
        "CVE-2025-66032, CVE-2025-55284, CVE-2026-22708",
    ),
    "S10": Row(
        "No id or path leads out of where it belongs.",
        "CVE-2026-39861, CVE-2026-88968, CVE-2026-53976",
    ),
    "S11": Row(
        "Agent text gives no orders to an agent that watches it.",
        "npm package and issue-title injection",
        not_yet="a program that an agent runs and that hides whose it is: docs/mcp.md",
    ),
    "S12": Row(
        "An agent cannot reach our server or another agent.",
        "opencode #50699",
        not_yet="a server's token is in a file that any program of the same user can read",
    ),
    "S13": Row(
        "A request shows what will happen, made from exactly the keys that the tool obeys, every "
        "character of it visible, and its head again at the prompt.",
        "keys of another agent's words hid what an edit changed",
    ),
    "S14": Row(
        "While a request is open nothing stands below it that could be taken for it.",
        "an agent's text that looked like a request, below a real one",
    ),
    "S15": Row(
        "What was typed before a request could be read is no answer to it, and a yes is never a "
        "message.",
        "a second yes allowed a call that nobody had seen",
    ),
    "S16": Row(
        "A client of MCP has dispatched what its user has listed, and no more: known agents, "
        "folders of its own or trusted, nothing wider than it has itself.",
        "dispatch of acp:/bin/sh -c ran any command unasked, in any folder",
    ),
    "S17": Row(
        "An agent's own shell reaches no further than its agent: whoever asks a host is looked up "
        "when it connects, and one that cannot be looked up may do nothing that an agent may not.",
        "connect, fork, and the parent exits: the host found nobody, and let it in",
    ),
    "S18": Row(
        "No program is taken from the folder that is worked in, or from one above it.",
        "node_modules/.bin/opencode that another user had planted",
    ),
    "S19": Row(
        "An agent sends to, reads and answers for what it has begun, and nothing else.",
        "an agent with a leave for Bash approved a request of a session that was not its own",
    ),
    "S20": Row(
        "What may be secret in the settings of an MCP server, and a system prompt, are in no "
        "journal, no error and no list of processes.",
        "tokens in args and url of MCP servers stood in the journal, a system prompt in ps",
        not_yet="the arguments of a server over stdio: its own command line is what its agent "
        "starts it with",
    ),
    "S21": Row(
        "A folder's allow list gives nothing, also where the agent itself trusts the folder.",
        "CVE-2026-21852",
    ),
    "A14": Row("A turn that its agent ends at a denial is told as denied.", "both codex adapters"),
    "A15": Row(
        "What an agent does not tell of its cost is not known, and no budget is kept with it.",
        "gemini, codex, copilot and qwen over ACP",
    ),
}


def fault(*ids: str) -> pytest.MarkDecorator:
    """Bind a test to rows of the manifest."""
    return pytest.mark.fault(*ids)
