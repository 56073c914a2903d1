"""What is asked of a host about a session on its machine: frozen, and with a JSON form.

A command changes what a session does; a question needs the agent's process, or the folder, which
are on that machine alone. What becomes of a worktree is one too: it is done where that is.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any, Literal

import msgspec

from midflight.errors import InvalidInput

MAX_ANSWER_BYTES = 2_000_000
"""How long an answer may be, as JSON."""

MAX_DIFF_CHARS = 500_000
"""How much of a diff an answer has."""


WorktreeAction = Literal["merge", "branch", "discard"]
"""What can become of a worktree."""


class Question(msgspec.Struct, frozen=True, kw_only=True, tag_field="asks"):
    """What all questions are."""


class AskEffects(Question, frozen=True, kw_only=True, tag="effects"):
    """What the call that waits as a ``request`` would do with this ``input``."""

    request: str
    input: dict[str, Any]


class AskAgent(Question, frozen=True, kw_only=True, tag="agent"):
    """What the agent can do."""


class AskDiff(Question, frozen=True, kw_only=True, tag="diff"):
    """What has changed in the folder, in these ``paths``, since the session began."""

    paths: tuple[str, ...] = ()


class AskWorktree(Question, frozen=True, kw_only=True, tag="worktree"):
    """What is in the session's worktree."""


class AskWorktreeDiff(Question, frozen=True, kw_only=True, tag="worktree.diff"):
    """What a merge of it would bring."""


class DoWorktree(Question, frozen=True, kw_only=True, tag="worktree.do"):
    """Merge it, have its ``branch`` hold all of it, also as ``name``, or discard it."""

    action: WorktreeAction
    name: str = ""


ANY: Any = reduce(operator.or_, Question.__subclasses__())


def encode(question: Question) -> bytes:
    """Return the JSON of a question."""
    return msgspec.json.encode(question)


def decode(text: str) -> Question:
    """Return the question that a JSON text is. Raises `InvalidInput`."""
    try:
        question: Question = msgspec.json.decode(text, type=ANY)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"this host does not know the question: {error}") from error
    return question
