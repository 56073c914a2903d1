"""The commands to a session: frozen, and with a JSON form.

Each may have an ``id``. That of a `Send` or `Redirect` is the message's id: the same id twice is
one message.
"""

from __future__ import annotations

import functools
import operator
import re
import uuid
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec

from midflight._util.text import did_you_mean
from midflight.errors import InvalidInput, InvalidOption
from midflight.images import Image, check_images
from midflight.values import CHANGEABLE, Amount, Count

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
    "Relocate",
    "Revoke",
    "Send",
    "SetLimits",
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
"""The longest text of a message, in bytes of UTF-8."""

MAX_COMMAND_BYTES = 16 * 1024 * 1024
"""The longest line of JSON that `decode` reads, in bytes."""


_ONE_LINE = r"^[^\x00-\x1f\x7f]*(?!\n)$"  # Python's `$` stands before a last newline too

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_ONE_LINE)]
"""The sender's name for a command: one line of at most 200 characters."""

_C = TypeVar("_C", bound="Command")


class Command(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """The field that every command has; an error about a command names its ``id``.

    A field that is not known is refused: a command that is only half understood would do something
    else than its sender wants.
    """

    id: Id | None = None


class Send(Command, frozen=True, kw_only=True, tag="send"):
    """Send the agent a message: steer the running turn, or queue for a turn of its own."""

    text: str
    delivery: Literal["steer", "queue"] = "steer"
    images: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        """Raise `InvalidInput` if the text is empty, too long or not text, or for the images."""
        check_text(self.text)
        check_images(self.images)


class Redirect(Command, frozen=True, kw_only=True, tag="redirect"):
    """Stop the running turn and start one for this text, with nothing in between."""

    text: str
    drop_queued: bool = False
    images: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        """Raise `InvalidInput` if the text is empty, too long or not text, or for the images."""
        check_text(self.text)
        check_images(self.images)


class Interrupt(Command, frozen=True, kw_only=True, tag="interrupt"):
    """Stop the running turn, and cancel the queued messages unless ``keep_queued``."""

    keep_queued: bool = False


class Cancel(Command, frozen=True, kw_only=True, tag="cancel"):
    """Cancel a message that the agent has not read."""

    message: str


class Edit(Command, frozen=True, kw_only=True, tag="edit"):
    """Change the text of a waiting message."""

    message: str
    text: str

    def __post_init__(self) -> None:
        """Raise `InvalidInput` if the text is empty, too long or not text."""
        check_text(self.text)


class Move(Command, frozen=True, kw_only=True, tag="move"):
    """Move a waiting message in front of another one, or (null) to the end of the line."""

    message: str
    before: str | None = None


class Promote(Command, frozen=True, kw_only=True, tag="promote"):
    """Make a waiting message a steer of the running turn, or (``now``) a redirect."""

    message: str
    delivery: Literal["steer", "now"] = "steer"


class Answer(Command, frozen=True, kw_only=True, tag="answer"):
    """Resolve a request.

    With ``remember="session"`` an allow adds the request's ``rule`` to the session's own rules.
    ``reason`` goes to the agent with a denial; ``input`` replaces the tool's input; ``answers``
    maps the text of each question to a label (or other words), or to a list of them.
    """

    request: str
    decision: Literal["allow", "deny"] = "allow"
    reason: str = ""
    input: dict[str, Any] | None = None
    answers: dict[str, str | list[str]] | None = None
    remember: Literal["session"] | None = None


class Revoke(Command, frozen=True, kw_only=True, tag="revoke"):
    """Withdraw a rule of this session."""

    rule: str


class SetModel(Command, frozen=True, kw_only=True, tag="set_model"):
    """Switch the model for the calls that follow."""

    model: str


class SetPermissionMode(Command, frozen=True, kw_only=True, tag="set_permission_mode"):
    """Switch the permission mode for the tool calls that follow; see `PermissionMode`."""

    mode: str


class SetLimits(Command, frozen=True, kw_only=True, tag="set_limits"):
    """Change limits of the session: one that is left out stays as it is, and null lifts it."""

    max_turns: Count | msgspec.UnsetType | None = msgspec.UNSET
    max_budget_usd: Amount | msgspec.UnsetType | None = msgspec.UNSET
    timeout: Amount | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        """Raise `InvalidInput` if no limit is named, `InvalidOption` for one that cannot be."""
        if not self.given():
            raise InvalidInput("set_limits changes nothing", f"give {', '.join(CHANGEABLE)}")
        for name, value in self.given().items():
            kind, expected = (
                (Count, "a whole number from 1 up")
                if name == "max_turns"
                else (Amount, "a finite number above 0")
            )
            try:
                msgspec.convert(value, kind | None)
            except (msgspec.ValidationError, OverflowError) as error:
                raise InvalidOption(name, f"expected {expected}, got {value!r}") from error

    def given(self) -> dict[str, int | float | None]:
        """Return the limits that are to change, by their names."""
        values = ((name, getattr(self, name)) for name in CHANGEABLE)
        return {name: value for name, value in values if value is not msgspec.UNSET}


class Relocate(Command, frozen=True, kw_only=True, tag="relocate"):
    """Have the session go on at a worker with the label ``on``, once its turn has ended.

    That is interrupted if it is to be ``at_once``. What waits is kept.
    """

    on: str
    at_once: bool = False


class Close(Command, frozen=True, kw_only=True, tag="close"):
    """End the session, its agent and the agent's tools."""


_encoder = msgspec.json.Encoder()
ANY: Any = functools.reduce(operator.or_, Command.__subclasses__())
"""The union of all commands."""

_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(ANY)
_TYPES = {str(kind.__struct_config__.tag): kind for kind in Command.__subclasses__()}


def encode(command: Command) -> bytes:
    """Return the command as one line of JSON, without a newline."""
    return _encoder.encode(command)


def decode(line: bytes | str) -> Command:
    """Return the command of a line of JSON. Raises `InvalidInput` that says what is wrong."""
    if len(line) > MAX_COMMAND_BYTES:
        raise InvalidInput(
            f"the command has {len(line)} bytes; the limit is {MAX_COMMAND_BYTES}", "send less text"
        )
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        kind = _TYPES.get(_field_in(line, "type") or "")
        hint = 'for example {"type":"send","text":"also add tests"}'
        raise _invalid(error, kind, hint) from error


def id_in(line: bytes | str) -> str | None:
    """Return the id in a line that is not a valid command, for the error about it."""
    return _field_in(line, "id")


def checked(command: _C) -> _C:
    """Return the command after a round trip through JSON.

    Raises `InvalidInput` if a field has a wrong type: Python itself does not check them.
    """
    try:
        return msgspec.convert(msgspec.json.decode(_encoder.encode(command)), type(command))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise _invalid(error, type(command)) from error


def with_id(command: _C) -> _C:
    """Return the command; a `Send` or `Redirect` without an id gets a new one.

    So a sender that lost the reply can send the command again, and it counts once.
    """
    if isinstance(command, (Send, Redirect)) and not command.id:
        return msgspec.structs.replace(command, id=str(uuid.uuid4()))
    return command


def check_text(text: str) -> str:
    """Return the text of a message. Raises `InvalidInput` if it is empty, too long or not text."""
    if not isinstance(text, str):
        raise InvalidInput(f"a message is text, not {type(text).__name__}")
    if not text.strip():
        raise InvalidInput("the message is empty", "say what the agent should do")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput("the message contains a lone surrogate, which is not text") from error
    if size > MAX_TEXT_BYTES:
        raise InvalidInput(
            f"the message has {size} bytes; the limit is {MAX_TEXT_BYTES}",
            "put the text into a file, and name the file",
        )
    return text


class _Head(msgspec.Struct):
    """What is read of a line that is no command; of its other fields, however many, nothing."""

    type: Any = None
    id: Any = None


def _field_in(line: bytes | str, name: str) -> str | None:
    try:
        value = getattr(msgspec.json.decode(line, type=_Head), name)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def _invalid(error: Exception, kind: type[Command] | None, hint: str = "") -> InvalidInput:
    """Return msgspec's error in plain words; for a field with fixed choices it lists them."""
    unknown = re.search(r"contains unknown field `([^`]+)`$", str(error))
    if unknown is not None and kind is not None:
        return InvalidInput(
            f"{kind.__struct_config__.tag} has no field {unknown[1]!r} here",
            f"its fields: {', '.join(sorted(kind.__struct_fields__))}",
        )
    wrong = re.search(r"Invalid enum value (.+) - at `\$\.(\w+)`$", str(error))
    if wrong is None or kind is None:
        return InvalidInput(f"not a command: {error}", hint)
    value, field = wrong[1].strip("'"), wrong[2]
    choices = [str(choice) for choice in get_args(get_type_hints(kind)[field])]
    return InvalidInput(
        f"{field} is one of {', '.join(choices)}, not {value!r}", did_you_mean(value, choices, "")
    )
