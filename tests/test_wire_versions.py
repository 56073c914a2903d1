"""What midflight says to one of another version, and what it understands of it.

The files ``wire-1-*`` are those of version 1 of the wire, as it was left behind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it brings no types
import msgspec
import pytest
from tests.test_wire import EVENTS, golden_commands, golden_events

from midflight import commands, events
from midflight import info as sessions
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.transcript import ExitOutcome, Transcript
from midflight.client.http import HostSick, read, read_session
from midflight.effects import OtherEffect
from midflight.errors import InvalidInput
from midflight.info import Outcome
from midflight.state.session import State

GOLDEN = Path(__file__).parent / "golden"
CLOSED = {"status", "by", "decision", "delivery", "kind", "level", "origin", "role", "door"}
"""The fields that say one of a few words."""


def of_version_1(name: str) -> Any:
    return json.loads((GOLDEN / f"wire-1-{name}.json").read_text("utf-8"))


def test_events_of_version_1_are_read_with_defaults() -> None:
    for tag, fields in of_version_1("events").items():
        read = json.loads(events.encode(events.decode(json.dumps(fields))))
        assert read["type"] == tag
        assert _known(read, fields) == fields
        assert not any(read[name] for name in read.keys() - fields.keys())


def _known(read: Any, of: Any) -> Any:
    """Return what was read, without the fields that are new since."""
    if isinstance(of, list):
        return [_known(*both) for both in zip(read, of, strict=True)]
    if isinstance(of, dict):
        return {name: _known(read[name], of[name]) for name in of}
    return read


def test_commands_of_version_1_are_understood() -> None:
    for tag, fields in of_version_1("commands").items():
        assert json.loads(commands.encode(commands.decode(json.dumps(fields)))) == fields, tag


@pytest.mark.parametrize(
    ("name", "now"), [("events", golden_events()), ("commands", golden_commands())]
)
def test_version_1_understands_what_is_said_today(name: str, now: dict[str, Any]) -> None:
    reader = jsonschema.Draft202012Validator(of_version_1(f"{name}.schema"))
    with pytest.raises(jsonschema.ValidationError):
        reader.validate({"type": "send", "text": 7, "data": 7, "delivery": "queue"})
    for tag in now.keys() & NEW:  # its host refuses them by name, and its reader keeps them raw
        with pytest.raises(jsonschema.ValidationError):
            reader.validate(now.pop(tag))
    for fields in now.values():
        reader.validate(fields)


NEW = {"set_limits", "limits.changed", "relocate"}


def _newer(value: Any) -> Any:
    """Return the same of a midflight of tomorrow: other words, and more fields."""
    if isinstance(value, list):
        return [_newer(each) for each in value]
    if not isinstance(value, dict):
        return value
    same = {
        name: "novel" if name in CLOSED and isinstance(each, str) else _newer(each)
        for name, each in value.items()
    }
    return same | {"tomorrow": 1}


def _today(value: Any) -> Any:
    if isinstance(value, list):
        return [_today(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _today(each) for name, each in value.items() if name != "tomorrow"}


FREE = {"input", "answers", "data", "limits"}
"""Fields whose content is not midflight's."""


@pytest.mark.parametrize(("tag", "fields"), golden_events().items(), ids=golden_events())
def test_new_words_and_fields_of_an_event_are_read(tag: str, fields: dict[str, Any]) -> None:
    newer = _newer({name: each for name, each in fields.items() if name not in FREE})
    newer |= {name: fields[name] for name in FREE & fields.keys()}
    for effect in newer.get("effects", ()):
        effect.update({"input": {"any": 1}} if "input" in effect else {})
    event = events.decode(json.dumps(newer))
    read = json.loads(events.encode(event))
    assert read == _today(newer)
    assert {read[name] for name in CLOSED & fields.keys() if fields[name] in WORDS} <= {"novel"}
    for show in (Screen(Path("/w")).take, lambda event, _: Transcript(Path("/w")).take(event)):
        show(event, 80)
    outcome = ExitOutcome()
    outcome.take(event)
    assert outcome.code in {0, 1, 3, 130}


WORDS = {"completed", "user", "deny", "steer", "queue", "execute", "error", "message"}


def test_event_of_an_unknown_kind_is_raw_in_its_place() -> None:
    fields = {"type": "novel", "seq": 7, "session": "s1", "turn": 1, "time": 1.5, "parent": "c0"}
    event = events.decode(json.dumps(fields | {"more": [1]}))
    assert event == events.Raw(
        seq=7, session="s1", turn=1, time=1.5, parent="c0", data=fields | {"more": [1]}
    )
    State().apply(event)


@pytest.mark.parametrize("line", ["{}", "[]", "null", '{"type":7}', '{"type":"text","seq":"x"}'])
def test_what_is_no_event_of_any_version_is_refused(line: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        events.decode(line)


def test_effect_of_an_unknown_kind_is_other() -> None:
    fields = golden_events()["permission.requested"]
    novel = {"type": "mount", "path": "/w"}
    event = events.decode(json.dumps(fields | {"effects": [novel, *fields["effects"]]}))
    assert isinstance(event, events.PermissionRequested)
    assert event.effects[0] == OtherEffect(input=novel)
    assert len(event.effects) == 1 + len(fields["effects"])


@pytest.mark.parametrize("kind", [["command"], {}, 7, None], ids=repr)
def test_kind_of_an_effect_that_is_no_word_is_other(kind: object) -> None:
    fields = {"type": "permission.requested", "request": "r", "call": "c", "name": "n", "input": {}}
    event = events.decode(json.dumps(fields | {"effects": [{"type": kind}]}))
    assert isinstance(event, events.PermissionRequested)
    assert event.effects == (OtherEffect(input={"type": kind}),)


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"a":' * 100_000], ids=["list", "object"])
def test_answer_that_is_nested_without_end_is_nonsense(line: bytes) -> None:
    """Of any host, to any question."""
    with pytest.raises(ValueError, match="nested too deep"):
        events.decode(line)
    with pytest.raises(HostSick):
        read_session(line)
    with pytest.raises(HostSick):
        read(line, Outcome)


def test_session_of_a_newer_host_is_read() -> None:
    asked = golden_events()["permission.requested"]
    asked["effects"] = [{"type": "mount", "path": "/w"}]
    info = {"id": "s", "name": "n", "agent": "a", "model": "", "cwd": "/", "status": "novel"}
    newer = info | {"pending": [asked, {"type": "form.requested", "request": "r2"}], "more": 1}
    read = sessions.decode(json.dumps(newer).encode())
    assert (read.status, [one.request for one in read.pending]) == ("novel", ["r1"])
    for nonsense in (b'{"id": 7}', b'{"id": 7, "pending": 7}', b"[1]"):
        with pytest.raises(msgspec.ValidationError):
            sessions.decode(nonsense)


@pytest.mark.parametrize(("tag", "fields"), golden_commands().items(), ids=golden_commands())
def test_field_that_a_command_does_not_have_is_refused_by_name(
    tag: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput, match=f"{tag} has no field 'tomorrow' here"):
        commands.decode(json.dumps(fields | {"tomorrow": 1}))


def test_every_event_has_a_form_in_version_1_or_is_new() -> None:
    """A kind that is gone would leave old journals with events that nobody understands."""
    assert of_version_1("events").keys() <= {str(kind.__struct_config__.tag) for kind in EVENTS}
