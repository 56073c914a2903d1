"""Conversations of Claude Code with a person: the files in which it keeps what was said.

Their form is the program's own and was read from what version 2.1.330 writes. What stands in them
is believed as little as any text of an agent; what is of another form is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from midflight._util.files import open_regular
from midflight._util.lines import json_object
from midflight.agents.claude.transcripts import IS_ID, project_folder
from midflight.agents.claude.trust import own_folder
from midflight.agents.shared.earlier import FIRST_CHARS, LISTED, SAID, SAID_CHARS, Earlier, Said

HEAD_BYTES = 512 * 1024
TAIL_BYTES = 4 * 1024 * 1024
"""How much is read of the beginning of a file, for the first words, and of its end."""

MAX_RUNNING_BYTES = 64 * 1024
MOST_RUNNING = 1_000
"""How large the file of a program at work may be, and how many of them are read."""


def conversations(cwd: Path, env: Mapping[str, str]) -> list[Earlier]:
    """Return the conversations of a folder, the newest first."""
    running = dict(_running(own_folder(env)))
    found = []
    for path, updated in _files(cwd, env)[:LISTED]:
        if first := _first(path, cwd):
            pid = running.get(path.stem)
            why = f"process {pid} has it open" if pid else ""
            found.append(
                Earlier(agent="claude", id=path.stem, first=first, updated=updated, open=why)
            )
    return found


def said(cwd: Path, env: Mapping[str, str], conversation: str) -> list[Said]:
    """Return what was said last, the oldest of it first."""
    for path, _ in _files(cwd, env):
        if path.stem == conversation:
            return [Said(*each) for each in _texts(_tail(path))][-SAID:]
    return []


def _files(cwd: Path, env: Mapping[str, str]) -> list[tuple[Path, float]]:
    """Return the files with conversations of a folder, and when each was written, newest first."""
    found = []
    for path in project_folder(cwd, env).glob("*.jsonl"):
        try:
            if IS_ID.fullmatch(path.stem):
                found.append((path, path.lstat().st_mtime))
        except OSError:
            continue
    return sorted(found, key=lambda each: each[1], reverse=True)


def _first(path: Path, cwd: Path) -> str:
    """Return the first words of the user; nothing where the conversation is of another folder."""
    try:
        with open_regular(path, follow=False) as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return ""
    for line in head.splitlines():
        for by_user, text in _texts([line]):
            if by_user:
                here = (json_object(line) or {}).get("cwd") == str(cwd)
                return text[:FIRST_CHARS] if here else ""
    return ""


def _tail(path: Path) -> list[bytes]:
    """Return the last lines of a file, none of them in part."""
    try:
        with open_regular(path, follow=False) as file:
            start = max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES)
            file.seek(start)
            lines = file.read(TAIL_BYTES).splitlines()
    except (OSError, ValueError):
        return []
    return lines[1:] if start else lines


def _texts(lines: Iterable[bytes]) -> Iterator[tuple[bool, str]]:
    """Yield what the user and the agent have said; what the program has put in is left out."""
    for line in lines:
        entry = json_object(line) or {}
        kind, message = entry.get("type"), entry.get("message")
        if kind not in ("user", "assistant") or not isinstance(message, dict):
            continue
        if entry.get("isMeta") or entry.get("isSidechain"):
            continue
        text = "\n".join(_blocks(message.get("content"))).strip()
        if text and not (kind == "user" and text.startswith("<")):
            yield kind == "user", text[:SAID_CHARS]


def _blocks(content: Any) -> Iterator[str]:
    """Yield the texts of a message, which is one text or a list of blocks."""
    if isinstance(content, str):
        content = [content]
    for block in content if isinstance(content, list) else ():
        text = block.get("text") if isinstance(block, dict) else block
        if isinstance(text, str):
            yield text


def _running(own: Path) -> Iterator[tuple[str, int]]:
    """Yield the conversations that a program has open just now, each with its process."""
    for path, _ in zip((own / "sessions").glob("*.json"), range(MOST_RUNNING), strict=False):
        try:
            with open_regular(path, follow=False) as file:
                told = json_object(file.read(MAX_RUNNING_BYTES)) or {}
        except (OSError, ValueError):
            continue
        pid, conversation = told.get("pid"), told.get("sessionId")
        if not isinstance(pid, int) or not isinstance(conversation, str):
            continue
        if 0 < pid < 2**31 and psutil.pid_exists(pid):
            yield conversation, pid
