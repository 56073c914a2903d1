"""Conversations that Claude Code has kept, and what else may lie where it keeps them."""

from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from midflight.agents.claude import earlier
from midflight.agents.claude.transcripts import project_folder
from midflight.agents.shared.earlier import LISTED, SAID


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "my proj_x.y"
    folder.mkdir()
    return folder


def kept_in(env: dict[str, str], cwd: Path) -> Path:
    folder = Path(env["HOME"], ".claude", "projects", re.sub(r"[^a-zA-Z0-9]", "-", str(cwd)))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def user(cwd: Path, content: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "cwd": str(cwd),
        "message": {"role": "user", "content": content},
        **more,
    }


def agent(*texts: str, **more: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": text} for text in texts]
    return {"type": "assistant", "message": {"role": "assistant", "content": blocks}, **more}


def write(folder: Path, *lines: object, name: str = "", age_s: float = 100) -> str:
    """Write a conversation, and return its id."""
    name = name or str(uuid.uuid4())
    path = folder / f"{name}.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts), errors="surrogateescape")
    os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    return name


def test_conversations_come_newest_first_with_their_first_words(
    env: dict[str, str], cwd: Path
) -> None:
    folder = kept_in(env, cwd)
    old = write(folder, user(cwd, "first of all"), agent("Yes."), age_s=500)
    new = write(
        folder,
        "no json",
        "[1]",
        "{",
        {"type": "user"},
        {"type": "queue-operation", "content": "x"},
        user(cwd, "Caveat", isMeta=True),
        user(cwd, "<command-name>/model</command-name>"),
        user(cwd, [{"type": "tool_result", "content": "no words"}]),
        user(cwd, [{"type": "image"}, {"type": "text", "text": "which colour?"}]),
    )
    write(folder, {"type": "summary", "summary": "nothing was said"})
    found = earlier.conversations(cwd, env)
    assert [(each.id, each.first) for each in found] == [
        (new, "which colour?"),
        (old, "first of all"),
    ]
    assert {(each.agent, each.open) for each in found} == {("claude", "")}
    assert earlier.conversations(cwd / "..", env) == []


def test_folders_with_names_alike_do_not_share_conversations(
    env: dict[str, str], cwd: Path
) -> None:
    other = cwd.with_name("my.proj.x y")
    assert kept_in(env, other) == kept_in(env, cwd)
    write(kept_in(env, cwd), user(other, "not yours"))
    assert earlier.conversations(cwd, env) == []


def test_long_name_of_a_folder_is_cut_and_has_a_hash_behind_it(
    env: dict[str, str], tmp_path: Path
) -> None:
    cwd = tmp_path / ("a" * 120) / ("b" * 120)
    folder = project_folder(cwd, env)
    cut, _, hashed = folder.name.rpartition("-")
    assert cut == re.sub(r"[^a-zA-Z0-9]", "-", str(cwd))[:200]
    assert hashed
    folder.mkdir(parents=True)
    conversation = write(folder, user(cwd, "hello"))
    assert [each.id for each in earlier.conversations(cwd, env)] == [conversation]


def test_what_is_no_file_of_a_conversation_is_passed_over(
    env: dict[str, str], cwd: Path, tmp_path: Path
) -> None:
    folder = kept_in(env, cwd)
    write(folder, user(cwd, "x"), name="--help")
    write(folder, user(cwd, "x"), name="notes")
    os.mkfifo(folder / f"{uuid.uuid4()}.jsonl")
    (folder / f"{uuid.uuid4()}.jsonl").mkdir()
    secret = write(tmp_path, user(cwd, "secret"))
    (folder / f"{uuid.uuid4()}.jsonl").symlink_to(tmp_path / f"{secret}.jsonl")
    (folder / f"{uuid.uuid4()}.jsonl").write_bytes(b"\xff\xfe\0\n" * 1000 + b"x" * 2**21)
    assert earlier.conversations(cwd, env) == []
    assert earlier.said(cwd, env, "../../x") == []


def test_conversation_that_a_living_process_has_is_open(env: dict[str, str], cwd: Path) -> None:
    folder = kept_in(env, cwd)
    ids = [write(folder, user(cwd, "x"), age_s=100 * n) for n in range(1, 4)]
    running = Path(env["HOME"], ".claude", "sessions")
    running.mkdir()
    for n, said in enumerate(
        (
            {"pid": os.getpid(), "sessionId": ids[0]},
            {"pid": 2**31 - 7, "sessionId": ids[1]},
            {"pid": -1, "sessionId": ids[2]},
            {"pid": "1", "sessionId": ids[2]},
            {"pid": os.getpid(), "sessionId": 7},
            {"pid": 2**70, "sessionId": ids[2]},
            [],
        )
    ):
        (running / f"{n}.json").write_text(json.dumps(said))
    os.mkfifo(running / "9.json")
    found = [each.open for each in earlier.conversations(cwd, env)]
    assert found == [f"process {os.getpid()} has it open", "", ""]


def test_last_words_are_told_and_nothing_that_the_program_put_in(
    env: dict[str, str], cwd: Path
) -> None:
    conversation = write(
        kept_in(env, cwd),
        *(user(cwd, f"number {n}") for n in range(SAID)),
        user(cwd, "<system-reminder>no</system-reminder>"),
        agent("of a sub-agent", isSidechain=True),
        user(cwd, "go\x1b[2J"),
        {"type": "assistant", "message": {"content": [{"type": "thinking", "thinking": "hm"}]}},
        {"type": "assistant", "message": "text"},
        agent("One.", "Two."),
        '{"type": "assistant", "mess',
    )
    told = earlier.said(cwd, env, conversation)
    assert len(told) == SAID
    assert told[-3:] == [
        (True, f"number {SAID - 1}"),
        (True, "go\x1b[2J"),
        (False, "One.\nTwo."),
    ]


@pytest.mark.parametrize(
    "content", [5, -0.5, True, False, None, {}, {"text": "x"}, [5, None, [], {}, {"text": {}}]]
)
def test_message_of_another_form_says_nothing(
    env: dict[str, str], cwd: Path, content: object
) -> None:
    odd = [user(cwd, content), {"type": "assistant", "message": {"content": content}}]
    odd += [{"type": kind, "message": content} for kind in ("user", "assistant", content)]
    conversation = write(kept_in(env, cwd), *odd, user(cwd, "hello"))
    assert [each.first for each in earlier.conversations(cwd, env)] == ["hello"]
    assert earlier.said(cwd, env, conversation) == [(True, "hello")]


def test_huge_conversation_is_read_in_part(
    env: dict[str, str], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "HEAD_BYTES", 1000)
    monkeypatch.setattr(earlier, "TAIL_BYTES", 1000)
    folder = kept_in(env, cwd)
    long = write(folder, user(cwd, "hello"), *(agent("x" * 300) for _ in range(50)), agent("end"))
    assert [each.first for each in earlier.conversations(cwd, env)] == ["hello"]
    assert earlier.said(cwd, env, long)[-1] == (False, "end")
    assert len(earlier.said(cwd, env, long)) <= 4
    for n in range(LISTED + 5):
        write(folder, user(cwd, f"{n}"), age_s=1000 + n)
    assert len(earlier.conversations(cwd, env)) == LISTED
