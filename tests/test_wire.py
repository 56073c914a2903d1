"""Events and commands survive the wire, and their JSON does not change unnoticed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midflight import commands, events
from midflight.effects import CommandEffect, EditEffect, FetchEffect, OtherEffect, ReadEffect
from midflight.errors import InvalidInput
from midflight.images import NOT_IN_NAMES, Image, ImageInfo
from midflight.values import (
    Denial,
    PlanEntry,
    Question,
    QuestionOption,
    Result,
    TokenUsage,
    Who,
)

GOLDEN = Path(__file__).parent / "golden"
EVENTS = events.Event.__subclasses__()
COMMANDS = commands.Command.__subclasses__()
TEXT = st.text(st.characters(codec="utf-8"))
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)
NAME = LINE.map(lambda line: re.sub(f"[{NOT_IN_NAMES}]", "_", line))
PNG = b"\x89PNG\r\n\x1a\n"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)

for kind in (str, float):
    st.register_type_strategy(
        kind, TEXT if kind is str else st.floats(allow_nan=False, allow_infinity=False)
    )


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a field, from what msgspec knows of its type."""
    match kind:
        case msgspec.inspect.StructType(cls=cls):
            return structs(cls)
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=2).map(tuple)
        case msgspec.inspect.ListType(item_type=item):
            return st.lists(values(item), max_size=2)
        case msgspec.inspect.DictType(value_type=item):
            return st.dictionaries(TEXT, values(item), max_size=2)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(values, types))
        case msgspec.inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case msgspec.inspect.AnyType():
            return JSON
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.IntType(ge=least):
            return st.integers(-(2**53) if least is None else least, 2**53)
        case msgspec.inspect.FloatType(gt=least):
            return st.floats(
                least, exclude_min=least is not None, allow_nan=False, allow_infinity=False
            )
        case _:
            assert isinstance(kind, msgspec.inspect.StrType), kind
            return TEXT if kind.pattern is None else LINE


