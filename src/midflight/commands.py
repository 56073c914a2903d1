"""What a session can be told: frozen commands, and their JSON form.

Each may carry an ``id``. A `Send` or `Redirect` uses it as the message's id, and the same id
twice is one command.
"""

from __future__ import annotations

import difflib
import functools
import operator
import re
import uuid
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec

from midflight.errors import InvalidInput

__all__ = [
    "Answer",
    "Cancel",
    "Close",
    "Command",
    "Edit",
    "Interrupt",
    "Move",
    "Promote",
    "Redirect",
    "Send",
    "SetModel",
    "SetPermissionMode",
    "check_text",
    "checked",
    "decode",
    "encode",
    "id_in",
    "with_id",
]

MAX_TEXT_BYTES = 10 * 1024 * 1024
"""The longest message that is accepted."""

MAX_COMMAND_BYTES = 16 * 1024 * 1024
"""The longest line of JSON that is read as a command."""


Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name that the sender of a command gives it: one line."""

_C = TypeVar("_C", bound="Command")


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """The field that every command has."""

    id: Id | None = None


class Send(Command, frozen=True, kw_only=True, tag="send"):
    """Say something to the agent: steer the running turn, or queue for a turn of its own."""

    text: str
    delivery: Literal["steer", "queue"] = "steer"

    def __post_init__(self) -> None:
        """Refuse a text that no agent could be given."""
        check_text(self.text)


class Redirect(Command, frozen=True, kw_only=True, tag="redirect"):
    """Stop the running turn and start one for this text, with nothing in between."""

    text: str
    drop_queued: bool = False

    def __post_init__(self) -> None:
        """Refuse a text that no agent could be given."""
        check_text(self.text)


class Interrupt(Command, frozen=True, kw_only=True, tag="interrupt"):
    """Stop the running turn."""

    keep_queued: bool = False


class Cancel(Command, frozen=True, kw_only=True, tag="cancel"):
    """Withdraw a message that the agent has not read."""

    message: str


class Edit(Command, frozen=True, kw_only=True, tag="edit"):
    """Give a waiting message another text."""

    message: str
    text: str

    def __post_init__(self) -> None:
        """Refuse a text that no agent could be given."""
        check_text(self.text)


class Move(Command, frozen=True, kw_only=True, tag="move"):
    """Put a waiting message in front of another one, or (null) at the end."""

    message: str
    before: str | None = None


class Promote(Command, frozen=True, kw_only=True, tag="promote"):
    """Make a waiting message a steer of the running turn, or (``now``) a redirect."""

    message: str
    delivery: Literal["steer", "now"] = "steer"


class Answer(Command, frozen=True, kw_only=True, tag="answer"):
    """Resolve a request.

    ``decision`` allows or denies; ``reason`` goes to the agent with a denial; ``input`` replaces
    the tool's input; ``answers`` maps each question's text to a label or a list of labels.
    """

    request: str
    decision: Literal["allow", "deny"] = "allow"
    reason: str = ""
    input: dict[str, Any] | None = None
    answers: dict[str, str | list[str]] | None = None


class SetModel(Command, frozen=True, kw_only=True, tag="set_model"):
    """Switch the model for the calls that follow."""

    model: str


class SetPermissionMode(Command, frozen=True, kw_only=True, tag="set_permission_mode"):
    """Switch the permission mode for the tool calls that follow."""

    mode: str


class Close(Command, frozen=True, kw_only=True, tag="close"):
    """End the session, the agent and its tools."""


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(
    functools.reduce(operator.or_, Command.__subclasses__())
)
_TYPES = {str(kind.__struct_config__.tag): kind for kind in Command.__subclasses__()}


def encode(command: Command) -> bytes:
    """Return the command as one line of JSON, without a newline."""
    return _encoder.encode(command)


def decode(line: bytes | str) -> Command:
    """Read one command from JSON. Raises `InvalidInput` that says what is wrong with it."""
    if len(line) > MAX_COMMAND_BYTES:
        raise InvalidInput(f"a command of {len(line)} bytes is over the {MAX_COMMAND_BYTES} limit")
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        kind = _TYPES.get(_field_in(line, "type") or "")
        hint = 'for example {"type":"send","text":"also add tests"}'
        raise _invalid(error, kind, hint) from error


def id_in(line: bytes | str) -> str | None:
    """Return the id in a line that is no valid command, so that its error can name it."""
    return _field_in(line, "id")


def checked(command: _C) -> _C:
    """Return the command as if another process had sent it.

    Raises `InvalidInput` if it could not have done so: Python itself checks no types.
    """
    try:
        return msgspec.convert(msgspec.json.decode(_encoder.encode(command)), type(command))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise _invalid(error, type(command)) from error


def with_id(command: _C) -> _C:
    """Return the command with an id where it makes a message: the message's id.

    A sender that does not get the outcome sends the same command again, and it counts once.
    """
    if isinstance(command, (Send, Redirect)) and not command.id:
        return msgspec.structs.replace(command, id=str(uuid.uuid4()))
    return command


def check_text(text: str) -> str:
    """Return the text of a message. Raises `InvalidInput` if an agent could not be given it."""
    if not isinstance(text, str):
        raise InvalidInput(f"a message is text, not {type(text).__name__}")
    if not text.strip():
        raise InvalidInput("the message is empty", "say what the agent should do")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput("the message contains a lone surrogate, which is not text") from error
    if size > MAX_TEXT_BYTES:
        raise InvalidInput(f"the message has {size} bytes; {MAX_TEXT_BYTES} are the most")
    return text


def _field_in(line: bytes | str, name: str) -> str | None:
    try:
        value = msgspec.json.decode(line, type=dict[str, Any]).get(name)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def _invalid(error: Exception, kind: type[Command] | None, hint: str = "") -> InvalidInput:
    """Return the error in words: for a field with fixed choices, the choices."""
    wrong = re.search(r"Invalid enum value (.+) - at `\$\.(\w+)`$", str(error))
    if wrong is None or kind is None:
        return InvalidInput(f"not a command: {error}", hint)
    value, field = wrong[1].strip("'"), wrong[2]
    choices = [str(choice) for choice in get_args(get_type_hints(kind)[field])]
    near = difflib.get_close_matches(value, choices, 1)
    return InvalidInput(
        f"{field} is one of {', '.join(choices)}, not {value!r}",
        f"did you mean {near[0]}?" if near else "",
    )
