"""Which API is asked at a path."""

from __future__ import annotations

from collections.abc import Mapping

from midflight.testing.model.wire.base import Wire
from midflight.testing.model.wire.chat import ChatWire
from midflight.testing.model.wire.gemini import GeminiWire
from midflight.testing.model.wire.messages import MessagesWire
from midflight.testing.model.wire.responses import ResponsesWire

_ANSWERS: Mapping[str, type[Wire]] = {
    "/v1/messages": MessagesWire,
    "/v1/responses": ResponsesWire,
    "/v1/chat/completions": ChatWire,
}
_GEMINI = "/models/"
_GEMINI_ANSWERS = (":generateContent", ":streamGenerateContent")
_COUNTS: Mapping[str, type[Wire]] = {
    "/v1/messages/count_tokens": MessagesWire,
}


def answering(path: str) -> type[Wire] | None:
    """Return the API that answers with a model's words there."""
    if _GEMINI in path and path.endswith(_GEMINI_ANSWERS):
        return GeminiWire
    return _ANSWERS.get(path)


def counting(path: str) -> type[Wire] | None:
    """Return the API that only counts the tokens of what it is given there."""
    if _GEMINI in path and path.endswith(":countTokens"):
        return GeminiWire
    return _COUNTS.get(path)