def structs(cls: type[Any]) -> st.SearchStrategy[Any]:
    if cls is Image:
        return st.builds(Image, name=NAME, data=st.binary().map(PNG.__add__))
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    fields = {field.name: values(field.type) for field in info.fields}
    if cls is commands.SetLimits:
        del fields["max_turns"]  # one that is left out is no null
    if issubclass(cls, (commands.Send, commands.Redirect, commands.Edit)):
        fields["text"] = TEXT.filter(str.strip)
    return st.builds(cls, **fields)


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
@settings(max_examples=12, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_event_survives_the_round_trip_through_json(
    cls: type[events.Event], data: st.DataObject
) -> None:
    event = data.draw(structs(cls))
    line = events.encode(event)
    assert b"\n" not in line
    assert events.decode(line) == event
    assert json.loads(line)["type"] == event.type


@pytest.mark.parametrize("cls", COMMANDS, ids=lambda cls: cls.__name__)
@settings(max_examples=12, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_command_survives_the_round_trip_through_json(
    cls: type[commands.Command], data: st.DataObject
) -> None:
    command = data.draw(structs(cls))
    line = commands.encode(command)
    assert b"\n" not in line
    assert commands.decode(line) == command


EFFECTS = (
    CommandEffect(command="rm a", cwd="/w"),
    EditEffect(path="/w/a", target="/etc/a", diff="-x\n+y", lines=2, shown_lines=2),
    ReadEffect(path="/w/a"),
    FetchEffect(url="https://example.org/"),
    OtherEffect(input={"any": 1}),
)
QUESTIONS = (
    Question(
        question="Which colour?",
        header="Colour",
        multiple=True,
        options=(QuestionOption(label="Blue", description="as the sky"),),
    ),
)
RESULT: dict[str, Any] = {
    "status": "completed",
    "reason": "end_turn",
    "text": "Done.",
    "cost_usd": 0.01,
    "total_cost_usd": 0.03,
    "usage": TokenUsage(input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4),
    "steps": 2,
    "duration_s": 1.5,
    "messages": ("m1",),
    "denials": (Denial(call="c1", name="Bash", reason="no"),),
}
WHO = Who(role="user", door="terminal", terminal="/dev/pts/3", device="desk")
EVENT_FIELDS: dict[str, dict[str, Any]] = {
    "session.started": {
        "agent": "claude",
        "agent_version": "2.1.330",
        "agent_session": "s1",
        "model": "sonnet",
        "cwd": "/work",
        "tools": ("Bash",),
        "skills": ("review",),
        "problems": ("plugin /p: path-not-found",),
    },
    "session.ended": {"reason": "closed"},
    "session.resumed": {"reason": "parked"},
    "session.charged": {"usd": 0.25},
    "message.accepted": {
        "message": "m1",
        "text": "do",
        "delivery": "steer",
        "who": WHO,
        "images": (ImageInfo(name="a.png", media_type="image/png", bytes=9),),
    },
    "message.changed": {"message": "m1", "text": "do", "delivery": "queue", "before": "m2"},
    "message.started": {"message": "m1"},
    "message.steered": {"message": "m1"},
    "message.answered": {"message": "m1"},
    "message.cancelled": {"message": "m1", "reason": "redirected"},
    "message.failed": {"message": "m1", "reason": "api_error"},
    "turn.started": {"origin": "message", "messages": ("m1",)},
    "turn.ended": RESULT,
    "text.delta": {"text": "D"},
    "text": {"text": "Done."},
    "thinking.delta": {"text": "h"},
    "thinking": {"text": "hm"},
    "tool.started": {
        "call": "c1",
        "name": "Bash",
        "kind": "execute",
        "title": "ls",
        "input": {"command": "ls"},
    },
    "tool.progress": {"call": "c1", "text": "…"},
    "tool.ended": {"call": "c1", "name": "Bash", "status": "completed", "output": "a"},
    "permission.requested": {
        "request": "r1",
        "call": "c1",
        "name": "Bash",
        "input": {"command": "rm a"},
        "effects": EFFECTS,
        "rule": "Bash(rm a)",
        "reason": "it writes",
        "deadline": 2.0,
    },
    "permission.resolved": {
        "request": "r1",
        "decision": "deny",
        "by": "user",
        "reason": "no",
        "rule": "Bash(rm a)",
        "who": WHO,
    },
    "rule.revoked": {"rule": "Bash(rm a)"},
    "limits.changed": {"limits": {"max_turns": 5, "max_budget_usd": 2.5}},
    "question.requested": {"request": "r1", "questions": QUESTIONS, "deadline": 2.0},
    "question.resolved": {
        "request": "r1",
        "answers": {"Which colour?": ["Blue"]},
        "by": "user",
        "reason": "",
        "who": WHO,
    },
    "task.started": {"task": "t1", "title": "make", "status": "running"},
    "task.ended": {"task": "t1", "title": "make", "status": "completed"},
    "plan": {"entries": (PlanEntry(text="look", status="in_progress"),)},
    "usage": {
        "cost_usd": 0.01,
        "total_cost_usd": 0.03,
        "estimated": True,
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_tokens": 3,
        "cache_write_tokens": 4,
    },
    "retry": {"attempt": 1, "delay_s": 0.5, "status": 529, "error": "overloaded"},
    "stalled": {"silent_s": 60.0},
    "usage_limit.reached": {"resets_at": 2.0, "message": "m2", "at": 3.0, "give_up_at": 4.0},
    "notice": {"level": "error", "text": "no", "command": "k1"},
    "raw": {"data": {"type": "new"}},
}
COMMAND_FIELDS: dict[str, dict[str, Any]] = {
    "send": {"text": "do", "delivery": "queue"},
    "redirect": {"text": "do", "drop_queued": True},
    "interrupt": {"keep_queued": True},
    "cancel": {"message": "m1"},
    "edit": {"message": "m1", "text": "do that"},
    "move": {"message": "m1", "before": "m2"},
    "promote": {"message": "m1", "delivery": "now"},
    "answer": {
        "request": "r1",
        "decision": "deny",
        "reason": "no",
        "input": {"command": "ls"},
        "answers": {"Which colour?": "Blue"},
        "remember": "session",
    },
    "revoke": {"rule": "Bash(npm test)"},
    "set_model": {"model": "opus"},
    "set_permission_mode": {"mode": "plan"},
    "set_limits": {"max_turns": 5, "max_budget_usd": 2.5, "timeout": None},
    "relocate": {"on": "gpu", "at_once": True},
    "close": {},
}


def golden_events() -> dict[str, Any]:
    by_tag = {str(cls.__struct_config__.tag): cls for cls in EVENTS}
    assert set(by_tag) == set(EVENT_FIELDS), "a golden example for every event"
    return {
        tag: json.loads(
            events.encode(
                events.stamp(
                    by_tag[tag](**fields, parent="c0"),
                    seq=7 if by_tag[tag].durable else None,
                    session="s1",
                    turn=1,
                    time=1.5,
                )
            )
        )
        for tag, fields in EVENT_FIELDS.items()
    }


def golden_commands() -> dict[str, Any]:
    by_tag = {str(cls.__struct_config__.tag): cls for cls in COMMANDS}
    assert set(by_tag) == set(COMMAND_FIELDS), "a golden example for every command"
    return {
        tag: json.loads(commands.encode(by_tag[tag](**fields, id="k1")))
        for tag, fields in COMMAND_FIELDS.items()
    }


@pytest.mark.parametrize(
    ("name", "now"), [("events.json", golden_events), ("commands.json", golden_commands)]
)
def test_json_on_the_wire_is_unchanged(name: str, now: Any) -> None:
    golden = json.loads((GOLDEN / name).read_text("utf-8"))
    assert now() == golden, f"if that is meant: write it to {GOLDEN / name}"


def test_golden_lines_can_still_be_read() -> None:
    golden = json.loads((GOLDEN / "events.json").read_text("utf-8"))
    assert [events.decode(json.dumps(line)).type for line in golden.values()] == list(golden)


def test_turn_end_and_result_have_the_same_fields() -> None:
    ended = events.TurnEnded(**RESULT)
    assert ended.result == Result(**RESULT)


def test_only_deltas_and_progress_are_ephemeral() -> None:
    passing = {str(cls.__struct_config__.tag) for cls in EVENTS if not cls.durable}
    assert passing == {"text.delta", "thinking.delta", "tool.progress"}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"{}",
        b'{"type":"sned","text":"x"}',
        b'{"type":"send"}',
        b'{"type":"send","text":7}',
        b'\xff{"type":"close"}',
        b'{"type":"answer","request":"r","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_line_that_is_no_command_is_refused_with_an_example(line: bytes) -> None:
    with pytest.raises(InvalidInput, match='"type":"send"'):
        commands.decode(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"type":"send","text":"x","delivery":"qeue"}', "'qeue'.*did you mean queue"),
        (
            b'{"type":"send","text":"x","delivery":"now"}',
            "delivery is .*, not 'now'",
        ),
        (b'{"type":"answer","request":"r","decision":"yes"}', "decision is one of allow, deny"),
        (b'{"type":"promote","message":"m","delivery":"queue"}', "delivery is one of steer, now"),
    ],
)
def test_wrong_choice_is_refused_with_the_right_ones(line: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        commands.decode(line)


def test_python_refuses_a_wrong_choice_in_the_same_words() -> None:
    wrong = commands.Send(text="x", delivery="qeue")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidInput, match="delivery is one of steer, queue"):
        commands.checked(wrong)


