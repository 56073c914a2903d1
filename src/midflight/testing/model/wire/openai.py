"""What OpenAI's two APIs have in common: their errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from midflight.testing.model.wire.base import Wire


class OpenAiWire(Wire):
    """An answer of one of OpenAI's APIs."""

    faults: ClassVar[Mapping[str, str]] = {
        "api_error": "server_error",
        "authentication_error": "invalid_api_key",
        "billing_error": "insufficient_quota",
        "invalid_request_error": "invalid_request_error",
        "not_found_error": "model_not_found",
        "overloaded_error": "server_is_overloaded",
        "permission_error": "access_terminated",
        "rate_limit_error": "rate_limit_exceeded",
        "request_too_large": "context_length_exceeded",
        "timeout_error": "server_error",
    }

    @classmethod
    def error(cls, status: int, kind: str, message: str) -> Mapping[str, Any]:
        """Return the error object (https://platform.openai.com/docs/guides/error-codes)."""
        code = cls.faults.get(kind, kind)
        type_ = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
        return {"error": {"message": message, "type": type_, "param": None, "code": code}}