@pytest.mark.parametrize("kind", [commands.Send, commands.Redirect])
@pytest.mark.parametrize("text", ["", " \n", "a\ud800", "x" * (commands.MAX_TEXT_BYTES + 1), 7])
def test_command_refuses_a_text_that_cannot_be_sent(kind: Any, text: Any) -> None:
    with pytest.raises(InvalidInput):
        kind(text=text)
    with pytest.raises(InvalidInput):
        commands.Edit(message="m", text=text)


def test_with_id_gives_each_message_an_id_once() -> None:
    one, other = (commands.with_id(commands.Send(text="x")) for _ in range(2))
    assert one.id
    assert other.id
    assert one.id != other.id
    assert commands.with_id(one) is one
    assert commands.with_id(commands.Interrupt()).id is None


@pytest.mark.parametrize(
    ("line", "id"),
    [
        (b'{"type":"send","text":" ","id":"k1"}', "k1"),
        (b'{"type":"send","id":7}', None),
        (b'{"id":"k1"', None),
        (b"[1]", None),
        (b"\xff", None),
    ],
)
def test_id_of_a_line_that_is_no_command_is_found(line: bytes, id: str | None) -> None:
    assert commands.id_in(line) == id


def test_command_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(InvalidInput, match="limit"):
        commands.decode(b"x" * (commands.MAX_COMMAND_BYTES + 1))


def test_line_that_is_no_event_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="type"):
        events.decode(b"{}")


@pytest.mark.parametrize("name", ["", "two\nlines", "nul\0", "x" * 201])
def test_id_that_is_no_short_line_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        commands.checked(commands.Send(text="do", id=name))
    with pytest.raises(InvalidInput):
        commands.decode(json.dumps({"type": "send", "text": "do", "id": name}))
